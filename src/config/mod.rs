//! The configuration: redis.conf-style files, the command line, `CONFIG GET` and `CONFIG SET`, all from one table of
//! directives. Opens configuration files; knows no socket, no log, no command and no engine.
//!
//! In reading order: `words` splits a line, `source` reads files into lines, `arguments` reads the command
//! line into lines, `table` describes each directive, `value` and `kind` read what follows its name, and
//! `foreign` judges the directives of Redis that are not ours.

use crate::limits::{Limits, SyncPolicy};
use std::ffi::OsString;
use std::path::PathBuf;

mod arguments;
mod directive;
mod encryption;
mod error;
mod foreign;
mod kind;
mod rewrite;
mod security;
mod source;
mod table;
mod value;
mod words;

#[cfg(test)]
mod tests;

pub use arguments::Exit;
pub use encryption::{AuthClients, Encryption, Protocols};
pub use error::{ConfigError, Origin, SetError};
pub use kind::{
    AdminPort, Bind, DebugCommand, EngineChoice, EvictionPolicy, Forced, ForcedRung, Fsync, LogFormat,
    LogLevel, OutputLimit, OutputLimits, Password, ReceiveMode, SavePoint, Share,
};

use arguments::Request;
use directive::{Change, Directive};
use foreign::Verdict;
use source::Line;
use value::Fault;

/// What the server was asked to do.
#[derive(Debug)]
pub enum Invocation {
    /// Serve.
    Run(Box<Config>),
    /// The configuration was to be checked, and is fine.
    CheckOnly(Box<Config>),
    /// Help or version: print this.
    Print(String),
}

