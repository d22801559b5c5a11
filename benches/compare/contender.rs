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
/// redis-server.
pub(super) const REDIS: &str = "redis";
/// valkey-server.
pub(super) const VALKEY: &str = "valkey";
/// The loop on epoll without a decoder or a table.
pub(super) const BARE_EPOLL: &str = "bare-epoll";
/// The same on a ring.
pub(super) const BARE_RING: &str = "bare-ring";

/// All of them, in the order of tables. One line is one contender.
const CONTENDERS: [(&str, Kind); 10] = [
    (OURS, Kind::Ours(Build::All, "1", &["--engine", "uring"])),
    (OURS_FIXED, Kind::Ours(Build::All, "1", &["--engine", "uring", "--recv", "fixed"])),
    (OURS_TOKIO, Kind::Ours(Build::All, "1", &["--engine", "tokio-uring"])),
    (OURS_EPOLL, Kind::Ours(Build::All, "1", &["--engine", "epoll"])),
    (OURS_EPOLL_BUILD, Kind::Ours(Build::EpollOnly, "1", &["--engine", "epoll"])),
    (OURS_TWO, Kind::Ours(Build::All, "2", &["--engine", "uring"])),
    (REDIS, Kind::Peer),
    (VALKEY, Kind::Peer),
    (BARE_EPOLL, Kind::Bare("epoll")),
    (BARE_RING, Kind::Bare("ring")),
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
    CONTENDERS.iter().any(|(known, kind)| *known == name && matches!(kind, Kind::Ours(..)))
}

/// A server that can be started.
#[derive(Clone, Debug)]
pub(super) struct Contender {
    /// One of [`NAMES`].
    pub(super) name: &'static str,
    program: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// With so many workers, and these flags.
    Ours(Build, &'static str, &'static [&'static str]),
    Peer,
    Bare(&'static str),
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

    /// Arguments to listen on `port` of loopback with nothing persisted.
    pub(super) fn arguments(&self, port: u16) -> Vec<OsString> {
        let port = port.to_string();
        let words: Vec<&str> = match self.kind {
            Kind::Ours(_, workers, flags) => {
                let common = ["--threads", workers, "--port", &port, "--save", "", "--appendonly", "no"];
                flags.iter().copied().chain(common).collect()
            }
            Kind::Peer => vec!["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
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
    for (name, kind) in CONTENDERS {
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
            Kind::Peer => peer_binary(options, name),
        };
        match program {
            Ok(program) => found.push(Contender { name, program, kind }),
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
