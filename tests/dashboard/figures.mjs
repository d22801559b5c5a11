// What the page works out from the server's sums, without a page: rates, percentiles, numbers as text.

import { readFileSync } from "node:fs";
import vm from "node:vm";
import { assert, check } from "./report.mjs";

const source = readFileSync(new URL("../../src/admin/dashboard/figures.js", import.meta.url), "utf8");
const names = ["asAge", "asBytes", "asCount", "asDuration", "compare", "percentileCurve", "placesBetween", "sumOfPlaces", "valueAt"];
const figures = vm.runInNewContext(`${source}; ({ ${names.join(", ")} })`);

const same = (is, should, what) => assert(JSON.stringify(is) === JSON.stringify(should), `${what ?? ""}: ${JSON.stringify(is)}, not ${JSON.stringify(should)}`);

/** A document of the server. */
const sample = (at, calls, more = {}) => ({
  run_id: "one", uptime_ms: at, cpu_s: 0, workers: [{ requests: calls }], persistence: null,
  counts: { requests: calls, errors: 0, received: 0, sent: 0, system_calls: 0, turns: 0 },
  commands: [{ name: "incr", calls, service: [[80, calls]], reply: [[120, calls]] }], ...more,
});

await check("percentiles are those of the values", () => {
  const perOctave = 8;
  const values = Array.from({ length: 10_000 }, (_, at) => 100 + at * 7);
  const counts = new Map();
  for (const value of values) {
    const place = Math.floor(Math.log2(value) * perOctave);
    counts.set(place, (counts.get(place) ?? 0) + 1);
  }
  const places = [...counts].sort(([one], [other]) => one - other);
  for (const share of [0.01, 0.5, 0.9, 0.99, 0.999, 1]) {
    const exact = values[Math.ceil(share * values.length) - 1];
    const found = figures.valueAt(places, share, perOctave);
    assert(Math.abs(found / exact - 1) < 0.1, `${share}: ${found}, not ${exact}`);
  }
  const curve = figures.percentileCurve(places, perOctave);
  assert(curve.every(([x, y], at) => at === 0 || (x >= curve[at - 1][0] && y > curve[at - 1][1])), "a curve only rises");
  same(figures.valueAt([], 0.5, perOctave), null);
  same(figures.percentileCurve([], perOctave), []);
});

await check("rates are differences by the server's own clock", () => {
  const since = figures.compare(sample(1000, 100), sample(3000, 700));
  same([since.requests, since.commands[0].rate, since.workers], [300, 300, [300]]);
  same(since.commands[0].service, [[80, 600]]);
});

await check("another run, or counts that begin anew, give no rates below 0", () => {
  same(figures.compare(sample(9000, 100), sample(1000, 5, { run_id: "two" })), null);
  same(figures.compare(undefined, sample(1000, 5)), null);
  same(figures.compare(sample(1000, 5), sample(1000, 5)), null);
  const reset = figures.compare(sample(1000, 500), sample(2000, 20));
  same([reset.requests, reset.commands[0].rate, reset.commands[0].service], [0, 20, [[80, 20]]]);
  const fresh = figures.compare(sample(1000, 0, { commands: [] }), sample(2000, 20));
  same(fresh.commands[0].rate, 20);
});

await check("histograms add up and subtract", () => {
  same(figures.sumOfPlaces([[[1, 2], [5, 1]], [[1, 1], [3, 4]]]), [[1, 3], [3, 4], [5, 1]]);
  same(figures.placesBetween([[1, 2], [5, 1]], [[1, 2], [3, 4], [5, 2]]), [[3, 4], [5, 1]]);
});

await check("numbers are written with the digits that matter", () => {
  const { asAge, asBytes, asCount, asDuration } = figures;
  same([0, 7, 999, 1000, 12_345, 999_999, 4_560_000].map(asCount), ["0", "7", "999", "1.00k", "12.3k", "1.00M", "4.56M"]);
  same([0, 1023, 1024, 1_500_000].map(asBytes), ["0 B", "1023 B", "1.00 KiB", "1.43 MiB"]);
  same([850, 12_300, 4_560_000, 7.89e9, null].map(asDuration), ["850 ns", "12.3 µs", "4.56 ms", "7.89 s", "–"]);
  same([900, 61_000, 3_600_000, 273_600_000].map(asAge), ["0 s", "1 min 1 s", "1 h 0 min", "3 d 4 h"]);
});
