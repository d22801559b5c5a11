//! The commands as clients see them: sessions in bytes, replayed through `resolve` and `run` on a real table and
//! a virtual clock. Knows no socket and no engine.
//!
//! The sessions are the files of `tests/commands/`. `# title` starts one on an empty server and a new
//! connection, `> request` is followed by its reply, `@advance ms` moves the clock and `@back ms` sets it back,
//! `@protocol n` changes the protocol version, `@password text` sets one and connects anew, `@maxtokens n` is the bound
//! of tokens. All replies were taken from Redis 7.0.15
//! except in sessions marked as ours.

#[path = "commands/effects.rs"]
mod effects;
#[path = "commands/fields.rs"]
mod fields;
#[path = "commands/retries.rs"]
mod retries;
#[path = "commands/walks.rs"]
mod walks;

use std::collections::BTreeMap;
use std::fmt::Write;

use tallyring::command::client_list::{ClientFacts, Question, QuestionKind};
use tallyring::command::info::Facts;
use tallyring::command::queue::Admission;
use tallyring::command::resolve::{Refusal, foresee, permit, resolve};
use tallyring::command::session::Session;
use tallyring::command::{Call, Command, ConfigError, Host, Now, Outcome, Tally};
use tallyring::limits::{KEY_BYTES, Limits, SPANS};
use tallyring::resp::args::{Args, Span};
use tallyring::resp::encode::{Encoder, Protocol, Spill};
use tallyring::table::effect::{Effect, EffectSink, Lsn};
use tallyring::table::{Figures, Table};

/// What stands around the core: a few directives and a password.
#[derive(Debug, Default)]
struct StubHost {
    password: Option<Vec<u8>>,
    maxmemory: u64,
    resets: usize,
    limits: Limits,
    pause: Option<(u64, bool)>,
    may_debug: bool,
    slept: f64,
    ended: bool,
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

