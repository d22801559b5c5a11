//! The server as a process: listeners, workers, signals, and the drain at the end.
//!
//! The thread that calls [`run`] becomes the control thread: it waits for signals. Each worker has a thread of
//! its own; the first one has the listeners and deals connections out to whichever serves the fewest, which
//! keeps workers even at a handful of connections, as hashing over sockets with `SO_REUSEPORT` does not.

mod certificates;
mod descriptors;
mod figures;
mod idle;
mod listen;
mod loading;
mod persistence;
mod pulse;
mod rewrite;
mod settings;
mod snapshots;
mod syncer;
mod users;
mod vitals;

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, Signal};

use crate::admin::Admin;
use crate::buffer::trim;
use crate::clock::Clock;
use crate::command::Now;
use crate::config::{Config, EngineChoice, Exit, ForcedRung, ReceiveMode};
use crate::engine::{self, Choice, Kind, Rung, Seat, Setup, Supply, Wanted};
use crate::limits;
use crate::logging;
use crate::metrics::process::Process;
use crate::table::Table;
use crate::tls::Profile;
use crate::worker::{Bell, Identity, Message, Post, Shared, Worker};

use figures::Figures;
use listen::Listeners;
use persistence::Keeper;
use pulse::Pulse;
use snapshots::Snapshots;

/// Why the server did not start, or could not go on. One line for the operator.
#[derive(Debug)]
pub struct ServerError {
    text: String,
    exit: Exit,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ServerError {}

impl ServerError {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), exit: Exit::Failure }
    }

    /// The data is damaged: to start again would end the same.
    fn damaged(text: impl Into<String>) -> Self {
        Self { exit: Exit::Damaged, ..Self::new(text) }
    }

    /// How the process ends for it.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

/// Serves until SIGTERM or SIGINT, then drains: accepts no more, answers what was received, and returns.
pub fn run(config: Config) -> Result<(), ServerError> {
    let signals = block_signals()?;
    let stopper = || {
        if let Err(errno) = nix::sys::signal::kill(nix::unistd::getpid(), Signal::SIGTERM) {
            log::error!("cannot end as a client wishes: {errno}");
        }
    };
    let server = Server::launch(config, Some(Box::new(stopper)))?;
    let signal = loop {
        match signals.wait() {
            Ok(Signal::SIGHUP) => {
                open_log_anew();
                server.reload_certificates();
            }
            Ok(signal) => break signal,
            // Something else woke us, such as the end of the ring that was built to see whether one can be.
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(ServerError::new(format!("cannot wait for signals: {errno}"))),
        }
    };
    log::warn!("received {signal}, answering what has arrived and ending");
    server.stop();
    log::warn!("bye");
    Ok(())
}

/// Looks at what the configuration names as a start does, and starts nothing.
pub fn check(config: &Config) -> Result<(), ServerError> {
    figures::token_of(config)?;
    users::of(config)?;
    tls_of(config).map(drop)
}

/// What the port for it is encrypted with.
fn tls_of(config: &Config) -> Result<Option<Profile>, ServerError> {
    certificates::profile(config).map_err(|refusal| ServerError::new(refusal.to_string()))
}

/// Lets go of a log file that was moved away.
fn open_log_anew() {
    match logging::reopen() {
        Ok(()) => log::info!("received SIGHUP, the log file is opened anew"),
        Err(error) => log::warn!("received SIGHUP, and the log file stays as it was: {error}"),
    }
}

/// SIGTERM, SIGINT and SIGHUP are taken by the control thread alone. Threads started later inherit this, and that nobody takes
/// SIGXFSZ: a file that may not grow (`ulimit -f`) is to be an error of the write, as a full disk is, and not the end.
fn block_signals() -> Result<SigSet, ServerError> {
    let failed = |errno| ServerError::new(format!("cannot block signals: {errno}"));
    SigSet::from(Signal::SIGXFSZ).thread_block().map_err(failed)?;
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGHUP);
    signals.thread_block().map_err(failed)?;
    Ok(signals)
}

/// A server that runs in this process.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    workers: Vec<thread::JoinHandle<()>>,
    ended: Receiver<usize>,
    listeners: Listeners,
    keeper: Option<Keeper>,
    snapshots: Option<Snapshots>,
    directives: Arc<settings::Directives>,
    figures: Arc<Figures>,
    admin: Option<Admin>,
    clock: Clock,
    pulse: Option<Pulse>,
}

impl Server {
    /// Listens, starts the workers and returns; see [`Server::stop`].
    ///
    /// The process exits with code 1 if a worker's engine fails later: nothing sensible is left to do then.
    pub fn start(config: Config) -> Result<Self, ServerError> {
        Self::launch(config, None)
    }

