//! What the user asked the harness for. Knows names and numbers, nothing of what they lead to.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::contender::NAMES;
use super::row::RowName;

/// How long and how often is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// For figures that are published.
    Full,
    /// For a look while working.
    Quick,
    /// Everything once and briefly, to see that it works; the figures mean nothing.
    Smoke,
}

/// The command line of a comparison.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// Rows to measure, in order.
    pub(super) rows: Vec<RowName>,
    /// How long and how often.
    pub(super) effort: Effort,
    /// Rounds instead of the row's own number.
    pub(super) rounds: Option<usize>,
    /// Names of servers to measure; empty = all.
    pub(super) servers: Vec<String>,
    /// Programs of peers that the user gave, by name.
    pub(super) peers: Vec<(String, PathBuf)>,
    /// Our server with all engines, instead of building it.
    pub(super) binary: Option<PathBuf>,
    /// Our epoll-only server, instead of building it.
    pub(super) epoll_binary: Option<PathBuf>,
    /// Processor for servers.
    pub(super) server_core: usize,
    /// Processor for the load and the harness itself.
    pub(super) load_core: usize,
    /// Where the record's directory is made.
    pub(super) record: Option<PathBuf>,
    /// Of the random keys; each round has its own, derived from it.
    pub(super) seed: u64,
}

/// Adds the arguments of a comparison.
pub(super) fn arguments(command: Command) -> Command {
    let text = |name, help| Arg::new(name).long(name).help(help);
    let path = |name, help| text(name, help).value_parser(value_parser!(PathBuf));
    let flag = |name, help| text(name, help).action(ArgAction::SetTrue);
    let core =
        |name, default, help| text(name, help).value_parser(value_parser!(usize)).default_value(default);
    command
        .arg(
            Arg::new("only")
                .long("only")
                .help(format!("rows to measure: {}", RowName::ALL.map(RowName::text).join(",")))
                .value_delimiter(',')
                .value_parser(RowName::parse),
        )
        .arg(flag(
            "quick",
            "everything in less than five minutes: fewer and shorter rounds, fewer keys; for a look",
        ))
        .arg(flag("smoke", "everything once and briefly, in a minute or two; figures mean nothing"))
        .arg(text("rounds", "rounds of each row").value_parser(value_parser!(u16).range(1..=1000)))
        .arg(text("servers", "only these").value_delimiter(',').value_parser(NAMES))
        .arg(text("peer", "program of a peer: redis=path or valkey=path").action(ArgAction::Append))
        .arg(path("binary", "our server with all engines; built if not given"))
        .arg(path("epoll-binary", "our epoll-only server; built if not given"))
        .arg(core("server-core", "0", "processor for servers"))
        .arg(core("load-core", "1", "processor for the load"))
        .arg(path("record", "where to make the record's directory (default: benches/record)"))
        .arg(text("seed", "of random keys").value_parser(value_parser!(u64)).default_value("1"))
}

impl Options {
    /// Reads what clap has parsed.
    ///
    /// # Errors
    /// A sentence for the user about what cannot be done.
    pub(super) fn read(matches: &ArgMatches) -> Result<Self, String> {
        let effort = match (matches.get_flag("smoke"), matches.get_flag("quick")) {
            (true, true) => return Err("--smoke and --quick exclude each other".to_owned()),
            (true, false) => Effort::Smoke,
            (false, true) => Effort::Quick,
            (false, false) => Effort::Full,
        };
        let mut rows: Vec<RowName> =
            matches.get_many("only").map_or_else(|| RowName::ALL.to_vec(), |rows| rows.copied().collect());
        // Their order is that in which servers get more and more keys.
        rows.sort_unstable();
        rows.dedup();
        let peers: Result<_, String> = matches
            .get_many::<String>("peer")
            .into_iter()
            .flatten()
            .map(|peer| match peer.split_once('=') {
                Some((name @ ("redis" | "valkey"), path)) => Ok((name.to_owned(), PathBuf::from(path))),
                _ => Err(format!("--peer {peer}: expected redis=path or valkey=path")),
            })
            .collect();
        let path = |name: &str| matches.get_one::<PathBuf>(name).cloned();
        let core = |name: &str| *matches.get_one::<usize>(name).expect("cores have defaults");
        Ok(Self {
            rows,
            effort,
            rounds: matches.get_one::<u16>("rounds").copied().map(usize::from),
            servers: matches.get_many::<String>("servers").into_iter().flatten().cloned().collect(),
            peers: peers?,
            binary: path("binary"),
            epoll_binary: path("epoll-binary"),
            server_core: core("server-core"),
            load_core: core("load-core"),
            record: path("record"),
            seed: *matches.get_one("seed").expect("the seed has a default"),
        })
    }

    /// The command line that gives the same run, for the record. Paths are left out: they say nothing elsewhere.
    pub(super) fn shown(&self) -> String {
        let rows: Vec<&str> = self.rows.iter().map(|row| row.text()).collect();
        let mut text = format!("--only {} --seed {}", rows.join(","), self.seed);
        match self.effort {
            Effort::Full => {}
            Effort::Quick => text.push_str(" --quick"),
            Effort::Smoke => text.push_str(" --smoke"),
        }
        if let Some(rounds) = self.rounds {
            text.push_str(&format!(" --rounds {rounds}"));
        }
        if !self.servers.is_empty() {
            text.push_str(&format!(" --servers {}", self.servers.join(",")));
        }
        text
    }
}
