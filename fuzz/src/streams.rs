//! Commands against the [`model`](super::model): every reply, and what is left in the table.
//!
//! Input: [`Dials`], then [`steps`]. Switch 0: RESP3 from the start. Switch 1: requests are sent one at a time, not
//! as pipelines between two passages of time. Switch 2: large requests are executed while they arrive.

use std::fmt;

use super::client::Client;
use super::input::Dials;
use super::model::{Answer, Model};
use super::reply::whole;
use super::stage::{Stage, roomless};
use super::vocabulary::{Step, encoded, steps};

/// Requests of one input; more have nothing to say that these have not.
const MOST: usize = 400;

/// Checks one input.
pub fn check(data: &[u8]) {
    let Some((dials, rest)) = Dials::split(data) else { return };
    let mut limits = roomless();
    if dials.on(2) {
        limits.stream_threshold = 1000;
    }
    let mut stage = Stage::new(limits, false);
    let client = stage.connect(Vec::new());
    let model = Model::new(stage.now_ms());
    let mut run = Run { stage, client, model, asked: Vec::new() };
    if dials.on(0) {
        run.request(vec![b"HELLO".to_vec(), b"3".to_vec()]);
    }
    for step in steps(rest).into_iter().take(MOST) {
        match step {
            Step::Request(request) => run.request(request),
            Step::Pass(ms) => {
                run.settle();
                run.stage.pass_ms(ms);
                run.model.pass(ms);
            }
        }
        if dials.on(1) {
            run.settle();
        }
    }
    run.settle();
    run.leaves_what_the_model_has();
}

/// A server, a client and the model of both.
struct Run {
    stage: Stage,
    client: Client,
    model: Model,
    /// Requests that were not sent yet, and what the answers must be.
    asked: Vec<(Vec<Vec<u8>>, Answer)>,
}

impl Run {
    fn request(&mut self, request: Vec<Vec<u8>>) {
        match self.model.execute(&request) {
            Answer::Unknown => {}
            answer => self.asked.push((request, answer)),
        }
    }

    /// Sends what was asked, and compares the answers.
    fn settle(&mut self) {
        let wire: Vec<u8> = self.asked.iter().flat_map(|(request, _)| encoded(request)).collect();
        let replies = self.stage.ask(&mut self.client, &wire);
        let mut rest = &replies[..];
        for (request, answer) in self.asked.drain(..) {
            let len = whole(rest).unwrap_or(rest.len());
            let (reply, after) = rest.split_at(len);
            rest = after;
            assert!(
                answer.is(reply),
                "{} is answered {}, not {answer}",
                shown(&request),
                reply.escape_ascii()
            );
        }
        assert!(rest.is_empty(), "more answers than requests: {}", rest.escape_ascii());
    }

    /// Compares the table with the model, and lets the client go.
    fn leaves_what_the_model_has(mut self) {
        let now_ms = self.stage.now_ms();
        let stored = self.stage.contents();
        let live = |deadline: Option<u64>| deadline.is_none_or(|deadline| deadline > now_ms);
        let seen: Vec<_> = stored.iter().filter(|(.., deadline)| live(*deadline)).cloned().collect();
        assert_eq!(seen, self.model.contents(), "what is left in the table");
        assert_eq!(self.stage.table().len(), stored.len(), "the number of keys");
        // Whoever looks for a key whose deadline has passed removes it.
        let keys = stored.iter().map(|(key, ..)| key.clone());
        self.request(std::iter::once(b"TOUCH".to_vec()).chain(keys).collect());
        self.settle();
        let table = self.stage.table();
        assert_eq!(table.len(), seen.len(), "keys that are over are gone");
        let timed = seen.iter().filter(|(.., deadline)| deadline.is_some()).count();
        assert_eq!(table.deadlines(), timed, "keys with a deadline");
        self.stage.part(&mut self.client);
        self.stage.is_swept();
    }
}

impl Answer {
    fn is(&self, reply: &[u8]) -> bool {
        match self {
            Self::Exactly(bytes) => bytes == reply,
            Self::Between(least, most) => {
                let digits = reply.strip_prefix(b":").and_then(|reply| reply.strip_suffix(b"\r\n"));
                let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
                number.is_some_and(|number: usize| (*least..=*most).contains(&number))
            }
            Self::Greeting(protocol) => {
                let begins: &[u8] = if *protocol == 3 { b"%7\r\n" } else { b"*14\r\n" };
                let says = format!("proto\r\n:{protocol}\r\n").into_bytes();
                reply.starts_with(begins) && reply.windows(says.len()).any(|part| part == says)
            }
            Self::Unknown => false,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(bytes) => write!(f, "{}", bytes.escape_ascii()),
            other => write!(f, "{other:?}"),
        }
    }
}

/// A request as a message shows it: its beginning, where it is long.
fn shown(request: &[Vec<u8>]) -> String {
    let words: Vec<String> = request.iter().take(20).map(|word| word.escape_ascii().to_string()).collect();
    format!("[{}] of {}", words.join("|"), request.len())
}
