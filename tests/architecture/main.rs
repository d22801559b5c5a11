//! The shape of the crate, held as a test: who may use whom, where `unsafe` may stand, who may look at a clock, and
//! that the documents name every command, directive and kernel feature.
//!
//! Reads the sources as text; knows nothing of what they do. Each failure names file, line and rule.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use source::{Source, files, is_within, is_word, named_paths, read, root, sources, words};

mod source;

/// Who may use whom: imports only point down. A name stands for the module and all below it, or for one item where
/// the rest of its module is none of the user's business; every module of the layout is here, also those that are
/// still to come. A module may always use itself.
const IMPORTS: &[(&str, &[&str])] = &[
    ("main", &["config", "logging", "server", "tools"]),
    ("tools", &["journal", "table", "resp::integer", "resp::quote", "config", "clock", "limits"]),
    (
        "server",
        &[
            "engine",
            "worker",
            "admin",
            "journal",
            "config",
            "limits",
            "clock",
            "table",
            "metrics",
            "logging",
            "tls",
            "buffer::trim",
            // What it answers `CONFIG SET` with, and the time the process started.
            "command::acl",
            "command::ConfigError",
            "command::RewriteError",
            "command::Now",
            // The names of commands that it tells figures of.
            "command::lookup",
            // What its tests see of registered memory.
            "buffer::witness",
        ],
    ),
    ("admin", &["metrics", "config", "limits"]),
    ("logging", &["config::LogFormat", "config::LogLevel", "clock", "limits"]),
    // Users of a configuration file are checked where they stand.
    ("config", &["limits", "command::acl"]),
    // How far a connection is to be shut, and who is at its other end: said by the worker in these terms.
    ("engine", &["worker", "buffer", "clock", "metrics", "limits", "connection::End", "connection::Peer"]),
    (
        "worker",
        &[
            "connection",
            "command",
            "table",
            "journal::record",
            "journal::ring",
            "tls",
            "metrics",
            "resp",
            "buffer",
            "clock",
            "limits",
        ],
    ),
    // Session state, the request being discarded or streamed, and the position that replies wait for.
    (
        "connection",
        &[
            "resp",
            "buffer",
            "command::session",
            "command::Command",
            "command::Parts",
            "table::effect::Lsn",
            "tls::Tls",
            "limits",
        ],
    ),
    // What was measured, as it is shown.
    ("command", &["resp", "table", "metrics", "limits"]),
    // Effects, and what values they are made of.
    (
        "journal",
        &["table::effect", "table::Scalar", "table::Value", "table::Window", "table::WindowShape", "limits"],
    ),
    ("table", &["resp::integer", "limits"]),
    // Outgoing blocks take what the encoder writes.
    ("buffer", &["resp::encode", "resp::codes", "limits"]),
    ("resp", &["limits"]),
    ("metrics", &["limits"]),
    // The state machine, and the files that it is made from.
    ("tls", &["limits"]),
    ("clock", &["limits"]),
    ("limits", &[]),
];

/// The core: protocol, commands and table are told what they need to know of the world.
const CORE: &[&str] = &["resp", "table", "command", "connection", "journal::record", "tls::session"];

/// What the core never names.
const WORLD: &[&str] = &[
    "std::net",
    "std::fs",
    "std::thread",
    "std::process",
    "std::os",
    "std::env",
    "nix::",
    "io_uring::",
    "libc::",
    "tokio",
];

/// Where `unsafe` may stand.
const UNSAFE: &[&str] = &["engine", "buffer", "table::probe", "journal::ring", "server::idle"];

/// How a clock is looked at, and who may.
const CLOCKS: &[&str] = &["Instant::now", "SystemTime::now", "clock_gettime", "_rdtsc", ".elapsed()"];
const CLOCK: &str = "clock";

/// Engines know bytes, descriptors and tokens: none of these.
const NOT_FOR_ENGINES: &[&str] = &["Table", "Command", "KeyHash"];

/// Lines of a file; beyond 500 there is a second noun in it.
const LONGEST_FILE: usize = 600;

/// Uppercase prefixes of the kernel's names.
const KERNEL_NAMES: &[&str] = &[
    "IORING_",
    "IOSQE_",
    "RECV_",
    "RECVSEND_",
    "EPOLL",
    "SO_",
    "TCP_",
    "MSG_",
    "SOCK_",
    "RLIMIT_",
    "EFD_",
    "MAP_",
    "MADV_",
];

