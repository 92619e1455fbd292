"""Messages above the window of a stream, as gRPC's interop case `large_unary` has them."""

from client import TIMEOUT_SECS, channel, create, signed_in, users
from mayfly.user.v1 import user_pb2

REQUEST_BYTES = 271_828
ANSWER_BYTES = 314_159

# What stands before a text of this length: the number of its field, and how long it is.
HEAD_BYTES = 4


def case_a_large_request_is_read():
    # Its second field is one that this request does not have, and that a server passes over.
    other = user_pb2.ListProfilesRequest(page_token="x" * (REQUEST_BYTES - HEAD_BYTES))
    request = user_pb2.GetProfileRequest.FromString(other.SerializeToString())
    assert len(request.SerializeToString()) == REQUEST_BYTES
    with channel() as on:
        create(on, "ada")
        read = users(on).GetProfile(request, metadata=signed_in("ada"), timeout=TIMEOUT_SECS)
    assert read.handle == "ada"


def case_a_large_answer_comes_whole():
    with channel() as on:
        page = users(on).ListProfiles(
            user_pb2.ListProfilesRequest(page_size=200, handle_prefix="large"),
            metadata=signed_in("bob"),
            timeout=TIMEOUT_SECS,
        )
    assert len(page.profiles) == 200
    assert page.ByteSize() > ANSWER_BYTES, page.ByteSize()
    assert all(profile.bio == "\N{CRAB}" * 500 for profile in page.profiles)
