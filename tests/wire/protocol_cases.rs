//! Runs the recorded protocol cases: hostile or unusual input, and what Redis 7.0.15 answers to it, byte for byte.
//!
//! `tests/protocol-cases.jsonl` holds one case a line. Each is delivered whole, cut in two, and byte by byte, with
//! one outcome. `Case` knows the format, `play` delivers, and the cases are dealt out to threads with a server each.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Arrival, Client, difference, escape, request};
use crate::server::{Engine, PATIENCE, Server, is_foreign, is_shared};

on_every_engine![recorded_cases_are_answered_as_recorded];

/// Cases that need commands of later versions. They are sent all the same, and must leave the server serving;
/// one that passes must be taken off.
const NOT_YET: &[(&str, &str)] = &[
    ("p046", "hashes"),
    ("p048", "hashes"),
    ("p077", "transactions"),
    ("p078", "transactions"),
    ("p079", "transactions"),
    ("p080", "transactions"),
    ("p081", "transactions"),
    ("p082", "transactions"),
    ("p083", "transactions"),
    ("p084", "transactions"),
    ("p100", "hashes"),
    ("p101", "hashes"),
    ("p102", "INCRBYFLOAT"),
    ("p103", "INCRBYFLOAT"),
];

/// Servers that work through the cases side by side; most of the time is waiting for silence.
const LANES: usize = 6;

/// Inputs longer than this are cut at `LONG_CUTS` places instead of at every byte.
const EVERY_CUT: usize = 400;
const LONG_CUTS: usize = 40;

/// Inputs up to this length are also sent byte by byte.
const BYTE_BY_BYTE: usize = 400;

/// Pause between the two halves of a cut input, so that they arrive apart; part of the recorded cases' format.
const CUT_PAUSE: Duration = Duration::from_millis(2);

/// How long nothing must come before it counts as silence; part of the recorded cases' format.
const SILENCE: Duration = Duration::from_millis(300);

const RECORDED: &str = include_str!("../protocol-cases.jsonl");

/// Every field of the format; `read: false` stands in no case so far and is refused like an unknown field.
const FIELDS: [&str; 16] = [
    "id",
    "group",
    "title",
    "config",
    "setup",
    "hold",
    "send",
    "fin",
    "match",
    "expect",
    "expect_any",
    "conn",
    "probe",
    "then",
    "rss_max_kb",
    "comment",
];

/// One recorded case.
struct Case {
    id: String,
    title: String,
    config: BTreeMap<String, String>,
    setup: Option<Vec<Vec<String>>>,
    hold: usize,
    send: Vec<u8>,
    fin: bool,
    outcomes: Vec<Outcome>,
    probe: Option<Vec<u8>>,
    then: Option<(Vec<String>, Vec<u8>)>,
    rss_max_kb: Option<u64>,
}

/// One acceptable outcome.
struct Outcome {
    reply: Vec<u8>,
    /// The reply may go on after `reply`.
    prefix: bool,
    open: bool,
}

impl Outcome {
    fn read(value: &Value) -> Self {
        Self {
            reply: bytes(&value["expect"]),
            prefix: value["match"] == "prefix",
            open: match value["conn"].as_str() {
                Some("open") => true,
                Some("closed") => false,
                other => panic!("conn is open or closed, not {other:?}"),
            },
        }
    }

    fn fits(&self, got: &[u8], open: bool) -> bool {
        self.open == open && if self.prefix { got.starts_with(&self.reply) } else { got == self.reply }
    }

    /// Whether nothing more needs to be waited for, since a probe will show what follows.
    fn is_whole(&self, got: &[u8]) -> bool {
        self.open && !got.is_empty() && self.fits(got, true) && (!self.prefix || got.ends_with(b"\r\n"))
    }
}