/// The value of every directive. Each was accepted by its own rules; that something is listened on is checked
/// over all of them.
#[derive(Clone, Debug)]
pub struct Config {
    /// TCP port, 0 = none.
    pub port: u16,
    /// Addresses of the TCP port; none: not listened on.
    pub bind: Vec<Bind>,
    /// Path of the Unix socket.
    pub unixsocket: Option<PathBuf>,
    /// Permission bits of the Unix socket, 0 = as the umask leaves them.
    pub unixsocketperm: u32,
    /// Encrypted connections.
    pub tls: Encryption,
    /// Port of the admin interface.
    pub admin_port: AdminPort,
    /// Addresses of that port; none: not listened on.
    pub admin_bind: Vec<Bind>,
    /// What its clients must give, in the configuration itself.
    pub admin_token: Password,
    /// The file that it is in.
    pub admin_token_file: Option<PathBuf>,
    /// Connections that wait to be accepted, per listener.
    pub tcp_backlog: i32,
    /// Seconds between keep-alive probes, 0 = none.
    pub tcp_keepalive: u32,
    /// Seconds after which an idle connection is closed, 0 = never.
    pub timeout: u32,
    /// What `AUTH` must give.
    pub requirepass: Password,
    /// The file that it is in.
    pub requirepass_file: Option<PathBuf>,
    /// Users, as `ACL LIST` shows them but for its first word.
    pub users: Vec<String>,
    /// The file that they are in.
    pub aclfile: Option<PathBuf>,
    /// Entries of the log of what was denied.
    pub acllog_max_len: usize,
    /// Without a password, only clients of this machine are served.
    pub protected_mode: bool,
    /// Who may use `DEBUG`.
    pub enable_debug_command: DebugCommand,
    /// Connections of the whole server.
    pub maxclients: u32,
    /// Bytes of one argument.
    pub proto_max_bulk_len: usize,
    /// Arguments of one request that does not stream.
    pub proto_max_multibulk_len: usize,
    /// Bytes of one request that does not stream.
    pub client_query_buffer_limit: usize,
    /// Unsent replies above which a connection is closed.
    pub client_output_buffer_limit: OutputLimits,
    /// Bytes of an incomplete request from which on it may be executed in batches.
    pub stream_threshold: usize,
    /// Directory of the data files.
    pub dir: PathBuf,
    /// Whether there is a journal.
    pub appendonly: bool,
    /// When it is synced.
    pub appendfsync: Fsync,
    /// Bytes of one of its files.
    pub journal_segment_size: usize,
    /// Percent by which it grows before the next snapshot, 0 = no bound.
    pub auto_aof_rewrite_percentage: u32,
    /// Bytes of it below which its growth is of no account.
    pub auto_aof_rewrite_min_size: usize,
    /// Points of snapshots.
    pub save: Vec<SavePoint>,
    /// Bytes that the table and what the server began with may take, 0 = no bound.
    pub maxmemory: usize,
    /// Bytes that all connections may take.
    pub maxmemory_clients: Share,
    /// Tokens of `INCRONCE` and `MINCRONCE` that are remembered at a time.
    pub maxtokens: usize,
    /// What goes when memory is short.
    pub maxmemory_policy: EvictionPolicy,
    /// Which engine moves the bytes.
    pub engine: EngineChoice,
    /// How receive blocks reach the kernel.
    pub recv: ReceiveMode,
    /// What a test makes the engine on the ring do with; no directive.
    pub forced: Forced,
    /// Workers, 0 = one per CPU that the process may use.
    pub threads: usize,
    /// Least importance that is logged.
    pub loglevel: LogLevel,
    /// How events of the log look.
    pub log_format: LogFormat,
    /// Where they go; none: standard error, or the journal.
    pub logfile: Option<PathBuf>,
    /// Whether latencies are measured.
    pub latency_tracking: bool,
    /// Percentiles that `INFO` shows, 0 to 100.
    pub latency_percentiles: Vec<f64>,
    /// Microseconds from which on a command enters the slow log, -1 = none does.
    pub slowlog_log_slower_than: i64,
    /// Entries of the slow log.
    pub slowlog_max_len: usize,
    /// Milliseconds from which on the latency monitor notes an event, 0 = it notes none.
    pub latency_monitor_threshold: u64,
    /// The file that was read, as an absolute path; none: only the command line.
    pub file: Option<PathBuf>,
    /// What the operator should know about the values just read, one line each, to be logged once there is a log.
    pub warnings: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 6379,
            bind: Bind::loopback(),
            unixsocket: None,
            unixsocketperm: 0,
            tls: Encryption::default(),
            admin_port: AdminPort::DEFAULT,
            admin_bind: Bind::loopback(),
            admin_token: Password::default(),
            admin_token_file: None,
            tcp_backlog: 511,
            tcp_keepalive: 300,
            timeout: 0,
            requirepass: Password::default(),
            requirepass_file: None,
            users: Vec::new(),
            aclfile: None,
            acllog_max_len: 128,
            protected_mode: true,
            enable_debug_command: DebugCommand::No,
            maxclients: 10_000,
            proto_max_bulk_len: 1 << 20,
            proto_max_multibulk_len: 1 << 20,
            client_query_buffer_limit: 64 << 20,
            client_output_buffer_limit: OutputLimits {
                normal: OutputLimit { hard: 256 << 20, soft: 0, soft_seconds: 0 },
                replica: OutputLimit { hard: 256 << 20, soft: 64 << 20, soft_seconds: 60 },
                pubsub: OutputLimit { hard: 32 << 20, soft: 8 << 20, soft_seconds: 60 },
            },
            stream_threshold: 64 << 10,
            dir: PathBuf::from("./tallyring-data"),
            appendonly: true,
            appendfsync: Fsync::EverySecond,
            journal_segment_size: 64 << 20,
            auto_aof_rewrite_percentage: 100,
            auto_aof_rewrite_min_size: 64 << 20,
            save: vec![
                SavePoint { seconds: 3600, changes: 1 },
                SavePoint { seconds: 300, changes: 100 },
                SavePoint { seconds: 60, changes: 10_000 },
            ],
            maxmemory: 0,
            maxmemory_clients: Share::Bytes(0),
            maxtokens: 10_000_000,
            maxmemory_policy: EvictionPolicy::NoEviction,
            engine: EngineChoice::Auto,
            recv: ReceiveMode::Multishot,
            forced: Forced::default(),
            threads: 0,
            loglevel: LogLevel::Notice,
            log_format: LogFormat::Auto,
            logfile: None,
            latency_tracking: true,
            latency_percentiles: vec![50.0, 99.0, 99.9],
            slowlog_log_slower_than: 10_000,
            slowlog_max_len: 128,
            latency_monitor_threshold: 0,
            file: None,
            warnings: Vec::new(),
        }
    }
}

impl Config {
    /// Reads the arguments after the program's name, and the files they name. Flags override files, later
    /// lines earlier ones.
    pub fn from_args(argv: impl IntoIterator<Item = OsString>) -> Result<Invocation, ConfigError> {
        let (file, flags, check_only, forced) = match arguments::parse(argv)? {
            Request::Print(text) => return Ok(Invocation::Print(text)),
            Request::Configure { file, flags, check_only, forced } => (file, flags, check_only, forced),
        };
        let mut lines = Vec::new();
        if let Some(path) = &file {
            source::read(path, &mut lines)?;
        }
        let from_file = lines.len();
        for flag in flags {
            source::push(flag, &mut lines)?;
        }
        let (files, flags) = lines.split_at(from_file);
        let mut config = Box::new(Self::from_sources(&[files, flags])?);
        config.forced = forced;
        config.has_an_engine_for_its_flags()?;
        // Without a working directory a relative path stays what it is.
        config.file = file
            .filter(|path| path != "-")
            .map(|path| std::path::absolute(&path).unwrap_or_else(|_| path.into()));
        Ok(if check_only { Invocation::CheckOnly(config) } else { Invocation::Run(config) })
    }

