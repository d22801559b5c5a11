//! Encrypted connections: the same replies as on a plain one, whatever becomes of the ciphertext on its way.

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rustls::Error;
use rustls::version::TLS13;

use super::{Fixed, LOCAL, Stage, stage, stage_with, text};
use crate::connection::{End, Peer as Ends};
use crate::limits::{self, Limits, SyncPolicy};
use crate::tls::Clients;
use crate::tls::tests::{Files, Peer, VERSIONS};
use crate::worker::{Admission, Message, Token, Worker};

const PORT: u16 = 6380;

fn secured(files: &Files, limits: Limits) -> Stage {
    let profile = Arc::new(Mutex::new(files.profile(PORT, Clients::Anybody)));
    stage_with(1, Fixed { limits, password: None, profile: Some(profile) })
}

fn ends(remote: &str) -> Ends {
    let local = format!("127.0.0.1:{PORT}").parse().expect("an address");
    Ends::tcp(remote.parse().expect("an address"), local)
}

/// A client of one worker, over TLS.
struct Client {
    token: Token,
    peer: Peer,
}

impl Client {
    fn accepted(worker: &mut Worker, peer: Peer) -> Self {
        assert_eq!(worker.admit(&ends(LOCAL)), Admission::Here);
        Self { token: worker.open(ends(LOCAL), 7), peer }
    }

    fn connect(worker: &mut Worker, peer: Peer) -> Self {
        let mut client = Self::accepted(worker, peer);
        while client.peer.0.is_handshaking() {
            assert_eq!(client.turn(worker, b""), b"");
        }
        // The last of the handshake, and what it is answered with.
        assert_eq!(client.turn(worker, b""), b"");
        client
    }

    /// A whole turn with one delivery.
    fn turn(&mut self, worker: &mut Worker, bytes: &[u8]) -> Vec<u8> {
        let wire = self.peer.say(bytes);
        let answer = worker.turn(self.token, &wire);
        self.peer.hear(&answer).expect("the server keeps to the protocol")
    }
}

/// What a session of any kind of requests is made of.
fn requests() -> Vec<u8> {
    let value = "v".repeat(40_000);
    let keys: String = (0..3000).map(|n| format!("$6\r\nk:{:04}\r\n", n % 10_000)).collect();
    let mut all = b"PING\r\n*3\r\n$6\r\nINCRBY\r\n$1\r\nn\r\n$2\r\n40\r\n".to_vec();
    all.extend_from_slice(format!("*3\r\n$3\r\nSET\r\n$1\r\nv\r\n$40000\r\n{value}\r\nGET v\r\n").as_bytes());
    all.extend_from_slice(&b"INCR n\r\nGET v\r\n".repeat(30));
    all.extend_from_slice(format!("*3001\r\n$4\r\nMGET\r\n{keys}").as_bytes());
    all.extend_from_slice(b"MULTI\r\nINCR n\r\nEXEC\r\nNOSUCH\r\nHELLO 3\r\nGET nothing\r\n");
    all
}

/// Plays all of it on a plain connection.
fn plainly(bytes: &[u8]) -> Vec<u8> {
    let mut stage = stage(1, Limits::default());
    let worker = &mut stage.workers[0];
    let token = worker.connect();
    let mut replies = worker.turn(token, bytes);
    while worker.finish_turn() == Some(Duration::ZERO) {
        replies.extend(worker.turn(token, b""));
    }
    // The connection's number is another one.
    replies
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn replies_are_those_of_a_plain_connection(
        version in 0_usize..2,
        pieces in prop::collection::vec(1_usize..20_000, 1..40),
        cuts in prop::collection::vec(1_usize..9_000, 1..60),
        sends in prop::collection::vec(1_usize..30_000, 1..40),
    ) {
        let files = Files::new();
        let bytes = requests();
        let expected = plainly(&bytes);
        let mut stage = secured(&files, Limits::default());
        let worker = &mut stage.workers[0];
        let mut client = Client::connect(worker, Peer::new(&files, VERSIONS[version], false));
        let mut wire = Vec::new();
        let (mut rest, mut at) = (bytes.as_slice(), 0);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(pieces[at % pieces.len()]));
            wire.extend(client.peer.say(now));
            (rest, at) = (later, at + 1);
        }
        let (mut rest, mut at, mut replies) = (wire.as_slice(), 0, Vec::new());
        let mut idle = 0;
        while idle < 3 {
            let (now, later) = rest.split_at(rest.len().min(cuts[at % cuts.len()]));
            worker.begin_turn();
            if !now.is_empty() && worker.wanted(client.token).read {
                worker.handle_bytes(client.token, &mut now.to_vec());
                rest = later;
            } else if rest.is_empty() {
                idle += 1;
            }
            if worker.wanted(client.token).send {
                let bytes = worker.start_send(client.token).expect("it wants to").bytes.to_vec();
                let sent = bytes.len().min(sends[at % sends.len()]);
                worker.handle_sent(client.token, sent);
                replies.extend(client.peer.hear(&bytes[..sent]).expect("nothing was changed"));
                idle = 0;
            }
            worker.finish_turn();
            at += 1;
        }
        // The number of the connection is in the reply to HELLO.
        prop_assert!(without_id(&replies) == without_id(&expected), "{} and {} bytes", replies.len(), expected.len());
    }
}

