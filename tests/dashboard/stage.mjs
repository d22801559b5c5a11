// Starts servers and a browser for the checks of the dashboard.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PATIENCE_MS, assert, until } from "./report.mjs";

const require = createRequire(join(process.env.PLAYWRIGHT_HOME ?? process.cwd(), "package.json"));
const { chromium } = require("playwright-core");

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, "127.0.0.1", done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

/** A server on ports that it keeps over restarts. */
export class Server {
  static async on(program, flags = []) {
    const server = new Server();
    Object.assign(server, { program, flags, port: await freePort(), admin: await freePort() });
    server.data = mkdtempSync(join(tmpdir(), "tallyring-dashboard-"));
    await server.start();
    return server;
  }

  get url() {
    return `http://127.0.0.1:${this.admin}/`;
  }

  async start() {
    const ports = ["--port", String(this.port), "--admin-port", String(this.admin), "--admin-bind", "127.0.0.1"];
    this.child = spawn(this.program, [...ports, "--dir", this.data, "--threads", "1", ...this.flags], { stdio: "inherit" });
    this.ended = new Promise((done) => this.child.on("exit", done));
    await until("the server is ready", async () => {
      assert(this.child.exitCode === null, "the server did not start");
      return fetch(`${this.url}readyz`).then((answer) => answer.ok, () => false);
      // It may have millions of changes to read.
    }, 4 * PATIENCE_MS);
  }

  async stop() {
    this.child.kill("SIGTERM");
    await this.ended;
  }

  async remove() {
    if (this.child.exitCode === null) await this.stop();
    rmSync(this.data, { recursive: true, force: true });
  }

  /** Load from now on; the function that comes back ends it. */
  load(...words) {
    const child = spawn("redis-benchmark", ["-p", String(this.port), "-q", "-r", "100000", "-n", "100000000", ...words], { stdio: "ignore" });
    return () => child.kill("SIGTERM");
  }
}

/** A browser without a past. What it complains of and whom it asks is kept. */
export class Browser {
  static async open(options = {}) {
    const browser = new Browser();
    browser.home = mkdtempSync(join(tmpdir(), "tallyring-browser-"));
    browser.context = await chromium.launchPersistentContext(browser.home, {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS, headless: true,
      viewport: { width: 1280, height: 900 }, ...options,
    });
    browser.page = browser.context.pages()[0] ?? await browser.context.newPage();
    browser.page.setDefaultTimeout(PATIENCE_MS);
    browser.complaints = [];
    browser.hosts = new Set();
    browser.page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") browser.complaints.push(message.text());
    });
    browser.page.on("pageerror", (error) => browser.complaints.push(String(error)));
    browser.page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol !== "data:") browser.hosts.add(url.host);
    });
    return browser;
  }

  async close() {
    await this.context.close();
    rmSync(this.home, { recursive: true, force: true });
  }

  text(id) {
    return this.page.locator(`#${id}`).innerText();
  }

  status(kind) {
    return until(`the status is ${kind}`, async () => (await this.page.locator("#status").getAttribute("data-state")) === kind);
  }
}
