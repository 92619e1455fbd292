"""Calls that are refused: the code, the reason, the details and the id."""

import uuid

import grpc
from google.protobuf import field_mask_pb2

from client import (
    TIMEOUT_SECS,
    channel,
    create,
    keyed,
    profile_of,
    refused,
    signed_in,
    users,
)
from mayfly.user.v1 import user_pb2

MEBIBYTE = 1024 * 1024


def case_fields_that_break_the_contract_are_named():
    wrong = user_pb2.Profile(handle="a", display_name="x" * 81, avatar_file_id="no-uuid")
    with channel() as on:
        error = refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: users(on).CreateProfile(
                user_pb2.CreateProfileRequest(profile=wrong),
                metadata=keyed("ada"),
                timeout=TIMEOUT_SECS,
            ),
        )
    assert error.reason == "INVALID_ARGUMENT"
    assert sorted(error.fields) == [
        "profile.avatar_file_id",
        "profile.display_name",
        "profile.handle",
    ]


def case_what_the_model_refuses_is_named_as_well():
    with channel() as on:
        reserved = user_pb2.Profile(handle="Admin", display_name="ada")
        error = refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: users(on).CreateProfile(
                user_pb2.CreateProfileRequest(profile=reserved),
                metadata=keyed("ada"),
                timeout=TIMEOUT_SECS,
            ),
        )
        assert error.fields == ("profile.handle",), error

        mask = field_mask_pb2.FieldMask(paths=["etag"])
        error = refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: users(on).UpdateProfile(
                user_pb2.UpdateProfileRequest(profile=profile_of("ada"), update_mask=mask),
                metadata=keyed("ada"),
                timeout=TIMEOUT_SECS,
            ),
        )
        assert error.reason == "INVALID_ARGUMENT", error
        assert len(error.fields) == 1 and error.fields[0].startswith("update_mask"), error


def case_a_mutation_without_a_key_is_refused():
    with channel() as on:
        error = refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: users(on).CreateProfile(
                user_pb2.CreateProfileRequest(profile=profile_of("ada")),
                metadata=signed_in("ada"),
                timeout=TIMEOUT_SECS,
            ),
        )
    assert error.reason == "IDEMPOTENCY_KEY_MISSING"


def case_what_is_not_there_is_not_found():
    sent = str(uuid.uuid4())
    with channel() as on:
        error = refused(
            grpc.StatusCode.NOT_FOUND,
            lambda: users(on).GetProfile(
                user_pb2.GetProfileRequest(user_id="nobody"),
                metadata=(*signed_in("ada"), ("x-request-id", sent)),
                timeout=TIMEOUT_SECS,
            ),
        )
    assert (error.reason, error.request_id) == ("NOT_FOUND", sent)


def case_what_is_taken_exists_already():
    with channel() as on:
        create(on, "bob")
        error = refused(grpc.StatusCode.ALREADY_EXISTS, lambda: create(on, "bob"))
        assert error.reason == "PROFILE_EXISTS"

        error = refused(
            grpc.StatusCode.ALREADY_EXISTS,
            lambda: users(on).CreateProfile(
                user_pb2.CreateProfileRequest(profile=profile_of("BOB")),
                metadata=keyed("carol"),
                timeout=TIMEOUT_SECS,
            ),
        )
        assert error.reason == "HANDLE_TAKEN"


def case_a_change_of_another_version_fails_its_precondition():
    with channel() as on:
        create(on, "dave")
        stale = user_pb2.Profile(bio="Counts", etag=str(uuid.uuid4()))
        error = refused(
            grpc.StatusCode.FAILED_PRECONDITION,
            lambda: users(on).UpdateProfile(
                user_pb2.UpdateProfileRequest(profile=stale),
                metadata=keyed("dave"),
                timeout=TIMEOUT_SECS,
            ),
        )
    assert error.reason == "ETAG_MISMATCH"


