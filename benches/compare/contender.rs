//! Who competes: our server per engine and as a separate epoll build, peers found on this machine, bare loops.
//!
//! Knows programs and their arguments. Who is missing is named with the reason, never left out in silence.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf, absolute};
use std::process::Command;

use serde::Serialize;

use super::options::{Effort, Options};

/// Our default engine.
pub(super) const OURS: &str = "tallyring-uring";
/// The same with a registered block for each connection.
pub(super) const OURS_FIXED: &str = "tallyring-uring-fixed";
/// Our engine of tasks, in the same binary.
pub(super) const OURS_TOKIO: &str = "tallyring-tokio-uring";
/// Our epoll engine, in the same binary.
pub(super) const OURS_EPOLL: &str = "tallyring-epoll";
/// Our separately built epoll-only binary.
pub(super) const OURS_EPOLL_BUILD: &str = "tallyring-epoll-build";
/// Our default engine with two workers.
pub(super) const OURS_TWO: &str = "tallyring-uring-2-workers";
/// Our default engine with a journal that the kernel syncs when it likes.
pub(super) const OURS_NO: &str = "tallyring-uring-no";
/// The same with a journal synced every second.
pub(super) const OURS_EVERYSEC: &str = "tallyring-uring-everysec";
/// The same with a journal synced before replies leave.
pub(super) const OURS_ALWAYS: &str = "tallyring-uring-always";
/// redis-server.
pub(super) const REDIS: &str = "redis";
/// redis-server with an append-only file that the kernel syncs when it likes.
pub(super) const REDIS_NO: &str = "redis-no";
/// redis-server with an append-only file synced every second.
pub(super) const REDIS_EVERYSEC: &str = "redis-everysec";
/// redis-server with an append-only file synced before replies leave.
pub(super) const REDIS_ALWAYS: &str = "redis-always";
/// valkey-server.
pub(super) const VALKEY: &str = "valkey";
/// valkey-server with an append-only file synced every second.
pub(super) const VALKEY_EVERYSEC: &str = "valkey-everysec";
/// valkey-server with an append-only file synced before replies leave.
pub(super) const VALKEY_ALWAYS: &str = "valkey-always";
/// The loop on epoll without a decoder or a table.
pub(super) const BARE_EPOLL: &str = "bare-epoll";
/// The same on a ring.
pub(super) const BARE_RING: &str = "bare-ring";

/// Our default engine, one worker.
const URING: Kind = Kind::Ours(Build::All, "1", &["--engine", "uring"]);

/// All of them, in the order of tables. One line is one contender.
const CONTENDERS: [(&str, Kind, Mode); 18] = [
    (OURS, URING, Mode::Memory),
    (OURS_FIXED, Kind::Ours(Build::All, "1", &["--engine", "uring", "--recv", "fixed"]), Mode::Memory),
    (OURS_TOKIO, Kind::Ours(Build::All, "1", &["--engine", "tokio-uring"]), Mode::Memory),
    (OURS_EPOLL, Kind::Ours(Build::All, "1", &["--engine", "epoll"]), Mode::Memory),
    (OURS_EPOLL_BUILD, Kind::Ours(Build::EpollOnly, "1", &["--engine", "epoll"]), Mode::Memory),
    (OURS_TWO, Kind::Ours(Build::All, "2", &["--engine", "uring"]), Mode::Memory),
    (OURS_NO, URING, Mode::Journal("no")),
    (OURS_EVERYSEC, URING, Mode::Journal("everysec")),
    (OURS_ALWAYS, URING, Mode::Journal("always")),
    (REDIS, Kind::Peer("redis"), Mode::Memory),
    (REDIS_NO, Kind::Peer("redis"), Mode::Journal("no")),
    (REDIS_EVERYSEC, Kind::Peer("redis"), Mode::Journal("everysec")),
    (REDIS_ALWAYS, Kind::Peer("redis"), Mode::Journal("always")),
    (VALKEY, Kind::Peer("valkey"), Mode::Memory),
    (VALKEY_EVERYSEC, Kind::Peer("valkey"), Mode::Journal("everysec")),
    (VALKEY_ALWAYS, Kind::Peer("valkey"), Mode::Journal("always")),
    (BARE_EPOLL, Kind::Bare("epoll"), Mode::Memory),
    (BARE_RING, Kind::Bare("ring"), Mode::Memory),
];