    fn check_password(&self, password: &[u8]) -> Option<bool> {
        self.password.as_deref().map(|expected| expected == password)
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

    fn shut_down(&mut self) -> bool {
        self.ended = true;
        true
    }
}

fn client(id: u64, name: &[u8]) -> ClientFacts {
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
struct Numbered {
    last: Lsn,
    /// Where the group under way began.
    began: Option<Lsn>,
    /// Positions before and at the end of groups.
    groups: Vec<(Lsn, Lsn)>,
    /// Where effects are done again.
    mirror: Option<Table>,
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

    fn end(&mut self) {
        let began = self.began.take().expect("a group was begun");
        self.groups.push((began, self.last));
    }
}

/// Collects what an encoder spills.
#[derive(Debug, Default)]
struct Collected(Vec<u8>);

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
struct Server {
    table: Table,
    host: StubHost,
    session: Session,
    now_ms: u64,
    effects: Numbered,
    tally: Tally,
}

/// What came of one request.
#[derive(Debug)]
struct Answer {
    reply: Vec<u8>,
    /// `None`: it did not reach a command.
    outcome: Option<Outcome>,
    wait: Lsn,
}

/// Longest block that the encoder gets, so that replies spill.
const BLOCK: usize = 64;

impl Server {
    fn new() -> Self {
        Self {
            table: Table::with_seed(7),
            host: StubHost::default(),
            session: Session::new(7, true),
            now_ms: 1_700_000_000_000,
            effects: Numbered::default(),
            tally: Tally::default(),
        }
    }

    fn run(&mut self, request: &[impl AsRef<[u8]>]) -> Answer {
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

    /// Runs a request written as in a session, and gives its reply as a session shows it.
    fn ask(&mut self, request: &str) -> String {
        shown(&self.run(&arguments(request)).reply)
    }
}

/// Encodes the reply to a request that is not executed, or not yet.
type Instead<'a> = Box<dyn FnOnce(&mut Encoder<'_>) + 'a>;

/// The command to execute, as a worker chooses it.
fn admitted<'a>(
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
    if let Err(text) = permit(session, command) {
        session.refuse_transaction(Some(command), table);
        return Err(Box::new(move |reply| reply.error(text)));
    }
    match session.admit(command, args, limits.query_buffer) {
        Admission::Run => Ok(command),
        Admission::Queued => Err(Box::new(|reply| reply.simple("QUEUED"))),
        Admission::Refused(text) => Err(Box::new(move |reply| reply.error(text))),
        Admission::Full => panic!("no session here queues that much"),
    }
}

/// A request on the wire, and the positions that a decoder keeps of it.
fn multibulk(request: &[impl AsRef<[u8]>]) -> (Vec<u8>, Vec<Span>) {
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
fn arguments(line: &str) -> Vec<Vec<u8>> {
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

fn unescaped(text: &str) -> Vec<u8> {
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
fn shown(bytes: &[u8]) -> String {
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

/// Replays the sessions of a file and shows every reply that differs.
fn replay(file: &str) {
    let mut server = Server::new();
    let mut title = "";
    let mut differences = String::new();
    let mut exchanges = 0;
    let mut lines = file.lines();
    while let Some(line) = lines.next() {
        if let Some(text) = line.strip_prefix("# ") {
            (server, title) = (Server::new(), text);
        } else if let Some(ms) = line.strip_prefix("@advance ") {
            server.now_ms += ms.parse::<u64>().expect("a number of milliseconds");
        } else if let Some(ms) = line.strip_prefix("@back ") {
            server.now_ms -= ms.parse::<u64>().expect("a number of milliseconds");
        } else if let Some(most) = line.strip_prefix("@maxtokens ") {
            server.host.limits.max_tokens = most.parse().expect("a number of tokens");
        } else if let Some(version) = line.strip_prefix("@protocol ") {
            server.session.protocol = if version == "3" { Protocol::Resp3 } else { Protocol::Resp2 };
        } else if let Some(password) = line.strip_prefix("@password ") {
            server.host.password = Some(password.as_bytes().to_vec());
            server.session = Session::new(7, false);
        } else if let Some(request) = line.strip_prefix("> ") {
            let expected = lines.next().expect("a request is followed by its reply");
            let reply = server.ask(request);
            if reply != expected {
                differences += &format!("# {title}\n> {request}\n  is {reply}\n not {expected}\n");
            }
            exchanges += 1;
        } else {
            panic!("no line of a session: {line}");
        }
    }
    assert!(exchanges > 0 && differences.is_empty(), "\n{differences}");
}

#[test]
fn counters() {
    replay(include_str!("commands/counters.txt"));
}

#[test]
fn strings() {
    replay(include_str!("commands/strings.txt"));
}

#[test]
fn substrings() {
    replay(include_str!("commands/substrings.txt"));
}

#[test]
fn floats() {
    replay(include_str!("commands/floats.txt"));
}

#[test]
fn bounded_counters() {
    replay(include_str!("commands/increx.txt"));
}

#[test]
fn keyspace() {
    replay(include_str!("commands/keyspace.txt"));
}

#[test]
fn rate_limits() {
    replay(include_str!("commands/throttle.txt"));
}

#[test]
fn windows() {
    replay(include_str!("commands/windows.txt"));
}

#[test]
fn tokens() {
    replay(include_str!("commands/once.txt"));
}

#[test]
fn hashes() {
    replay(include_str!("commands/hashes.txt"));
}

#[test]
fn transactions() {
    replay(include_str!("commands/transactions.txt"));
}

#[test]
fn operation() {
    replay(include_str!("commands/operate.txt"));
}

#[test]
fn bulk() {
    replay(include_str!("commands/bulk.txt"));
}

#[test]
fn keys() {
    replay(include_str!("commands/keys.txt"));
}

#[test]
fn session() {
    replay(include_str!("commands/session.txt"));
}

#[test]
fn introspection() {
    replay(include_str!("commands/introspection.txt"));
}

#[test]
fn outcomes_end_connections() {
    let mut server = Server::new();
    assert!(matches!(server.run(&["PING"]).outcome, Some(Outcome::Done)));
    let quit = server.run(&["QUIT", "whatever"]);
    assert!(matches!(quit.outcome, Some(Outcome::Close)));
    assert_eq!(quit.reply, b"+OK\r\n");
    server.session.authenticated = false;
    for request in [vec!["POST", "/", "HTTP/1.1"], vec!["post"], vec!["Host:", "localhost"], vec!["HOST:"]] {
        let answer = server.run(&request);
        assert!(matches!(answer.outcome, Some(Outcome::Drop)) && answer.reply.is_empty(), "{request:?}");
    }
}

fn question(request: &str) -> Question {
    match Server::new().run(&arguments(request)).outcome {
        Some(Outcome::Pending(question)) => question,
        outcome => panic!("{request}: {outcome:?}"),
    }
}

fn answer(question: &Question, matched: u64, lines: &[u8], protocol: Protocol) -> String {
    let mut block = Vec::with_capacity(BLOCK);
    let mut spilled = Collected::default();
    question.answer(matched, lines, &mut Encoder::new(&mut block, &mut spilled, protocol));
    spilled.0.append(&mut block);
    shown(&spilled.0)
}

#[test]
fn client_list_asks_all_workers() {
    // The session is connection 7; connection n comes from port 50000 + n.
    for (request, ids) in [
        ("CLIENT LIST", &[6, 7, 8][..]),
        ("CLIENT LIST TYPE normal", &[6, 7, 8]),
        ("CLIENT LIST TYPE PUBSUB", &[]),
        ("CLIENT LIST TYPE slave", &[]),
        ("CLIENT LIST ID 8 6 99 -1", &[6, 8]),
    ] {
        let question = question(request);
        assert_eq!(question.kind, QuestionKind::List);
        let matched: Vec<u64> = (6..9).filter(|&id| question.filter.matches(&client(id, b""))).collect();
        assert_eq!(matched, ids, "{request}");
    }
    let list = question("CLIENT LIST");
    assert_eq!(answer(&list, 2, b"id=1\nid=2\n", Protocol::Resp2), "$10\\r\\nid=1\\nid=2\\n\\r\\n");
    assert_eq!(answer(&list, 2, b"id=1\nid=2\n", Protocol::Resp3), "=14\\r\\ntxt:id=1\\nid=2\\n\\r\\n");
    assert_eq!(answer(&list, 0, b"", Protocol::Resp2), "$0\\r\\n\\r\\n");
}

#[test]
fn client_kill_asks_all_workers() {
    for (request, old_form, ids) in [
        ("CLIENT KILL 127.0.0.1:50007", true, &[7][..]),
        ("CLIENT KILL 127.0.0.1:1", true, &[]),
        ("CLIENT KILL ID", true, &[]),
        ("CLIENT KILL ID 8", false, &[8]),
        ("CLIENT KILL ID 7", false, &[]),
        ("CLIENT KILL ID 7 SKIPME no", false, &[7]),
        ("CLIENT KILL TYPE normal", false, &[6, 8]),
        ("CLIENT KILL TYPE normal SKIPME NO", false, &[6, 7, 8]),
        ("CLIENT KILL TYPE pubsub SKIPME no", false, &[]),
        ("CLIENT KILL ADDR 127.0.0.1:50006", false, &[6]),
        ("CLIENT KILL LADDR 127.0.0.1:6379 skipme yes", false, &[6, 8]),
        ("CLIENT KILL USER default ID 6", false, &[6]),
    ] {
        let question = question(request);
        assert_eq!(question.kind, QuestionKind::Kill { old_form }, "{request}");
        let matched: Vec<u64> = (6..9).filter(|&id| question.filter.matches(&client(id, b""))).collect();
        assert_eq!(matched, ids, "{request}");
    }
    let (old, new) = (question("CLIENT KILL 127.0.0.1:50007"), question("CLIENT KILL ID 8"));
    assert_eq!(answer(&old, 1, b"", Protocol::Resp2), "+OK\\r\\n");
    assert_eq!(answer(&old, 0, b"", Protocol::Resp2), "-ERR No such client\\r\\n");
    assert_eq!(answer(&new, 2, b"", Protocol::Resp2), ":2\\r\\n");
    assert_eq!(answer(&new, 0, b"", Protocol::Resp2), ":0\\r\\n");
}

#[test]
fn what_is_foreseen_of_a_request_is_what_is_resolved() {
    // A request in parts is judged by its count before permission is asked for; so must a whole one be.
    for request in
        ["MINCRBY a", "MINCRBY a 1 b", "MINCRBY a 1 b 2", "MSET a 1 b", "MGET", "GET a b", "CLIENT ID x"]
    {
        let (bytes, spans) = multibulk(&arguments(request));
        let args = Args::new(&bytes, &spans, spans.len());
        match (foresee(&args, args.len()), resolve(&args)) {
            (Ok(Some(foreseen)), Ok(resolved)) => assert!(std::ptr::eq(foreseen, resolved), "{request}"),
            (Err(Refusal::Arity(_, foreseen)), Err(Refusal::Arity(_, resolved))) => {
                assert!(std::ptr::eq(foreseen, resolved), "{request}");
            }
            (foreseen, resolved) => panic!("{request}: foreseen {foreseen:?}, resolved {resolved:?}"),
        }
    }
}

#[test]
fn long_keys_are_refused_before_anything_changes() {
    let longest = vec![b'k'; KEY_BYTES];
    let longer = vec![b'k'; KEY_BYTES + 1];
    let refused = format!("-ERR key is too long ({} bytes, at most {KEY_BYTES})\\r\\n", KEY_BYTES + 1);
    let mut server = Server::new();
    assert_eq!(server.run(&[b"INCR", &longest[..]]).reply, b":1\r\n");
    assert_eq!(server.run(&[b"SET", b"v".as_slice(), &longer]).reply, b"+OK\r\n", "a value may be longer");
    assert_eq!(shown(&server.run(&[b"INCR", &longer[..]]).reply), refused);
    assert_eq!(shown(&server.run(&[b"MSET", b"a".as_slice(), b"1", &longer, b"2"]).reply), refused);
    assert_eq!(shown(&server.run(&[b"DEL", b"v".as_slice(), &longer]).reply), refused);
    assert_eq!(server.run(&[b"MSET", b"w".as_slice(), &longer]).reply, b"+OK\r\n");
    assert_eq!(server.ask("EXISTS a v w"), ":2\\r\\n");
    assert_eq!(server.run(&[b"ECHO", &longer[..]]).reply.len(), longer.len() + 10, "no key");
}

/// Small, reproducible random numbers (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits fit") % bound
    }
}

#[test]
fn requests_of_any_size_agree_with_a_model() {
    let seed = 0x7a11_0000_0001;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    let mut server = Server::new();
    let mut model: BTreeMap<String, i64> = BTreeMap::new();
    // Around one group of keys, around two, and beyond the positions that are kept.
    for pairs in [1, 2, 31, 32, 33, 63, 64, 65, 511, 512, 3000, 1, 700, 2000] {
        let keys: Vec<String> =
            (0..pairs).map(|_| format!("views:{}", random.below(1 + pairs * 2))).collect();
        let mut request = vec!["MINCRBY".to_owned()];
        let mut expected = format!("*{pairs}\r\n");
        for key in &keys {
            let delta = i64::try_from(random.below(2000)).unwrap() - 1000;
            request.extend([key.clone(), delta.to_string()]);
            let value = model.entry(key.clone()).or_default();
            *value += delta;
            write!(expected, ":{value}\r\n").unwrap();
        }
        assert_eq!(server.run(&request).reply, expected.as_bytes(), "MINCRBY of {pairs}");

        let mut request = vec!["DEL".to_owned()];
        request.extend((0..pairs).map(|_| format!("views:{}", random.below(1 + pairs * 4))));
        let removed = request[1..].iter().filter(|key| model.remove(*key).is_some()).count();
        assert_eq!(server.run(&request).reply, format!(":{removed}\r\n").as_bytes(), "DEL of {pairs}");

        let mut request = vec!["MGET".to_owned()];
        request.extend(keys.iter().cloned());
        let mut expected = format!("*{pairs}\r\n");
        for key in &keys {
            match model.get(key) {
                Some(value) => write!(expected, "${}\r\n{value}\r\n", value.to_string().len()).unwrap(),
                None => expected.push_str("$-1\r\n"),
            }
        }
        assert_eq!(server.run(&request).reply, expected.as_bytes(), "MGET of {pairs}");

        request[0] = "EXISTS".to_owned();
        let found = keys.iter().filter(|key| model.contains_key(*key)).count();
        assert_eq!(server.run(&request).reply, format!(":{found}\r\n").as_bytes(), "EXISTS of {pairs}");

        let mut request = vec!["MSET".to_owned()];
        for (value, key) in (0..).zip(&keys).filter(|_| random.below(2) == 0) {
            request.extend([key.clone(), value.to_string()]);
            model.insert(key.clone(), value);
        }
        if request.len() > 1 {
            assert_eq!(server.run(&request).reply, b"+OK\r\n", "MSET of {pairs}");
        }
        assert_eq!(server.run(&["DBSIZE"]).reply, format!(":{}\r\n", model.len()).as_bytes());
    }
}

#[test]
fn replies_wait_for_the_changes_they_show() {
    let mut server = Server::new();
    assert_eq!(server.run(&["GET", "a"]).wait, 0, "nothing has changed yet");
    assert_eq!(server.run(&["INCR", "a"]).wait, 1, "its own change");
    assert_eq!(server.run(&["GET", "a"]).wait, 1, "the change it shows");
    assert_eq!(server.run(&["INCRBY", "a", "x"]).wait, 0, "it looked at nothing");
    assert_eq!(server.run(&["MSET", "a", "5", "b", "text"]).wait, 3, "the later of its changes");
    assert_eq!(server.run(&["INCR", "b"]).wait, 3, "an error shows the value as well");
    assert_eq!(server.run(&["MGET", "a", "b"]).wait, 3);
    assert_eq!(server.run(&["DEL", "a"]).wait, 4);
    assert_eq!(server.run(&["GET", "a"]).wait, 4, "that it is gone is a change too");
    assert_eq!(server.run(&["FLUSHALL"]).wait, 5);
    assert_eq!(server.run(&["GET", "anything"]).wait, 5);
    assert_eq!(server.run(&["SET", "c", "v", "PX", "10"]).wait, 6);
    server.now_ms += 10;
    assert_eq!(server.run(&["GET", "c"]).wait, 7, "it removed what was over");
}

#[test]
fn reading_commands_count_hits_and_misses() {
    let mut server = Server::new();
    server.ask("MSET a 1 b 2");
    for (request, hits, misses) in [
        ("GET a", 1, 0),
        ("GET x", 0, 1),
        ("MGET a x b", 2, 1),
        ("EXISTS a x", 1, 1),
        ("TOUCH a x", 1, 1),
        ("TYPE a", 1, 0),
        ("TTL x", 0, 1),
        ("PTTL a", 1, 0),
        ("GETTTL a", 1, 0),
        ("GETTTL x", 0, 1),
        ("SET a 1 GET", 1, 0),
        ("SET a 1 NX", 0, 0),
        ("GETSET a 2", 1, 0),
        ("GETDEL a", 1, 0),
        ("INCR a", 0, 0),
        ("MINCRBY a 1 x 1", 0, 0),
        ("HSET h f 1", 0, 0),
        ("HGET h f", 1, 0),
        ("HGET h g", 1, 0),
        ("HMGET nothing f g", 0, 1),
        ("HGETALL h", 1, 0),
        ("HLEN nothing", 0, 1),
        ("HSCAN h 0", 1, 0),
        ("MGET h nothing", 1, 1),
        ("HINCRBY h f 1", 0, 0),
        ("HGETDEL h FIELDS 1 f", 0, 0),
        ("EXPIRE a 10", 0, 0),
        ("DEL a x", 0, 0),
    ] {
        server.tally = Tally::default();
        server.ask(request);
        assert_eq!(server.tally, Tally { hits, misses, ..Tally::default() }, "{request}");
    }
}

#[test]
fn info_has_sections() {
    let mut server = Server::new();
    let text = |server: &mut Server, request: &[&str]| {
        let reply = String::from_utf8(server.run(request).reply).unwrap();
        let (head, body) = reply.split_once("\r\n").unwrap();
        assert_eq!(head, format!("${}", body.len() - 2));
        body[..body.len() - 2].to_owned()
    };
    let all = text(&mut server, &["INFO"]);
    for section in ["all", "EVERYTHING", "default"] {
        assert_eq!(text(&mut server, &["INFO", section]), all);
    }
    for field in [
        "# Server\r\nredis_version:7.2.4\r\n",
        "tallyring_version:0.1.0\r\n",
        "tcp_port:6379\r\n",
        "used_memory_human:0B\r\n",
        "aof_enabled:0\r\n",
        "loading:0\r\n",
        "role:master\r\nconnected_slaves:0\r\n",
        "# CPU\r\nused_cpu_sys:0.000000\r\n",
        "cluster_enabled:0\r\n",
        "\r\n\r\n# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\n",
        "# Engine\r\n",
    ] {
        assert!(all.contains(field), "{field:?} in {all}");
    }
    let fields = all.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert!(fields.clone().all(|line| line.split_once(':').is_some_and(|(name, _)| !name.is_empty())));
    let mut names: Vec<&str> = fields.filter_map(|line| line.split(':').next()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "no field twice");
    let two = text(&mut server, &["INFO", "Cluster", "keyspace", "nothing"]);
    let keyspace = "# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\ntemplates:0\r\n";
    assert!(two.starts_with(keyspace) && two.contains("\r\nbytes_per_packed_key:0.00\r\n"), "{two}");
    assert_eq!(text(&mut server, &["INFO", "nothing"]), "");
    server.session.protocol = Protocol::Resp3;
    assert_eq!(server.ask("INFO cluster"), "=34\\r\\ntxt:# Cluster\\r\\ncluster_enabled:0\\r\\n\\r\\n");
}

#[test]
fn bounded_counters_agree_with_plain_arithmetic() {
    const EDGES: [i64; 9] = [0, 1, -1, 5, -7, i64::MAX, i64::MIN, i64::MAX - 3, i64::MIN + 3];
    let mut random = Random(0x5eed_0002);
    let mut server = Server::new();
    for _ in 0..5_000 {
        let mut edge = || EDGES[random.below(EDGES.len())];
        let (current, by, lower, upper) = (edge(), edge(), edge(), edge());
        let [bounded_below, bounded_above, saturate, exists] = [(); 4].map(|()| random.below(2) == 1);
        let current = if exists { current } else { 0 };
        server.ask(&if exists { format!("SET k {current}") } else { "DEL k".to_owned() });
        let mut request = format!("INCREX k BYINT {by}");
        let (mut least, mut most) = (i128::from(i64::MIN), i128::from(i64::MAX));
        if bounded_below {
            least = i128::from(lower);
            write!(request, " LBOUND {lower}").unwrap();
        }
        if bounded_above {
            most = i128::from(upper);
            write!(request, " UBOUND {upper}").unwrap();
        }
        if saturate {
            request += " SATURATE";
        }
        let sum = i128::from(current) + i128::from(by);
        let (expected, left) = if least > most {
            ("-ERR LBOUND can't be greater than UBOUND\\r\\n".to_owned(), exists.then_some(current))
        } else if (least..=most).contains(&sum) || saturate {
            let new = i64::try_from(sum.clamp(least, most)).unwrap();
            match new.checked_sub(current) {
                Some(added) => (format!("*2\\r\\n:{new}\\r\\n:{added}\\r\\n"), Some(new)),
                None => ("-ERR applied increment would overflow\\r\\n".to_owned(), exists.then_some(current)),
            }
        } else {
            (format!("*2\\r\\n:{current}\\r\\n:0\\r\\n"), exists.then_some(current))
        };
        assert_eq!(server.ask(&request), expected, "{request} on {current}");
        let left = left.map_or("$-1\\r\\n".to_owned(), |left| {
            let left = left.to_string();
            format!("${}\\r\\n{left}\\r\\n", left.len())
        });
        assert_eq!(server.ask("GET k"), left, "after {request} on {current}");
    }
}

#[test]
fn transactions_are_groups_of_effects_and_wait_for_all_of_them() {
    let mut server = Server::new();
    for request in ["SET a 1", "MULTI", "INCR a", "MSET b 1 c 2", "GET nothing"] {
        server.ask(request);
    }
    assert_eq!(server.effects.groups, []);
    let answer = server.run(&["EXEC"]);
    assert_eq!((answer.wait, &server.effects.groups[..]), (4, &[(1, 4)][..]));
    assert_eq!(server.run(&["MSETNX", "x", "1", "y", "2"]).wait, 6);
    assert_eq!(server.effects.groups, [(1, 4), (4, 6)]);
    // What was looked at and had changed is waited for too.
    server.ask("WATCH a");
    server.ask("SET a 2");
    server.ask("MULTI");
    let answer = server.run(&["EXEC"]);
    assert_eq!((shown(&answer.reply).as_str(), answer.wait), ("*-1\\r\\n", 7));
}

#[test]
fn watched_keys_may_run_out_of_time() {
    let mut server = Server::new();
    for request in ["SET a 1 PX 10", "WATCH a", "MULTI", "PING"] {
        server.ask(request);
    }
    server.now_ms += 10;
    assert_eq!(server.ask("EXEC"), "*-1\\r\\n", "its time was up in between");
    for request in ["SET a 1 PX 10", "GET a"] {
        server.ask(request);
    }
    server.now_ms += 10;
    for request in ["WATCH a", "MULTI", "SET b 1", "TTL a"] {
        server.ask(request);
    }
    assert_eq!(server.ask("EXEC"), "*2\\r\\n+OK\\r\\n:-2\\r\\n", "its time was up before");
}

#[test]
fn transactions_and_watches_are_bounded() {
    let mut server = Server::new();
    server.host.limits.query_buffer = 1000;
    let keys: Vec<String> = (0..20).map(|n| format!("key:{n}")).collect();
    let mut watch = vec!["WATCH".to_owned()];
    watch.extend(keys);
    assert_eq!(shown(&server.run(&watch).reply), "-ERR watched keys exceed client-query-buffer-limit\\r\\n");
    assert_eq!(server.ask("UNWATCH"), "+OK\\r\\n");
    assert_eq!(shown(&server.run(&watch[..5]).reply), "+OK\\r\\n");
}

#[test]
fn hosts_are_asked() {
    let mut server = Server::new();
    assert_eq!(server.ask("CLIENT PAUSE 1500"), "+OK\\r\\n");
    assert_eq!(server.host.pause, Some((1500, true)));
    server.ask("CLIENT PAUSE 9223372036854775807 write");
    assert_eq!(server.host.pause, Some((u64::MAX >> 1, false)));
    server.ask("CLIENT UNPAUSE");
    assert_eq!(server.host.pause, None);
    server.host.may_debug = true;
    assert_eq!(server.ask("DEBUG SLEEP 0.25"), "+OK\\r\\n");
    assert_eq!(server.host.slept, 0.25);
    for request in ["DEBUG SLEEP x", "DEBUG SLEEP -1", "DEBUG SLEEP 1e9", "DEBUG SLEEP nan", "DEBUG JMAP"] {
        assert!(server.ask(request).starts_with("-ERR "), "{request}");
    }
    assert_eq!(server.host.slept, 0.25);
    assert_eq!((server.ask("SHUTDOWN NOSAVE now force"), server.host.ended), (String::new(), true));
    assert_eq!(server.ask("LASTSAVE"), ":0\\r\\n");
    assert_eq!(server.ask("CONFIG RESETSTAT"), "+OK\\r\\n");
    assert_eq!(server.host.resets, 1);
    server.ask("CLIENT SETNAME web");
    let line = server.ask("CLIENT INFO");
    assert!(line.contains("id=7 addr=127.0.0.1:50007") && line.contains(" name=web "), "{line}");
}
