// Google's grpc-web, in Node and in a browser: in bytes and in base64.

import { fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";

import { detailsOf, told } from "./told.js";

const CANCELLED = 1;

// Calls in `format`, which is "binary" or "text", with the library that `from` is.
export function grpcWeb(from, format) {
  const { GrpcWebClientBase, MethodDescriptor, MethodType } = from;
  const client = new GrpcWebClientBase({ format });
  return (call, { message, end }) => {
    const { input, output, methodKind } = call.method;
    const isUnary = methodKind === "unary";
    const descriptor = new MethodDescriptor(
      `/${call.path}`,
      isUnary ? MethodType.UNARY : MethodType.SERVER_STREAMING,
      Object,
      Object,
      (message) => toBinary(input, message),
      (bytes) => fromBinary(output, bytes),
    );
    const metadata = { ...call.headers };
    if (call.timeoutMs) {
      metadata.deadline = String(Date.now() + call.timeoutMs);
    }
    const request = [
      `http://${call.address}/${call.path}`,
      fromJson(input, call.message),
      metadata,
      descriptor,
    ];
    const requestIds = [];
    const read = (metadata) => {
      const id = metadata?.["x-request-id"];
      requestIds.push(...(id ? [id] : []));
    };
    const fail = ({ code, message, metadata }) => {
      read(metadata);
      const details = detailsOf(metadata?.["grpc-status-details-bin"]);
      end(told(code, message, details, requestIds));
    };
    const stream = isUnary
      ? client.rpcCall(...request, (error, answer) => {
          if (error) {
            fail(error);
          } else {
            message(toJson(output, answer));
          }
        })
      : client.serverStreaming(...request);
    stream.on("metadata", read);
    stream.on("status", ({ metadata }) => read(metadata));
    stream.on("end", () => end(told(0, "", [], requestIds)));
    if (!isUnary) {
      stream.on("data", (answer) => message(toJson(output, answer)));
      stream.on("error", fail);
    }
    return () => {
      stream.cancel();
      // It says no more once it is told to stop: not to whoever told it.
      end(told(CANCELLED, "", [], requestIds));
    };
  };
}