/// All names, in the order of tables.
pub(super) const NAMES: [&str; CONTENDERS.len()] = {
    let mut names = [""; CONTENDERS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = CONTENDERS[index].0;
        index += 1;
    }
    names
};

/// Whether this is one of ours, not a peer or a bare loop.
pub(super) fn is_ours(name: &str) -> bool {
    CONTENDERS.iter().any(|(known, kind, _)| *known == name && matches!(kind, Kind::Ours(..)))
}

/// A server that can be started.
#[derive(Clone, Debug)]
pub(super) struct Contender {
    /// One of [`NAMES`].
    pub(super) name: &'static str,
    program: PathBuf,
    kind: Kind,
    mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// With so many workers, and these flags.
    Ours(Build, &'static str, &'static [&'static str]),
    /// The program is of this name.
    Peer(&'static str),
    Bare(&'static str),
}

/// What of the data a server writes to disk; no server takes snapshots unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing.
    Memory,
    /// Every change, synced as `appendfsync` says here.
    Journal(&'static str),
}

impl Mode {
    /// Its arguments, the same for all servers. A journal that were rewritten under way would be measured with it.
    fn arguments(self) -> Vec<&'static str> {
        let mut words = vec!["--save", ""];
        match self {
            Self::Memory => words.extend(["--appendonly", "no"]),
            Self::Journal(sync) => {
                words.extend(["--appendonly", "yes", "--appendfsync", sync]);
                words.extend(["--auto-aof-rewrite-percentage", "0"]);
            }
        }
        words
    }
}

/// Which of our binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Build {
    All,
    EpollOnly,
}

/// A server that is not there.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Missing {
    /// One of [`NAMES`].
    pub(super) name: &'static str,
    /// Why, and what would help.
    pub(super) why: String,
}

impl Contender {
    /// The program.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// Whether keys exist for it: a bare loop answers without a table.
    pub(super) fn has_table(&self) -> bool {
        !matches!(self.kind, Kind::Bare(_))
    }

    /// What it writes to disk, in the words of its own directives, for the record.
    pub(super) fn mode(&self) -> String {
        match self.mode {
            _ if !self.has_table() => "without data".to_owned(),
            Mode::Memory => "`appendonly no`".to_owned(),
            Mode::Journal(sync) => format!("`appendonly yes`, `appendfsync {sync}`"),
        }
    }

    /// Arguments to listen on `port` of loopback, with data in the current directory if any.
    pub(super) fn arguments(&self, port: u16) -> Vec<OsString> {
        let port = port.to_string();
        let words: Vec<&str> = match self.kind {
            Kind::Ours(_, workers, flags) => {
                let common = ["--threads", workers, "--admin-port", "0", "--port", &port];
                flags.iter().copied().chain(common).chain(self.mode.arguments()).collect()
            }
            Kind::Peer(_) => {
                let common = ["--port", &port, "--bind", "127.0.0.1"];
                common.into_iter().chain(self.mode.arguments()).collect()
            }
            Kind::Bare(kind) => vec!["bare", kind, "--port", &port],
        };
        words.into_iter().map(OsString::from).collect()
    }

