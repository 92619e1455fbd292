"""A server whose database is down."""

import time

import grpc

from client import TIMEOUT_SECS, channel, create, refused, signed_in, users
from mayfly.user.v1 import user_pb2


def case_it_says_at_once_when_to_come_back():
    with channel() as on:
        calls = [
            lambda: users(on).GetProfile(
                user_pb2.GetProfileRequest(), metadata=signed_in("ada"), timeout=TIMEOUT_SECS
            ),
            lambda: create(on, "ada"),
        ]
        for call in calls:
            start = time.monotonic()
            error = refused(grpc.StatusCode.UNAVAILABLE, call)
            assert time.monotonic() - start < 1
            assert error.reason == "DB_UNAVAILABLE"
            assert 0 < error.retry_secs <= 5, error