/// Replies up to the number that `HELLO` shows, and behind it.
fn without_id(replies: &[u8]) -> String {
    let replies = text(replies);
    let (before, after) = replies.split_once("$2\r\nid\r\n:").unwrap_or((&replies, ""));
    format!("{before}{}", after.split_once("\r\n").map_or("", |(_, rest)| rest))
}

#[test]
fn plain_connections_are_served_beside() {
    let files = Files::new();
    let mut stage = secured(&files, Limits::default());
    let worker = &mut stage.workers[0];
    let plain = worker.connect();
    let mut client = Client::connect(worker, Peer::new(&files, &TLS13, false));
    assert_eq!(text(&client.turn(worker, b"INCR n\r\n")), ":1\r\n");
    assert_eq!(text(&worker.turn(plain, b"INCR n\r\n")), ":2\r\n");
    let counts = worker.shared.counts();
    assert!(counts.bytes_in > 300 && counts.bytes_out > 700, "they are those on the wire: {counts:?}");
}

#[test]
fn handshakes_wait_for_no_journal() {
    let files = Files::new();
    let mut stage = secured(&files, Limits { sync: SyncPolicy::Always, ..Limits::default() });
    let mut journal = stage.keep_a_journal();
    let worker = &mut stage.workers[0];
    let mut client = Client::connect(worker, Peer::new(&files, &TLS13, false));
    assert_eq!(text(&client.turn(worker, b"INCR n\r\n")), "", "it is not safe yet");
    assert!(!worker.wanted(client.token).send);
    client.peer.0.refresh_traffic_keys().expect("this version can");
    let wire = client.peer.say(b"");
    worker.begin_turn();
    worker.hear(client.token, &wire);
    worker.finish_turn();
    journal();
    worker.begin_turn();
    worker.handle_mail();
    assert!(worker.is_listed(client.token));
    let answer = worker.flush(client.token);
    assert_eq!(client.peer.hear(&answer), Ok(b":1\r\n".to_vec()));
    worker.finish_turn();
}

#[test]
fn who_takes_no_replies_is_not_read_from() {
    let files = Files::new();
    let mut stage = secured(&files, Limits::default());
    let worker = &mut stage.workers[0];
    let mut client = Client::connect(worker, Peer::new(&files, &TLS13, false));
    let value = "v".repeat(600_000);
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600000\r\n{value}\r\n");
    assert_eq!(text(&client.turn(worker, set.as_bytes())), "+OK\r\n");
    worker.begin_turn();
    let wire = client.peer.say(&b"GET k\r\n".repeat(5));
    worker.hear(client.token, &wire);
    assert!(!worker.wanted(client.token).read, "above the soft mark nothing more is read");
    let (mut left, mut sends) = (Vec::new(), 0);
    while worker.wanted(client.token).send {
        let bytes = worker.start_send(client.token).expect("it wants to").bytes.to_vec();
        assert!(bytes.len() <= limits::TLS_SEND_BYTES + 1024, "{}", bytes.len());
        assert!(!worker.wanted(client.token).send, "one send at a time");
        worker.handle_sent(client.token, bytes.len());
        left.extend_from_slice(&bytes);
        sends += 1;
    }
    assert_eq!(client.peer.hear(&left).map(|plain| plain.len()), Ok(5 * (600_000 + "$600000\r\n\r\n".len())));
    assert!((40..60).contains(&sends), "{sends} sends");
    assert!(worker.wanted(client.token).read);
    worker.finish_turn();
}

