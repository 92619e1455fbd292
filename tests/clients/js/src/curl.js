// Clients that are programs: curl, with Connect's JSON, and `buf curl`, which reads the contracts.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

import { base64Decode } from "@bufbuild/protobuf/wire";
import { Code } from "@connectrpc/connect";

import { told } from "./told.js";

const ALIVE_MS_MAX = 60_000;

// The program itself; the package's script would not pass a signal on.
const BUF = createRequire(import.meta.url).resolve(
  `@bufbuild/buf-${process.platform}-${process.arch}/bin/buf`,
);

const children = new Set();

// Nobody is left behind.
export function endChildren() {
  for (const child of children) {
    child.kill("SIGKILL");
  }
}

// Runs a program over `input`, and tells its lines; and its exit code once it has ended.
function run(program, args, input, { out, err, end }) {
  const child = spawn(program, args, { stdio: "pipe" });
  children.add(child);
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  createInterface(child.stdout).on("line", out);
  createInterface(child.stderr).on("line", err);
  child.on("close", (code) => {
    children.delete(child);
    end(code);
  });
  return () => child.kill("SIGINT");
}

function headers(call) {
  return Object.entries(call.headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
}

// "not_found" is 5.
function codeOf(name) {
  const camel = name.split("_").map((word) => word[0].toUpperCase() + word.slice(1));
  return Code[camel.join("")];
}

// An error as Connect's JSON has it.
function toldOf({ code, message, details = [] }, requestIds) {
  const decoded = details.map(({ type, value }) => ({ type, value: base64Decode(value) }));
  return told(codeOf(code), message ?? "", decoded, requestIds);
}

// JSON values from lines, of which one value may take several.
function values(hear) {
  let text = "";
  return (line) => {
    text += line;
    let value;
    try {
      value = JSON.parse(text);
    } catch {
      return;
    }
    text = "";
    hear(value);
  };
}

export function bufCurl(protocol) {
  return (call, { message, end }) => {
    const args = ["curl", "--verbose", "--schema", "contracts.binpb", "--protocol", protocol];
    args.push("--timeout", `${call.timeoutMs ?? ALIVE_MS_MAX}ms`, ...headers(call));
    args.push("--data", "@-", `http://${call.address}/${call.path}`);
    const requestIds = [];
    let error = { code: "unknown", message: "" };
    const hearError = values((value) => {
      error = value;
    });
    return run(BUF, args, JSON.stringify(call.message), {
      out: values(message),
      err(line) {
        const [, id] = /^buf: < .*x-request-id: (\S+)$/i.exec(line) ?? [];
        requestIds.push(...(id ? [id] : []));
        if (line.startsWith("Failure: ")) {
          error.message = line;
        } else if (!line.startsWith("buf: ")) {
          hearError(line);
        }
      },
      end(code) {
        end(code === 0 ? told(0, "", [], requestIds) : toldOf(error, requestIds));
      },
    });
  };
}

export function curl(call, { message, end }) {
  const args = ["--silent", "--show-error", "--include", "--no-buffer", "--noproxy", "*"];
  args.push("--max-time", String(ALIVE_MS_MAX / 1000), ...headers(call));
  if (call.timeoutMs) {
    args.push("-H", `connect-timeout-ms: ${call.timeoutMs}`);
  }
  args.push("-H", "content-type: application/json", "--data-binary", "@-");
  args.push(`http://${call.address}/${call.path}`);
  const requestIds = [];
  const bodies = [];
  let status = 0;
  let isHead = true;
  return run("curl", args, JSON.stringify(call.message), {
    out(line) {
      if (!isHead) {
        bodies.push(line);
        return;
      }
      const [, code] = /^HTTP\/\S+ (\d+)/.exec(line) ?? [];
      status = Number(code ?? status);
      const [, id] = /^(?:trailer-)?x-request-id: (\S+)$/i.exec(line) ?? [];
      requestIds.push(...(id ? [id] : []));
      // 100 Continue has a head of its own.
      isHead = line !== "" || status === 100;
    },
    err() {},
    end() {
      const text = bodies.join("\n");
      const body = text ? JSON.parse(text) : { code: "unknown", message: `HTTP ${status}` };
      if (status === 200) {
        message(body);
        end(told(0, "", [], requestIds));
      } else {
        end(toldOf(body, requestIds));
      }
    },
  });
}
