//! Starts the server under test and ends it. Knows processes, ports and its log; of the protocol it knows one
//! `PING`.
//!
//! Each test has a server of its own, so that no test sees another's keys. The operator may point the suite
//! elsewhere:
//!
//! | variable | meaning |
//! |---|---|
//! | `TALLYRING_TEST_ADDR=host:port` | tests that need no flags talk to this running server, one test at a time, each after a `FLUSHALL` |
//! | `TALLYRING_TEST_PEER=path` | starts this Redis-compatible program instead of ours, without the flags that only we have |
//! | `TALLYRING_NO_RING=1` | the operator knows that this kernel gives no ring: the `uring` and `tokio-uring` stamps do not run |

use std::env;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::client::Client;

/// How long anything that must happen may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Pause between two looks at a condition that is being waited for.
const POLL: Duration = Duration::from_millis(2);

/// Ports tried before a test gives up: between choosing one and binding it somebody else may take it.
const PORTS_TRIED: u32 = 20;

/// An engine that was compiled in, and how it is to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The ring, on the best rung that the kernel allows.
    #[cfg(feature = "uring")]
    Uring,
    /// The ring, with a registered block for each connection.
    #[cfg(feature = "uring")]
    UringFixed,
    /// The ring as it would be on Linux 6.0.
    #[cfg(feature = "uring")]
    UringCoop,
    /// The ring as it would be on Linux 5.19.
    #[cfg(feature = "uring")]
    UringOneshot,
    /// The ring with so few entries that its queues are always full.
    #[cfg(feature = "uring")]
    UringTiny,
    #[cfg(feature = "tokio-uring")]
    TokioUring,
    #[cfg(feature = "epoll")]
    Epoll,
}

impl Engine {
    /// Its name, as `--engine` and `INFO` have it.
    pub(crate) fn name(self) -> &'static str {
        self.flags()[1]
    }

    /// The flags that ask for it.
    fn flags(self) -> &'static [&'static str] {
        match self {
            #[cfg(feature = "uring")]
            Self::Uring => &["--engine", "uring"],
            #[cfg(feature = "uring")]
            Self::UringFixed => &["--engine", "uring", "--recv", "fixed"],
            #[cfg(feature = "uring")]
            Self::UringCoop => &["--engine", "uring", "--force-rung", "coop"],
            #[cfg(feature = "uring")]
            Self::UringOneshot => &["--engine", "uring", "--force-rung", "oneshot"],
            #[cfg(feature = "uring")]
            Self::UringTiny => &["--engine", "uring", "--force-entries", "4"],
            #[cfg(feature = "tokio-uring")]
            Self::TokioUring => &["--engine", "tokio-uring"],
            #[cfg(feature = "epoll")]
            Self::Epoll => &["--engine", "epoll"],
        }
    }

    /// Whether each connection has a receive block of its own, taken when it comes.
    pub(crate) fn reads_fixed(self) -> bool {
        self.flags().contains(&"fixed")
    }

    /// Whether this machine is meant to run it: false only where the operator says so, and then it is said.
    pub(crate) fn is_expected(self) -> bool {
        let refused =
            self.name().ends_with("uring") && env::var_os("TALLYRING_NO_RING").is_some_and(|set| set == "1");
        if refused {
            eprintln!(
                "NOT RUN on the {} engine: TALLYRING_NO_RING=1 says that this kernel gives no ring",
                self.name()
            );
        }
        !refused
    }
}

/// Whether the server under test is another program than ours, named by the operator.
pub(crate) fn is_foreign() -> bool {
    env::var_os("TALLYRING_TEST_PEER").is_some() || is_shared()
}

/// Whether tests take turns on a server that the operator started.
pub(crate) fn is_shared() -> bool {
    env::var_os("TALLYRING_TEST_ADDR").is_some()
}

/// Waits until `holds` says yes; says `what` did not happen otherwise.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for this: {what}");
        thread::sleep(POLL);
    }
}

/// What is done to a command before it is run.
pub(crate) type Prepare<'a> = &'a dyn Fn(&mut Command);

/// A running server; killed and reaped when this is dropped.
pub(crate) struct Server {
    /// Absent where the operator named a running server.
    child: Option<Child>,
    addr: SocketAddr,
    /// Working directory and log; removed at the end.
    dir: PathBuf,
    /// Held while a test uses the operator's server.
    _turn: Option<MutexGuard<'static, ()>>,
}

/// How a launch ended that gave no server.
struct Refusal {
    status: ExitStatus,
    output: String,
}

impl Server {
    /// A server on `engine` with one worker.
    #[track_caller]
    pub(crate) fn start(engine: Engine) -> Self {
        match env::var("TALLYRING_TEST_ADDR") {
            Ok(addr) => Self::attach(&addr),
            Err(_) => Self::with_flags(engine, &[]),
        }
    }