#[test]
fn the_last_reply_and_the_end_leave() {
    let files = Files::new();
    for version in VERSIONS {
        let mut stage = secured(&files, Limits::default());
        let worker = &mut stage.workers[0];
        // It asks for the end.
        let mut client = Client::connect(worker, Peer::new(&files, version, false));
        assert_eq!(text(&client.turn(worker, b"QUIT\r\nINCR n\r\n")), "+OK\r\n");
        assert_eq!(client.peer.0.reader().read(&mut [0; 8]).expect("it was told of the end"), 0);
        assert_eq!(worker.wanted(client.token).end, End::Send);
        // It says the end, and reads on.
        let mut client = Client::connect(worker, Peer::new(&files, version, false));
        let mut wire = client.peer.say(b"INCR n\r\n");
        client.peer.0.send_close_notify();
        wire.extend(client.peer.say(b""));
        let answer = worker.turn(client.token, &wire);
        assert_eq!(client.peer.hear(&answer), Ok(b":1\r\n".to_vec()));
        assert_eq!(client.peer.0.reader().read(&mut [0; 8]).expect("it was told of the end"), 0);
        assert_eq!(worker.wanted(client.token).end, End::All);
        // Its socket ends, without a word.
        let mut client = Client::connect(worker, Peer::new(&files, version, false));
        let wire = client.peer.say(b"INCR n\r\n");
        worker.begin_turn();
        worker.hear(client.token, &wire);
        worker.handle_end(client.token);
        let answer = worker.flush(client.token);
        assert_eq!(client.peer.hear(&answer), Ok(b":2\r\n".to_vec()));
        assert_eq!(worker.wanted(client.token).end, End::All);
        worker.finish_turn();
    }
}

#[test]
fn a_session_that_is_worn_out_ends_behind_its_replies() {
    let files = Files::new();
    for (version, end) in [(VERSIONS[0], End::Send), (VERSIONS[1], End::Open)] {
        let mut stage = secured(&files, Limits::default());
        let worker = &mut stage.workers[0];
        let mut client = Client::connect(worker, Peer::new(&files, version, false));
        worker.connections[client.token.slot as usize].tls.as_mut().expect("it has one").wear();
        assert_eq!(text(&client.turn(worker, b"INCR n\r\nINCR n\r\n")), ":1\r\n:2\r\n");
        assert_eq!(worker.wanted(client.token).end, end);
        let told = client.peer.0.reader().read(&mut [0; 8]).ok();
        assert_eq!(told, (end == End::Send).then_some(0), "it is told of the end");
    }
}

#[test]
fn handshakes_are_to_be_done_in_time() {
    let files = Files::new();
    let mut stage = secured(&files, Limits::default());
    let worker = &mut stage.workers[0];
    worker.begin_turn();
    let mut silent = Client::accepted(worker, Peer::new(&files, &TLS13, false));
    let mut slow = Client::accepted(worker, Peer::new(&files, &TLS13, false));
    let mut done = Client::connect(worker, Peer::new(&files, &TLS13, false));
    let hello = slow.peer.say(b"");
    worker.turn(slow.token, &hello);
    stage.pass(Duration::from_millis(limits::UNAUTHENTICATED_MS - 1));
    let worker = &mut stage.workers[0];
    assert_eq!(text(&done.turn(worker, b"PING\r\n")), "+PONG\r\n");
    assert_eq!(worker.wanted(silent.token).end, End::Open);
    stage.pass(Duration::from_millis(1));
    let worker = &mut stage.workers[0];
    worker.begin_turn();
    assert_eq!(worker.wanted(silent.token).end, End::All);
    assert_eq!(worker.wanted(slow.token).end, End::All);
    assert_eq!(worker.wanted(done.token).end, End::Open);
    assert_eq!(worker.finish_turn(), None, "nobody else is waited for");
    assert_eq!(worker.shared.counts().tls_handshakes, 2);
    assert!(!silent.peer.say(b"").is_empty(), "it had something to say");
}

#[test]
fn passwords_are_asked_for_as_ever() {
    let files = Files::new();
    let profile = Arc::new(Mutex::new(files.profile(PORT, Clients::Anybody)));
    let settings = Fixed { limits: Limits::default(), password: Some(b"sesame"), profile: Some(profile) };
    let mut stage = stage_with(1, settings);
    let worker = &mut stage.workers[0];
    worker.begin_turn();
    let mut known = Client::connect(worker, Peer::new(&files, &TLS13, false));
    let mut stranger = Client::connect(worker, Peer::new(&files, &TLS13, false));
    assert_eq!(text(&known.turn(worker, b"AUTH sesame\r\n")), "+OK\r\n");
    assert_eq!(text(&stranger.turn(worker, b"GET n\r\n")), "-NOAUTH Authentication required.\r\n");
    stage.pass(Duration::from_millis(limits::UNAUTHENTICATED_MS));
    let worker = &mut stage.workers[0];
    worker.begin_turn();
    assert_eq!(worker.wanted(known.token).end, End::Open);
    assert_eq!(worker.wanted(stranger.token).end, End::All);
    worker.finish_turn();
    let counts = worker.shared.counts();
    assert_eq!((counts.unauthenticated_times, counts.tls_handshakes), (1, 0));
}

