//! One server on its way: started on its processors, awaited, always ended.
//!
//! Knows a pid, a port and a log file. A server gets a directory of its own to write into, which goes with it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::contender::{Contender, target_directory};
use super::launch;

/// How long a server without data may take to answer its first `PING`.
const START: Duration = Duration::from_secs(10);

/// How long one may take with data: to write a snapshot, to end, or to read it all again.
const WITH_DATA: Duration = Duration::from_secs(300);

/// How long a server may take to end after it was asked to.
const END: Duration = Duration::from_secs(5);

/// Where servers have their directories, each named by the harness' pid and its port.
const RUN: &str = "bench-run";

/// Between two looks at something that is awaited.
const LOOK: Duration = Duration::from_millis(5);

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Server {
    /// Its contender's name.
    pub(super) name: &'static str,
    /// Where it listens, on loopback.
    pub(super) port: u16,
    child: Child,
    directory: PathBuf,
}

impl Server {
    /// Starts a server on `cores` and waits until it answers.
    ///
    /// # Errors
    /// A sentence that says what happened, with the end of the server's log.
    pub(super) fn start(contender: &Contender, cores: &[usize]) -> Result<Self, String> {
        Self::spawn(contender, cores)
            .map_err(|error| format!("{} cannot be started: {error}", contender.name))
            .and_then(|mut server| match server.await_answer(START) {
                Ok(_) => Ok(server),
                Err(what) => Err(format!("{} {what}; its log ends: {}", contender.name, server.log_end())),
            })
    }

    /// Ends the server, which writes what it has to, and starts it again with what it left on disk. Gives the time from
    /// its execution to its first answer.
    ///
    /// # Errors
    /// A sentence that says what happened, with the end of the server's log.
    pub(super) fn restart(&mut self, contender: &Contender, cores: &[usize]) -> Result<Duration, String> {
        let of = |what: String| format!("{}: {what}", contender.name);
        match self.end(WITH_DATA).map_err(|error| of(error.to_string()))? {
            Ended::Asked => {}
            Ended::Killed => return Err(of(format!("did not end; its log ends: {}", self.log_end()))),
        }
        let execute = || {
            let port = free_port()?;
            io::Result::Ok((port, execute(contender, cores, port, &self.directory)?))
        };
        (self.port, self.child) = execute().map_err(|error| of(error.to_string()))?;
        self.await_answer(WITH_DATA).map_err(|what| of(format!("{what}; its log ends: {}", self.log_end())))
    }

    fn spawn(contender: &Contender, cores: &[usize]) -> io::Result<Self> {
        let port = free_port()?;
        let directory = target_directory().join(format!("{RUN}/{}-{port}", process::id()));
        fs::create_dir_all(&directory)?;
        let child = execute(contender, cores, port, &directory)?;
        Ok(Self { name: contender.name, port, child, directory })
    }

    /// The process that serves: launching executes in place.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The last lines of what the server printed.
    pub(super) fn log_end(&self) -> String {
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// The time until it answers, from now; that it is still loading is no answer.
    fn await_answer(&mut self, limit: Duration) -> Result<Duration, String> {
        let start = Instant::now();
        while start.elapsed() < limit {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended before it answered ({status})"));
            }
            if ask(self.port, b"*1\r\n$4\r\nPING\r\n").is_ok_and(|(line, _)| answers(&line)) {
                return Ok(start.elapsed());
            }
            thread::sleep(LOOK);
        }
        Err(format!("does not answer within {} s", limit.as_secs()))
    }