    /// The same; `stopper` begins to end it when a client asks for that.
    fn launch(mut config: Config, stopper: Option<Bell>) -> Result<Self, ServerError> {
        trim::map_large_pieces();
        let Choice { engine, seats, fallback } =
            engine::choose(&wanted(&config)).map_err(ServerError::new)?;
        let workers = seats.len();
        descriptors::prepare(&mut config);
        let token = figures::token_of(&config)?;
        let clock = Clock::system();
        let tls = tls_of(&config)?;
        // Before anything listens: another server may have the directory.
        let data = if config.appendonly { Some(persistence::Data::open(&config, &clock)?) } else { None };
        let (listeners, sockets) = listen::listen(&config)?;
        let doors = listen::listen_for_admin(&config)?;
        let mut posts = Vec::new();
        let mut inboxes = Vec::new();
        for _ in 0..workers {
            let (bell, handle) = bell()?;
            let (post, mail) = Post::new(handle);
            posts.push(post);
            inboxes.push((bell, mail));
        }
        let identity = identity(&config, engine, &clock);
        let directives = Arc::new(settings::Directives::new(config, token, tls)?);
        let settings = Box::new(Arc::clone(&directives));
        let shared = Shared::new(Table::new(), settings, posts.into_boxed_slice(), identity);
        let shared = Arc::new(shared);
        stopper.into_iter().for_each(|stopper| shared.name_stopper(stopper));
        shared.set_loading(data.is_some());
        let pulse = Pulse::start(&shared);
        start_trimmer(&shared)?;
        let figures = Figures::of(&shared, &directives, &clock);
        // Before the data is read: that may take long, and is to be seen.
        let (admin, at) = figures::publish(&figures, doors)?;
        let (end, ended) = channel();
        let seats = seats.into_iter().zip(inboxes);
        let threads = start_workers(&shared, &clock, engine, (seats, sockets), &end)?;
        let (keeper, snapshots) =
            data.map(|data| data.load(&shared, &directives, &clock)).transpose()?.unzip();
        shared.set_loading(false);
        if let Some(fallback) = fallback {
            log::warn!("{fallback}");
        }
        announce(&shared, &directives, engine, (&listeners.names(), &at));
        if let Some(pulse) = &pulse {
            pulse.ready(&format!("serving on {}", listeners.names()));
        }
        Ok(Self {
            shared,
            workers: threads,
            ended,
            listeners,
            keeper,
            snapshots,
            directives,
            figures,
            admin,
            clock,
            pulse,
        })
    }