#[test]
fn a_session_that_breaks_is_told_and_closed() {
    let files = Files::new();
    let mut stage = secured(&files, Limits::default());
    let worker = &mut stage.workers[0];
    let plain = Client::accepted(worker, Peer::new(&files, &TLS13, false));
    let alert = worker.turn(plain.token, b"PING\r\n");
    assert_eq!((alert[0], alert.len()), (21, 7), "{alert:?}");
    assert_eq!(worker.wanted(plain.token).end, End::Send);
    let mut client = Client::connect(worker, Peer::new(&files, &TLS13, false));
    let mut wire = [client.peer.say(b"INCR n\r\n"), client.peer.say(b"INCR n\r\n")].concat();
    *wire.last_mut().expect("there are some") ^= 1;
    let alert = worker.turn(client.token, &wire);
    assert!(matches!(client.peer.hear(&alert), Err(Error::AlertReceived(_))), "and no reply goes with it");
    assert_eq!(worker.wanted(client.token).end, End::Send);
    worker.turn(client.token, b"whatever is still under way");
    worker.handle_end(client.token);
    assert_eq!(worker.wanted(client.token).end, End::All);
    worker.closed(client.token);
    let counts = worker.shared.counts();
    assert_eq!((counts.tls_handshakes, counts.tls_sessions), (1, 1));
    assert_eq!(worker.unsent_chains(), 0, "nothing is left of its replies");
}

#[test]
fn new_connections_get_new_certificates() {
    let (old, new) = (Files::new(), Files::new());
    let profile = Arc::new(Mutex::new(old.profile(PORT, Clients::Anybody)));
    let held = Some(Arc::clone(&profile));
    let settings = Fixed { limits: Limits::default(), password: None, profile: held };
    let mut stage = stage_with(1, settings);
    let worker = &mut stage.workers[0];
    let mut before = Client::connect(worker, Peer::new(&old, &TLS13, false));
    *profile.lock().expect("nobody panics") = new.profile(PORT, Clients::Anybody);
    worker.shared.posts[0].send(Message::ConfigChanged).expect("the mailbox has room");
    worker.begin_turn();
    worker.handle_mail();
    worker.finish_turn();
    let mut after = Client::connect(worker, Peer::new(&new, &TLS13, false));
    assert_eq!(text(&after.turn(worker, b"INCR n\r\n")), ":1\r\n");
    assert_eq!(text(&before.turn(worker, b"INCR n\r\n")), ":2\r\n", "who was there goes on");
    let mut deceived = Client::accepted(worker, Peer::new(&old, &TLS13, false));
    let hello = deceived.peer.say(b"");
    let answer = worker.turn(deceived.token, &hello);
    assert!(
        matches!(deceived.peer.hear(&answer), Err(Error::InvalidCertificate(_))),
        "it is not the old one"
    );
}

#[test]
fn who_is_refused_is_told_nothing_it_could_not_read() {
    let files = Files::new();
    let mut stage = secured(&files, Limits { max_clients: 0, ..Limits::default() });
    let worker = &mut stage.workers[0];
    assert_eq!(worker.admit(&ends("192.0.2.1:4000")), Admission::Refused(b""));
    assert_eq!(worker.admit(&ends(LOCAL)), Admission::Refused(b""));
}

#[test]
fn bytes_of_any_kind_do_no_harm() {
    let files = Files::new();
    let mut stage = secured(&files, Limits::default());
    let worker = &mut stage.workers[0];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..300_usize {
        let mut client = if round % 2 == 0 {
            Client::connect(worker, Peer::new(&files, VERSIONS[round / 2 % 2], false))
        } else {
            Client::accepted(worker, Peer::new(&files, VERSIONS[round / 2 % 2], false))
        };
        let mut wire = client.peer.say(if round % 2 == 0 { b"PING\r\n" } else { b"" });
        for _ in 0..=random() % 4 {
            let at = usize::try_from(random() % wire.len() as u64).expect("it is small");
            match random() % 4 {
                0 => wire[at] = random().to_le_bytes()[0],
                1 => wire.truncate(at + 1),
                2 => wire.extend_from_within(at..),
                _ => wire.insert(at, 0x17),
            }
        }
        for piece in wire.chunks(1 + usize::try_from(random() % 50).expect("it is small")) {
            worker.turn(client.token, piece);
        }
        worker.begin_turn();
        worker.handle_end(client.token);
        worker.flush(client.token);
        assert_eq!(worker.wanted(client.token).end, End::All);
        worker.closed(client.token);
        worker.finish_turn();
    }
    assert_eq!((worker.connections(), worker.unsent_chains()), (0, 0));
}