    /// The bounds that workers hold, as they stand now.
    pub fn limits(&self) -> Limits {
        Limits {
            // A u32 fits: this runs on 64-bit Linux.
            max_clients: usize::try_from(self.maxclients).unwrap_or(usize::MAX),
            max_bulk: self.proto_max_bulk_len,
            max_args: self.proto_max_multibulk_len,
            query_buffer: self.client_query_buffer_limit,
            stream_threshold: self.stream_threshold,
            output_buffer: self.client_output_buffer_limit.normal.hard,
            max_memory: self.maxmemory,
            max_tokens: self.maxtokens,
            sync: match self.appendfsync {
                Fsync::Always => SyncPolicy::Always,
                Fsync::EverySecond => SyncPolicy::EverySecond,
                Fsync::No => SyncPolicy::Never,
            },
            evicts: self.maxmemory_policy == EvictionPolicy::VolatileTtl,
            idle_seconds: u64::from(self.timeout),
            keepalive_seconds: self.tcp_keepalive,
            local_only: self.protected_mode,
            tracks_latency: self.latency_tracking,
            // Below 0 there is only the -1 that means none.
            slow_log_us: u64::try_from(self.slowlog_log_slower_than).ok(),
            slow_log_entries: self.slowlog_max_len,
            monitor_ms: self.latency_monitor_threshold,
            denials: self.acllog_max_len,
            clients_memory: self.maxmemory_clients.bytes(self.maxmemory),
        }
    }

    /// Calls `found` with name and value of each directive whose lower-case name `matches`, each once. Of the password
    /// its hash is among them; users are not, which have a command of their own.
    pub fn get(&self, matches: &dyn Fn(&str) -> bool, found: &mut dyn FnMut(&str, &str)) {
        for directive in
            directive::all().filter(|directive| directive.name != "user" && matches(directive.name))
        {
            let value = (directive.show)(self);
            let hidden = directive.is_hidden() && !value.is_empty();
            found(directive.name, if hidden { "(set)" } else { &value });
        }
    }

