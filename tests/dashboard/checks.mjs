// The dashboard in a real browser: figures move under load, survive a restart of the server, and can be read on a phone,
// in the dark, and by keyboard.
//
//   PLAYWRIGHT_HOME=directory-with-node_modules node tests/dashboard/checks.mjs PROGRAM DIRECTORY-FOR-PICTURES
//
// Needs chromium, promtool, redis-benchmark and redis-cli; ends with one line of the form of cargo's.

import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { assert, check, finish, pause, until } from "./report.mjs";
import { Browser, Server } from "./stage.mjs";
import "./figures.mjs";

const [program, pictures] = process.argv.slice(2);
mkdirSync(pictures, { recursive: true });

/** What a browser says of a server that is away, or wants a token; everything else is a complaint. */
const EXPECTED = /net::ERR_(CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED)|status of 401/;

const server = await Server.on(program);
const browser = await Browser.open({ colorScheme: "light" });
const { page } = browser;
const number = (text) => parseFloat(text) * ({ k: 1e3, M: 1e6 }[text.trim().slice(-1)] ?? 1);

await check("the page says what it shows", async () => {
  await page.goto(server.url);
  await browser.status("live");
  assert(/^\d+\.\d+\.\d+ · master · port \d+ · /.test(await browser.text("identity")), await browser.text("identity"));
});

const stops = [server.load("-t", "incr", "-P", "8", "-c", "20"), server.load("-c", "5", "SET", "session:__rand_int__", "value"), server.load("-c", "5", "GET", "session:__rand_int__")];

await check("figures move under load", async () => {
  await until("operations are counted", async () => number(await browser.text("ops")) > 1000);
  await until("connections are counted", async () => number(await browser.text("clients")) === 30);
  await until("keys are counted", async () => number(await browser.text("keys")) > 1000);
  await until("the template of the counters is shown", async () => (await browser.text("templates")).includes("counter:{id"));
  assert((await page.locator("#rates path.curve").count()) >= 1, "no curve of rates");
  assert((await browser.text("workers")).includes("0"), "no worker");
});

await check("commands are told apart, and their latencies shown", async () => {
  await until("INCR has a curve", async () => (await browser.text("rates-legend")).includes("incr"));
  await until("a p99 is shown", async () => /\d (ns|µs|ms)/.test(await browser.text("p99")));
  await page.locator("#command").selectOption("incr");
  await until("the command is chosen", async () => (await browser.text("spread-of")) === "incr");
  await pause(3000);
  const curve = await page.locator("#spread path.curve").first().getAttribute("d");
  assert(curve.split("L").length > 5, `a distribution has a shape: ${curve}`);
  for (const id of ["latency-legend", "spread-legend"]) {
    assert(/\d (ns|µs|ms|s)/.test(await browser.text(id)), `${id}: ${await browser.text(id)}`);
  }
  await page.locator("#kind").getByText("until reply").click();
  await page.locator("#span").getByText("since start").click();
  await page.locator("#command").selectOption("");
});

await check("Prometheus' own tool finds nothing wrong with the metrics", async () => {
  const input = await fetch(`${server.url}metrics`).then((answer) => answer.text());
  const { status, stdout, stderr } = spawnSync("promtool", ["check", "metrics"], { input, encoding: "utf8" });
  assert(status === 0 && stdout + stderr === "", `promtool: ${status}\n${stdout}${stderr}`);
});

await check("the mark tells values", async () => {
  await page.locator("#rates svg").hover();
  await until("a box is shown", () => page.locator("#rates .tip").isVisible());
  await page.mouse.move(0, 0);
});

async function focusedByTab(most) {
  const seen = [];
  for (let at = 0; at < most; at += 1) {
    await page.keyboard.press("Tab");
    seen.push(await page.evaluate(() => {
      const element = document.activeElement;
      const marked = element.matches(".choice input") ? element.nextElementSibling : element;
      const { outlineStyle, outlineWidth } = getComputedStyle(marked);
      const name = element.id || element.name || element.parentElement?.id || element.className;
      return { name, visible: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 };
    }));
  }
  return seen;
}

await check("everything is reached by keyboard, and seen to be", async () => {
  // From the beginning: a browser goes on from where was clicked last.
  await page.reload();
  await browser.status("live");
  const seen = (await focusedByTab(12)).filter(({ name }) => name);
  const names = seen.map(({ name }) => name);
  const order = ["skip", "theme", "rates", "command", "kind", "latency", "span", "spread", "memory-plot", "clients-plot", "journal-plot"];
  const at = order.map((name) => names.indexOf(name));
  assert(at.every((place) => place >= 0), `${order} are reached: ${names}`);
  assert(at.every((place, index) => index === 0 || place > at[index - 1]), `in this order: ${names}`);
  const unseen = seen.filter(({ visible }) => !visible);
  assert(unseen.length === 0, `focus is not visible on ${unseen.map(({ name }) => name)}`);
});

await check("arrow keys walk along a curve", async () => {
  await until("there are curves to walk along", () => page.evaluate(() => charts.rates.places().length >= 4));
  await page.locator("#rates svg").focus();
  await page.keyboard.press("End");
  await until("a box is shown", () => page.locator("#rates .tip").isVisible());
  const newest = await page.locator("#rates .tip").innerText();
  for (let at = 0; at < 3; at += 1) await page.keyboard.press("ArrowLeft");
  assert((await page.locator("#rates .tip").innerText()) !== newest, "the mark moved");
  await page.keyboard.press("Escape");
  assert(!(await page.locator("#rates .tip").isVisible()), "Escape takes it away");
  const label = await page.locator("#rates svg").getAttribute("aria-label");
  assert(label.startsWith("Operations per second by command. ") && /\d/.test(label), label);
});

