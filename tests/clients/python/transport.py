"""Many calls, large headers and pings on one connection."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from client import TIMEOUT_SECS, channel, create, signed_in, users
from mayfly.user.v1 import user_pb2

THREADS = 8
CALLS_OF_EACH = 50


def get_own(on, name, *metadata, **arguments):
    return users(on).GetProfile(
        user_pb2.GetProfileRequest(),
        metadata=(*signed_in(name), *metadata),
        timeout=TIMEOUT_SECS,
        **arguments,
    )


def case_threads_share_a_channel():
    with channel() as on, ThreadPoolExecutor(THREADS) as threads:
        names = [f"thread_{number}" for number in range(THREADS)]
        for name in names:
            create(on, name)

        def calls(name):
            return [get_own(on, name).handle for _call in range(CALLS_OF_EACH)]

        for name, handles in zip(names, threads.map(calls, names), strict=True):
            assert handles == [name] * CALLS_OF_EACH


def case_headers_of_fifteen_kilobytes_are_read():
    with channel() as on:
        create(on, "ada")
        own = sum(len(name) + len(value) for name, value in signed_in("ada"))
        filler = ("x-filler", "x" * (15_000 - own))
        assert get_own(on, "ada", filler).handle == "ada"


def case_headers_of_forty_kilobytes_are_refused():
    with channel() as on:
        create(on, "bob")
        # On a connection whose limits are known, and in its first call.
        refuses_large_headers(on)
        assert get_own(on, "bob").handle == "bob"
    with channel() as on:
        refuses_large_headers(on)


def refuses_large_headers(on):
    start = time.monotonic()
    try:
        get_own(on, "bob", ("x-filler", "x" * 40_000))
    except grpc.RpcError as error:
        # HTTP's own refusal has no code of gRPC; grpcio has a word for it, not a number.
        is_http = error.code() is grpc.StatusCode.UNKNOWN and "431" in error.details()
        assert is_http or error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error
    else:
        raise AssertionError("40 KB of headers were read")
    assert time.monotonic() - start < 2


def case_pings_are_answered():
    # Twenty times what clients are advised to.
    pings = [
        ("grpc.keepalive_time_ms", 500),
        ("grpc.keepalive_timeout_ms", 2000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    states = []
    is_ready = threading.Event()

    def seen(state):
        states.append(state)
        if state is grpc.ChannelConnectivity.READY:
            is_ready.set()

    with channel(*pings) as on:
        on.subscribe(seen, try_to_connect=True)
        assert is_ready.wait(TIMEOUT_SECS)
        create(on, "carol")
        # What happens meanwhile is the case: pings on a connection without calls.
        time.sleep(5)
        assert states[-1] is grpc.ChannelConnectivity.READY, states
        assert states.count(grpc.ChannelConnectivity.READY) == 1, states
        assert get_own(on, "carol").handle == "carol"
