//! Clients without sockets, served as an engine serves them: a connection is looked at when the worker lists it, and not
//! before; one send at a time, which may take long and take less than there is; receiving stops where the worker wants no
//! bytes. A wake-up that gets lost is therefore found: nothing happens any more.

use std::time::Duration;

use tallyring::connection::{End, Peer};
use tallyring::limits;
use tallyring::worker::{Admission, Token, Worker};

use super::input::Random;
use super::stage::Stage;

impl Stage {
    /// A client that will send these bytes.
    pub fn connect(&mut self, wire: Vec<u8>) -> Client {
        let local = "127.0.0.1:6379".parse().expect("an address");
        let peer = Peer::tcp("127.0.0.1:50000".parse().expect("an address"), local);
        assert_eq!(self.worker.admit(&peer), Admission::Here);
        Client::new(self.worker.open(peer, 7), wire)
    }

    /// Delivers bytes, and gives what is answered.
    pub fn ask(&mut self, client: &mut Client, bytes: &[u8]) -> Vec<u8> {
        client.wire.clear();
        client.wire.extend_from_slice(bytes);
        client.at = 0;
        let mut random = Random::new(0);
        // A delivery in each turn, or a share of what was delivered before.
        for _ in 0..100 + bytes.len() / 1000 {
            self.worker.begin_turn();
            client.deliver(&mut self.worker, &Manner::PLAIN, &mut random);
            while client.serve(&mut self.worker, &mut random) {}
            let wait = self.worker.end_turn();
            if client.rest() == 0 && !wait.is_some_and(|wait| wait.is_zero()) {
                return std::mem::take(&mut client.replies);
            }
            assert!(client.end == End::Open, "the connection is closed");
        }
        panic!("requests are not answered: {client:?}");
    }

    /// A client goes away.
    pub fn part(&mut self, client: &mut Client) {
        self.worker.begin_turn();
        client.close(&mut self.worker, true);
        while self.worker.next_changed().is_some() {}
        self.worker.end_turn();
    }
}

/// A client, and what an engine knows of its connection.
#[derive(Debug)]
pub struct Client {
    token: Token,
    wire: Vec<u8>,
    /// Bytes of `wire` that were delivered.
    at: usize,
    /// What it has received.
    pub replies: Vec<u8>,
    /// The worker wants its bytes, as it said when it was asked last.
    reads: bool,
    /// The worker wants to send to it.
    sends: bool,
    end: End,
    /// The bytes that are being sent, and where they lie.
    in_flight: Option<(Vec<u8>, usize)>,
    /// It has said that it sends no more.
    silent: bool,
    /// It is closed.
    pub gone: bool,
    /// Bytes delivered after which it goes away, whatever is under way.
    leaves_at: usize,
}

/// How an engine and its clients behave.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Longest piece that is delivered.
    pub piece: usize,
    /// Sends take long, and less than there is.
    pub slow: bool,
    /// Clients read nothing before they have written everything.
    pub stubborn: bool,
    /// Clients shut their sending side behind their last byte, instead of closing when they have all replies.
    pub half_closed: bool,
}

impl Manner {
    /// Everything at once, in order.
    pub const PLAIN: Self = Self { piece: usize::MAX, slow: false, stubborn: false, half_closed: false };
}

impl Client {
    fn new(token: Token, wire: Vec<u8>) -> Self {
        Self {
            token,
            wire,
            at: 0,
            replies: Vec::new(),
            reads: true,
            sends: false,
            end: End::Open,
            in_flight: None,
            silent: false,
            gone: false,
            leaves_at: usize::MAX,
        }
    }

    /// Lets it go away after so many bytes, without waiting for replies.
    pub fn leave_after(&mut self, bytes: usize) {
        self.leaves_at = bytes;
    }

    /// Whether it goes away without waiting for replies.
    pub fn leaves(&self) -> bool {
        self.leaves_at < usize::MAX
    }

    /// Bytes that are still to be delivered.
    fn rest(&self) -> usize {
        self.wire.len() - self.at
    }

    /// Delivers the next piece, if it is wanted. True: something happened.
    fn deliver(&mut self, worker: &mut Worker, manner: &Manner, random: &mut Random) -> bool {
        if self.gone || self.silent || !self.reads {
            return false;
        }
        if self.rest() == 0 {
            let ended = manner.half_closed || self.end >= End::Send;
            if ended {
                worker.handle_end(self.token);
                self.silent = true;
            }
            return ended;
        }
        // However small: a few hundred turns have seen everything.
        let scale = 1 + self.wire.len() / 300;
        let longest = manner.piece.saturating_mul(scale).min(limits::BLOCK_BYTES * 4);
        let bound = if manner.slow { scale * random.pick(&[1, 3, 40, 600, longest]) } else { longest };
        let bytes = if manner.slow { 1 + random.below(bound.min(longest)) } else { longest };
        let next = &self.wire[self.at..][..bytes.min(self.rest())];
        // A block that ends where the bytes end: whoever reads on is found.
        let mut block = next.to_vec().into_boxed_slice();
        self.at += block.len();
        worker.handle_bytes(self.token, &mut block);
        true
    }

