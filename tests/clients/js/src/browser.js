// The clients that run in a page: whoever drives it calls `begin`, and is told by `heard`.

import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import * as grpcWebLibrary from "grpc-web";

import { connect } from "./connect.js";
import { method } from "./contract.js";
import { grpcWeb } from "./grpc_web.js";

const clients = {
  "connect-web connect": connect((baseUrl) => createConnectTransport({ baseUrl })),
  "connect-web grpc-web": connect((baseUrl) => createGrpcWebTransport({ baseUrl })),
  "grpc-web binary": grpcWeb(grpcWebLibrary, "binary"),
  "grpc-web text": grpcWeb(grpcWebLibrary, "text"),
};

const cancels = new Map();

globalThis.begin = (id, name, call) => {
  const hear = (event) => (value) => globalThis.heard(id, event, value);
  const listener = { message: hear("message"), end: hear("end") };
  cancels.set(id, clients[name]({ ...call, method: method(call.path) }, listener));
};

globalThis.cancel = (id) => cancels.get(id)();
