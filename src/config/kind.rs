//! The types of configured values that are more than a number, and how they are printed. Knows no directive.

use super::value::{self, Fault};
use crate::command::acl::Digest;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The address; unspecified means every address of its family.
    pub ip: IpAddr,
    /// Written with a leading `-`: no error if this machine does not have the address.
    pub optional: bool,
}

impl Bind {
    /// An address that must be available.
    pub(super) const fn required(ip: IpAddr) -> Self {
        Self { ip, optional: false }
    }

    /// This machine alone, IPv6 where it has that.
    pub(super) fn loopback() -> Vec<Self> {
        vec![
            Self::required(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            Self { ip: IpAddr::V6(Ipv6Addr::LOCALHOST), optional: true },
        ]
    }

    /// Reads `10.0.0.1`, `::1`, `*`, `::*`, each with or without a leading `-`.
    pub(super) fn parse(word: &str) -> Result<Self, Fault> {
        let (text, optional) = word.strip_prefix('-').map_or((word, false), |rest| (rest, true));
        let ip = match text {
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "::*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            address => address.parse().map_err(|_| {
                Fault::malformed("argument must be IP addresses, * (all IPv4) or ::* (all IPv6)")
            })?,
        };
        Ok(Self { ip, optional })
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.optional {
            f.write_str("-")?;
        }
        match self.ip {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => f.write_str("*"),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => f.write_str("::*"),
            ip => write!(f, "{ip}"),
        }
    }
}

/// The port of the admin interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminPort {
    /// The port, 0 = none.
    pub number: u16,
    /// Nobody has asked for it: no error if another server of this machine has it.
    pub optional: bool,
}

impl AdminPort {
    /// The one that is tried where nothing is said: where monitors look for a Redis exporter.
    pub(super) const DEFAULT: Self = Self { number: 9121, optional: true };

    /// None at all.
    pub const NONE: Self = Self { number: 0, optional: false };

    /// Reads a port that was asked for.
    pub(super) fn parse(word: &str) -> Result<Self, Fault> {
        Ok(Self { number: value::integer(word, 0..=65_535)?, optional: false })
    }
}

/// Least importance of the lines that are logged; the names are Redis'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// Events of single connections.
    Verbose,
    /// What an operator wants to see in production.
    Notice,
    /// What needs attention.
    Warning,
}

impl LogLevel {
    /// The names.
    pub(super) const NAMES: &[(&str, Self)] = &[
        ("debug", Self::Debug),
        ("verbose", Self::Verbose),
        ("notice", Self::Notice),
        ("warning", Self::Warning),
    ];
}

/// How events of the log look, and where they go without a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Sentences on a terminal, to the system's journal where standard error is a stream to it, else JSON.
    Auto,
    /// Sentences.
    Text,
    /// An object of JSON in each line.
    Json,
    /// To the system's journal.
    Journald,
}

impl LogFormat {
    /// The names.
    pub(super) const NAMES: &[(&str, Self)] =
        &[("auto", Self::Auto), ("text", Self::Text), ("json", Self::Json), ("journald", Self::Journald)];
}

/// Which engine moves the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineChoice {
    /// The best that the kernel allows.
    Auto,
    /// The ring, or no start.
    Uring,
    /// Tasks on the ring, or no start.
    TokioUring,
    /// epoll.
    Epoll,
}

impl EngineChoice {
    /// The names.
    pub(super) const NAMES: &[(&str, Self)] = &[
        ("auto", Self::Auto),
        ("uring", Self::Uring),
        ("tokio-uring", Self::TokioUring),
        ("epoll", Self::Epoll),
    ];

    /// Reads a name; an engine that was not compiled in is refused.
    pub(super) fn parse(word: &str) -> Result<Self, Fault> {
        let engine = value::choice(word, Self::NAMES)?;
        let built = match engine {
            Self::Auto => true,
            Self::Uring => cfg!(feature = "uring"),
            Self::TokioUring => cfg!(feature = "tokio-uring"),
            Self::Epoll => cfg!(feature = "epoll"),
        };
        if !built {
            let name = value::choice_name(engine, Self::NAMES);
            return Err(Fault::refused(format!("engine {name} is not part of this build; set auto")));
        }
        Ok(engine)
    }
}

/// When the journal is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Once a second.
    EverySecond,
    /// Before each reply.
    Always,
    /// When the kernel likes.
    No,
}

impl Fsync {
    /// The names, in Redis' order.
    pub(super) const NAMES: &[(&str, Self)] =
        &[("everysec", Self::EverySecond), ("always", Self::Always), ("no", Self::No)];
}

/// Who may use `DEBUG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugCommand {
    /// Nobody.
    No,
    /// Everybody.
    Yes,
    /// Connections from this machine.
    Local,
}

