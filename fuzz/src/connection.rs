//! Replies do not depend on delivery: whole or in pieces, held or executed while they arrive, read at once or late, alone
//! or among others; and afterwards nothing is left of anybody.
//!
//! Input: [`Dials`], then bytes as a client sends them, in the form of [`expanded`] if switch 7 is on. Switch 0: there is a
//! password. Switches 1 to 3: sends are slow, clients are stubborn, half closed (see [`Manner`]). Switch 4: there are
//! other clients. Switches 5 and 6: the size from which on requests are executed while they arrive.

use tallyring::limits::{self, Limits};

use super::client::{Client, Manner, play};
use super::input::{Dials, Random, expanded};
use super::reply::whole;
use super::stage::{Entry, PASSWORD, Stage, roomless};
use super::survey::{Executed, Survey, Tail};
use super::vocabulary::encoded;

/// Sizes from which on requests are executed while they arrive.
const THRESHOLDS: [usize; 4] = [16, 100, 1000, 64 * 1024];

/// Checks one input.
pub fn check(data: &[u8]) {
    let Some((dials, wire)) = Dials::split(data) else { return };
    let wire = if dials.on(7) { expanded(wire) } else { wire.to_vec() };
    let password = dials.on(0);
    let Some(survey) = Survey::of(&wire, password) else { return };
    let wire = &wire[..survey.bytes];
    let mut random = Random::new(u64::from(dials.seed));
    let threshold = THRESHOLDS[usize::from(dials.switches >> 5 & 3)];
    let manner = Manner {
        piece: *random.pick(&[1, 7, 100, 4096, 16_384]),
        slow: dials.on(1),
        // Patience is a matter of time, which those who ask for it would notice.
        stubborn: dials.on(2) && !survey.timed,
        half_closed: dials.on(3),
    };
    let others = if dials.on(4) && !survey.meddles { 1 + random.below(3) } else { 0 };
    let wires: Vec<Vec<u8>> =
        std::iter::once(wire.to_vec()).chain((0..others).map(|number| crowd(number, &mut random))).collect();
    let mut parts = Served::all(&wires, threshold, password, &manner, &mut random);
    let mut expected_contents = Vec::new();
    for (number, wire) in wires.iter().enumerate() {
        let one = std::slice::from_ref(wire);
        let alone = Served::all(one, usize::MAX, password, &Manner::PLAIN, &mut random);
        if parts.left[number] {
            let received = &parts.replies[number];
            assert!(
                alone.replies[0].starts_with(received),
                "client {number} has received {}",
                shown(received)
            );
            parts.contents.retain(|(key, ..)| !key.starts_with(&prefix(number - 1)));
            continue;
        }
        let tail = if number == 0 { &survey.tail } else { &Tail::None };
        agree(&parts.replies[number], &alone.replies[0], tail, number);
        expected_contents.extend(alone.contents);
    }
    if !matches!(survey.tail, Tail::Executed(_)) {
        expected_contents.sort_unstable();
        // Each of those that were served alone found the same keys at its beginning.
        expected_contents.dedup();
        assert!(parts.contents == expected_contents, "what is left in the table depends on delivery");
    }
}

/// What the keys of one of the others begin with.
fn prefix(number: usize) -> Vec<u8> {
    format!("\u{1}other:{number}:").into_bytes()
}

/// What came of serving some clients.
struct Served {
    replies: Vec<Vec<u8>>,
    contents: Vec<Entry>,
    /// Who went away without waiting for replies.
    left: Vec<bool>,
}

impl Served {
    fn all(
        wires: &[Vec<u8>],
        threshold: usize,
        password: bool,
        manner: &Manner,
        random: &mut Random,
    ) -> Self {
        let mut stage = Stage::new(Limits { stream_threshold: threshold, ..roomless() }, password);
        furnish(&mut stage);
        let mut clients: Vec<Client> = wires.iter().map(|wire| stage.connect(wire.clone())).collect();
        // Of the others, some go away in the midst of everything.
        for client in clients.iter_mut().skip(1) {
            if random.one_in(3) {
                client.leave_after(random.below(1000));
            }
        }
        play(&mut stage, &mut clients, manner, random);
        stage.is_swept();
        let left = clients.iter().map(Client::leaves).collect();
        let replies = clients.into_iter().map(|client| client.replies).collect();
        Self { replies, contents: stage.contents(), left }
    }
}