    /// The numbers in one section of `INFO`, by field name; empty where the server has none.
    pub(super) fn info(&self, section: &str) -> BTreeMap<String, i64> {
        let request = format!("*2\r\n$4\r\nINFO\r\n${}\r\n{section}\r\n", section.len());
        let Ok((header, mut rest)) = ask(self.port, request.as_bytes()) else { return BTreeMap::new() };
        let length = header.trim_end().strip_prefix('$').and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut text = String::new();
        if rest.by_ref().take(length).read_to_string(&mut text).is_err() {
            return BTreeMap::new();
        }
        let field =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.parse().ok()));
        text.lines().filter_map(field).filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Keys that it holds, if it says so.
    pub(super) fn keys(&self) -> Option<u64> {
        let (line, _) = ask(self.port, b"*1\r\n$6\r\nDBSIZE\r\n").ok()?;
        line.trim_end().strip_prefix(':')?.parse().ok()
    }

    /// Whether it says that it knows a command.
    pub(super) fn knows(&self, command: &str) -> bool {
        let request = format!("*3\r\n$7\r\nCOMMAND\r\n$4\r\nINFO\r\n${}\r\n{command}\r\n", command.len());
        let Ok((header, mut rest)) = ask(self.port, request.as_bytes()) else { return false };
        let mut line = String::new();
        // An array of one: the command's own array, or a null of whatever kind.
        header == "*1\r\n" && rest.read_line(&mut line).is_ok() && line.starts_with('*') && line != "*-1\r\n"
    }

    /// Writes a snapshot and waits for it.
    ///
    /// # Errors
    /// What it answered instead.
    pub(super) fn save(&self) -> Result<(), String> {
        match ask_within(self.port, b"*1\r\n$4\r\nSAVE\r\n", WITH_DATA) {
            Ok((line, _)) if line == "+OK\r\n" => Ok(()),
            Ok((line, _)) => Err(format!("answered '{}' to SAVE", line.trim_end())),
            Err(error) => Err(format!("did not answer SAVE: {error}")),
        }
    }

    /// Bytes that its files take on disk, without what it printed.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn stored_bytes(&self) -> io::Result<u64> {
        let whole = blocks(&self.directory)?;
        Ok(whole - fs::metadata(self.directory.join("log"))?.blocks() * BLOCK)
    }

    /// Asks for memory that it has freed to be given back to the system; what it answers does not matter.
    pub(super) fn purge(&self) {
        // One that does not know this keeps what it keeps.
        let _ = ask(self.port, b"*2\r\n$6\r\nMEMORY\r\n$5\r\nPURGE\r\n");
    }

    fn end(&mut self, limit: Duration) -> io::Result<Ended> {
        if self.child.try_wait()?.is_some() {
            return Ok(Ended::Asked);
        }
        let pid = i32::try_from(self.pid()).expect("pids fit an i32");
        kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(Ended::Asked);
            }
            thread::sleep(LOOK);
        }
        eprintln!("{} did not end within {} s after SIGTERM: killed", self.name, limit.as_secs());
        self.child.kill()?;
        self.child.wait().map(|_| Ended::Killed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.end(END) {
            eprintln!("{} (pid {}) may still run: {error}", self.name, self.pid());
        }
        // Nothing in it is worth keeping; an empty directory left behind does no harm.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Removes what servers of harnesses that were killed left behind: journals fill disks.
pub(super) fn remove_leftovers() {
    let Ok(entries) = fs::read_dir(target_directory().join(RUN)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.split_once('-')?.0.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // What cannot be removed now does no harm until the next time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// How a server came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// By itself, after it was asked to or before.
    Asked,
    /// By force.
    Killed,
}

/// Executes a server's program in its directory.
fn execute(contender: &Contender, cores: &[usize], port: u16, directory: &Path) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(directory.join("log"))?;
    launch::on_cores(cores, contender.program())?
        .args(contender.arguments(port))
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

/// Whether a reply to `PING` says that the server is ready. A bare loop has one reply for everything.
fn answers(line: &str) -> bool {
    !line.is_empty() && !line.starts_with("-LOADING")
}

/// Bytes of a block in `st_blocks` (stat(3type)).
const BLOCK: u64 = 512;

/// Bytes that the files of a directory take on disk: what is allocated ahead of use counts.
fn blocks(directory: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let about = entry.metadata()?;
        sum += if about.is_dir() { blocks(&entry.path())? } else { about.blocks() * BLOCK };
    }
    Ok(sum)
}

/// A port that nobody listens on. Another process may take it before the server does; then starting fails.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Sends one request on a connection of its own: the reply's first line, and the stream behind it.
fn ask(port: u16, request: &[u8]) -> io::Result<(String, BufReader<TcpStream>)> {
    ask_within(port, request, Duration::from_secs(2))
}

/// As [`ask`], for a request that takes long.
fn ask_within(port: u16, request: &[u8], limit: Duration) -> io::Result<(String, BufReader<TcpStream>)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(request)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok((line, reader))
}
