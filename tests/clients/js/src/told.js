// What the end of a call tells, in one form for every client.

import { fromBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../stubs/error_details_pb.js";
import { StatusSchema } from "../stubs/status_pb.js";

// An end as a client saw it: the code, the message, details as `{type, value}`, and every
// x-request-id that it could read.
export function told(code, message, details, requestIds) {
  const values = new Map(details.map(({ type, value }) => [type, value]));
  const read = (name, schema) => {
    const value = values.get(`google.rpc.${name}`);
    return value && fromBinary(schema, value);
  };
  const info = read("ErrorInfo", ErrorInfoSchema);
  const retry = read("RetryInfo", RetryInfoSchema)?.retryDelay;
  const violations = read("BadRequest", BadRequestSchema)?.fieldViolations ?? [];
  return {
    code,
    message,
    domain: info?.domain ?? "",
    reason: info?.reason ?? "",
    fields: violations.map(({ field, description }) => `${field}: ${description}`),
    retryMs: retry ? Number(retry.seconds) * 1000 + retry.nanos / 1e6 : null,
    requestIds: [...new Set(requestIds)],
  };
}

// The details in grpc-status-details-bin, as bytes or as base64.
export function detailsOf(status) {
  if (!status) {
    return [];
  }
  const bytes = typeof status === "string" ? base64Decode(status) : status;
  return fromBinary(StatusSchema, bytes).details.map(({ typeUrl, value }) => ({
    type: typeUrl.split("/").at(-1),
    value,
  }));
}
