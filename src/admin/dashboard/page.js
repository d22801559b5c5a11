// The page: shows the samples that are kept. Knows what each figure is called and where it stands, not how samples come.

const byId = (id) => document.getElementById(id);

/** Commands with a colour of their own; the others share one. */
const COLOURS = 6;

/** Shown and kept. `samples`: [{at (seconds), now (the server's document), since (what came since the one before)}]. */
const state = { samples: [], failures: 0, command: "", kind: "service", span: "recent", colours: new Map() };

const timeTicks = (width, { from }) => {
  const step = from >= -60 ? 15 : width < 420 && from < -120 ? 120 : 60;
  const ticks = [];
  for (let ago = 0; ago <= -from; ago += step) {
    ticks.push([-ago, ago === 0 ? "now" : step < 60 ? `−${ago} s` : `−${ago / 60} min`]);
  }
  return ticks;
};
const writeAgo = (x) => (x > -1.5 ? "now" : `${Math.round(-x)} s ago`);
const overTime = { xTicks: timeTicks, writeX: writeAgo };

const SHARES = [[0, "0 %"], [1, "90 %"], [2, "99 %"], [3, "99.9 %"], [4, "99.99 %"], [5, "99.999 %"], [6, "99.9999 %"]];
/** Where the axis of shares ends. */
const RAREST = SHARES[SHARES.length - 1][0];
const writeShare = (x) => `${(100 * (1 - 10 ** -x)).toFixed(Math.max(0, Math.ceil(x) - 1))} %`;

const charts = {
  rates: new Chart(byId("rates"), { label: "Operations per second by command", y: "linear", write: asCount, stacked: true, least: 10, ...overTime }),
  latency: new Chart(byId("latency"), { label: "Latency over time", y: "log", write: asDuration, ...overTime }),
  spread: new Chart(byId("spread"), {
    label: "Latency by percentile", y: "log", write: asDuration,
    xTicks: (width, data) => SHARES.filter(([x]) => x <= data.to && (width > 420 || x !== 1)), writeX: writeShare,
  }),
  memory: new Chart(byId("memory-plot"), { label: "Memory", y: "bytes", write: asBytes, least: 1024, ...overTime }),
  clients: new Chart(byId("clients-plot"), { label: "Connections", y: "linear", write: asCount, least: 5, ...overTime }),
  journal: new Chart(byId("journal-plot"), { label: "Bytes that are not synced", y: "bytes", write: asBytes, least: 1024, ...overTime }),
};

