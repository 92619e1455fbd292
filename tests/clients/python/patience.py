"""A server that is not there yet."""

import grpc

from client import TIMEOUT_SECS, channel, signed_in, users
from mayfly.user.v1 import user_pb2


def case_a_call_that_waits_is_answered_once_it_is_there():
    # Tries to connect are a second and more apart unless told otherwise.
    soon = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500)]
    with channel(*soon) as on:
        get = users(on).GetProfile.future
        request = user_pb2.GetProfileRequest(user_id="nobody")
        metadata = signed_in("ada")

        impatient = get(request, metadata=metadata, timeout=TIMEOUT_SECS)
        assert impatient.code() is grpc.StatusCode.UNAVAILABLE, impatient

        patient = get(request, metadata=metadata, timeout=30, wait_for_ready=True)
        print("waiting", flush=True)
        assert patient.code() is grpc.StatusCode.NOT_FOUND, patient