    /// A server of our own with these flags on top; `--engine`, `--bind`, `--threads` among them replace the defaults.
    #[track_caller]
    pub(crate) fn with_flags(engine: Engine, flags: &[&str]) -> Self {
        Self::prepared(engine, flags, &|_| {})
    }

    /// The same, of which `prepare` has the last word on how it is started.
    #[track_caller]
    pub(crate) fn prepared(engine: Engine, flags: &[&str], prepare: Prepare<'_>) -> Self {
        for _ in 0..PORTS_TRIED {
            match Self::launch(engine, free_port(flags), flags, prepare) {
                Ok(server) => return server,
                Err(refusal) if refusal.output.to_lowercase().contains("address already in use") => {}
                Err(refusal) => panic!(
                    "the server did not start on the {} engine: {}\n{}\nWhere the kernel gives no ring (seccomp, \
                     kernel.io_uring_disabled, memlock), allow it, or set TALLYRING_NO_RING=1 to leave that engine out.",
                    engine.name(),
                    refusal.status,
                    refusal.output
                ),
            }
        }
        panic!("{PORTS_TRIED} free ports in turn were taken before the server could bind them")
    }

    /// Starts a server on `port` and waits until it answers, or until it is gone.
    #[track_caller]
    fn launch(engine: Engine, port: u16, flags: &[&str], prepare: Prepare<'_>) -> Result<Self, Refusal> {
        let mut server = Self::spawn_prepared(engine, port, flags, prepare);
        let deadline = Instant::now() + PATIENCE;
        while !answers(server.addr) {
            if let Some(status) = server.exited() {
                return Err(Refusal { status, output: server.output() });
            }
            assert!(Instant::now() < deadline, "no answer on {} after {PATIENCE:?}", server.addr);
            thread::sleep(POLL);
        }
        Ok(server)
    }

    /// Starts a server on `port` and does not wait for anything.
    #[track_caller]
    pub(crate) fn spawn(engine: Engine, port: u16, flags: &[&str]) -> Self {
        Self::spawn_prepared(engine, port, flags, &|_| {})
    }

    /// The same, of which `prepare` has the last word on how it is started.
    #[track_caller]
    pub(crate) fn spawn_prepared(engine: Engine, port: u16, flags: &[&str], prepare: Prepare<'_>) -> Self {
        Self::execute(command(engine, port, flags), port, flags, prepare)
    }

    /// A server that is started with a configuration file alone, which says that it listens on `port`.
    #[track_caller]
    pub(crate) fn of_file(file: &Path, port: u16) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyring"));
        command.arg(file);
        let mut server = Self::execute(command, port, &[], &|_| {});
        wait_until("the server answers", || {
            assert!(server.exited().is_none(), "it did not start:\n{}", server.output());
            answers(server.addr)
        });
        server
    }

    /// A Redis of its own beside the server under test, as the reference.
    #[track_caller]
    pub(crate) fn reference(program: &str) -> Self {
        let port = free_port(&[]);
        let mut command = Command::new(program);
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--databases",
            "1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        let mut server = Self::execute(command, port, &[], &|_| {});
        wait_until("the reference answers", || {
            assert!(server.exited().is_none(), "the reference did not start:\n{}", server.output());
            answers(server.addr)
        });
        server
    }

    #[track_caller]
    fn execute(mut command: Command, port: u16, flags: &[&str], prepare: Prepare<'_>) -> Self {
        let dir = fresh_dir();
        let log = File::create(dir.join("log")).expect("a log can be created in a fresh directory");
        command
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor can be duplicated"))
            .stderr(log);
        prepare(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let host = flag(flags, "--bind").unwrap_or("127.0.0.1");
        let addr = SocketAddr::new(host.parse().expect("tests bind to a plain address"), port);
        Self { child: Some(child), addr, dir, _turn: None }
    }

    /// The operator's server, emptied, for one test alone.
    fn attach(addr: &str) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let addr = addr
            .to_socket_addrs()
            .ok()
            .and_then(|mut found| found.next())
            .unwrap_or_else(|| panic!("TALLYRING_TEST_ADDR={addr} is no host:port"));
        let server = Self { child: None, addr, dir: fresh_dir(), _turn: Some(turn) };
        server.connect().talk("> FLUSHALL\n< +OK");
        server
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its working directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its process, if it is ours.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// A new connection.
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        match TcpStream::connect_timeout(&self.addr, PATIENCE) {
            Ok(stream) => Client::over_tcp(stream),
            Err(error) => panic!("cannot connect to {}: {error}\n{}", self.addr, self.output()),
        }
    }

    /// All that it has logged so far.
    pub(crate) fn output(&self) -> String {
        fs::read(self.dir.join("log"))
            .map_or_else(|_| String::new(), |log| String::from_utf8_lossy(&log).into_owned())
    }

    /// How it ended, if it has.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().expect("a child of ours can be waited for")
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Stands still from now on: what clients send waits in the sockets.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        // Its threads stop one after the other, soon but not at once.
        wait_until("the server stands still", || self.states().iter().all(|state| state == "T"));
    }

    /// Goes on after [`Server::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.pid().expect("only a server of our own is signalled");
        let pid = Pid::from_raw(i32::try_from(pid).expect("process ids are positive and small"));
        kill(pid, signal).expect("a child of ours can be signalled");
    }

    /// The states of its threads, `T` where one is stopped.
    fn states(&self) -> Vec<String> {
        let pid = self.pid().expect("only a server of our own is looked at");
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a running process has threads");
        let states = tasks.filter_map(|task| {
            let stat = fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
            // The name before it may hold blanks and parentheses.
            let (_, after) = stat.rsplit_once(')')?;
            after.split_whitespace().next().map(str::to_owned)
        });
        states.collect()
    }

    /// Files that it has open.
    pub(crate) fn descriptors(&self) -> usize {
        let pid = self.pid().expect("only a server of our own is looked at");
        let all = fs::read_dir(format!("/proc/{pid}/fd")).expect("a running process has files");
        // Those of the journal come and go as it likes.
        let of_data = |path: PathBuf| path.starts_with(self.dir.join("tallyring-data"));
        all.flatten().filter(|entry| !fs::read_link(entry.path()).is_ok_and(of_data)).count()
    }

    /// KiB of anonymous memory it holds now, if it is ours.
    pub(crate) fn anonymous_kb(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = self.child.as_mut() {
            // It may be gone already; that is what is wanted.
            let _gone = child.kill();
            let _status = child.wait();
        }
        if thread::panicking() {
            eprintln!("the server on {} logged:\n{}", self.addr, self.output());
        }
        let _left_over = fs::remove_dir_all(&self.dir);
    }
}