    /// Drains and ends: what has arrived is answered; connections that take longer than that are cut.
    pub fn stop(self) {
        let began_ms = self.clock.monotonic_ms();
        self.figures.set_ending();
        if let Some(pulse) = &self.pulse {
            pulse.ending(Duration::from_secs(limits::DRAIN_SECONDS));
        }
        self.tell(|| Message::Drain);
        let mut remaining = self.workers.len();
        let mut patience = Duration::from_secs(limits::DRAIN_SECONDS);
        while remaining > 0 {
            match self.ended.recv_timeout(patience) {
                Ok(_) => remaining -= 1,
                Err(RecvTimeoutError::Timeout) => {
                    log::warn!("some clients have not taken their replies in time; cutting them off");
                    self.tell(|| Message::Cut);
                    patience = Duration::from_millis(100);
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        for thread in self.workers {
            if thread.join().is_err() {
                log::error!("a worker has panicked");
            }
        }
        if let Some(snapshots) = self.snapshots {
            snapshots.end(began_ms);
        }
        if let Some(keeper) = self.keeper {
            keeper.end();
        }
        if let Some(admin) = self.admin {
            admin.end();
        }
        self.listeners.remove_files();
    }

    /// Reads certificates and keys anew, for new connections.
    fn reload_certificates(&self) {
        if self.directives.reload_certificates() {
            self.tell(|| Message::ConfigChanged);
            log::info!("received SIGHUP, certificates and keys are read anew");
        }
    }

    /// What the workers share, for tests in the same process.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn tell(&self, message: impl Fn() -> Message) {
        for (post, worker) in self.shared.posts.iter().zip(&self.workers) {
            // A full mailbox is being read: the worker makes room. One that has ended reads none, and others are still to
            // be told.
            while post.send(message()).is_err() && !worker.is_finished() {
                thread::yield_now();
            }
        }
    }
}

/// What tells a worker that it has mail, and the mail.
type Inbox = (OwnedFd, Receiver<Message>);

/// Starts a thread for each worker; the first one gets the listening sockets. Each says so when it has ended.
fn start_workers(
    shared: &Arc<Shared>,
    clock: &Clock,
    engine: engine::Engine,
    (seats, sockets): (impl Iterator<Item = (Seat, Inbox)>, Vec<OwnedFd>),
    end: &Sender<usize>,
) -> Result<Vec<thread::JoinHandle<()>>, ServerError> {
    let mut sockets = Some(sockets);
    let mut threads = Vec::new();
    for (id, (seat, (bell, mail))) in seats.enumerate() {
        let setup = Setup { listeners: sockets.take().unwrap_or_default(), bell };
        let (shared, clock, end) = (Arc::clone(shared), clock.clone(), end.clone());
        let body = move || {
            let worker = Worker::new(shared, id, clock, mail);
            if let Err(error) = seat.run(setup, worker) {
                log::error!("worker {id} cannot go on: engine {}: {error}", engine.name());
                std::process::exit(1);
            }
            // Nobody waits for this only if the server is being dropped.
            let _ = end.send(id);
        };
        let thread = thread::Builder::new().name(format!("worker-{id}")).spawn(body);
        threads.push(thread.map_err(|error| ServerError::new(format!("cannot start a thread: {error}")))?);
    }
    Ok(threads)
}

/// Says in one event what the server is.
fn announce(
    shared: &Shared,
    directives: &settings::Directives,
    engine: engine::Engine,
    (listens, admin): (&str, &str),
) {
    let (version, rung, workers) = (env!("CARGO_PKG_VERSION"), engine.rung(), shared.posts.len());
    let (counters, pid) = (shared.table.len(), std::process::id());
    let value = |name: &str| directives.value(name);
    let (dir, appendonly) = (value("dir"), value("appendonly") == "yes");
    let appendfsync = if appendonly { value("appendfsync") } else { "none".to_owned() };
    let kept = if appendonly {
        format!("{counters} keys from {dir}, appendfsync {appendfsync}")
    } else {
        "data is kept in memory only and is gone when the server ends".to_owned()
    };
    log::info!(
        version, engine = engine.name(), rung, workers, listens, admin, dir, appendfsync, counters, pid;
        "tallyring {version} ready: engine {} ({rung}), {workers} {}, listening on {listens}{}; {kept}; pid {pid}",
        engine.name(),
        if workers == 1 { "worker" } else { "workers" },
        if admin.is_empty() { String::new() } else { format!("; admin interface on {admin}") },
    );
}

/// Starts the thread that gives freed memory back to the kernel: that takes milliseconds, which no worker has. It ends
/// with the last of those that could ask it.
fn start_trimmer(shared: &Shared) -> Result<(), ServerError> {
    let (ask, asked) = sync_channel(1);
    shared.name_trimmer(Box::new(move || {
        // Full: it is to be done already.
        let _ = ask.try_send(());
    }));
    let body = move || {
        while asked.recv().is_ok() {
            trim::trim();
            thread::sleep(Duration::from_millis(limits::TRIM_PAUSE_MS));
        }
    };
    let thread = thread::Builder::new().name("trim".to_owned()).spawn(body);
    thread.map(drop).map_err(|error| ServerError::new(format!("cannot start a thread: {error}")))
}

/// The directives in the words of the engines.
fn wanted(config: &Config) -> Wanted {
    Wanted {
        kind: match config.engine {
            EngineChoice::Auto => Kind::Auto,
            EngineChoice::Uring => Kind::Uring,
            EngineChoice::TokioUring => Kind::TokioUring,
            EngineChoice::Epoll => Kind::Epoll,
        },
        supply: match config.recv {
            ReceiveMode::Multishot => Supply::Shared,
            ReceiveMode::Fixed => Supply::Fixed,
        },
        rung: config.forced.rung.map(|rung| match rung {
            ForcedRung::Defer => Rung::Defer,
            ForcedRung::Coop => Rung::Coop,
            ForcedRung::Oneshot => Rung::Oneshot,
        }),
        entries: config.forced.entries,
        workers: match config.threads {
            0 => thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        },
    }
}

/// A descriptor to wait on and the way to make it readable.
fn bell() -> Result<(OwnedFd, Bell), ServerError> {
    let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
    let failed =
        |error: &dyn fmt::Display| ServerError::new(format!("cannot create an event descriptor: {error}"));
    let event = EventFd::from_flags(flags).map_err(|errno| failed(&errno))?;
    let bell: OwnedFd = event.into();
    let handle = bell.try_clone().map_err(|error| failed(&error))?;
    let ring = move || {
        // EAGAIN: the count is at its top, so the worker will wake anyway.
        let _ = nix::unistd::write(&handle, &1_u64.to_ne_bytes());
    };
    Ok((bell, Box::new(ring)))
}

fn identity(config: &Config, engine: engine::Engine, clock: &Clock) -> Identity {
    let now = clock.unix_us();
    // Not a secret, only to be different at every start: the hash of two fixed words under a seed that is new.
    let seed = ahash::RandomState::new();
    let run_id = format!("{:016x}{:016x}{:08x}", seed.hash_one(1), seed.hash_one(2), seed.hash_one(3) >> 32);
    let name = nix::sys::utsname::uname();
    let os = name.map_or_else(
        |_| "Linux".to_owned(),
        |it| {
            [it.sysname(), it.release(), it.machine()]
                .map(|part| part.to_string_lossy().into_owned())
                .join(" ")
        },
    );
    Identity {
        run_id,
        started: Now { unix_us: now },
        started_ms: clock.monotonic_ms(),
        startup_bytes: Process::read().anonymous,
        executable: std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default(),
        process: std::process::id(),
        port: if config.port == 0 { config.tls.port } else { config.port },
        config_file: config.file.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        engine: engine.name(),
        rung: engine.rung().to_owned(),
        os,
    }
}

#[cfg(all(test, any(feature = "uring", feature = "tokio-uring")))]
mod tests;