    /// The configuration with these names and values set, all or none. Its warnings are those of this change
    /// alone.
    pub fn set(&self, pairs: &[(&[u8], &[u8])]) -> Result<Self, SetError> {
        // All names are judged before the first value, as in Redis.
        let mut changes: Vec<(&Directive, String, &[u8])> = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            let name = String::from_utf8_lossy(name).into_owned();
            let Some(directive) = directive::find(&name.to_ascii_lowercase()) else {
                return Err(SetError::Unknown(name));
            };
            match directive.change {
                Change::Live => {}
                Change::Immutable => return Err(SetError::Immutable(name)),
                Change::Protected => return Err(SetError::Protected(name)),
            }
            if changes.iter().any(|(other, ..)| other.name == directive.name) {
                return Err(SetError::Duplicate(name));
            }
            changes.push((directive, name, value));
        }
        let mut config = self.clone();
        config.warnings.clear();
        for (directive, name, value) in changes {
            let Ok(value) = str::from_utf8(value) else {
                return Err(SetError::Invalid(name, "argument must be UTF-8 text".to_owned()));
            };
            if let Err(fault) = directive.replace(&mut config, value) {
                return Err(SetError::Invalid(name, fault.into_reason()));
            }
            config.warn_of(directive.name);
        }
        Ok(config)
    }

    /// The defaults, changed by the lines of each source in turn. What is no directive or no value ends this at
    /// once; a refused value counts only if it is the last one, so that a flag can mend a file.
    fn from_sources(sources: &[&[Line]]) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let mut inert: Vec<&str> = Vec::new();
        let mut refused: Vec<(&str, ConfigError)> = Vec::new();
        for lines in sources {
            let mut seen: Vec<&str> = Vec::new();
            for line in *lines {
                refused.retain(|(name, _)| *name != line.name);
                let Some(directive) = directive::find(&line.name) else {
                    match tolerate(line)? {
                        None if inert.contains(&line.name.as_str()) => {}
                        None => inert.push(&line.name),
                        Some(error) => refused.push((&line.name, error)),
                    }
                    continue;
                };
                if !seen.contains(&directive.name) {
                    seen.push(directive.name);
                    directive.clear(&mut config);
                }
                let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
                match directive.apply(&mut config, &words) {
                    Ok(()) => {}
                    Err(Fault::Refused(reason)) => refused.push((&line.name, line.invalid(reason))),
                    Err(Fault::Malformed(reason)) => return Err(explain(directive, line, &reason)),
                }
            }
        }
        if let Some((_, error)) = refused.into_iter().next() {
            return Err(error);
        }
        config.listens_somewhere()?;
        config.has_one_of_each_secret()?;
        for directive in directive::all() {
            config.warn_of(directive.name);
        }
        if !inert.is_empty() {
            config.warn(format!("directives without a meaning here, ignored: {}", inert.join(", ")));
        }
        Ok(config)
    }

    /// Notes a line for the operator, once.
    fn warn(&mut self, line: String) {
        if !self.warnings.contains(&line) {
            self.warnings.push(line);
        }
    }

    /// Notes what the value of a directive promises beyond what this version does.
    fn warn_of(&mut self, name: &str) {
        let normal = self.client_output_buffer_limit.normal;
        if name == "client-output-buffer-limit" && normal.soft > 0 {
            self.warn("client-output-buffer-limit normal: only the hard limit is held".to_owned());
        }
    }

    /// Refuses what only a ring can do, where another engine is asked for.
    fn has_an_engine_for_its_flags(&self) -> Result<(), ConfigError> {
        let reason = match self.engine {
            EngineChoice::Epoll if self.recv == ReceiveMode::Fixed => {
                "recv fixed: engine epoll registers no blocks; set engine uring, or recv multishot"
            }
            EngineChoice::Epoll | EngineChoice::TokioUring if self.forced.rung.is_some() => {
                "--force-rung: only engine uring has rungs"
            }
            EngineChoice::Epoll | EngineChoice::TokioUring if self.forced.entries.is_some() => {
                "--force-entries: only engine uring has a ring of its own"
            }
            EngineChoice::Auto | EngineChoice::Uring | EngineChoice::TokioUring | EngineChoice::Epoll => {
                return Ok(());
            }
        };
        Err(ConfigError::Usage(reason.to_owned()))
    }

    /// Refuses two sources of one secret: which of them counts would be a guess.
    fn has_one_of_each_secret(&self) -> Result<(), ConfigError> {
        for (set, file, names) in [
            (self.admin_token.is_set(), &self.admin_token_file, "admin-token and admin-token-file"),
            (self.requirepass.is_set(), &self.requirepass_file, "requirepass and requirepass-file"),
            (!self.users.is_empty(), &self.aclfile, "user and aclfile"),
        ] {
            if set && file.is_some() {
                return Err(ConfigError::Usage(format!("{names} are both set: remove one of them")));
            }
        }
        Ok(())
    }

    /// Refuses a server that nobody could reach.
    fn listens_somewhere(&self) -> Result<(), ConfigError> {
        let has_port = self.port != 0 || self.tls.port != 0;
        if self.unixsocket.is_none() && (!has_port || self.bind.is_empty()) {
            let reason = "nothing to listen on: set port or tls-port, and bind, or unixsocket";
            return Err(ConfigError::Usage(reason.to_owned()));
        }
        if self.port != 0 && self.port == self.tls.port {
            let reason = "port and tls-port are the same: give each its own, or set port 0";
            return Err(ConfigError::Usage(reason.to_owned()));
        }
        Ok(())
    }
}

/// Name and one line of help of each directive, in the order of `--help`.
pub fn directives() -> impl Iterator<Item = (&'static str, &'static str)> {
    directive::all().map(|directive| (directive.name, directive.help))
}

/// Judges a line that is not ours: nothing if it is one of Redis that means nothing here, or why it is refused.
fn tolerate(line: &Line) -> Result<Option<ConfigError>, ConfigError> {
    match foreign::judge(&line.name, &line.words) {
        Some(Verdict::Inert) => Ok(None),
        Some(Verdict::Refused(reason)) => Ok(Some(line.invalid(reason.to_owned()))),
        None => Err(ConfigError::Unknown {
            origin: line.origin.clone(),
            name: line.name.clone(),
            suggestion: directive::nearest(&line.name),
        }),
    }
}

/// Says what is wrong with a value, and what would be right.
fn explain(directive: &Directive, line: &Line, reason: &str) -> ConfigError {
    /// Characters of a value that are repeated to the operator.
    const ECHO: usize = 64;
    let given = if directive.is_secret() {
        String::new()
    } else {
        let given: String = line.words.join(" ").chars().take(ECHO).collect();
        format!("'{}': ", given.escape_debug())
    };
    line.invalid(format!("{given}{reason} ({}; default {})", directive.help, directive.default))
}