impl Case {
    fn read(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).expect("each line is a JSON object");
        let fields = value.as_object().expect("each line is a JSON object");
        if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            panic!("this runner does not know the field {unknown} of {}", value["id"]);
        }
        let texts = |list: &Value| -> Vec<String> {
            let list = list.as_array().expect("a command is a list");
            list.iter().map(|text| text.as_str().expect("arguments are strings").to_owned()).collect()
        };
        let outcomes = match value.get("expect_any") {
            Some(any) => any.as_array().expect("expect_any is a list").iter().map(Outcome::read).collect(),
            None => vec![Outcome::read(&value)],
        };
        let config = value.get("config").and_then(Value::as_object).into_iter().flatten();
        Self {
            id: value["id"].as_str().expect("a case has an id").to_owned(),
            title: value["title"].as_str().expect("a case has a title").to_owned(),
            config: config
                .map(|(name, to)| (name.clone(), to.as_str().unwrap_or_default().to_owned()))
                .collect(),
            setup: value.get("setup").and_then(Value::as_array).map(|list| list.iter().map(texts).collect()),
            hold: value["hold"].as_u64().map_or(0, |count| usize::try_from(count).expect("it is small")),
            send: bytes(&value["send"]),
            fin: value["fin"] == true,
            outcomes,
            probe: match value.get("probe") {
                None => Some(b"+PONG\r\n".to_vec()),
                Some(Value::Null) => None,
                Some(reply) => Some(bytes(reply)),
            },
            then: value.get("then").map(|then| (texts(&then[0]), bytes(&then[1]))),
            rss_max_kb: value["rss_max_kb"].as_u64(),
        }
    }

    /// The pieces in which the input is sent, one list per delivery.
    fn deliveries(&self) -> Vec<Delivery> {
        let length = self.send.len();
        let mut all = vec![Delivery::Whole];
        let step = if length > EVERY_CUT { length.div_ceil(LONG_CUTS) } else { 1 };
        all.extend((1..length).step_by(step).map(Delivery::CutAt));
        if (2..=BYTE_BY_BYTE).contains(&length) {
            all.push(Delivery::ByteByByte);
        }
        all
    }

    fn password(&self) -> Option<&str> {
        self.config.get("requirepass").map(String::as_str)
    }
}

/// How the input of a case is sent.
#[derive(Clone, Copy, Debug)]
enum Delivery {
    Whole,
    CutAt(usize),
    ByteByByte,
}

/// Bytes of the format: a string of Latin-1 characters, or a list of such strings and of repeated ones.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text
            .chars()
            .map(|one| u8::try_from(u32::from(one)).expect("each character is one byte"))
            .collect(),
        Value::Array(pieces) => pieces.iter().flat_map(bytes).collect(),
        Value::Object(piece) => {
            let count = piece["repeat"][1].as_u64().expect("a repetition has a count");
            bytes(&piece["repeat"][0]).repeat(usize::try_from(count).expect("counts fit memory"))
        }
        other => panic!("{other} stands for no bytes"),
    }
}

/// Sends the input of a case. The server may close while that is under way.
fn deliver(client: &mut Client, input: &[u8], how: Delivery) {
    let _closed_meanwhile = match how {
        Delivery::Whole => client.try_send(input),
        Delivery::CutAt(cut) => client.try_send(&input[..cut]).and_then(|()| {
            thread::sleep(CUT_PAUSE);
            client.try_send(&input[cut..])
        }),
        Delivery::ByteByByte => input.iter().try_for_each(|&byte| client.try_send([byte])),
    };
}

/// Plays one delivery of a case; the error says what differed.
fn play(case: &Case, server: &Server, how: Delivery) -> Result<(), String> {
    prepare(case, server)?;
    let held = hold(case, server)?;
    let before = server.anonymous_kb();
    let mut client = server.connect();
    deliver(&mut client, &case.send, how);
    if case.fin {
        client.half_close();
    }
    let open = collect(case, &mut client);
    let got = client.unread().to_vec();
    if !case.outcomes.iter().any(|outcome| outcome.fits(&got, open)) {
        let first = &case.outcomes[0];
        let state = if open { "open" } else { "closed" };
        let want = if first.open { "open" } else { "closed" };
        return Err(format!(
            "{}, connection {state}, expected {want}",
            difference("", &first.reply, &got, "in all")
        ));
    }
    if let (Some(allowed), Some(before), Some(after)) = (case.rss_max_kb, before, server.anonymous_kb()) {
        let grown = after.saturating_sub(before);
        if grown > allowed {
            return Err(format!("the server's memory grew by {grown} KiB, {allowed} are allowed"));
        }
    }
    if let (true, false, false, Some(probe)) = (open, got.is_empty(), case.fin, &case.probe) {
        probe_with_ping(&mut client, &got, probe)?;
    }
    drop(held);
    check_afterwards(case, server)
}

