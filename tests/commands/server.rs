//! A server of one connection without a socket: `resolve` and `run` on a real table, with a virtual clock and a sink that
//! numbers effects. Knows no command.

use tallyring::command::acl::Users;
use tallyring::command::client_list::ClientFacts;
use tallyring::command::info::Facts;
use tallyring::command::lookup::lookup;
use tallyring::command::queue::Admission;
use tallyring::command::resolve::{permit, resolve};
use tallyring::command::save::{Begun, Busy, Wish};
use tallyring::command::session::Session;
use tallyring::command::{Call, Command, ConfigError, Host, Now, Outcome, Parts, RewriteError, Tally};
use tallyring::limits::{Limits, SPANS};
use tallyring::metrics::events::Events;
use tallyring::metrics::meters::Reading;
use tallyring::metrics::slowlog::SlowLog;
use tallyring::resp::args::{Args, Span};
use tallyring::resp::codes::Codes;
use tallyring::resp::encode::{Encoder, Protocol, Spill};
use tallyring::table::effect::{Effect, EffectSink, Lsn};
use tallyring::table::{Figures, Table};

/// What stands around the core: a few directives and a password.
#[derive(Debug)]
pub(crate) struct StubHost {
    pub(crate) users: Users,
    pub(crate) changes_of_users: usize,
    pub(crate) maxmemory: u64,
    pub(crate) resets: usize,
    pub(crate) trims: usize,
    pub(crate) limits: Limits,
    pub(crate) pause: Option<(u64, bool)>,
    pub(crate) may_debug: bool,
    pub(crate) slept: f64,
    pub(crate) synced: Option<bool>,
    pub(crate) ended: bool,
    pub(crate) save_at_end: Option<Option<bool>>,
    pub(crate) wishes: Vec<Wish>,
    pub(crate) saves: Result<Begun, Busy>,
    /// Requests of transactions that were executed, and whether they failed.
    pub(crate) within: Vec<(&'static str, bool)>,
    pub(crate) slow_log: SlowLog,
    pub(crate) events: Events,
}

impl Default for StubHost {
    fn default() -> Self {
        Self {
            users: Users::new(None),
            changes_of_users: 0,
            maxmemory: 0,
            resets: 0,
            trims: 0,
            limits: Limits::default(),
            pause: None,
            may_debug: false,
            slept: 0.0,
            synced: None,
            ended: false,
            save_at_end: None,
            wishes: Vec::new(),
            saves: Ok(Begun::Started),
            within: Vec::new(),
            slow_log: SlowLog::new(128),
            events: Events::default(),
        }
    }
}

impl Host for StubHost {
    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn facts(&self, _: Figures) -> Facts {
        Facts { version: "0.1.0".to_owned(), tcp_port: 6379, keys: 3, ..Facts::default() }
    }

    fn describe_client(&self, session: &Session) -> Vec<u8> {
        let mut line = Vec::new();
        client(session.id, session.name()).line(&mut line);
        line
    }

    fn config_get(&self, patterns: &[&[u8]], found: &mut dyn FnMut(&str, &str)) {
        use tallyring::command::glob::{Case, matches};
        if patterns.iter().any(|pattern| matches(pattern, b"maxmemory", Case::Ignored)) {
            found("maxmemory", &self.maxmemory.to_string());
        }
    }

