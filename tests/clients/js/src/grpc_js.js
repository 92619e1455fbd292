// @grpc/grpc-js: gRPC itself, over HTTP/2.

import { fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { Client, Metadata, credentials } from "@grpc/grpc-js";

import { request as requestOf } from "./contract.js";
import { detailsOf, told } from "./told.js";

const REQUEST_ID = "x-request-id";
const clients = new Map();

function client(address) {
  if (!clients.has(address)) {
    clients.set(address, new Client(address, credentials.createInsecure()));
  }
  return clients.get(address);
}

export function grpcJs(call, { message, end }) {
  const { input, output, methodKind } = call.method;
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(call.headers)) {
    metadata.set(name, value);
  }
  const deadline = call.timeoutMs ? Date.now() + call.timeoutMs : undefined;
  const request = [
    `/${call.path}`,
    (message) => Buffer.from(toBinary(input, message)),
    (bytes) => fromBinary(output, bytes),
    requestOf(call),
    metadata,
    { deadline },
  ];
  const on = client(call.address);
  const hear = (answer) => message(toJson(output, answer));
  let begun;
  if (methodKind === "unary") {
    begun = on.makeUnaryRequest(...request, (error, answer) => error ?? hear(answer));
  } else {
    begun = on.makeServerStreamRequest(...request);
    begun.on("data", hear);
    // The status says the same.
    begun.on("error", () => {});
  }
  const requestIds = [];
  begun.on("metadata", (headers) => requestIds.push(...headers.get(REQUEST_ID)));
  begun.on("status", ({ code, details, metadata: trailers }) => {
    requestIds.push(...trailers.get(REQUEST_ID));
    const [status] = trailers.get("grpc-status-details-bin");
    end(told(code, details, detailsOf(status), requestIds));
  });
  return () => begun.cancel();
}