def case_a_key_of_another_request_fails_its_precondition():
    key = uuid.uuid4().hex
    with channel() as on:
        create(on, "erin", key)
        error = refused(
            grpc.StatusCode.FAILED_PRECONDITION, lambda: create(on, "erin", key, bio="Counts")
        )
    assert error.reason == "IDEMPOTENCY_KEY_REUSED"


def case_a_method_that_is_in_no_contract_is_unimplemented():
    paths = [
        "/mayfly.user.v1.UserService/Nope",
        "/mayfly.nope.v1.NopeService/GetNope",
        "/mayfly.user.v1.UserService/getprofile",
    ]
    with channel() as on:
        for path in paths:
            sent = str(uuid.uuid4())
            call = on.unary_unary(
                path,
                request_serializer=user_pb2.GetProfileRequest.SerializeToString,
                response_deserializer=user_pb2.Profile.FromString,
            )
            error = refused(
                grpc.StatusCode.UNIMPLEMENTED,
                lambda: call(
                    user_pb2.GetProfileRequest(),
                    metadata=(*signed_in("ada"), ("x-request-id", sent)),
                    timeout=TIMEOUT_SECS,
                ),
            )
            assert (error.reason, error.request_id) == ("UNIMPLEMENTED", sent), path


def case_bytes_that_are_no_message_are_an_invalid_argument():
    with channel() as on:
        call = on.unary_unary("/mayfly.user.v1.UserService/GetProfile")
        error = refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: call(b"\xff\xff\xff", metadata=signed_in("ada"), timeout=TIMEOUT_SECS),
        )
    assert error.reason == "INVALID_ARGUMENT"


def case_whoever_has_no_good_token_is_unauthenticated():
    header, claims, signature = dict(signed_in("ada"))["authorization"].split(".")
    signature = signature[:-2] + ("AA" if not signature.endswith("AA") else "BB")
    forged = ".".join([header, claims, signature])
    expected = {(): "TOKEN_MISSING", (("authorization", forged),): "TOKEN_INVALID"}
    with channel() as on:
        for metadata, reason in expected.items():
            sent = str(uuid.uuid4())
            error = refused(
                grpc.StatusCode.UNAUTHENTICATED,
                lambda: users(on).GetProfile(
                    user_pb2.GetProfileRequest(),
                    metadata=(*metadata, ("x-request-id", sent)),
                    timeout=TIMEOUT_SECS,
                ),
            )
            assert (error.reason, error.request_id) == (reason, sent)


def case_a_message_of_more_than_four_mebibytes_is_too_large():
    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    large = user_pb2.Profile(handle="ada", display_name="ada", bio="x" * (4 * MEBIBYTE))
    with channel(*unlimited) as on:
        error = refused(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            lambda: users(on).CreateProfile(
                user_pb2.CreateProfileRequest(profile=large),
                metadata=keyed("ada"),
                timeout=TIMEOUT_SECS,
            ),
        )
        assert error.reason == "MESSAGE_TOO_LARGE"

        # The bytes that are still under way are no reason to give up the connection.
        create(on, "frank")


def case_a_message_that_grows_when_it_is_unpacked_is_too_large():
    large = user_pb2.Profile(handle="ada", display_name="ada", bio="x" * (5 * MEBIBYTE))
    with channel(compression=grpc.Compression.Gzip) as on:
        error = refused(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            lambda: users(on).CreateProfile(
                user_pb2.CreateProfileRequest(profile=large),
                metadata=keyed("ada"),
                timeout=TIMEOUT_SECS,
            ),
        )
    assert error.reason == "MESSAGE_TOO_LARGE"


def case_an_encoding_that_is_not_read_is_unimplemented():
    request = user_pb2.CreateProfileRequest(profile=profile_of("ada", bio="x" * 500))
    with channel(compression=grpc.Compression.Deflate) as on:
        error = refused(
            grpc.StatusCode.UNIMPLEMENTED,
            lambda: users(on).CreateProfile(
                request, metadata=keyed("ada"), timeout=TIMEOUT_SECS
            ),
        )
    # It carries grpc-accept-encoding as well, which grpcio reads and keeps to itself.
    assert error.reason == "UNIMPLEMENTED"