    fn config_set(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<(), ConfigError> {
        let mut wanted = None;
        for (name, value) in pairs {
            let name = String::from_utf8_lossy(name).into_owned();
            match name.as_str() {
                "dir" => return Err(ConfigError::Protected(name)),
                "databases" => return Err(ConfigError::Immutable(name)),
                "maxmemory" if wanted.is_some() => return Err(ConfigError::Duplicate(name)),
                "maxmemory" => wanted = Some(String::from_utf8_lossy(value).parse()),
                _ => return Err(ConfigError::Unknown(name)),
            }
        }
        match wanted {
            Some(Ok(bytes)) => self.maxmemory = bytes,
            Some(Err(_)) => {
                return Err(ConfigError::Invalid(
                    "maxmemory".into(),
                    "argument must be a memory value".into(),
                ));
            }
            None => {}
        }
        Ok(())
    }

    fn config_rewrite(&mut self) -> Result<(), RewriteError> {
        Err(RewriteError::Failed("Permission denied".to_owned()))
    }

    fn users(&self) -> &Users {
        &self.users
    }

    fn users_changed(&mut self) {
        self.changes_of_users += 1;
    }

    fn load_users(&mut self) -> Option<Result<(), String>> {
        None
    }

    fn save_users(&mut self) -> Option<Result<(), String>> {
        None
    }

    fn begin_within(&mut self) {}

    fn executed_within(&mut self, command: &'static Command, _: &Args<'_>, failed: bool, _: &[u8]) {
        self.within.push((command.name, failed));
    }

    fn readings(&mut self) -> Vec<Reading> {
        Vec::new()
    }

    fn error_codes(&self) -> Codes {
        Codes::default()
    }

    fn reset_stats(&mut self) {
        self.resets += 1;
    }

    fn pause(&mut self, ms: u64, all: bool) {
        self.pause = Some((ms, all));
    }

    fn unpause(&mut self) {
        self.pause = None;
    }

    fn may_debug(&self) -> bool {
        self.may_debug
    }

    fn sleep(&mut self, seconds: f64) {
        self.slept += seconds;
    }

    fn is_synced(&self) -> Option<bool> {
        self.synced
    }

    fn save(&mut self, wish: Wish) -> Result<Begun, Busy> {
        self.wishes.push(wish);
        self.saves
    }

    fn save_at_end(&mut self, save: Option<bool>) {
        self.save_at_end = Some(save);
    }

    fn give_memory_back(&mut self) {
        self.trims += 1;
    }

    fn shut_down(&mut self) -> bool {
        self.ended = true;
        true
    }

    fn show(&mut self, _: &'static Command, _: Args<'_>) {}

    fn slow_log(&self) -> &SlowLog {
        &self.slow_log
    }

    fn events(&self) -> &Events {
        &self.events
    }
}

pub(crate) fn client(id: u64, name: &[u8]) -> ClientFacts {
    ClientFacts {
        id,
        addr: format!("127.0.0.1:{}", 50_000 + id),
        laddr: "127.0.0.1:6379".to_owned(),
        fd: 9,
        name: name.to_vec(),
        age_s: 0,
        idle_s: 0,
        no_evict: false,
        no_touch: false,
        monitors: false,
        queued: None,
        closing: false,
        query_bytes: 0,
        query_free: 0,
        unsent_bytes: 0,
        unsent_blocks: 0,
        memory_bytes: 0,
        reads: true,
        writes: false,
        command: "client|info".to_owned(),
        user: "default".to_owned(),
        protocol: Protocol::Resp2,
        lib_name: Vec::new(),
        lib_version: Vec::new(),
    }
}

/// Numbers effects as a journal would.
#[derive(Debug, Default)]
pub(crate) struct Numbered {
    pub(crate) last: Lsn,
    /// Where the group under way began.
    pub(crate) began: Option<Lsn>,
    /// Positions before and at the end of groups.
    pub(crate) groups: Vec<(Lsn, Lsn)>,
    /// Where effects are done again.
    pub(crate) mirror: Option<Table>,
}

impl EffectSink for Numbered {
    fn record(&mut self, effect: Effect<'_>) -> Lsn {
        if let Some(mirror) = &self.mirror {
            mirror.apply(&effect);
        }
        self.last += 1;
        self.last
    }

    fn begin(&mut self) {
        assert!(self.began.replace(self.last).is_none(), "groups do not nest");
    }

    fn end(&mut self) -> Lsn {
        let began = self.began.take().expect("a group was begun");
        self.groups.push((began, self.last));
        self.last
    }
}

/// Collects what an encoder spills.
#[derive(Debug, Default)]
pub(crate) struct Collected(pub(crate) Vec<u8>);

impl Spill for Collected {
    fn spill(&mut self, block: &mut Vec<u8>) {
        self.0.append(block);
    }

    fn attach(&mut self, bytes: bytes::Bytes) {
        self.0.extend_from_slice(&bytes);
    }
}

/// A server of one connection.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) table: Table,
    pub(crate) host: StubHost,
    pub(crate) session: Session,
    pub(crate) now_ms: u64,
    pub(crate) effects: Numbered,
    pub(crate) tally: Tally,
}

/// What came of one request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Vec<u8>,
    /// `None`: it did not reach a command.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) wait: Lsn,
}

/// Longest block that the encoder gets, so that replies spill.
pub(crate) const BLOCK: usize = 64;

impl Server {
    pub(crate) fn new() -> Self {
        let host = StubHost::default();
        Self {
            table: Table::with_seed(7),
            session: Session::new(7, &host.users),
            host,
            now_ms: 1_700_000_000_000,
            effects: Numbered::default(),
            tally: Tally::default(),
        }
    }