/// Kernel names that are arguments of everyday calls, not features to write about.
const EVERYDAY: &[&str] = &[
    "EPOLLIN",
    "EPOLLOUT",
    "EPOLLERR",
    "EPOLLHUP",
    "EPOLL_CLOEXEC",
    "SOCK_STREAM",
    "SOCK_CLOEXEC",
    "SOCK_NONBLOCK",
    "SO_ERROR",
    "MSG_DONTWAIT",
    "MSG_NOSIGNAL",
];

/// The violations found so far.
#[derive(Default)]
struct Findings(String);

impl Findings {
    fn add(&mut self, path: &Path, line: usize, rule: &str) {
        writeln!(self.0, "{}:{line}: {rule}", path.display()).expect("a string can be written to");
    }

    #[track_caller]
    fn none(self) {
        assert!(self.0.is_empty(), "the sources break rules of the architecture:\n{}", self.0);
    }
}

#[test]
fn imports_only_point_down() {
    let mut findings = Findings::default();
    for source in sources() {
        let top = if source.module.is_empty() { continue } else { source.top() };
        let Some((_, allowed)) = IMPORTS.iter().find(|(module, _)| *module == top) else {
            findings.add(&source.path, 1, "every module stands in the import table of tests/architecture.rs");
            continue;
        };
        for (at, path) in named_paths(&source) {
            let own = is_within(&path, top);
            // A name that is no module is an item of the crate's root; there are none to be had.
            let known = IMPORTS.iter().any(|(module, _)| is_within(&path, module));
            if known && !own && !allowed.iter().any(|module| is_within(&path, module)) {
                let rule = format!("{top} may not use {path}; it may use {allowed:?}");
                findings.add(&source.path, source.line(at), &rule);
            }
        }
    }
    findings.none();
}

#[test]
fn the_import_table_has_no_circles() {
    let below = |name: &str| {
        let top = name.split("::").next().unwrap_or_default();
        IMPORTS.iter().position(|(module, _)| *module == top).unwrap_or_else(|| panic!("{name} is no module"))
    };
    for (place, (module, allowed)) in IMPORTS.iter().enumerate() {
        for name in *allowed {
            assert!(below(name) > place, "{module} may use {name}, so {name} stands below it in the table");
        }
    }
}

#[test]
fn every_file_says_what_it_promises() {
    let mut findings = Findings::default();
    const EVERYWHERE: [&str; 6] =
        ["src", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets", "fuzz/examples"];
    let everywhere = EVERYWHERE.iter().flat_map(|dir| files(&root().join(dir), "rs"));
    for path in everywhere {
        let shown = path.strip_prefix(root()).expect("it was found there");
        if !read(&path).starts_with("//! ") {
            findings.add(shown, 1, "the first line, //!, says what the file promises");
        }
    }
    findings.none();
}

#[test]
fn files_stay_readable() {
    let mut findings = Findings::default();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > LONGEST_FILE {
            findings.add(
                &source.path,
                lines,
                &format!("a file has at most {LONGEST_FILE} lines: find the second noun"),
            );
        }
    }
    findings.none();
}

#[test]
fn unsafe_code_stays_in_its_fence() {
    let mut findings = Findings::default();
    for source in sources() {
        if UNSAFE.iter().any(|module| is_within(&source.module, module)) {
            continue;
        }
        for at in words(&source.code, "unsafe") {
            findings.add(&source.path, source.line(at), &format!("unsafe stands only in {UNSAFE:?}"));
        }
    }
    findings.none();
}

#[test]
fn only_the_clock_looks_at_clocks() {
    let mut findings = Findings::default();
    for source in sources().iter().filter(|source| source.module != CLOCK) {
        for (name, at) in
            CLOCKS.iter().flat_map(|name| words(source.shipped(), name).map(move |at| (name, at)))
        {
            findings.add(&source.path, source.line(at), &format!("{name} stands only in src/{CLOCK}.rs"));
        }
    }
    findings.none();
}

#[test]
fn the_core_knows_nothing_of_the_world() {
    let mut findings = Findings::default();
    for source in sources() {
        if !CORE.iter().any(|module| is_within(&source.module, module)) {
            continue;
        }
        for (name, at) in
            WORLD.iter().flat_map(|name| words(source.shipped(), name).map(move |at| (name, at)))
        {
            let rule =
                format!("{CORE:?} are told of sockets, rings, files and threads, and never name {name}");
            findings.add(&source.path, source.line(at), &rule);
        }
    }
    findings.none();
}

