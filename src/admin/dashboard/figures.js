// What the server's sums mean: rates between two samples, percentiles of a histogram, and how numbers are written.
// Knows neither the page nor the network.
"use strict";

/** Seconds of history that are kept and shown. */
const HISTORY_S = 300;

/** A longer pause between two samples is a hole in every curve. */
const HOLE_S = 3.5;

/** What came between two lists of [place, count], both in the order of places. */
function placesBetween(before, after) {
  const counted = new Map(before);
  const between = [];
  for (const [place, count] of after) {
    const more = count - (counted.get(place) ?? 0);
    if (more > 0) between.push([place, more]);
  }
  return between;
}

/** The sum of several lists of [place, count]. */
function sumOfPlaces(lists) {
  const sum = new Map();
  for (const list of lists) {
    for (const [place, count] of list) sum.set(place, (sum.get(place) ?? 0) + count);
  }
  return [...sum].sort(([one], [other]) => one - other);
}

function totalOf(places) {
  return places.reduce((sum, [, count]) => sum + count, 0);
}

/** The value, in nanoseconds, that this share (0 to 1) of what is in the places does not exceed. Null: they are empty. */
function valueAt(places, share, perOctave) {
  const total = totalOf(places);
  if (total === 0) return null;
  let left = Math.max(share * total, Number.EPSILON);
  for (const [place, count] of places) {
    // Within a place values are taken to lie evenly, on the logarithmic scale that places have.
    if (left <= count) return 2 ** ((place + left / count) / perOctave);
    left -= count;
  }
  return 2 ** ((places[places.length - 1][0] + 1) / perOctave);
}

/** Points of the picture that HdrHistogram draws: x = log10(1 / (1 - share)), so that each nine has the same width. */
function percentileCurve(places, perOctave) {
  const total = totalOf(places);
  if (total === 0) return [];
  const points = [[0, 2 ** (places[0][0] / perOctave)]];
  let below = 0;
  for (const [place, count] of places) {
    below += count;
    // The largest of n values stands for all above the share of n - 1 of them.
    const rest = Math.max(total - below, 0.5) / total;
    points.push([Math.log10(1 / rest), 2 ** ((place + 1) / perOctave)]);
  }
  return points;
}

/** One sample against the one before: rates, and what each command did meanwhile. Null: they are not of one run. */
function compare(before, after) {
  if (!before || before.run_id !== after.run_id) return null;
  const seconds = (after.uptime_ms - before.uptime_ms) / 1000;
  if (!(seconds > 0)) return null;
  const rate = (of) => Math.max(0, of(after) - of(before)) / seconds;
  const known = new Map(before.commands.map((command) => [command.name, command]));
  const commands = after.commands.map((command) => {
    let old = known.get(command.name);
    // Counts that went back began anew: CONFIG RESETSTAT.
    if (!old || old.calls > command.calls) old = { calls: 0, service: [], reply: [] };
    return {
      name: command.name,
      rate: (command.calls - old.calls) / seconds,
      service: placesBetween(old.service, command.service),
      reply: placesBetween(old.reply, command.reply),
    };
  });
  const syncs = (sample) => sample.persistence?.syncs ?? [];
  return {
    seconds,
    requests: rate((it) => it.counts.requests),
    errors: rate((it) => it.counts.errors),
    received: rate((it) => it.counts.received),
    sent: rate((it) => it.counts.sent),
    systemCalls: rate((it) => it.counts.system_calls),
    turns: rate((it) => it.counts.turns),
    cpu: rate((it) => it.cpu_s),
    workers: after.workers.map((worker, at) => rate((it) => it.workers[at]?.requests ?? worker.requests)),
    appended: rate((it) => it.persistence?.appended ?? 0),
    syncs: placesBetween(syncs(before), syncs(after)),
    commands,
  };
}

/** Three digits that matter. */
function digits(number) {
  const size = Math.abs(number);
  if (size >= 100 || number === 0) return number.toFixed(0);
  return size >= 10 ? number.toFixed(1) : number.toFixed(2);
}

function scaled(number, step, units) {
  let at = 0;
  while (Math.abs(number) >= step * 0.9995 && at + 1 < units.length) {
    number /= step;
    at += 1;
  }
  return (at === 0 && Number.isInteger(number) ? String(number) : digits(number)) + units[at];
}

/** 12.3k, 4.56M. */
function asCount(number) {
  return scaled(number, 1000, ["", "k", "M", "G", "T"]);
}

/** 12.3 MiB. */
function asBytes(number) {
  return scaled(number, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
}

/** Nanoseconds as 850 ns, 12.3 µs, 4.56 ms, 7.89 s. */
function asDuration(nanos) {
  if (nanos === null) return "–";
  return scaled(Math.round(nanos), 1000, [" ns", " µs", " ms", " s"]);
}

/** Milliseconds as 3 d 4 h, 5 h 6 min, 7 min 8 s. */
function asAge(ms) {
  const seconds = Math.floor(ms / 1000);
  const parts = [
    [Math.floor(seconds / 86400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  return parts.slice(first, first + 2).map(([count, unit]) => `${count} ${unit}`).join(" ");
}