    /// Name and version as the program itself says them, for the record.
    pub(super) fn version(&self) -> String {
        if let Kind::Bare(kind) = self.kind {
            return format!("bare loop, {kind}");
        }
        let output = Command::new(&self.program).arg("--version").output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.unwrap_or_default().lines().next().unwrap_or("says no version").trim().to_owned()
    }
}

/// Finds or builds the servers named in `wanted`, in the order of [`NAMES`].
pub(super) fn gather(options: &Options, wanted: &[&'static str]) -> (Vec<Contender>, Vec<Missing>) {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    let mut ours: Option<Result<PathBuf, String>> = None;
    for (name, kind, mode) in CONTENDERS {
        let asked = options.servers.is_empty() || options.servers.iter().any(|server| server == name);
        if !asked || !wanted.contains(&name) {
            continue;
        }
        let program = match kind {
            Kind::Ours(Build::All, ..) => ours.get_or_insert_with(|| our_binary(options)).clone(),
            Kind::Ours(Build::EpollOnly, ..) => epoll_build(options),
            Kind::Bare("ring") if !cfg!(feature = "uring") => {
                Err("built without the feature uring".to_owned())
            }
            Kind::Bare(_) => own_binary(),
            Kind::Peer(peer) => peer_binary(options, peer),
        };
        match program {
            Ok(program) => found.push(Contender { name, program, kind, mode }),
            Err(why) => missing.push(Missing { name, why }),
        }
    }
    (found, missing)
}

fn own_binary() -> Result<PathBuf, String> {
    env::current_exe().map_err(|error| error.to_string())
}

/// The directory that cargo builds into: `<target>/release/tallyring` is two levels below it.
pub(super) fn target_directory() -> &'static Path {
    let binary = Path::new(env!("CARGO_BIN_EXE_tallyring"));
    binary.ancestors().nth(2).expect("cargo puts binaries two levels below its target directory")
}

fn our_binary(options: &Options) -> Result<PathBuf, String> {
    if let Some(binary) = &options.binary {
        return present(binary.clone());
    }
    if options.effort == Effort::Smoke {
        // Built together with this program; the profile does not matter here.
        return present(PathBuf::from(env!("CARGO_BIN_EXE_tallyring")));
    }
    build(&["build", "--release", "--bin", "tallyring"], target_directory())
}

fn epoll_build(options: &Options) -> Result<PathBuf, String> {
    if let Some(binary) = &options.epoll_binary {
        return present(binary.clone());
    }
    let target = target_directory().join("epoll-only");
    if options.effort == Effort::Smoke {
        return present(target.join("release/tallyring"));
    }
    let features =
        ["build", "--release", "--bin", "tallyring", "--no-default-features", "--features", "epoll"];
    build(&features, &target)
}

fn build(arguments: &[&str], target: &Path) -> Result<PathBuf, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    eprintln!("cargo {} --target-dir {}", arguments.join(" "), target.display());
    let status = Command::new(cargo)
        .args(arguments)
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .map_err(|error| format!("cargo does not run: {error}"))?;
    if !status.success() {
        return Err(format!("cargo {} failed", arguments.join(" ")));
    }
    present(target.join("release/tallyring"))
}

fn present(path: PathBuf) -> Result<PathBuf, String> {
    // Absolute: servers are started in directories of their own.
    let path = absolute(&path).map_err(|error| error.to_string())?;
    if path.is_file() { Ok(path) } else { Err(format!("there is no {}", path.display())) }
}

fn peer_binary(options: &Options, name: &str) -> Result<PathBuf, String> {
    if let Some((_, path)) = options.peers.iter().find(|(peer, _)| peer == name) {
        return present(path.clone());
    }
    let program = format!("{name}-server");
    on_path(&program).or_else(|| installed(&program)).ok_or_else(|| {
        format!("{program} is neither on PATH nor installed by benches/peers.sh; or give --peer {name}=path")
    })
}

/// The first program of that name in the directories of `PATH`.
pub(super) fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// The program of that name that `benches/peers.sh` left in its directory of links.
fn installed(program: &str) -> Option<PathBuf> {
    fs::canonicalize(target_directory().join("peers/bin").join(program)).ok()
}
