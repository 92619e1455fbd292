// Chromium, and two origins whose pages it opens; the server under test lists one of them.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

import { build } from "esbuild";
import { chromium } from "playwright-core";

const ARGUMENTS = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const BLANK = "<!doctype html><title>Clients</title><script type=module src=browser.js></script>";

const PAGES = ["account", "page"];

// What the origins serve: the clients by themselves, and pages that people could use.
async function files() {
  const { outputFiles } = await build({
    entryPoints: ["src/browser.js", ...PAGES.map((name) => `page/${name}.js`)],
    entryNames: "[name]",
    bundle: true,
    format: "esm",
    outdir: "/",
    write: false,
  });
  const scripts = outputFiles.map(({ path, text }) => [path, ["text/javascript", text]]);
  const read = async (name) => [`/${name}`, ["text/html", await readFile(`page/${name}.html`)]];
  const pages = await Promise.all(PAGES.map(read));
  return new Map([...scripts, ["/", ["text/html", BLANK]], ...pages]);
}

async function origin(files) {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://origin");
    const [type, text] = files.get(pathname) ?? ["text/plain", ""];
    const status = text ? 200 : 404;
    response.writeHead(status, { "content-type": `${type}; charset=utf-8` }).end(text);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return `http://127.0.0.1:${server.address().port}`;
}

// The two origins; they serve until the process ends.
export async function origins() {
  const served = await files();
  return { listed: await origin(served), foreign: await origin(served) };
}

// A browser without a past. It ends with this process, which holds its pipe.
export function launch() {
  const executablePath = process.env.CHROMIUM;
  return chromium.launch({ executablePath, headless: true, args: ARGUMENTS });
}

// A blank page of `origin` with the clients in it. `heard` is told what they hear.
export async function clients(browser, origin, heard) {
  const page = await browser.newPage();
  await page.exposeFunction("heard", heard);
  await page.goto(origin);
  await page.waitForFunction(() => "begin" in globalThis);
  return page;
}
