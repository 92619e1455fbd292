"""Calls that succeed, and calls that are repeated."""

import uuid
from datetime import datetime, timezone

import grpc
from google.protobuf import field_mask_pb2

from client import TIMEOUT_SECS, channel, create, keyed, profile_of, signed_in, users, values
from mayfly.user.v1 import user_pb2


def case_a_profile_is_created_read_changed_and_listed():
    with channel() as on:
        created = create(on, "ada", bio="Counts", visibility=user_pb2.VISIBILITY_PUBLIC)
        assert (created.user_id, created.handle, created.bio) == ("ada", "ada", "Counts")
        age = datetime.now(timezone.utc) - created.create_time.ToDatetime(timezone.utc)
        assert abs(age.total_seconds()) < 60, created

        read = users(on).GetProfile(
            user_pb2.GetProfileRequest(), metadata=signed_in("ada"), timeout=TIMEOUT_SECS
        )
        assert read == created

        update = user_pb2.UpdateProfileRequest(
            profile=user_pb2.Profile(locale="en-GB", etag=created.etag),
            update_mask=field_mask_pb2.FieldMask(paths=["bio", "locale"]),
        )
        updated = users(on).UpdateProfile(update, metadata=keyed("ada"), timeout=TIMEOUT_SECS)
        assert (updated.handle, updated.bio, updated.locale) == ("ada", "", "en-GB")
        assert updated.etag != created.etag

        listed = users(on).ListProfiles(
            user_pb2.ListProfilesRequest(handle_prefix="AD"),
            metadata=signed_in("bob"),
            timeout=TIMEOUT_SECS,
        )
        assert list(listed.profiles) == [updated]
        assert listed.next_page_token == ""


def case_pages_follow_each_other():
    names = ["page_a", "page_b", "page_c"]
    with channel() as on:
        for name in names:
            create(on, name, visibility=user_pb2.VISIBILITY_PUBLIC)
        handles, page_token = [], ""
        for _page in names:
            page = users(on).ListProfiles(
                user_pb2.ListProfilesRequest(
                    page_size=2, page_token=page_token, handle_prefix="page_"
                ),
                metadata=signed_in("bob"),
                timeout=TIMEOUT_SECS,
            )
            handles += [profile.handle for profile in page.profiles]
            page_token = page.next_page_token
            if not page_token:
                break
    assert handles == names


def case_a_repeated_call_is_answered_as_before_and_says_so():
    request = user_pb2.CreateProfileRequest(profile=profile_of("carol"))
    metadata = keyed("carol")
    with channel() as on:
        make = users(on).CreateProfile.with_call
        first, first_call = make(request, metadata=metadata, timeout=TIMEOUT_SECS)
        again, again_call = make(request, metadata=metadata, timeout=TIMEOUT_SECS)
    assert first == again
    assert values(first_call.initial_metadata(), "idempotency-replayed") == []
    assert values(again_call.initial_metadata(), "idempotency-replayed") == ["true"]


def case_a_request_id_is_sent_back_in_headers_and_in_trailers():
    sent = str(uuid.uuid4())
    with channel() as on:
        create(on, "dave")
        _profile, call = users(on).GetProfile.with_call(
            user_pb2.GetProfileRequest(),
            metadata=(*signed_in("dave"), ("x-request-id", sent)),
            timeout=TIMEOUT_SECS,
        )
    assert values(call.initial_metadata(), "x-request-id") == [sent]
    assert values(call.trailing_metadata(), "x-request-id") == [sent]


def case_a_request_id_that_is_none_is_replaced():
    with channel() as on:
        create(on, "erin")
        _profile, call = users(on).GetProfile.with_call(
            user_pb2.GetProfileRequest(),
            metadata=(*signed_in("erin"), ("x-request-id", "mine")),
            timeout=TIMEOUT_SECS,
        )
    (made,) = values(call.initial_metadata(), "x-request-id")
    assert made == str(uuid.UUID(made))


def case_compressed_messages_are_read():
    with channel(compression=grpc.Compression.Gzip) as on:
        assert create(on, "frank", bio="x" * 500).bio == "x" * 500
        read = users(on).GetProfile(
            user_pb2.GetProfileRequest(), metadata=signed_in("frank"), timeout=TIMEOUT_SECS
        )
        assert read.bio == "x" * 500
