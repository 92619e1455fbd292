"""Writes over several servers at once: `rolling.py ADDRESSES SERVICE_CONFIG`.

Each line of JSON that it reads is a call; each that it prints tells how one ended. What is sent and
answered is bytes, so no stubs are needed. How a call is balanced and tried again is the channel's.
"""

import base64
import json
import sys
import threading
import time

import grpc

METHOD = "/mayfly.user.v1.UserService/CreateProfile"
TIMEOUT_SECS = 20


def main() -> None:
    addresses, service_config = sys.argv[1:]
    under_way = threading.Condition()
    left = 0

    def ended(order, start, call):
        nonlocal left
        told = {
            "id": order["id"],
            "code": call.code().name,
            "details": call.details(),
            "ms": round((time.monotonic() - start) * 1000),
        }
        with under_way:
            print(json.dumps(told), flush=True)
            left -= 1
            under_way.notify()

    def begin(write, order):
        nonlocal left
        metadata = (("authorization", order["authorization"]), ("idempotency-key", order["key"]))
        with under_way:
            left += 1
        start = time.monotonic()
        message = base64.b64decode(order["message"])
        call = write.future(message, timeout=TIMEOUT_SECS, metadata=metadata)
        call.add_done_callback(lambda call: ended(order, start, call))

    # Of several addresses this client would make one authority, which no server may take.
    options = [("grpc.service_config", service_config), ("grpc.default_authority", "mayfly")]
    with grpc.insecure_channel(addresses, options=options) as channel:
        write = channel.unary_unary(METHOD)
        for line in sys.stdin:
            begin(write, json.loads(line))
        with under_way:
            under_way.wait_for(lambda: left == 0)


if __name__ == "__main__":
    main()
