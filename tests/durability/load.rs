//! Clients that know what they are owed: they write under load until the server is gone, and hold what the next one has
//! against what was acknowledged.
//!
//! Of a client's own keys, requests behind one that is not there are not there either: the state found must be that after
//! `k` of its requests, `floor <= k <= sent`. Keys of all clients follow from those `k`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use crate::client::{Arrival, Client, reply_end, request};
use crate::model::{
    GROUPS, HASH, LARGE, LOOSE, Maker, NUMBERS, ONCE, SHARE, SHARED, State, Step, TEXTS, Value, large, once,
    text,
};
use crate::server::{PATIENCE, Server};

/// Most requests in one pipeline.
const DEPTH: u64 = 16;

/// One client.
struct Writer {
    maker: Maker,
    /// What its keys held when the server was started.
    base: State,
    /// What it sent since then; first what a settlement sent again.
    steps: Vec<Step>,
    /// How many of those were acknowledged: read by the test while it runs.
    acked: Arc<AtomicUsize>,
}

/// What was seen of the keys of all clients, of which each only grows.
#[derive(Debug, Default)]
struct Seen {
    shared: AtomicI64,
    loose: AtomicI64,
}

/// All clients of a server.
pub(crate) struct Crowd {
    writers: Vec<Writer>,
    seen: Arc<Seen>,
    /// What [`LOOSE`] held when the server was started.
    loose: i64,
    /// Acknowledged, over all.
    pub(crate) total: usize,
}

/// What is owed: taken before the fault begins.
pub(crate) struct Debt {
    floors: Vec<usize>,
    shared: i64,
    loose: i64,
}

impl Debt {
    /// Nothing, but that what is there was sent in that order.
    pub(crate) fn forgiven(&self) -> Self {
        Self { floors: vec![0; self.floors.len()], shared: 0, loose: 0 }
    }
}

/// Clients at work.
pub(crate) struct Running {
    threads: Vec<JoinHandle<Writer>>,
    reader: JoinHandle<()>,
    acked: Vec<Arc<AtomicUsize>>,
    seen: Arc<Seen>,
    loose: i64,
    total: usize,
}

impl Crowd {
    pub(crate) fn new(clients: usize, seed: u64) -> Self {
        let writer = |client| Writer {
            maker: Maker::new(client, seed.wrapping_mul(31).wrapping_add(client as u64)),
            base: State::new(),
            steps: Vec::new(),
            acked: Arc::default(),
        };
        Self { writers: (0..clients).map(writer).collect(), seen: Arc::default(), loose: 0, total: 0 }
    }

    /// Lets all of them write until the server is gone or they are stopped.
    pub(crate) fn start(self, server: &Server) -> Running {
        let addr = server.addr();
        let acked = self.writers.iter().map(|writer| Arc::clone(&writer.acked)).collect();
        let threads = self.writers.into_iter().map(|writer| {
            let seen = Arc::clone(&self.seen);
            thread::spawn(move || writer.run(addr, &seen))
        });
        let threads = threads.collect();
        let seen = Arc::clone(&self.seen);
        let reader = thread::spawn(move || read(addr, &seen));
        Running { threads, reader, acked, seen: self.seen, loose: self.loose, total: self.total }
    }
}

impl Running {
    /// Requests acknowledged so far.
    pub(crate) fn acked(&self) -> usize {
        self.acked.iter().map(|acked| acked.load(Ordering::Relaxed)).sum()
    }

    /// What is owed at this moment, at least.
    pub(crate) fn debt(&self) -> Debt {
        // What was read may rest on what was acknowledged later, but not the other way round.
        Debt {
            shared: self.seen.shared.load(Ordering::Acquire),
            loose: self.seen.loose.load(Ordering::Acquire),
            floors: self.acked.iter().map(|acked| acked.load(Ordering::Acquire)).collect(),
        }
    }