/** The least contrast of texts and lines against what they stand on. */
const contrasts = () => page.evaluate(() => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const digits = style.getPropertyValue(name).trim().slice(1);
    const parts = [0, 2, 4].map((at) => parseInt(digits.slice(at, at + 2), 16) / 255);
    const [r, g, b] = parts.map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const against = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const texts = ["--text", "--soft", "--good", "--bad", "--fair"].flatMap((name) => [against(name, "--panel"), against(name, "--page")]);
  const lines = [0, 1, 2, 3, 4, 5, 6].map((at) => against(`--c${at}`, "--panel"));
  return { texts: Math.min(...texts), lines: Math.min(...lines) };
});

await check("themes follow the system and the reader, and can be read", async () => {
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const [light, dark] = ["rgb(244, 245, 247)", "rgb(15, 18, 22)"];
  assert((await ground()) === light, await ground());
  await page.emulateMedia({ colorScheme: "dark" });
  assert((await ground()) === dark, await ground());
  for (const [theme, expected] of [["light", light], ["dark", dark]]) {
    await page.locator("#theme").click();
    assert((await browser.text("theme")) === `Theme: ${theme}` && (await ground()) === expected, `${theme}: ${await ground()}`);
    const { texts, lines } = await contrasts();
    assert(texts >= 4.5 && lines >= 3, `${theme}: contrast of texts ${texts}, of lines ${lines}`);
  }
  await page.screenshot({ path: join(pictures, "dark.png"), fullPage: true });
  await page.locator("#theme").click();
  await page.emulateMedia({ colorScheme: "light" });
  assert((await ground()) === light, await ground());
  await page.screenshot({ path: join(pictures, "light.png"), fullPage: true });
});

await check("nothing moves for those who do not want it", async () => {
  const duration = () => page.evaluate(() => getComputedStyle(document.querySelector(".panels")).transitionDuration);
  await page.emulateMedia({ reducedMotion: "no-preference" });
  assert((await duration()) === "0.3s", await duration());
  await page.emulateMedia({ reducedMotion: "reduce" });
  assert((await duration()) === "0s", await duration());
});

await check("it fits on a phone", async () => {
  for (const width of [360, 320]) {
    await page.setViewportSize({ width, height: 740 });
    await pause(1200);
    const wide = await page.evaluate(() => {
      const bound = document.documentElement.clientWidth + 0.5;
      const shown = [...document.querySelectorAll("body *:not(.skip)")].filter((it) => getComputedStyle(it).visibility !== "hidden");
      const beyond = shown.filter((it) => it.getBoundingClientRect().right > bound);
      return { scrolls: document.documentElement.scrollWidth > bound, beyond: beyond.map((it) => it.id || it.getAttribute("class") || it.tagName) };
    });
    assert(!wide.scrolls && wide.beyond.length === 0, `${width} px: beyond the edge: ${wide.beyond}`);
    if (width === 360) await page.screenshot({ path: join(pictures, "phone.png"), fullPage: true });
  }
  await page.setViewportSize({ width: 1280, height: 900 });
});

await check("a restart is survived", async () => {
  const run = () => page.evaluate(() => last().now.run_id);
  const before = await run();
  await server.stop();
  await browser.status("lost");
  assert((await browser.text("status")) === "disconnected, retrying", await browser.text("status"));
  await server.start();
  await browser.status("live");
  assert((await run()) !== before, "it is another run");
  await pause(2500);
  const wrong = await page.evaluate(() => state.samples.filter(({ since }) => since && (since.requests < 0 || since.commands.some(({ rate }) => rate < 0))).length);
  assert(wrong === 0, "no rate is below 0");
  assert(!(await page.evaluate(() => document.body.classList.contains("stale"))), "figures are not shown as old");
  const again = server.load("-t", "incr", "-P", "8");
  await until("operations are counted again", async () => number(await browser.text("ops")) > 1000);
  again();
});

await check("counts that begin anew harm nothing", async () => {
  spawnSync("redis-cli", ["-p", String(server.port), "CONFIG", "RESETSTAT"]);
  await pause(2500);
  await browser.status("live");
});

await check("nobody else was asked, and nothing was complained of", async () => {
  assert([...browser.hosts].join() === `127.0.0.1:${server.admin}`, [...browser.hosts].join());
  const complaints = browser.complaints.filter((text) => !EXPECTED.test(text));
  assert(complaints.length === 0, complaints.join("\n"));
});

stops.forEach((stop) => stop());
await server.remove();

const guarded = await Server.on(program, ["--admin-token", "s3cret"]);
await check("a token is asked for, checked and kept", async () => {
  await page.goto(guarded.url);
  await until("the form is shown", () => page.locator("#token").isVisible());
  assert(await page.evaluate(() => document.activeElement.id === "token-value"), "the field has the focus");
  await page.keyboard.type("wrong");
  await page.keyboard.press("Enter");
  await until("it is refused", async () => (await browser.text("token-why")) === "That token was not accepted.");
  await page.locator("#token-value").fill("s3cret");
  await page.locator("#token-value").press("Enter");
  await browser.status("live");
  assert(!(await page.locator("#token").isVisible()), "the form is gone");
  await page.reload();
  await browser.status("live");
  const kept = await page.evaluate(() => ({ here: sessionStorage.getItem("tallyring-token"), forever: JSON.stringify(localStorage) }));
  assert(kept.here === "s3cret" && !kept.forever.includes("s3cret"), "it is kept for this tab alone");
  assert(!page.url().includes("s3cret"), "it is in no address");
});
await guarded.remove();
await browser.close();
finish();
