"""The health service, by the ecosystem's own stubs and without a token."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from client import TIMEOUT_SECS, channel, refused

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
SERVICES = ["", "mayfly.user.v1.UserService"]


def asks(service):
    return health_pb2.HealthCheckRequest(service=service)


def case_check_knows_the_process_and_its_services():
    with channel() as on:
        health = health_pb2_grpc.HealthStub(on)
        for service in SERVICES:
            assert health.Check(asks(service), timeout=TIMEOUT_SECS).status == SERVING, service
        error = refused(
            grpc.StatusCode.NOT_FOUND, lambda: health.Check(asks("nope"), timeout=TIMEOUT_SECS)
        )
    assert error.reason == "NOT_FOUND"


def case_watch_waits_for_services_it_does_not_know():
    with channel() as on:
        watch = health_pb2_grpc.HealthStub(on).Watch(asks("nope"), timeout=TIMEOUT_SECS)
        assert next(watch).status == SERVICE_UNKNOWN
        assert watch.is_active()
        watch.cancel()


def case_watch_tells_the_drain():
    with channel() as on:
        health = health_pb2_grpc.HealthStub(on)
        watches = [health.Watch(asks(service), timeout=20) for service in SERVICES]
        assert [next(watch).status for watch in watches] == [SERVING] * len(watches)
        print("watching", flush=True)
        assert [next(watch).status for watch in watches] == [NOT_SERVING] * len(watches)
        for watch in watches:
            error = refused(grpc.StatusCode.UNAVAILABLE, lambda: next(watch))
            assert error.reason == "DRAINING"