    /// The server is gone: what is owed now is all that was acknowledged.
    pub(crate) fn join(self) -> Crowd {
        let writers: Vec<Writer> =
            self.threads.into_iter().map(|thread| thread.join().expect("a client found something")).collect();
        self.reader.join().expect("the reader found something");
        let acked: usize = writers.iter().map(|writer| writer.acked.load(Ordering::Relaxed)).sum();
        Crowd { writers, seen: self.seen, loose: self.loose, total: self.total + acked }
    }
}

impl Crowd {
    /// All that was acknowledged.
    pub(crate) fn debt(&self) -> Debt {
        Debt {
            shared: self.seen.shared.load(Ordering::Acquire),
            loose: self.seen.loose.load(Ordering::Acquire),
            floors: self.writers.iter().map(|writer| writer.acked.load(Ordering::Acquire)).collect(),
        }
    }

    /// Holds what the server has against what is owed, and goes on from there: what can be sent again is.
    #[track_caller]
    pub(crate) fn settle(&mut self, server: &Server, debt: &Debt) {
        let mut client = server.connect();
        let mut share = 0;
        let (mut loose_least, mut loose_most) = (self.loose, self.loose);
        for (writer, &floor) in self.writers.iter_mut().zip(&debt.floors) {
            loose_least += writer.steps[..floor].iter().map(|step| step.change.loose()).sum::<i64>();
            loose_most += writer.steps.iter().map(|step| step.change.loose()).sum::<i64>();
            writer.settle(&mut client, floor);
            share += writer.base.get(SHARE).map_or(0, number);
        }
        let shared = read_number(&mut client, SHARED);
        assert_eq!(
            shared, share,
            "what groups added to a key of all clients is there as often as the groups"
        );
        assert!(shared >= debt.shared, "{SHARED} was seen at {}, and is {shared} now", debt.shared);
        let loose = read_number(&mut client, LOOSE);
        assert!(
            (loose_least.max(debt.loose)..=loose_most).contains(&loose),
            "{LOOSE} is {loose}: acknowledged were {loose_least}, seen {}, sent {loose_most}",
            debt.loose
        );
        self.loose = loose;
        self.seen.shared.store(shared, Ordering::Release);
        self.seen.loose.store(loose, Ordering::Release);
    }
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Number(number) => *number,
        other => panic!("{other:?} is no number"),
    }
}

pub(crate) fn read_number(client: &mut Client, key: &str) -> i64 {
    client.send(request(&["GET", key]));
    bulks(&client.reply()).first().map_or(0, |digits| {
        String::from_utf8_lossy(digits).parse().unwrap_or_else(|_| panic!("{key} holds {digits:?}"))
    })
}

impl Writer {
    fn run(mut self, addr: SocketAddr, seen: &Seen) -> Self {
        let Ok(stream) = TcpStream::connect_timeout(&addr, PATIENCE) else { return self };
        let mut client = Client::over_tcp(stream);
        loop {
            let mut bytes = Vec::new();
            for _ in 0..self.maker.random.between(1, DEPTH) {
                let step = self.maker.make(&mut bytes);
                self.steps.push(step);
            }
            // What has come before the end counts even if not all was taken.
            let _gone = client.try_send(&bytes);
            if !self.read_replies(&mut client, seen) {
                break;
            }
        }
        self
    }

    /// Reads all replies. False: the server is gone.
    fn read_replies(&mut self, client: &mut Client, seen: &Seen) -> bool {
        let (mut bytes, mut at, mut before) = (Vec::new(), 0, 0);
        loop {
            let acked = self.acked.load(Ordering::Relaxed);
            let Some(step) = self.steps.get(acked) else { return true };
            if let Some(end) = if at < bytes.len() { reply_end(&bytes, at) } else { None } {
                let reply = &bytes[at..end];
                if before < step.before {
                    before += 1;
                } else {
                    self.check(step, reply, seen);
                    before = 0;
                    // Release: pairs with the Acquire in `debt`.
                    self.acked.store(acked + 1, Ordering::Release);
                }
                at = end;
                continue;
            }
            match client.receive(PATIENCE) {
                Arrival::Bytes => bytes.extend(client.take()),
                Arrival::Closed => return false,
                Arrival::Nothing => {
                    panic!("client {}: no reply to {:?} in {PATIENCE:?}", self.maker.client, step.change)
                }
            }
        }
    }