/// Empties the server and runs the setup on a connection of its own.
fn prepare(case: &Case, server: &Server) -> Result<(), String> {
    let Some(setup) = &case.setup else { return Ok(()) };
    let mut client = authenticated(case, server)?;
    let flush = vec!["FLUSHALL".to_owned()];
    for command in std::iter::once(&flush).chain(setup) {
        let reply = roundtrip(&mut client, command)?;
        if reply.starts_with(b"-") {
            return Err(format!("setup {command:?} was answered {}", escape(&reply)));
        }
    }
    Ok(())
}

/// Opens the connections that stay open during the case. The place of one that was closed just before may
/// take a moment to be free.
fn hold(case: &Case, server: &Server) -> Result<Vec<Client>, String> {
    let deadline = Instant::now() + PATIENCE;
    let mut held = Vec::new();
    while held.len() < case.hold {
        let mut client = server.connect();
        match roundtrip(&mut client, &["PING".to_owned()]) {
            Ok(reply) if reply == b"+PONG\r\n" => held.push(client),
            Ok(_) | Err(_) if Instant::now() < deadline => {}
            Ok(reply) => return Err(format!("connection {} was told {}", held.len() + 1, escape(&reply))),
            Err(error) => return Err(error),
        }
    }
    Ok(held)
}

/// A connection that has given the password, if there is one.
fn authenticated(case: &Case, server: &Server) -> Result<Client, String> {
    let mut client = server.connect();
    if let Some(password) = case.password() {
        let reply = roundtrip(&mut client, &["AUTH".to_owned(), password.to_owned()])?;
        if reply != b"+OK\r\n" {
            return Err(format!("AUTH was answered {}", escape(&reply)));
        }
    }
    Ok(client)
}

/// A request on a connection that has nothing else under way, and all that comes until the reply's last line.
fn roundtrip(client: &mut Client, command: &[String]) -> Result<Vec<u8>, String> {
    client.try_send(request(command)).map_err(|error| format!("{command:?} could not be sent: {error}"))?;
    while !client.unread().ends_with(b"\r\n") {
        match client.receive(PATIENCE) {
            Arrival::Bytes => {}
            Arrival::Closed => return Err(format!("the connection was closed on {command:?}")),
            Arrival::Nothing => return Err(format!("{command:?} was not answered")),
        }
    }
    Ok(client.take())
}

/// Receives until an outcome is whole, the server closes (false), or it has been silent.
fn collect(case: &Case, client: &mut Client) -> bool {
    let silence_fits = case.outcomes.iter().any(|outcome| outcome.open && outcome.reply.is_empty());
    loop {
        let got = client.unread();
        let probed = case.probe.is_some() && !case.fin;
        if probed && case.outcomes.iter().any(|outcome| outcome.is_whole(got)) {
            return true;
        }
        // Only where silence itself is an outcome is it taken for one soon; a slow machine is not silent.
        let over = silence_fits || case.outcomes.iter().any(|outcome| outcome.fits(got, true));
        match client.receive(if over { SILENCE } else { PATIENCE }) {
            Arrival::Bytes => {}
            Arrival::Closed => return false,
            Arrival::Nothing => return true,
        }
    }
}

