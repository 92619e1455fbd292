"""What the cases share: the address, people with tokens, and errors as a client reads them."""

import json
import os
import uuid
from dataclasses import dataclass

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from mayfly.user.v1 import user_pb2, user_pb2_grpc

ADDRESS = os.environ["ADDRESS"]
TOKENS = json.loads(os.environ["TOKENS"])

# How long a call may take where a case does not say otherwise.
TIMEOUT_SECS = 10

# How often a call is made that is not answered.
ROUNDS = 3


def channel(*options, **arguments):
    return grpc.insecure_channel(ADDRESS, options=options, **arguments)


def users(on):
    return user_pb2_grpc.UserServiceStub(on)


def signed_in(name):
    return (("authorization", f"Bearer {TOKENS[name]}"),)


def keyed(name, key=None):
    """A person's metadata, with an idempotency key: this one, or a fresh one."""
    return (*signed_in(name), ("idempotency-key", key or uuid.uuid4().hex))


def profile_of(name, **fields):
    return user_pb2.Profile(handle=name, display_name=name, **fields)


def create(on, name, key=None, **fields):
    request = user_pb2.CreateProfileRequest(profile=profile_of(name, **fields))
    return users(on).CreateProfile(request, metadata=keyed(name, key), timeout=TIMEOUT_SECS)


def values(metadata, name):
    return [value for key, value in metadata or () if key == name]


@dataclass(frozen=True)
class Told:
    """What an error tells."""

    reason: str
    fields: tuple[str, ...]
    retry_secs: float | None
    request_id: str


def refused(code, call) -> Told:
    """Makes a call that is refused with `code`, and insists on what every error carries."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return told(code, error)
    raise AssertionError(f"{code} was expected, not {answer!r}")


def told(code, error) -> Told:
    assert error.code() is code, error
    assert 0 < len(error.details().encode()) <= 120, error.details()

    # It insists that the code and the message within are those without.
    status = rpc_status.from_call(error)
    assert status is not None, f"no grpc-status-details-bin: {error!r}"
    details = {detail.type_url.rsplit(".", 1)[-1]: detail for detail in status.details}
    info = unpack(details["ErrorInfo"], error_details_pb2.ErrorInfo())
    assert info.domain == "mayfly", info

    fields, retry_secs = (), None
    if "BadRequest" in details:
        bad = unpack(details["BadRequest"], error_details_pb2.BadRequest())
        assert all(violation.description for violation in bad.field_violations), bad
        fields = tuple(violation.field for violation in bad.field_violations)
    if "RetryInfo" in details:
        retry = unpack(details["RetryInfo"], error_details_pb2.RetryInfo())
        retry_secs = retry.retry_delay.ToTimedelta().total_seconds()

    # An error without a message is all trailers, and its headers are read as such.
    (request_id,) = set(
        values(error.initial_metadata(), "x-request-id")
        + values(error.trailing_metadata(), "x-request-id")
    )
    return Told(info.reason, fields, retry_secs, str(uuid.UUID(request_id)))


def unpack(detail, message):
    assert detail.Unpack(message), detail
    return message