    fn check(&self, step: &Step, reply: &[u8], seen: &Seen) {
        let shown = reply.escape_ascii();
        assert!(
            reply[0] != b'-',
            "client {}: {:?} was answered with {shown}",
            self.maker.client,
            step.change
        );
        if let Some(expected) = &step.reply {
            assert_eq!(
                &shown.to_string(),
                &expected.escape_ascii().to_string(),
                "client {}: reply to {:?}",
                self.maker.client,
                step.change
            );
        }
        if step.change.loose() != 0 {
            seen.loose.fetch_max(integers(reply)[0], Ordering::AcqRel);
        }
        if step.before > 0 {
            seen.shared.fetch_max(integers(reply)[2], Ordering::AcqRel);
        }
        if step.token.is_some() {
            assert_eq!(integers(reply)[1], 1, "a token that was never sent before adds");
        }
    }

    /// Holds what its keys hold against its requests, `floor` of which have to be there.
    #[track_caller]
    fn settle(&mut self, client: &mut Client, floor: usize) {
        let found = self.read_keys(client);
        let mut state = self.base.clone();
        self.steps[..floor].iter().for_each(|step| step.change.apply(&mut state));
        let owed = state.clone();
        let mut there = floor;
        loop {
            if is_found(&state, &found) {
                break;
            }
            let Some(step) = self.steps.get(there) else {
                panic!("{}", self.difference(&owed, floor, &found));
            };
            step.change.apply(&mut state);
            there += 1;
        }
        // Those that are not there are requests like any other from here on, the first ones.
        self.base = state.clone();
        let mut sent_again = Vec::new();
        for (at, step) in self.steps.drain(..).enumerate().skip(floor) {
            let Some((token, delta)) = &step.token else { continue };
            client.send(once(&self.maker.key(ONCE), *delta, token));
            let [_, added] = integers(&client.reply())[..] else { panic!("two numbers are the answer") };
            assert_eq!(
                added,
                i64::from(at >= there),
                "{token} was sent again: request {at}, {there} are there"
            );
            if at >= there {
                step.change.apply(&mut state);
                sent_again.push(step);
            }
        }
        let once = read_number(client, &self.maker.key(ONCE));
        assert_eq!(once, state.get(ONCE).map_or(0, number), "what was sent again is there once");
        self.maker.state = state;
        self.acked.store(sent_again.len(), Ordering::Release);
        self.steps = sent_again;
    }

    fn read_keys(&self, client: &mut Client) -> BTreeMap<&'static str, Vec<u8>> {
        let mut found = BTreeMap::new();
        for key in NUMBERS.into_iter().chain([ONCE, GROUPS]).chain(TEXTS) {
            client.send(request(&["GET", &self.maker.key(key)]));
            found.insert(key, client.reply());
        }
        for key in LARGE.into_iter().chain([HASH]) {
            client.send(request(&["HGETALL", &self.maker.key(key)]));
            found.insert(key, client.reply());
        }
        found
    }

    fn difference(&self, owed: &State, floor: usize, found: &BTreeMap<&'static str, Vec<u8>>) -> String {
        let mut told = format!(
            "client {}: its keys are in no state between what was acknowledged ({floor} requests) and what was sent \
             ({})\n",
            self.maker.client,
            self.steps.len()
        );
        let mut last = owed.clone();
        self.steps[floor..].iter().for_each(|step| step.change.apply(&mut last));
        for (&key, reply) in found {
            let fits = |state: &State| holds(state.get(key), reply);
            if !fits(owed) || !fits(&last) {
                let shown = reply[..reply.len().min(300)].escape_ascii();
                let _ = writeln!(
                    told,
                    "{key}\n  owed {:?}\n  sent {:?}\n  found {shown}",
                    owed.get(key),
                    last.get(key)
                );
            }
        }
        for (at, step) in self.steps.iter().enumerate().skip(floor.saturating_sub(5)) {
            let _ = writeln!(told, "{at}{} {:?}", if at < floor { " acknowledged" } else { "" }, step.change);
        }
        told
    }
}