#[test]
fn engines_know_no_commands() {
    let mut findings = Findings::default();
    for source in sources().iter().filter(|source| source.top() == "engine") {
        for (name, at) in
            NOT_FOR_ENGINES.iter().flat_map(|name| words(&source.code, name).map(move |at| (name, at)))
        {
            findings.add(
                &source.path,
                source.line(at),
                &format!("engines know bytes and descriptors, not {name}"),
            );
        }
    }
    findings.none();
}

#[test]
fn nothing_refers_to_a_tracker_by_number() {
    let mut findings = Findings::default();
    let code = ["src", "tests", "benches", "fuzz"].iter().flat_map(|dir| files(&root().join(dir), "rs"));
    // Records of benchmarks quote the machine, whose kernel numbers its builds.
    let records = root().join("benches/record");
    let prose = ["deploy", "benches"].iter().flat_map(|dir| files(&root().join(dir), "md"));
    let prose = prose.filter(|path| !path.starts_with(&records));
    let top = fs::read_dir(root())
        .expect("the package can be listed")
        .map(|entry| entry.expect("it can be").path());
    let top =
        top.filter(|path| path.extension().is_some_and(|extension| extension == "md" || extension == "toml"));
    for path in code.chain(prose).chain(top) {
        for (number, line) in read(&path).lines().enumerate() {
            // A number sign with a digit behind a blank or bracket; in code it stands behind a colon or letter.
            let bytes = line.as_bytes();
            let numbered = |at: usize| bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
            let free = |at: usize| at > 0 && b" (".contains(&bytes[at - 1]);
            if line.match_indices('#').any(|(at, _)| numbered(at) && free(at)) {
                let shown = path.strip_prefix(root()).expect("it was found there");
                findings.add(shown, number + 1, "the project speaks for itself: no numbers of a tracker");
            }
        }
    }
    findings.none();
}

/// The kernel features that a file names, in the kernel's terms: its constants, and those that the `io-uring` crate
/// spells `setup_defer_taskrun` and `opcode::AcceptMulti`.
fn kernel_features(source: &Source) -> BTreeSet<(usize, String)> {
    let mut found = BTreeSet::new();
    let code = source.shipped();
    for word in code.split(|letter: char| !u8::try_from(letter).is_ok_and(is_word)) {
        let at = word.as_ptr().addr() - code.as_ptr().addr();
        let shouted = word.bytes().all(|byte| !byte.is_ascii_lowercase());
        if shouted && KERNEL_NAMES.iter().any(|prefix| word.starts_with(prefix)) && !EVERYDAY.contains(&word)
        {
            found.insert((source.line(at), word.to_owned()));
        } else if let Some(flag) = word.strip_prefix("setup_") {
            found.insert((source.line(at), flag.to_uppercase()));
        } else if code[..at].ends_with("opcode::") {
            found.insert((source.line(at), shout(word.strip_suffix("Multi").unwrap_or(word))));
        }
    }
    found
}

/// `AsyncCancel` as the kernel spells it: `ASYNC_CANCEL`.
fn shout(name: &str) -> String {
    let mut shouted = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !shouted.is_empty() {
            shouted.push('_');
        }
        shouted.push(letter.to_ascii_uppercase());
    }
    shouted
}

/// Whether the notes name a feature, with or without the prefix that the kernel's headers give it.
fn is_noted(notes: &str, feature: &str) -> bool {
    notes.match_indices(feature).any(|(at, _)| {
        let letter_before = notes[..at].bytes().next_back().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let goes_on = notes[at + feature.len()..].bytes().next().is_some_and(is_word);
        !letter_before && !goes_on
    })
}

#[test]
fn the_kernel_notes_name_every_kernel_feature() {
    let notes = read(&root().join("kernel-notes.md"));
    let mut findings = Findings::default();
    for source in sources().iter().filter(|source| source.top() == "engine") {
        for (line, feature) in kernel_features(source) {
            if !is_noted(&notes, &feature) {
                findings.add(&source.path, line, &format!("kernel-notes.md says nothing of {feature}"));
            }
        }
    }
    findings.none();
}

#[test]
fn kernel_features_are_found_in_notes() {
    assert_eq!([shout("AsyncCancel"), shout("Recv")], ["ASYNC_CANCEL", "RECV"]);
    assert!(is_noted("`IORING_SETUP_DEFER_TASKRUN` (6.1)", "DEFER_TASKRUN") && is_noted("SEND", "SEND"));
    assert!(!is_noted("SEND_ZC", "SEND") && !is_noted("RESEND", "SEND"));
}