impl DebugCommand {
    /// The names.
    pub(super) const NAMES: &[(&str, Self)] = &[("no", Self::No), ("yes", Self::Yes), ("local", Self::Local)];
}

/// What happens when `maxmemory` is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvictionPolicy {
    /// The counter whose deadline is nearest goes.
    VolatileTtl,
    /// Writes are refused.
    NoEviction,
}

impl EvictionPolicy {
    /// The names of what there is.
    pub(super) const NAMES: &[(&str, Self)] =
        &[("volatile-ttl", Self::VolatileTtl), ("noeviction", Self::NoEviction)];

    /// Reads a name; Redis' other policies are refused rather than replaced by one that drops other keys.
    pub(super) fn parse(word: &str) -> Result<Self, Fault> {
        const OTHERS: &[&str] = &[
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
        ];
        if OTHERS.iter().any(|name| name.eq_ignore_ascii_case(word)) {
            return Err(Fault::refused("there is no such policy here; set volatile-ttl or noeviction"));
        }
        value::choice(word, Self::NAMES)
    }
}

/// How receive blocks reach the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveMode {
    /// One operation that completes once per block, from blocks shared by all connections.
    Multishot,
    /// One read at a time into a registered block of the connection's own.
    Fixed,
}

impl ReceiveMode {
    /// The names.
    pub(super) const NAMES: &[(&str, Self)] = &[("multishot", Self::Multishot), ("fixed", Self::Fixed)];

    /// Reads a name; what needs an engine that was not compiled in is refused.
    pub(super) fn parse(word: &str) -> Result<Self, Fault> {
        let mode = value::choice(word, Self::NAMES)?;
        if mode == Self::Fixed && !cfg!(any(feature = "uring", feature = "tokio-uring")) {
            return Err(Fault::refused("recv fixed is not part of this build; set multishot"));
        }
        Ok(mode)
    }
}

/// The one rung of the ladder of kernel features that the engine on the ring is to stand on, for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForcedRung {
    /// Deferred task work, multishot receives.
    Defer,
    /// Cooperative task work, multishot receives.
    Coop,
    /// Cooperative task work, one receive per block.
    Oneshot,
}

impl ForcedRung {
    /// The names.
    pub(super) const NAMES: &[(&str, Self)] =
        &[("defer", Self::Defer), ("coop", Self::Coop), ("oneshot", Self::Oneshot)];
}

/// What the engine on the ring is made to do with, for tests; none of it is a directive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forced {
    /// The one rung that it may stand on.
    pub rung: Option<ForcedRung>,
    /// Entries of its submission queue; completions have twice as many.
    pub entries: Option<u32>,
}

/// A password, of which only the hash is kept; neither `Debug` nor a log line shows even that.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(Option<Digest>);

impl Password {
    /// Longest password, as in Redis.
    const BYTES: usize = 512;

    /// Takes any text; empty means that no password is needed. `#` and 64 hexadecimal digits are a hash.
    pub(super) fn parse(word: &str) -> Result<Self, Fault> {
        if word.len() > Self::BYTES {
            return Err(Fault::malformed(format!("argument must not be longer than {} bytes", Self::BYTES)));
        }
        if word.is_empty() {
            return Ok(Self(None));
        }
        let hash = word.strip_prefix('#').and_then(|digits| Digest::parse(digits.as_bytes()));
        Ok(Self(Some(hash.unwrap_or_else(|| Digest::of(word.as_bytes())))))
    }

    /// Takes what an HTTP header can carry as one word.
    pub(super) fn parse_token(word: &str) -> Result<Self, Fault> {
        if !word.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Fault::malformed("argument must be ASCII without blanks"));
        }
        Self::parse(word)
    }

    /// A token that did not stand in the configuration. `Err` says what is wrong with it.
    pub fn token(word: &str) -> Result<Self, String> {
        Self::parse_token(word).map_err(Fault::into_reason)
    }

    /// A password that did not, likewise.
    pub fn of_file(word: &str) -> Result<Self, String> {
        Self::parse(word).map_err(Fault::into_reason)
    }

    /// Whether one is needed.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Its hash. `None`: none is needed.
    pub fn digest(&self) -> Option<&Digest> {
        self.0.as_ref()
    }

    /// As it can be given again without telling it; empty: none is needed.
    pub(super) fn shown(&self) -> String {
        self.0.as_ref().map_or_else(String::new, |digest| format!("#{}", digest.text()))
    }

    /// Compares in time that tells nothing of the one that is needed. `None`: none is.
    pub fn matches(&self, given: &[u8]) -> Option<bool> {
        self.0.as_ref().map(|expected| expected.fits(&Digest::of(given)))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_none() { "none" } else { "set" })
    }
}