/// Whether the replies are those that a state gives.
fn is_found(state: &State, found: &BTreeMap<&'static str, Vec<u8>>) -> bool {
    found.iter().all(|(key, reply)| holds(state.get(key), reply))
}

/// Whether a reply is that of a key that holds this.
fn holds(value: Option<&Value>, reply: &[u8]) -> bool {
    match value {
        None => reply == b"$-1\r\n" || reply == b"*0\r\n",
        Some(Value::Number(number)) => bulks(reply) == [number.to_string().into_bytes()],
        Some(Value::Text { seed, len }) => bulks(reply) == [text(*seed, *len)],
        Some(Value::Counters(counters)) => {
            let expected = counters
                .iter()
                .map(|(field, number)| (format!("f{field}").into(), number.to_string().into()));
            pairs(reply) == expected.collect()
        }
        Some(Value::Large { seed, fields }) => pairs(reply) == large(*seed, *fields),
    }
}

fn pairs(reply: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let bulks = bulks(reply);
    bulks.as_chunks::<2>().0.iter().map(|[field, value]| (field.clone(), value.clone())).collect()
}

/// The bulk strings of a reply, in order.
pub(crate) fn bulks(reply: &[u8]) -> Vec<Vec<u8>> {
    let (mut found, mut rest) = (Vec::new(), reply);
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let (line, behind) = (&rest[..end], &rest[end + 2..]);
        rest = behind;
        if let Some(len) = line.strip_prefix(b"$").filter(|len| *len != b"-1") {
            let len: usize = String::from_utf8_lossy(len).parse().expect("a length");
            found.push(rest[..len].to_vec());
            rest = &rest[len + 2..];
        }
    }
    found
}

/// The integers of a reply, in order.
pub(crate) fn integers(reply: &[u8]) -> Vec<i64> {
    let text = String::from_utf8_lossy(reply);
    let found = text.split("\r\n").filter_map(|line| line.strip_prefix(':'));
    found.map(|digits| digits.parse().expect("an integer")).collect()
}

/// Reads the keys of all clients again and again, until the server is gone.
fn read(addr: SocketAddr, seen: &Seen) {
    let Ok(stream) = TcpStream::connect_timeout(&addr, PATIENCE) else { return };
    let mut client = Client::over_tcp(stream);
    let (mut shared, mut loose) = (seen.shared.load(Ordering::Acquire), seen.loose.load(Ordering::Acquire));
    while client.try_send(request(&["MGET", SHARED, LOOSE])).is_ok() {
        let mut reply = Vec::new();
        while reply_end_of(&reply).is_none() {
            match client.receive(PATIENCE) {
                Arrival::Bytes => reply.extend(client.take()),
                Arrival::Closed => return,
                Arrival::Nothing => panic!("no reply to MGET in {PATIENCE:?}"),
            }
        }
        let (Some(first), Some(second)) = (number_at(&reply, 0), number_at(&reply, 1)) else { continue };
        assert!(first >= shared && second >= loose, "{shared} {loose} went back to {first} {second}");
        (shared, loose) = (first, second);
        seen.shared.fetch_max(shared, Ordering::AcqRel);
        seen.loose.fetch_max(loose, Ordering::AcqRel);
    }
}

fn reply_end_of(reply: &[u8]) -> Option<usize> {
    if reply.is_empty() { None } else { reply_end(reply, 0) }
}

fn number_at(reply: &[u8], at: usize) -> Option<i64> {
    let bulks = bulks(reply);
    (bulks.len() == 2).then(|| String::from_utf8_lossy(&bulks[at]).parse().expect("a number"))
}
