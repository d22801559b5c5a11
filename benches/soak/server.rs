//! The server under the load: started with its data, looked at from outside, asked to end, always ended.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::sched_getaffinity;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::{Peer, Reply};
use crate::launch;

/// How long it may take to read its data, or to write it and end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// A server; dropping it ends it and removes its data.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    port: u16,
    engine: String,
    binary: PathBuf,
    directory: PathBuf,
}

impl Server {
    /// Starts one with two workers and waits until it answers.
    ///
    /// # Errors
    /// What the system says, or that it does not answer.
    pub(crate) fn start(binary: &Path, engine: &str) -> io::Result<Self> {
        let target = Path::new(env!("CARGO_BIN_EXE_tallyring")).ancestors().nth(2);
        let target = target.expect("cargo puts binaries two levels below its target directory");
        let directory = target.join(format!("soak-run/{}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let (child, port) = execute(binary, engine, &directory)?;
        let (engine, binary) = (engine.to_owned(), binary.to_owned());
        let mut server = Self { child, port, engine, binary, directory };
        server.await_answer()?;
        Ok(server)
    }

    /// Ends it as a service manager does, and starts it again with what it left on disk.
    ///
    /// # Errors
    /// What the system says, an end that is no success, or that it does not answer.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        kill(self.signalled(), Signal::SIGTERM)?;
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if start.elapsed() > PATIENCE {
                return Err(io::Error::other("the server does not end"));
            }
            thread::sleep(LOOK);
        };
        if !status.success() {
            return Err(io::Error::other(format!("the server ended with {status}")));
        }
        (self.child, self.port) = execute(&self.binary, &self.engine, &self.directory)?;
        self.await_answer()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Descriptors that it has open.
    ///
    /// # Errors
    /// If it is gone.
    pub(crate) fn descriptors(&self) -> io::Result<u64> {
        descriptors(self.pid())
    }

    /// What it printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    fn signalled(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.pid()).expect("pids fit an i32"))
    }

    fn await_answer(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("the server ended ({status}): {}", self.log())));
            }
            let pong = Reply::Status("PONG".to_owned());
            if Peer::connect(self.address())
                .and_then(|mut peer| peer.ask(&["PING"]))
                .is_ok_and(|it| it == pong)
            {
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        Err(io::Error::other("the server does not answer"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended; nothing of it is worth keeping.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Descriptors that a process has open.
///
/// # Errors
/// If it is gone.
pub(crate) fn descriptors(pid: u32) -> io::Result<u64> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64)
}

fn execute(binary: &Path, engine: &str, directory: &Path) -> io::Result<(Child, u16)> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let log = File::options().create(true).append(true).open(directory.join("log"))?;
    let own = sched_getaffinity(Pid::from_raw(0))?;
    let cores: Vec<usize> =
        (0..nix::sched::CpuSet::count()).filter(|&core| own.is_set(core).unwrap_or(false)).collect();
    let child = launch::on_cores(&cores, binary)?
        .args(["--engine", engine, "--threads", "2", "--admin-port", "0", "--port", &port.to_string()])
        .args(["--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--dir"])
        .arg(directory.join("data"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok((child, port))
}

/// The fields of `INFO`.
///
/// # Errors
/// What the connection says.
pub(crate) fn info(peer: &mut Peer) -> io::Result<BTreeMap<String, String>> {
    match peer.ask(&["INFO", "everything"])? {
        Reply::Bulk(Some(text)) => Ok(text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()),
        other => Err(io::Error::other(format!("{other:?} to INFO"))),
    }
}
