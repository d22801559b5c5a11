//! What the tests work with: directories, servers in them, and runs of a tool.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use redis::Connection;

/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `holds`.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A directory that goes away with the test.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tools-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&dir).expect("the test directory is writable");
        Self(dir)
    }

    /// A path in it.
    pub(crate) fn at(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("the test directory has a name in UTF-8").to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _left_over = fs::remove_dir_all(&self.0);
    }
}

/// A file beside the tests.
pub(crate) fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// How a run of the binary ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the output is text");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Runs a tool.
pub(crate) fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallyring"));
    command.args(args).env_remove("REDISCLI_AUTH").stdin(Stdio::null());
    command.output().expect("the binary can be run").into()
}

/// What a tool prints that succeeds and has nothing to complain of.
#[track_caller]
pub(crate) fn fine(args: &[&str]) -> String {
    let run = run(args);
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{args:?}: {run:?}");
    run.out
}

/// The one line of a tool that ends with this code.
#[track_caller]
pub(crate) fn refused(code: i32, args: &[&str]) -> String {
    let run = run(args);
    assert_eq!(run.code, Some(code), "{args:?}: {run:?}");
    let line = run.err.strip_prefix("tallyring: ").and_then(|rest| rest.strip_suffix('\n'));
    let line = line.unwrap_or_else(|| panic!("{args:?}: {run:?}")).to_owned();
    assert!(!line.contains('\n'), "{args:?}: more than one line: {line}");
    line
}

/// The lines of a dump, sorted, and the fields of each hash.
#[track_caller]
pub(crate) fn dumped(dir: &str) -> Vec<String> {
    let mut lines: Vec<String> = fine(&["dump", dir]).lines().map(in_order).collect();
    lines.sort();
    lines
}

/// A line whose fields, if it is of a hash without blanks in it, are sorted.
fn in_order(line: &str) -> String {
    let mut columns: Vec<String> = line.split('\t').map(str::to_owned).collect();
    if columns[1] == "hash" {
        let words: Vec<&str> = columns[2].split(' ').collect();
        let mut pairs: Vec<String> = words.chunks(2).map(|pair| pair.join(" ")).collect();
        pairs.sort();
        columns[2] = pairs.join(" ");
    }
    columns.join("\t")
}

/// The names and bytes of a directory's files.
pub(crate) fn content(dir: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(dir).expect("the directory can be listed").map(|entry| {
        let entry = entry.expect("it can be");
        let bytes = fs::read(entry.path()).expect("its files can be read");
        (entry.file_name().to_string_lossy().into_owned(), bytes)
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

/// A running server; killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
    password: Option<&'static str>,
}

impl Server {
    /// Our server on a data directory, in small files.
    #[track_caller]
    pub(crate) fn on(dir: &str, flags: &[&str]) -> Self {
        let port = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyring"));
        command.args(["--dir", dir, "--threads", "2", "--journal-segment-size", "1mb", "--save", ""]);
        command.args(["--admin-port", "0", "--port", &port.to_string(), "--bind", "127.0.0.1"]).args(flags);
        Self::spawn(command, port, None)
    }

    /// Our server with a password.
    #[track_caller]
    pub(crate) fn with_password(dir: &str, password: &'static str) -> Self {
        let port = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyring"));
        command.args(["--dir", dir, "--threads", "1", "--journal-segment-size", "1mb", "--save", ""]);
        command.args([
            "--admin-port",
            "0",
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--requirepass",
            password,
        ]);
        Self::spawn(command, port, Some(password))
    }

    /// A server of Redis that saves nothing.
    #[track_caller]
    pub(crate) fn redis(dir: &str) -> Self {
        let port = free_port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir", dir]);
        Self::spawn(command, port, None)
    }

    #[track_caller]
    fn spawn(mut command: Command, port: u16, password: Option<&'static str>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let mut server = Self { child, port, password };
        wait_until("the server answers", || {
            let gone = server.child.try_wait().expect("a child of ours can be waited for");
            assert_eq!(gone, None, "the server did not start: {command:?}");
            server
                .try_connect()
                .is_ok_and(|mut connection| redis::cmd("PING").query::<String>(&mut connection).is_ok())
        });
        server
    }

    fn try_connect(&self) -> redis::RedisResult<Connection> {
        redis::Client::open(self.url())?.get_connection()
    }

    /// A new connection.
    #[track_caller]
    pub(crate) fn connect(&self) -> Connection {
        self.try_connect().expect("the server is there")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it is, for clients.
    pub(crate) fn url(&self) -> String {
        match self.password {
            Some(password) => format!("redis://:{password}@127.0.0.1:{}", self.port),
            None => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    /// Ends it as an operator does.
    pub(crate) fn end(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("process ids are small"));
        kill(pid, Signal::SIGTERM).expect("a child of ours can be signalled");
        self.child.wait().expect("a child of ours can be waited for");
    }

    /// Ends it at once.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a child of ours can be killed");
        self.child.wait().expect("a child of ours can be waited for");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// A port that nobody listened on a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("loopback has a free port")
        .port()
}

/// Sends a command of words.
#[track_caller]
pub(crate) fn ask<R: redis::FromRedisValue>(connection: &mut Connection, words: &str) -> R {
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().expect("a command has a name"));
    for word in words {
        command.arg(word);
    }
    command.query(connection).unwrap_or_else(|error| panic!("{error}"))
}
