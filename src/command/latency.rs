//! `LATENCY`: what commands took, as histograms.

use super::histogram;
use super::{Argument, Command, Docs, Flags, Keys, help};

/// `LATENCY`
pub static LATENCY: Command = Command {
    subcommands: &[HISTOGRAM, HDR, help::help_of("2.8.13", "server", &[])],
    ..help::container("latency", "Commands about what requests take.", "2.8.13", "server")
};

const HISTOGRAM: Command = Command {
    name: "histogram",
    arity: -2,
    flags: OPERATES,
    keys: Keys::NONE,
    access: &[],
    categories: &[],
    tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    docs: Docs {
        summary: "Shows how many calls of each command took how long, in doublings.",
        since: "7.0.0",
        group: "server",
        complexity: "O(N) where N is the number of commands with latency information being retrieved.",
        arguments: &[Argument::new("command", "string").maybe().many()],
    },
    run: histogram::cumulative,
    subcommands: &[],
};

const HDR: Command = Command {
    name: "hdr",
    docs: Docs {
        summary: "Shows percentiles of each command, and its histogram in the encoding of HdrHistogram.",
        since: "0.1.0",
        group: "server",
        complexity: "O(N) where N is the number of commands with latency information being retrieved.",
        arguments: &[Argument::new("command", "string").maybe().many()],
    },
    run: histogram::encoded,
    ..HISTOGRAM
};

const OPERATES: Flags = Flags::ADMIN.and(Flags::NOSCRIPT).and(Flags::LOADING).and(Flags::STALE);