function setText(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function setStatus(kind, text) {
  byId("status").dataset.state = kind;
  setText("status", text);
}

/** Rows of a table, or items of a list of facts, in place. */
function fill(parent, rows, make) {
  parent.replaceChildren(...rows.map(make));
}

function facts(id, pairs) {
  const items = pairs.filter((pair) => pair !== null).map(([name, value]) => {
    const item = document.createElement("div");
    const [term, description] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = name;
    description.textContent = value;
    item.append(term, description);
    return item;
  });
  byId(id).replaceChildren(...items);
}

function tableRow(cells) {
  const line = document.createElement("tr");
  cells.forEach((cell, at) => {
    const element = document.createElement(at === 0 ? "th" : "td");
    if (at === 0) element.scope = "row";
    element.textContent = cell;
    line.append(element);
  });
  return line;
}

/** The last sample, and points of a curve over all of them: x in seconds from now. */
const last = () => state.samples[state.samples.length - 1];
function points(of) {
  const now = last().at;
  const curve = [];
  let before = null;
  for (const sample of state.samples) {
    const x = sample.at - now;
    if (before !== null && (sample.at - before.at > HOLE_S || sample.now.run_id !== before.now.run_id)) {
      curve.push([x - 0.001, null]);
    }
    const y = of(sample);
    curve.push([x, y === undefined ? null : y]);
    before = sample;
  }
  return curve;
}

function legend(id, curves, write) {
  byId(id).replaceChildren(...curves.map((curve) => {
    const known = curve.points.filter(([, y]) => y !== null);
    return row(curve.kind, curve.name, known.length > 0 ? write(known[known.length - 1][1]) : "–");
  }));
}

function showOver(chart, legendId, curves, write) {
  // What there is of the history, in whole minutes.
  const minutes = Math.ceil((last().at - state.samples[0].at) / 60);
  chart.show(curves, -Math.min(Math.max(minutes * 60, 60), HISTORY_S), 0);
  if (legendId) legend(legendId, curves, write);
}

/** Gives those that did most a colour, which they keep for as long as they are among them. */
function colour(names) {
  for (const name of names.filter((candidate) => !state.colours.has(candidate))) {
    const taken = new Set(state.colours.values());
    let free = Array.from({ length: COLOURS }, (_, at) => at).find((at) => !taken.has(at));
    if (free === undefined) {
      const leaves = [...state.colours.keys()].find((other) => !names.includes(other));
      free = state.colours.get(leaves);
      state.colours.delete(leaves);
    }
    state.colours.set(name, free);
  }
}

function showRates() {
  const sums = new Map();
  for (const { since } of state.samples) {
    for (const command of since?.commands ?? []) sums.set(command.name, (sums.get(command.name) ?? 0) + command.rate);
  }
  const ranked = [...sums].filter(([, sum]) => sum > 0).sort(([, one], [, other]) => other - one).map(([name]) => name);
  colour(ranked.slice(0, COLOURS));
  const rateOf = (name) => (sample) => sample.since?.commands.find((command) => command.name === name)?.rate ?? (sample.since ? 0 : null);
  const curves = ranked.filter((name) => state.colours.has(name))
    .map((name) => ({ name, kind: `c${state.colours.get(name)}`, points: points(rateOf(name)) }));
  const named = new Set(curves.map((curve) => curve.name));
  const rest = (sample) => {
    if (!sample.since) return null;
    const shown = sample.since.commands.filter((command) => named.has(command.name));
    return Math.max(0, sample.since.requests - shown.reduce((sum, command) => sum + command.rate, 0));
  };
  const others = points(rest);
  // Where commands are not told apart, all there is is the sum; else a request or two on the border of two samples.
  if (curves.length === 0 || others.some(([, y]) => y > 1 && ranked.length > curves.length)) {
    curves.push({ name: curves.length === 0 ? "all" : "others", kind: curves.length === 0 ? "c0" : "c6", points: others });
  }
  showOver(charts.rates, "rates-legend", curves, (rate) => asCount(Math.round(rate)));
}

/** Histograms of the chosen command, or of all. */
function placesOf(commands, kind) {
  const chosen = commands.filter((command) => state.command === "" || command.name === state.command);
  return chosen.length === 1 ? chosen[0][kind] : sumOfPlaces(chosen.map((command) => command[kind]));
}

function showLatency() {
  const { places_per_octave: perOctave } = last().now;
  const of = (share) => (sample) => sample.since && valueAt(placesOf(sample.since.commands, state.kind), share, perOctave);
  const curves = [["p50", 0.5, "c0"], ["p99", 0.99, "c1"], ["p99.9", 0.999, "c5"]]
    .map(([name, share, kind]) => ({ name, kind, points: points(of(share)) }));
  showOver(charts.latency, "latency-legend", curves, asDuration);
}

/** A curve as far as this x, and where it is there. */
function upTo(end, curve) {
  const beyond = curve.findIndex(([x]) => x > end);
  if (beyond < 1) return curve;
  const [[x0, y0], [x1, y1]] = curve.slice(beyond - 1, beyond + 1);
  return [...curve.slice(0, beyond), [end, y0 + ((end - x0) / (x1 - x0)) * (y1 - y0)]];
}

function showSpread() {
  const { now } = last();
  const recent = (kind) => sumOfPlaces(state.samples.map(({ since }) => placesOf(since?.commands ?? [], kind)));
  const of = (kind) => (state.span === "all" ? placesOf(now.commands, kind) : recent(kind));
  const curves = [["execution", "service", "c0"], ["until reply", "reply", "c1 dashed"]].map(([name, kind, colour]) => ({
    name, kind: colour, points: upTo(RAREST, percentileCurve(of(kind), now.places_per_octave)),
  }));
  const end = Math.max(2, ...curves.flatMap((curve) => curve.points.map(([x]) => x)));
  charts.spread.show(curves, 0, Math.min(end * 1.03, RAREST));
  setText("spread-of", state.command === "" ? "all commands" : state.command);
  byId("spread-legend").replaceChildren(...curves.map((curve) => {
    const longest = curve.points.length > 0 ? curve.points[curve.points.length - 1][1] : null;
    return row(curve.kind, `${curve.name}, longest`, asDuration(longest));
  }));
}

function showCommands() {
  const { now, since } = last();
  const names = ["", ...now.commands.map((command) => command.name).sort()];
  const select = byId("command");
  const offered = [...select.options].map((option) => option.value);
  if (names.length !== offered.length || names.join() !== offered.join()) {
    select.replaceChildren(...names.map((name) => new Option(name === "" ? "all" : name, name)));
    if (!names.includes(state.command)) state.command = "";
    select.value = state.command;
  }
  const perOctave = now.places_per_octave;
  const ranked = [...now.commands].sort((one, other) => other.calls - one.calls).slice(0, 12);
  fill(byId("commands").tBodies[0], ranked, (command) => {
    const rate = since?.commands.find(({ name }) => name === command.name)?.rate ?? 0;
    return tableRow([
      command.name, asCount(Math.round(rate)), asCount(command.calls), asCount(command.failed + command.rejected),
      asDuration(valueAt(command.service, 0.5, perOctave)), asDuration(valueAt(command.service, 0.99, perOctave)),
    ]);
  });
  byId("commands").hidden = ranked.length === 0;
  const refused = Object.entries(now.refusals).filter(([, count]) => count > 0);
  facts("refusals", refused.length > 0
    ? refused.map(([name, count]) => [`refused: ${name.replaceAll("_", " ")}`, asCount(count)])
    : [["refused", "nothing"]]);
}

function showTiles() {
  const { now, since } = last();
  const { keys, memory, persistence } = now;
  setText("ops", since ? asCount(Math.round(since.requests)) : "–");
  setText("ops-sub", since ? `${asBytes(Math.round(since.received))}/s in, ${asBytes(Math.round(since.sent))}/s out` : "");
  const recent = sumOfPlaces(state.samples.slice(-10).map((sample) => sumOfPlaces((sample.since?.commands ?? []).map((it) => it.service))));
  setText("p99", asDuration(valueAt(recent, 0.99, now.places_per_octave)));
  setText("p99-sub", "all commands, last 10 s");
  const each = keys.numbered > 0 ? `${digits(keys.numbered_bytes / keys.numbered)} bytes per counter` : "";
  setText("keys", asCount(keys.count));
  setText("keys-sub", each || (keys.packed > 0 ? `${digits(keys.packed_bytes / keys.packed)} bytes per key` : "none yet"));
  setText("memory", asBytes(memory.used));
  setText("memory-sub", memory.max > 0 ? `of ${asBytes(memory.max)} (maxmemory)` : `${asBytes(memory.resident)} resident`);
  setText("clients", asCount(now.clients));
  setText("clients-sub", `of ${asCount(now.max_clients)}`);
  setText("lag", persistence ? asBytes(persistence.unsynced) : "none");
  setText("lag-sub", persistence ? `appendfsync ${persistence.policy}` : "nothing is kept on disk");
}

function showMemory() {
  const curve = (name, kind, of) => ({ name, kind, points: points(of) });
  showOver(charts.memory, "memory-legend", [
    curve("keys", "c2", ({ now }) => now.memory.dataset),
    curve("used", "c0", ({ now }) => now.memory.used),
    curve("resident", "c1 dashed", ({ now }) => now.memory.resident),
  ], asBytes);
  showOver(charts.clients, "clients-legend", [curve("connections", "c0", ({ now }) => now.clients)], asCount);
  byId("journal").hidden = !last().now.persistence;
  showOver(charts.journal, null, [curve("not synced", "c3", ({ now }) => now.persistence?.unsynced ?? null)], asBytes);
}

function snapshotOf({ snapshots, snapshot_failed: failed, snapshot_progress: progress, snapshot_unix_s: at }) {
  if (progress !== null) return `${Math.round(100 * progress)} % done`;
  const last = snapshots > 0 ? `${asAge(Math.max(0, Date.now() - 1000 * at))} ago` : "none since the start";
  return failed ? `${last}; one has failed` : last;
}

function showFacts() {
  const { now, since } = last();
  const { keys, counts, persistence } = now;
  const perRequest = (number) => (since && since.requests >= 1 ? digits(number / since.requests) : "–");
  facts("keys-facts", [
    ["numbered", asCount(keys.numbered)], ["packed", asCount(keys.packed)], ["with a deadline", asCount(keys.timed)],
    ["expired", asCount(keys.expired)], ["evicted", asCount(keys.evicted)], keys.tokens > 0 ? ["tokens", asCount(keys.tokens)] : null,
  ]);
  byId("templates").hidden = keys.top_templates.length === 0;
  fill(byId("templates").tBodies[0], keys.top_templates, (it) =>
    tableRow([it.text, asCount(it.counters), digits(it.bytes / it.counters)]));
  facts("engine-facts", [
    ["engine", `${now.engine} (${now.rung})`], ["CPU", since ? `${digits(100 * since.cpu)} %` : "–"],
    ["turns/s", since ? asCount(Math.round(since.turns)) : "–"], ["system calls per request", since ? perRequest(since.systemCalls) : "–"],
    ["receives starved", asCount(counts.starved)], ["overflows", asCount(counts.overflows)],
  ]);
  fill(byId("workers").tBodies[0], now.workers, (worker, at) => tableRow([
    String(at), asCount(Math.round(since?.workers[at] ?? 0)), asCount(worker.clients), `${worker.blocks_free}/${worker.blocks}`,
    String(worker.blocks_low_water),
  ]));
  if (!persistence) return;
  const syncs = sumOfPlaces(state.samples.map((sample) => sample.since?.syncs ?? []));
  const sync = (share) => asDuration(valueAt(syncs, share, now.places_per_octave));
  facts("journal-facts", [
    ["written", since ? `${asBytes(Math.round(since.appended))}/s` : "–"],
    persistence.syncs ? ["sync p50, last 5 min", sync(0.5)] : null, persistence.syncs ? ["sync p99", sync(0.99)] : null,
    persistence.syncs ? ["longest sync", sync(1)] : null,
    ["on disk", asBytes(persistence.bytes)],
    ["snapshot", snapshotOf(persistence)],
  ]);
}

function showStanding() {
  const { now } = last();
  const states = {
    ready: ["live", "live"], loading: ["warn", "loading its data"], refusing: ["warn", "no space: writes are refused"], ending: ["warn", "ending"],
  };
  setStatus(...(states[now.standing] ?? ["live", now.standing]));
  setText("identity", `${now.version} · ${now.role} · port ${now.port} · ${now.engine} (${now.rung}) · up ${asAge(now.uptime_ms)}`);
}

/** Everything anew; while nobody looks, nothing. */
function show() {
  if (state.samples.length === 0 || document.hidden) return;
  showStanding();
  showCommands();
  for (const part of [showTiles, showRates, showLatency, showSpread, showMemory, showFacts]) part();
}
