"""A call whose statement waits for a lock, and whose caller gives up."""

import grpc

from client import ROUNDS, TIMEOUT_SECS, channel, keyed, profile_of, signed_in, users
from mayfly.user.v1 import user_pb2


def case_a_read_ends_with_its_caller():
    request = user_pb2.GetProfileRequest(user_id="ada")
    with channel() as on:
        for _round in range(ROUNDS):
            gives_up(users(on).GetProfile.future, request, signed_in("ada"))


def case_a_write_ends_with_its_caller():
    request = user_pb2.CreateProfileRequest(profile=profile_of("ada"))
    with channel() as on:
        for _round in range(ROUNDS):
            gives_up(users(on).CreateProfile.future, request, keyed("ada"))


def gives_up(begin, request, metadata):
    call = begin(request, metadata=metadata, timeout=TIMEOUT_SECS)
    print("called", flush=True)
    assert input() == "cancel"

    assert call.cancel()
    print("cancelled", flush=True)
    assert call.cancelled()
    assert call.code() is grpc.StatusCode.CANCELLED, call
    # The next call's statement would be taken for this one's.
    assert input() == "go on"