/// The very next bytes after the reply answer a `PING`: nothing was left over, lost or misframed.
fn probe_with_ping(client: &mut Client, got: &[u8], probe: &[u8]) -> Result<(), String> {
    let whole = [got, probe].concat();
    client.try_send(request(&["PING"])).map_err(|error| format!("PING could not be sent: {error}"))?;
    while client.unread().len() < whole.len() && whole.starts_with(client.unread()) {
        match client.receive(PATIENCE) {
            Arrival::Bytes => {}
            Arrival::Closed | Arrival::Nothing => break,
        }
    }
    if client.unread() == whole {
        return Ok(());
    }
    Err(format!("the PING that follows: {}", difference("", &whole, client.unread(), "in all")))
}

/// What must hold after a case: its own check, and that the server still serves.
fn check_afterwards(case: &Case, server: &Server) -> Result<(), String> {
    if let Some((command, expected)) = &case.then {
        let mut client = authenticated(case, server)?;
        client
            .try_send(request(command))
            .map_err(|error| format!("{command:?} could not be sent: {error}"))?;
        while client.unread().len() < expected.len() {
            match client.receive(PATIENCE) {
                Arrival::Bytes => {}
                Arrival::Closed | Arrival::Nothing => break,
            }
        }
        if client.unread() != expected {
            return Err(format!(
                "afterwards {command:?}: {}",
                difference("", expected, client.unread(), "in all")
            ));
        }
    }
    still_serves(case, server)
}

/// The process is alive and answers on a new connection.
fn still_serves(case: &Case, server: &Server) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer =
            authenticated(case, server).and_then(|mut client| roundtrip(&mut client, &["PING".to_owned()]));
        match answer {
            Ok(reply) if reply == b"+PONG\r\n" => return Ok(()),
            Ok(_) | Err(_) if case.hold > 0 && Instant::now() < deadline => {}
            Ok(reply) => return Err(format!("a new connection's PING was answered {}", escape(&reply))),
            Err(error) => return Err(format!("the server serves no more: {error}")),
        }
    }
}

/// All deliveries of one case on one server; the failures.
fn play_all(case: &Case, server: &Server) -> Vec<String> {
    let mut failures = Vec::new();
    for how in case.deliveries() {
        if let Err(error) = play(case, server, how) {
            failures.push(format!("{} ({}), sent {how:?}: {error}", case.id, case.title));
            // A few deliveries show the fault; hundreds would only hide the others.
            if failures.len() == 3 {
                break;
            }
        }
    }
    failures
}

/// What is wrong with a case as a whole: its failures, or that it passes although it is listed as not yet possible.
fn judge(case: &Case, server: &Server) -> Vec<String> {
    let mut failures = play_all(case, server);
    let listed = NOT_YET.iter().find(|(id, _)| *id == case.id && !is_foreign());
    if let Some((id, reason)) = listed {
        let passed = failures.is_empty();
        failures = still_serves(case, server).err().into_iter().collect();
        if passed {
            failures.push(format!("{id} passes: take it off NOT_YET, where it stands for {reason:?}"));
        }
    }
    failures
}

fn recorded_cases_are_answered_as_recorded(engine: Engine) {
    let cases: Vec<Case> = RECORDED.lines().map(Case::read).collect();
    for (id, _) in NOT_YET {
        assert!(cases.iter().any(|case| case.id == *id), "NOT_YET names {id}, which is no case");
    }
    // The slowest first: they wait for silence or are cut in many places.
    let mut queue: Vec<&Case> = cases.iter().collect();
    queue.sort_by_key(|case| {
        let silent = case.outcomes.iter().any(|outcome| outcome.open && outcome.reply.is_empty());
        std::cmp::Reverse((silent, case.deliveries().len()))
    });
    let queue = Mutex::new(VecDeque::from(queue));
    let failures = Mutex::new(Vec::new());
    let lanes = if is_shared() { 1 } else { LANES };
    thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                let mut plain = None;
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(case) = next else { return };
                    let found = if case.config.is_empty() {
                        judge(case, plain.get_or_insert_with(|| Server::start(engine)))
                    } else {
                        let flags =
                            case.config.iter().map(|(name, value)| (format!("--{name}"), value.clone()));
                        let flags: Vec<String> = flags.flat_map(|(name, value)| [name, value]).collect();
                        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
                        judge(case, &Server::with_flags(engine, &flags))
                    };
                    failures.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
