// Takes the picture of the dashboard that the documents show: five minutes of a server under changing load.
//
//   PLAYWRIGHT_HOME=directory-with-node_modules node tests/dashboard/portrait.mjs PROGRAM PICTURE.png
//
// The picture is then made small by `pngquant --force --output docs/dashboard.png 64 PICTURE.png`.

import { pause } from "./report.mjs";
import { Browser, Server } from "./stage.mjs";

const [program, picture] = process.argv.slice(2);
const seconds = Number(process.env.PORTRAIT_SECONDS ?? 300);

/** What clients do: commands of redis-benchmark, connections, and in which share of the time. */
const LOADS = [
  { words: ["-c", "24", "-P", "4", "INCR", "views:article:__rand_int__"], from: 0, to: 1 },
  { words: ["-c", "6", "-P", "2", "INCRBY", "user:__rand_int__:likes", "3"], from: 0, to: 1 },
  { words: ["-c", "10", "GET", "views:article:__rand_int__"], from: 0.1, to: 1 },
  { words: ["-c", "4", "HINCRBY", "stats:__rand_int__", "views", "1"], from: 0.25, to: 1 },
  { words: ["-c", "4", "CL.THROTTLE", "limit:__rand_int__", "100", "1000", "60"], from: 0.4, to: 1 },
  { words: ["-c", "2", "MGET", ...Array.from({ length: 20 }, () => "views:article:__rand_int__")], from: 0.55, to: 0.8 },
];

const server = await Server.on(program);
const browser = await Browser.open({ colorScheme: "light", viewport: { width: 1280, height: 1180 } });
await browser.page.goto(server.url);
const running = new Map();
for (let at = 0; at < seconds; at += 1) {
  for (const load of LOADS) {
    const wanted = at >= load.from * seconds && at < load.to * seconds;
    if (wanted && !running.has(load)) running.set(load, server.load(...load.words));
    if (!wanted && running.has(load)) {
      running.get(load)();
      running.delete(load);
    }
  }
  await pause(1000);
}
await browser.page.screenshot({ path: picture });
for (const stop of running.values()) stop();
await browser.close();
await server.remove();