    /// Looks at what the worker wants of the connection, as an engine does once it is listed.
    fn look(&mut self, worker: &mut Worker) {
        let Some(wants) = worker.wants(self.token) else { return };
        (self.reads, self.sends, self.end) = (wants.read, wants.send, wants.end);
    }

    /// Does what the worker wants, where this client is the only one. True: there may be more.
    fn serve(&mut self, worker: &mut Worker, random: &mut Random) -> bool {
        while worker.next_changed().is_some() {
            self.look(worker);
        }
        self.begin_send(worker) && self.end_send(worker, &Manner::PLAIN, random)
    }

    /// Begins a send, if one is wanted and none is under way.
    fn begin_send(&mut self, worker: &mut Worker) -> bool {
        if self.gone || !self.sends || self.in_flight.is_some() || self.end == End::All {
            return false;
        }
        self.sends = false;
        let Some(unsent) = worker.start_send(self.token) else {
            panic!("the worker wanted to send, and has nothing");
        };
        assert!(!unsent.bytes.is_empty(), "a send has bytes");
        self.in_flight = Some((unsent.bytes.to_vec(), unsent.bytes.as_ptr().addr()));
        assert!(worker.start_send(self.token).is_none(), "one send at a time");
        true
    }

    /// Ends the send under way, all of it or a part.
    fn end_send(&mut self, worker: &mut Worker, manner: &Manner, random: &mut Random) -> bool {
        let Some((bytes, address)) = self.in_flight.take() else { return false };
        let part = manner.slow && random.one_in(3);
        let taken = if part { 1 + random.below(bytes.len()) } else { bytes.len() };
        self.replies.extend_from_slice(&bytes[..taken]);
        worker.handle_sent(self.token, taken);
        if taken < bytes.len() && worker.wants(self.token).is_some_and(|wants| wants.send) {
            // What did not leave is next, and has not moved meanwhile.
            let next = worker.start_send(self.token).expect("the rest of it");
            assert!(next.bytes == &bytes[taken..], "what was not sent is next");
            assert_eq!(next.bytes.as_ptr().addr(), address + taken, "bytes in flight have moved");
            self.in_flight = Some((next.bytes.to_vec(), address + taken));
        }
        true
    }

    /// Closes the connection if it is over, or if the client has everything that it waited for.
    fn close(&mut self, worker: &mut Worker, idle: bool) -> bool {
        let over = self.end == End::All || idle;
        if self.gone || !over {
            return false;
        }
        if let Some((bytes, _)) = self.in_flight.take() {
            // Cancelled; some of it may have left all the same.
            worker.handle_sent(self.token, bytes.len() / 2);
        }
        worker.closed(self.token);
        self.gone = true;
        true
    }
}

/// Plays until every client is gone. Panics if one waits in vain.
pub fn play(stage: &mut Stage, clients: &mut [Client], manner: &Manner, random: &mut Random) {
    let mut silence = 0;
    for turn in 0_u64.. {
        assert!(turn < 4_000_000, "clients are served in the end");
        let mut busy = false;
        stage.worker.begin_turn();
        for client in clients.iter_mut() {
            if manner.slow && random.one_in(3) {
                continue;
            }
            busy |= client.deliver(&mut stage.worker, manner, random);
            let writes_on = manner.stubborn && client.rest() > 0 && !client.gone;
            let dawdles = manner.slow && random.one_in(2);
            if !writes_on && !dawdles {
                busy |= client.end_send(&mut stage.worker, manner, random);
            }
        }
        while let Some(token) = stage.worker.next_changed() {
            let client = clients.iter_mut().find(|client| client.token == token);
            client.expect("the worker lists connections that there are").look(&mut stage.worker);
            busy = true;
        }
        for client in clients.iter_mut() {
            let dawdles = manner.slow && random.one_in(4);
            if !dawdles {
                busy |= client.begin_send(&mut stage.worker);
            }
            let leaves = client.at >= client.leaves_at;
            busy |= client.close(&mut stage.worker, leaves);
        }
        // A send that was cancelled has named its connection, which is closed by now.
        assert!(stage.worker.next_changed().is_none(), "nothing is new since it was looked at");
        let wait = stage.worker.end_turn();
        if clients.iter().all(|client| client.gone) {
            return;
        }
        if busy || wait.is_some_and(|wait| wait.is_zero()) {
            silence = 0;
            continue;
        }
        silence += 1;
        if silence > 40 {
            nothing_happens(stage, clients, wait);
            silence = 0;
        }
    }
}

/// Nothing happens until time passes or a client, which has all its replies, goes away.
fn nothing_happens(stage: &mut Stage, clients: &mut [Client], wait: Option<Duration>) {
    let mut gone = false;
    for client in clients.iter_mut().filter(|client| !client.gone) {
        assert!(!client.sends || client.in_flight.is_some() || client.end == End::All, "replies wait");
        // One that has shut its side waits for the server to close.
        if client.rest() == 0 && client.in_flight.is_none() && !client.silent {
            gone |= client.close(&mut stage.worker, true);
        }
    }
    if gone {
        return;
    }
    match wait {
        Some(wait) => stage.pass_ms(u64::try_from(wait.as_millis()).expect("waits are short").max(1)),
        None => panic!("a client waits in vain: {:?}", clients.iter().find(|client| !client.gone)),
    }
}
