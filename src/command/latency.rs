//! `LATENCY`: what commands took, what the latency monitor has noted, and advice. Taking the time is the worker's business.

use crate::metrics::events::{Event, Series};

use super::texts::quotable;
use super::{Argument, Call, Command, Docs, Flags, Keys, Outcome, doctor, graph, help, histogram};

/// `LATENCY`
pub static LATENCY: Command = Command {
    subcommands: &[
        DOCTOR,
        GRAPH,
        HISTOGRAM,
        HDR,
        HISTORY,
        LATEST,
        RESET,
        help::help_of("2.8.13", "server", &[]),
    ],
    ..help::container("latency", "Commands about what took how long.", "2.8.13", "server")
};

const DOCTOR: Command = Command {
    name: "doctor",
    docs: Docs {
        summary: "Tells what holds clients up, if anything does, and what to do about it.",
        ..MONITOR
    },
    run: |call| {
        let report = doctor::report(call);
        call.reply.verbatim(*b"txt", report.as_bytes());
        Outcome::Done
    },
    ..OF_MONITOR
};

const GRAPH: Command = Command {
    name: "graph",
    arity: 3,
    docs: Docs {
        summary: "Draws what the latency monitor has noted of an event.",
        arguments: EVENT,
        ..MONITOR
    },
    run: graph,
    ..OF_MONITOR
};

const HISTORY: Command = Command {
    name: "history",
    arity: 3,
    docs: Docs {
        summary: "Shows when an event took too long in the last 160 seconds in which it did, and how long.",
        arguments: EVENT,
        ..MONITOR
    },
    run: history,
    ..OF_MONITOR
};

const LATEST: Command = Command {
    name: "latest",
    docs: Docs {
        summary: "Shows for each event when it took too long last, how long, and the longest.",
        ..MONITOR
    },
    run: latest,
    ..OF_MONITOR
};

const RESET: Command = Command {
    name: "reset",
    arity: -2,
    tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
    docs: Docs {
        summary: "Forgets what was noted of these events, or of all, and tells of how many.",
        arguments: &[Argument::new("event", "string").maybe().many()],
        ..MONITOR
    },
    run: reset,
    ..OF_MONITOR
};

const HISTOGRAM: Command = Command {
    name: "histogram",
    arity: -2,
    docs: Docs {
        summary: "Shows how many calls of each command took how long, in doublings.",
        since: "7.0.0",
        ..MEASURED
    },
    run: histogram::cumulative,
    ..OF_MONITOR
};

const HDR: Command = Command {
    name: "hdr",
    arity: -2,
    docs: Docs {
        summary: "Shows percentiles of each command, and its histogram in the encoding of HdrHistogram.",
        since: "0.1.0",
        ..MEASURED
    },
    run: histogram::encoded,
    ..OF_MONITOR
};

/// What the descriptions of those two have in common.
const MEASURED: Docs = Docs {
    complexity: "O(N) where N is the number of commands with latency information being retrieved.",
    arguments: &[Argument::new("command", "string").maybe().many()],
    ..MONITOR
};

/// What the subcommands have in common.
const OF_MONITOR: Command = Command {
    name: "",
    arity: 2,
    flags: Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE),
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    docs: MONITOR,
    run: help::bare,
    subcommands: &[],
};

/// What their descriptions have in common.
const MONITOR: Docs =
    Docs { summary: "", since: "2.8.13", group: "server", complexity: "O(1)", arguments: &[] };

const EVENT: &[Argument] = &[Argument::new("event", "string")];

/// What is known of the event that an argument names.
fn named(call: &Call<'_>, index: usize) -> Option<(Event, Series)> {
    let event = Event::named(call.args.get(index))?;
    Some((event, call.host.events().get(event)?))
}

fn integer(call: &mut Call<'_>, number: u64) {
    call.reply.integer(i64::try_from(number).unwrap_or(i64::MAX));
}

fn graph(call: &mut Call<'_>) -> Outcome {
    match named(call, 2) {
        Some((event, series)) => {
            let drawn = graph::draw(event.name(), &series, call.now.unix_us / 1_000_000);
            call.reply.verbatim(*b"txt", drawn.as_bytes());
        }
        None => call.reply.error_parts([
            b"ERR No samples available for event '".as_slice(),
            quotable(call.args.get(2)),
            b"'",
        ]),
    }
    Outcome::Done
}

fn history(call: &mut Call<'_>) -> Outcome {
    let samples = named(call, 2).map(|(_, series)| series.samples).unwrap_or_default();
    call.reply.array(samples.len());
    for sample in samples {
        call.reply.array(2);
        integer(call, sample.unix_s);
        integer(call, sample.ms);
    }
    Outcome::Done
}

fn latest(call: &mut Call<'_>) -> Outcome {
    let events = call.host.events();
    let seen: Vec<_> = Event::ALL.into_iter().filter_map(|event| Some((event, events.get(event)?))).collect();
    call.reply.array(seen.len());
    for (event, series) in seen {
        let last = series.samples.last().copied().unwrap_or_default();
        call.reply.array(4);
        call.reply.bulk(event.name().as_bytes());
        integer(call, last.unix_s);
        integer(call, last.ms);
        integer(call, series.max_ms);
    }
    Outcome::Done
}

fn reset(call: &mut Call<'_>) -> Outcome {
    let events = call.host.events();
    let forgotten = if call.args.len() == 2 {
        Event::ALL.into_iter().filter(|event| events.reset(*event)).count()
    } else {
        // Only here Redis takes a name in whatever case it is written.
        let lower = call.args.tail(2).map(<[u8]>::to_ascii_lowercase);
        lower.filter_map(|name| Event::named(&name)).filter(|event| events.reset(*event)).count()
    };
    call.reply.count(forgotten);
    Outcome::Done
}
