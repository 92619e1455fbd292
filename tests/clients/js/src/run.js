// Makes calls with any of the clients, as it is told line by line in JSON; and tells, line by line,
// what they hear.
//
//     {"id": 0, "event": "ready", "value": {"listed": .., "foreign": ..}}, which are two origins
// {"begin": 1, "with": "grpc-js", "address": .., "path": .., "message": .., "headers": ..}
//     {"id": 1, "event": "message", "value": ..}, and in the end {"id": 1, "event": "end", ..}
// {"cancel": 1}
// {"do": "..", "id": 2, ..}: something else in Chromium; {"id": 2, "event": "done", "value": ..}

import { createInterface } from "node:readline";

import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import {
  createConnectTransport as createConnectWebTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-web";

import * as chromium from "./chromium.js";
import { connect } from "./connect.js";
import { method } from "./contract.js";
import { bufCurl, curl, endChildren } from "./curl.js";
import { grpcJs } from "./grpc_js.js";

const clients = {
  "buf curl connect": bufCurl("connect"),
  "buf curl grpc": bufCurl("grpc"),
  "buf curl grpc-web": bufCurl("grpcweb"),
  "connect-node connect": connect((baseUrl) =>
    createConnectTransport({ baseUrl, httpVersion: "2", useBinaryFormat: true }),
  ),
  "connect-node grpc": connect((baseUrl) => createGrpcTransport({ baseUrl })),
  "connect-web connect": connect((baseUrl) => createConnectWebTransport({ baseUrl })),
  "connect-web grpc-web": connect((baseUrl) => createGrpcWebTransport({ baseUrl })),
  curl,
  "grpc-js": grpcJs,
};

const cancels = new Map();
const pages = new Map();
let browser;

function heard(id, event, value) {
  process.stdout.write(`${JSON.stringify({ id, event, value })}\n`);
}

// A page of `origin` with the clients in it, opened once.
function page(origin) {
  if (!pages.has(origin)) {
    browser ??= chromium.launch();
    pages.set(
      origin,
      browser.then((browser) => chromium.clients(browser, origin, heard)),
    );
  }
  return pages.get(origin);
}

async function begin({ begin: id, with: name, origin, ...call }) {
  if (origin) {
    const within = await page(origin);
    cancels.set(id, () => within.evaluate((id) => globalThis.cancel(id), id));
    await within.evaluate((call) => globalThis.begin(...call), [id, name, call]);
  } else {
    const hear = (event) => (value) => heard(id, event, value);
    const listener = { message: hear("message"), end: hear("end") };
    cancels.set(id, clients[name]({ ...call, method: method(call.path) }, listener));
  }
}

const deeds = {
  // Posts what needs no preflight, and so reaches the server whatever it says of the origin.
  async post({ origin, url, body }) {
    const within = await page(origin);
    const post = async ([url, body]) => {
      const response = await fetch(url, { method: "POST", mode: "no-cors", body });
      return response.type;
    };
    return within.evaluate(post, [url, body]);
  },

  // Calls Firebase's Admin SDK, which is loaded when it is first needed.
  async administer(order) {
    const { administer } = await import("./admin.js");
    return administer(order);
  },
  async verify(order) {
    const { verify } = await import("./admin.js");
    return verify(order);
  },

  // Opens the page that people use.
  async open({ id, url }) {
    browser ??= chromium.launch();
    const opened = await (await browser).newPage();
    pages.set(id, opened);
    await opened.goto(url);
  },
  async fill({ page, selector, text }) {
    await pages.get(page).fill(selector, text);
  },
  async click({ page, selector }) {
    await pages.get(page).click(selector);
  },
  // Waits until the page shows it; tells the element's text.
  async shows({ page, selector }) {
    return pages.get(page).locator(selector).innerText();
  },
  // Waits until the element's text begins so; tells all of it.
  async becomes({ page, selector, text }) {
    const begins = ([selector, text]) => {
      const shown = document.querySelector(selector).innerText;
      return shown.startsWith(text) && { shown };
    };
    const found = await pages.get(page).waitForFunction(begins, [selector, text]);
    return (await found.jsonValue()).shown;
  },
};

async function obey(line) {
  const order = JSON.parse(line);
  if (order.begin) {
    await begin(order);
  } else if (order.cancel) {
    await cancels.get(order.cancel)();
  } else {
    heard(order.id, "done", (await deeds[order.do](order)) ?? null);
  }
}

heard(0, "ready", await chromium.origins());
const orders = createInterface({ input: process.stdin });
// An order does not wait for the one before it; one that fails ends everything, and says why.
orders.on("line", (line) => {
  obey(line).catch((error) => {
    console.error(error);
    process.exit(1);
  });
});
orders.on("close", async () => {
  endChildren();
  await (await browser)?.close();
  process.exit(0);
});