/// The command line of the server under test.
fn command(engine: Engine, port: u16, flags: &[&str]) -> Command {
    let port = port.to_string();
    if let Some(peer) = env::var_os("TALLYRING_TEST_PEER") {
        let mut command = Command::new(peer);
        command.args(["--port", &port, "--databases", "1", "--save", "", "--appendonly", "no"]);
        let mut flags = flags.iter();
        while let Some(&flag) = flags.next() {
            if matches!(flag, "--threads" | "--engine" | "--admin-port") {
                flags.next();
            } else {
                command.arg(flag);
            }
        }
        return command;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallyring"));
    command.args(["--port", &port]);
    if flag(flags, "--engine").is_none() {
        command.args(engine.flags());
    }
    // Every suite runs with a journal, in small files.
    for (name, default) in [
        ("--bind", "127.0.0.1"),
        ("--admin-port", "0"),
        ("--threads", "1"),
        ("--journal-segment-size", "1mb"),
        ("--save", ""),
    ] {
        if flag(flags, name).is_none() {
            command.args([name, default]);
        }
    }
    command.args(flags);
    command
}

/// The value that follows `name` among `flags`.
fn flag<'f>(flags: &[&'f str], name: &str) -> Option<&'f str> {
    let at = flags.iter().position(|&flag| flag == name)?;
    flags.get(at + 1).copied()
}

/// A port that nobody listened on a moment ago.
pub(crate) fn free_port(flags: &[&str]) -> u16 {
    let host = flag(flags, "--bind").unwrap_or("127.0.0.1");
    let probe = TcpListener::bind((host, 0)).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    probe.and_then(|socket| socket.local_addr()).expect("loopback has a free port").port()
}

/// Whether a server on `addr` answers a `PING`, be it with an error.
fn answers(addr: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&addr, PATIENCE) else {
        return false;
    };
    // A connection to a port nobody listens on yet may meet itself.
    let met_itself = stream.local_addr().is_ok_and(|own| own == addr);
    let asked = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.write_all(b"PING\r\n"));
    let mut first = [0];
    if met_itself || asked.is_err() || stream.read_exact(&mut first).is_err() {
        return false;
    }
    // Wait for the other side's close, so that this connection does not count any more (`maxclients`).
    let mut rest = Vec::new();
    let _closed = stream.shutdown(Shutdown::Write).and_then(|()| stream.read_to_end(&mut rest));
    matches!(first, [b'+' | b'-']) && !rest.starts_with(b"LOADING")
}

/// A directory that no other test has.
fn fresh_dir() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("wire-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&dir).expect("the test directory is writable");
    dir
}