/// A number of bytes, or so many percent of `maxmemory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// Bytes.
    Bytes(usize),
    /// Percent.
    Percent(usize),
}

impl Share {
    /// Takes a memory value, or a number up to 100 with a percent sign.
    pub(super) fn parse(word: &str) -> Result<Self, Fault> {
        match word.strip_suffix('%') {
            None => value::memory(word, 0..=u64::MAX).map(Self::Bytes),
            Some(number) => match number.parse() {
                Ok(percent @ 0..=100) => Ok(Self::Percent(percent)),
                _ => Err(Fault::malformed("argument must be a memory or percent value")),
            },
        }
    }

    /// As it is given.
    pub(super) fn shown(self) -> String {
        match self {
            Self::Bytes(bytes) => bytes.to_string(),
            Self::Percent(percent) => format!("{percent}%"),
        }
    }

    /// Bytes, of so many in all; 0 = no bound.
    pub fn bytes(self, all: usize) -> usize {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => all / 100 * percent,
        }
    }
}

/// A point of `save`: snapshot after so many seconds if so many changes happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last snapshot.
    pub seconds: u64,
    /// Changes since the last snapshot.
    pub changes: u64,
}

impl SavePoint {
    /// Reads `seconds changes` pairs; a single empty word means none.
    pub(super) fn parse_all(words: &[&str]) -> Result<Vec<Self>, Fault> {
        if words == [""] {
            return Ok(Vec::new());
        }
        let fault = || Fault::malformed("Invalid save parameters");
        let (pairs, rest) = words.as_chunks::<2>();
        if pairs.is_empty() || !rest.is_empty() {
            return Err(fault());
        }
        let point = |[seconds, changes]: &[&str; 2]| {
            let seconds = value::integer(seconds, 1..=i64::MAX).map_err(|_| fault())?;
            let changes = value::integer(changes, 0..=i64::MAX).map_err(|_| fault())?;
            Ok(Self { seconds, changes })
        };
        pairs.iter().map(point).collect()
    }
}

/// Bounds of the unsent replies of one class of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes above which a client is closed, 0 = none.
    pub hard: usize,
    /// Bytes above which a client is closed once `soft_seconds` have passed, 0 = none.
    pub soft: usize,
    /// Seconds.
    pub soft_seconds: u64,
}

/// `client-output-buffer-limit`: the bounds of every class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// Ordinary clients.
    pub normal: OutputLimit,
    /// Replicas; there are none yet.
    pub replica: OutputLimit,
    /// Subscribers; there are none yet.
    pub pubsub: OutputLimit,
}

impl OutputLimits {
    /// Changes the classes named in groups of `class hard soft seconds`; all groups or none.
    pub(super) fn change(&mut self, words: &[&str]) -> Result<(), Fault> {
        let (groups, rest) = words.as_chunks::<4>();
        if groups.is_empty() || !rest.is_empty() {
            return Err(Fault::malformed("Wrong number of arguments in buffer limit configuration."));
        }
        let fault =
            || Fault::malformed("Error in hard, soft or soft_seconds setting in buffer limit configuration.");
        let size = |word| value::bytes(word).and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(fault);
        let mut changed = *self;
        for [class, hard, soft, seconds] in groups {
            let limit = OutputLimit {
                hard: size(hard)?,
                soft: size(soft)?,
                soft_seconds: value::integer(seconds, 0..=i64::MAX).map_err(|_| fault())?,
            };
            match class.to_ascii_lowercase().as_str() {
                "normal" => changed.normal = limit,
                "replica" | "slave" => changed.replica = limit,
                "pubsub" => changed.pubsub = limit,
                _ => {
                    let reason = "Invalid client class specified in buffer limit configuration.";
                    return Err(Fault::malformed(reason));
                }
            }
        }
        *self = changed;
        Ok(())
    }
}

impl fmt::Display for OutputLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Redis 7.0 answers with the class's old name, and clients read that.
        let classes = [("normal", self.normal), (" slave", self.replica), (" pubsub", self.pubsub)];
        for (name, OutputLimit { hard, soft, soft_seconds }) in classes {
            write!(f, "{name} {hard} {soft} {soft_seconds}")?;
        }
        Ok(())
    }
}

/// Reads percentiles for `INFO`; a single empty word means none.
pub(super) fn percentiles(words: &[&str]) -> Result<Vec<f64>, Fault> {
    if words == [""] {
        return Ok(Vec::new());
    }
    let percentile = |word: &&str| {
        let number: f64 = word
            .parse()
            .map_err(|_| Fault::malformed("Invalid latency-tracking-info-percentiles parameters"))?;
        if !(0.0..=100.0).contains(&number) {
            let reason = "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
            return Err(Fault::malformed(reason));
        }
        Ok(number)
    };
    words.iter().map(percentile).collect()
}