/// Puts a value into the table that makes replies large.
fn furnish(stage: &mut Stage) {
    let mut client = stage.connect(Vec::new());
    let value = [b'v'; 20_000];
    let auth = encoded(&[b"AUTH".as_slice(), b"default", PASSWORD]);
    stage.ask(&mut client, &[auth, encoded(&[b"SET".as_slice(), b"big", &value])].concat());
    stage.part(&mut client);
}

/// What another client sends: requests on keys of its own.
fn crowd(number: usize, random: &mut Random) -> Vec<u8> {
    let mut wire = encoded(&[b"AUTH".as_slice(), b"default", PASSWORD]);
    for _ in 0..random.below(20) {
        let name = *random.pick(&["INCR", "MINCRBY", "MGET", "DEL", "EXISTS", "GET"]);
        let count = match name {
            "INCR" | "GET" => 1,
            _ => 1 + random.below(*random.clone().pick(&[3, 40, 300])),
        };
        let mut request = vec![name.as_bytes().to_vec()];
        for _ in 0..count {
            request.push([prefix(number), random.below(20).to_string().into_bytes()].concat());
            if name == "MINCRBY" {
                request.push(random.below(10).to_string().into_bytes());
            }
        }
        wire.extend(encoded(&request));
    }
    wire
}

/// The replies of one client must be those that it gets when all its bytes come at once.
fn agree(parts: &[u8], all: &[u8], tail: &Tail, number: usize) {
    if parts == all {
        return;
    }
    let Tail::Executed(tail) = tail else {
        let same = parts.iter().zip(all).take_while(|(one, other)| one == other).count();
        panic!(
            "client {number}: replies depend on delivery, {same} bytes are the same; then {} instead of {}",
            shown(&parts[same..]),
            shown(&all[same..])
        );
    };
    // The last request is not complete, or malformed: the part of it that was executed has been answered.
    let (before, error) = all.split_at(last_error(all).unwrap_or(all.len()));
    let Some(rest) = parts.strip_prefix(before) else {
        panic!("client {number}: {} does not begin with {}", shown(parts), shown(before));
    };
    tail.is_answered(rest, error.strip_suffix(b"\r\n"));
}

/// What a protocol error begins with.
const ERROR: &[u8] = b"-ERR Protocol error: ";

/// Where the protocol error begins that ends these replies, if one does.
fn last_error(replies: &[u8]) -> Option<usize> {
    let at = replies.windows(ERROR.len()).rposition(|part| part == ERROR)?;
    (whole(&replies[at..]) == Some(replies.len() - at)).then_some(at)
}

impl Executed {
    /// Whether `replies` are those to a part of this request: elements, if there are any, and `error`, if there is one,
    /// with a note on how far it came.
    fn is_answered(&self, replies: &[u8], error: Option<&[u8]>) {
        let mut rest = replies;
        let mut answered = None;
        if let Some(elements) = self.elements().filter(|_| !rest.starts_with(b"-")) {
            let header = format!("*{elements}\r\n");
            rest = rest.strip_prefix(header.as_bytes()).expect("an array of what was asked for");
            let mut count = 0;
            while !rest.is_empty() && !rest.starts_with(ERROR) {
                rest = &rest[whole(rest).expect("elements are whole")..];
                count += 1;
            }
            assert!(count <= self.complete / self.step, "{count} elements for {} arguments", self.complete);
            answered = Some(count * self.step);
        }
        let Some(error) = error else {
            return assert!(rest.is_empty(), "{} behind what was answered", shown(rest));
        };
        let note = rest.strip_prefix(error).expect("the same error");
        let (declared, name) = (self.declared, self.name);
        let says = |executed| format!(" ({executed} of {declared} arguments of {name} were executed)\r\n");
        let mut possible = answered.map_or(0..=self.complete, |answered| answered..=answered);
        let told = possible.any(|executed| says(executed).as_bytes() == note);
        assert!(told, "{} after {answered:?} arguments", shown(rest));
    }
}

/// Bytes as a message shows them.
fn shown(bytes: &[u8]) -> String {
    let end = bytes.len().min(200);
    format!("\"{}\" ({} bytes)", bytes[..end].escape_ascii(), bytes.len())
}

const _: () = assert!(limits::STREAM_UNSENT < 64 * 20_000 && limits::UNSENT_SOFT < 64 * 20_000);
