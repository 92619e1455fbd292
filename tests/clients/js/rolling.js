// Writes over several servers at once: `rolling.js ADDRESSES SERVICE_CONFIG`.
//
// Each line of JSON that it reads is a call; each that it prints tells how one ended. What is sent
// and answered is bytes, so no stubs are needed. How a call is balanced and tried again is the
// channel's.

import { createInterface } from "node:readline";

import { Client, Metadata, credentials, status } from "@grpc/grpc-js";

const METHOD = "/mayfly.user.v1.UserService/CreateProfile";
const TIMEOUT_MS = 20_000;

const [addresses, serviceConfig] = process.argv.slice(2);
const client = new Client(addresses, credentials.createInsecure(), {
  "grpc.service_config": serviceConfig,
});
const asItIs = (bytes) => bytes;
const underWay = new Set();

function begin({ id, authorization, key, message }) {
  const metadata = new Metadata();
  metadata.set("authorization", authorization);
  metadata.set("idempotency-key", key);
  const start = performance.now();
  const deadline = Date.now() + TIMEOUT_MS;
  const bytes = Buffer.from(message, "base64");
  const ended = new Promise((resolve) => {
    client.makeUnaryRequest(METHOD, asItIs, asItIs, bytes, metadata, { deadline }, (error) => {
      const { code, details } = error ?? { code: status.OK, details: "" };
      const ms = Math.round(performance.now() - start);
      process.stdout.write(`${JSON.stringify({ id, code: status[code], details, ms })}\n`);
      underWay.delete(ended);
      resolve();
    });
  });
  underWay.add(ended);
}

for await (const line of createInterface({ input: process.stdin })) {
  begin(JSON.parse(line));
}
await Promise.all(underWay);
client.close();
