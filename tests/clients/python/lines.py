"""Makes calls as it is told line by line in JSON, and tells what grpcio hears of them.

The lines are those of `tests/clients/js/src/run.js`: `{"begin": 1, "address": .., "path": ..,
"message": .., "headers": .., "timeoutMs": ..}` and `{"cancel": 1}` come in, `{"id": 1, "event":
"message", "value": ..}` and in the end `{"id": 1, "event": "end", "value": ..}` go out.
"""

import json
import sys
import threading

import grpc
from google.protobuf import descriptor_pool, empty_pb2, json_format, message_factory
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from mayfly.auth.v1 import auth_pb2  # noqa: F401, its service is looked up by name
from mayfly.user.v1 import user_pb2  # noqa: F401, as is this one's

CHANNELS = {}
CALLS = {}
SAID = threading.Lock()


def say(identity, event, value):
    with SAID:
        print(json.dumps({"id": identity, "event": event, "value": value}), flush=True)


def shape(path):
    """A method's messages, and whether it is a stream; what is in no contract has empty ones."""
    service, name = path.split("/")
    try:
        found = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
    except KeyError:
        return empty_pb2.Empty, empty_pb2.Empty, name.startswith("Watch")
    messages = [found.input_type, found.output_type]
    return *map(message_factory.GetMessageClass, messages), found.server_streaming


def begin(order):
    request, answer, is_stream = shape(order["path"])
    address = order["address"]
    if address not in CHANNELS:
        CHANNELS[address] = grpc.insecure_channel(address)
    kind = CHANNELS[address].unary_stream if is_stream else CHANNELS[address].unary_unary
    method = kind(
        "/" + order["path"],
        request_serializer=request.SerializeToString,
        response_deserializer=answer.FromString,
    )
    timeout_ms = order.get("timeoutMs")
    call = (method if is_stream else method.future)(
        json_format.ParseDict(order["message"], request()),
        metadata=tuple(order["headers"].items()),
        timeout=timeout_ms and timeout_ms / 1000,
    )
    CALLS[order["begin"]] = call
    hear = threading.Thread(target=hears, args=(order["begin"], call, is_stream), daemon=True)
    hear.start()


def hears(identity, call, is_stream):
    try:
        for message in call if is_stream else (call.result() for _once in range(1)):
            say(identity, "message", json_format.MessageToDict(message))
    except (grpc.RpcError, grpc.FutureCancelledError):
        # The call itself says the same.
        pass
    say(identity, "end", told(call))


def told(call):
    status = rpc_status.from_call(call)
    details = {one.type_url.rsplit(".", 1)[-1]: one for one in status.details} if status else {}
    info = unpack(details, error_details_pb2.ErrorInfo())
    bad = unpack(details, error_details_pb2.BadRequest())
    retry = unpack(details, error_details_pb2.RetryInfo())
    sent = [*(call.initial_metadata() or ()), *(call.trailing_metadata() or ())]
    return {
        "code": call.code().value[0],
        "message": call.details() or "",
        "domain": info.domain,
        "reason": info.reason,
        "fields": [f"{one.field}: {one.description}" for one in bad.field_violations],
        "retryMs": retry.retry_delay.ToMilliseconds() if "RetryInfo" in details else None,
        "requestIds": sorted({value for name, value in sent if name == "x-request-id"}),
    }


def unpack(details, message):
    name = message.DESCRIPTOR.name
    assert name not in details or details[name].Unpack(message)
    return message


for line in sys.stdin:
    given = json.loads(line)
    if "begin" in given:
        begin(given)
    else:
        CALLS[given["cancel"]].cancel()