    pub(crate) fn run(&mut self, request: &[impl AsRef<[u8]>]) -> Answer {
        let (bytes, spans) = multibulk(request);
        let args = Args::new(&bytes, &spans, request.len());
        let mut block = Vec::with_capacity(BLOCK);
        let mut spilled = Collected::default();
        let mut reply = Encoder::new(&mut block, &mut spilled, self.session.protocol);
        let (outcome, wait) = match admitted(&mut self.session, &args, &self.table, &self.host.limits) {
            Err(encode) => {
                encode(&mut reply);
                (None, 0)
            }
            Ok(command) => {
                let first = command.keys_of(&args).next();
                let mut call = Call {
                    command,
                    args,
                    hashed: first.map(|key| self.table.key(key).hash),
                    now: Now { unix_us: self.now_ms * 1000 + 123 },
                    table: &self.table,
                    session: &mut self.session,
                    reply,
                    effects: &mut self.effects,
                    host: &mut self.host,
                    tally: &mut self.tally,
                    wait: 0,
                    parts: None,
                    held: None,
                };
                let outcome = (command.run)(&mut call);
                (Some(outcome), call.wait)
            }
        };
        spilled.0.append(&mut block);
        Answer { reply: spilled.0, outcome, wait }
    }

    /// Runs a part of a request that is executed while it arrives: some of its arguments, without its name.
    pub(crate) fn run_part(&mut self, name: &[u8], part: &[impl AsRef<[u8]>], parts: &mut Parts) -> Vec<u8> {
        let (bytes, spans) = multibulk(part);
        let command = lookup(name).expect("a command that there is");
        let mut block = Vec::with_capacity(BLOCK);
        let mut spilled = Collected::default();
        let mut call = Call {
            command,
            args: Args::new(&bytes, &spans, part.len()),
            hashed: None,
            now: Now { unix_us: self.now_ms * 1000 },
            table: &self.table,
            session: &mut self.session,
            reply: Encoder::new(&mut block, &mut spilled, Protocol::Resp2),
            effects: &mut self.effects,
            host: &mut self.host,
            tally: &mut self.tally,
            wait: 0,
            parts: Some(parts),
            held: None,
        };
        assert!(matches!((command.run)(&mut call), Outcome::Done));
        spilled.0.append(&mut block);
        spilled.0
    }

    /// Runs a request written as in a session, and gives its reply as a session shows it.
    pub(crate) fn ask(&mut self, request: &str) -> String {
        shown(&self.run(&arguments(request)).reply)
    }
}

/// Encodes the reply to a request that is not executed, or not yet.
type Instead<'a> = Box<dyn FnOnce(&mut Encoder<'_>) + 'a>;

/// The command to execute, as a worker chooses it.
pub(crate) fn admitted<'a>(
    session: &mut Session,
    args: &Args<'a>,
    table: &Table,
    limits: &Limits,
) -> Result<&'static Command, Instead<'a>> {
    let command = match resolve(args) {
        Ok(command) => command,
        Err(refusal) => {
            session.refuse_transaction(refusal.command(), table);
            return Err(Box::new(move |reply| refusal.encode(reply)));
        }
    };
    if let Err(forbidden) = permit(session, command, args) {
        session.refuse_transaction(Some(command), table);
        return Err(Box::new(move |reply| reply.error(forbidden.text(command))));
    }
    match session.admit(command, args, limits.query_buffer) {
        Admission::Run => Ok(command),
        Admission::Queued => Err(Box::new(|reply| reply.simple("QUEUED"))),
        Admission::Refused(text) => Err(Box::new(move |reply| reply.error(text))),
        Admission::Full => panic!("no session here queues that much"),
    }
}

/// A request on the wire, and the positions that a decoder keeps of it.
pub(crate) fn multibulk(request: &[impl AsRef<[u8]>]) -> (Vec<u8>, Vec<Span>) {
    let mut bytes = format!("*{}\r\n", request.len()).into_bytes();
    let mut spans = Vec::new();
    for argument in request {
        let argument = argument.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        if spans.len() < SPANS {
            let start = u32::try_from(bytes.len()).expect("test requests are small");
            spans.push(Span { start, len: u32::try_from(argument.len()).expect("test requests are small") });
        }
        bytes.extend_from_slice(argument);
        bytes.extend_from_slice(b"\r\n");
    }
    (bytes, spans)
}

/// Reads the arguments of a line: words, or quoted texts with `\r`, `\n`, `\0` and `\xhh`.
pub(crate) fn arguments(line: &str) -> Vec<Vec<u8>> {
    let mut arguments = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').expect("quotes are closed");
            arguments.push(unescaped(&quoted[..end]));
            rest = quoted[end + 1..].trim_start();
        } else {
            let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
            arguments.push(word.as_bytes().to_vec());
            rest = after.trim_start();
        }
    }
    arguments
}

pub(crate) fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next().expect("something is escaped") {
                b'r' => b'\r',
                b'n' => b'\n',
                b'0' => 0,
                b'x' => {
                    let digits: String = rest.by_ref().take(2).map(char::from).collect();
                    u8::from_str_radix(&digits, 16).expect("two hexadecimal digits")
                }
                other => other,
            },
            _ => byte,
        });
    }
    bytes
}

/// Bytes as a session shows them.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            0 => text.push_str("\\0"),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text
}

/// Small, reproducible random numbers (xorshift64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits fit") % bound
    }
}
