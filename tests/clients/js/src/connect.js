// Connect's clients, in Node and in a browser: one code over any of their transports.

import { toJson } from "@bufbuild/protobuf";
import { ConnectError, createClient } from "@connectrpc/connect";

import { request as requestOf } from "./contract.js";
import { told } from "./told.js";

// Calls over the transport that `transport` makes for an address.
export function connect(transport) {
  const transports = new Map();
  const to = (address) => {
    if (!transports.has(address)) {
      transports.set(address, transport(`http://${address}`));
    }
    return transports.get(address);
  };
  return (call, heard) => {
    const aborter = new AbortController();
    run(call, to(call.address), aborter.signal, heard);
    return () => aborter.abort();
  };
}

async function run(call, transport, signal, { message, end }) {
  const { output, methodKind, localName, parent } = call.method;
  const requestIds = [];
  const read = (headers) => {
    const value = headers.get("x-request-id");
    // What comes twice, in headers and in trailers, is joined.
    requestIds.push(...(value?.split(", ") ?? []));
  };
  const options = {
    headers: call.headers,
    timeoutMs: call.timeoutMs,
    signal,
    onHeader: read,
    onTrailer: read,
  };
  const begin = createClient(parent, transport)[localName];
  try {
    const request = requestOf(call);
    if (methodKind === "unary") {
      message(toJson(output, await begin(request, options)));
    } else {
      for await (const answer of begin(request, options)) {
        message(toJson(output, answer));
      }
    }
    end(told(0, "", [], requestIds));
  } catch (reason) {
    const error = ConnectError.from(reason);
    read(error.metadata);
    const details = error.details.filter((detail) => "type" in detail && "value" in detail);
    end(told(error.code, error.rawMessage, details, requestIds));
  }
}
