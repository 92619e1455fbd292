"""A call whose statement waits for a lock, and whose time is over before it gets it."""

import time

import grpc

from client import ROUNDS, channel, signed_in, users
from mayfly.user.v1 import user_pb2

# Less than the rule gives it, and enough to be seen waiting.
TIME = 1.5


def case_it_ends_in_time_at_both_ends():
    with channel() as on:
        grpc.channel_ready_future(on).result(timeout=10)
        for _round in range(ROUNDS):
            ends_in_time(on)


def ends_in_time(on):
    print("ready", flush=True)
    assert input() == "call"

    start = time.monotonic()
    try:
        users(on).GetProfile(
            user_pb2.GetProfileRequest(user_id="ada"), metadata=signed_in("ada"), timeout=TIME
        )
    except grpc.RpcError as error:
        ended = error
    else:
        raise AssertionError("the call has not waited for the lock")
    took = time.monotonic() - start

    print("ended", flush=True)
    print(f"after {took:.3f} s: {ended.details()}")
    assert ended.code() is grpc.StatusCode.DEADLINE_EXCEEDED, ended
    assert TIME - 0.1 < took < 5, took
