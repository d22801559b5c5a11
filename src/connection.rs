//! One client's protocol state: what of its bytes is undecoded, which replies have not left, how it ends.
//!
//! Sans-I/O: it is told what arrived and what has left, and says what it wants next.
//!
//! ```text
//!             end of stream, last reply             all replies left      end of stream, time or bytes up
//!   Open ────────────────────────────▶ Finishing ────────────────▶ Lingering ────────────▶ Closing
//!                                          └────── nothing unread is under way ──────────────▶ ┘
//! ```

use core::net::{SocketAddr, SocketAddrV4};

use crate::buffer::outgoing::{OutPool, Outgoing};
use crate::command::session::Session;
use crate::command::{Command, Parts};
use crate::limits;
use crate::resp::decode::Framing;
use crate::table::effect::Lsn;
use crate::tls::Tls;

mod encrypted;

/// Who is at the other end, and where it connected to. There is one for each connection, idle as it may be, so the usual ones
/// are kept in 16 bytes: two addresses of either family would take 64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP connection over IPv4: the client's address, and ours.
    V4(SocketAddrV4, SocketAddrV4),
    /// Any other TCP connection: the same.
    Tcp(Box<(SocketAddr, SocketAddr)>),
    /// A connection to the Unix socket.
    Unix,
}

impl Peer {
    /// The peer of a TCP connection: the client's address, and ours.
    pub fn tcp(remote: SocketAddr, local: SocketAddr) -> Self {
        match (remote, local) {
            (SocketAddr::V4(remote), SocketAddr::V4(local)) => Self::V4(remote, local),
            ends => Self::Tcp(Box::new(ends)),
        }
    }

    /// The client's address, and ours. `None`: it is a connection to the Unix socket.
    pub fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::V4(remote, local) => Some(((*remote).into(), (*local).into())),
            Self::Tcp(ends) => Some(**ends),
            Self::Unix => None,
        }
    }

    /// Whether the client runs on this machine.
    pub fn is_local(&self) -> bool {
        self.ends().is_none_or(|(remote, _)| remote.ip().to_canonical().is_loopback())
    }
}

/// What is known of a client besides its session.
#[derive(Debug)]
pub struct Client {
    /// Where it is.
    pub peer: Peer,
    /// The engine's number for it, for display.
    pub fd: i32,
    /// Monotonic milliseconds at which it connected.
    pub since_ms: u64,
    /// Monotonic milliseconds at which bytes arrived last.
    pub active_ms: u64,
    /// The command it sent last.
    pub last_command: Option<&'static Command>,
}

/// How far a connection's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Requests are served.
    Open,
    /// No request is served any more; replies are still leaving.
    Finishing,
    /// All replies have left and our side is shut; what the client still sends is dropped, so that closing with
    /// unread input does not reset the connection under the last reply.
    Lingering,
    /// To be closed without further ado.
    Closing,
}

/// What a connection wants of its engine: a state, not an event, so that nothing is lost when it is asked for
/// at the wrong time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wants {
    /// Bytes from the client.
    pub read: bool,
    /// Its next bytes to be sent.
    pub send: bool,
    /// Nothing to be sent, as what would be waits for what was written to be safe.
    pub owes: bool,
    /// Which directions of the socket to shut.
    pub end: End,
}

/// What to shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Nothing.
    Open,
    /// Receiving: what the client already sent is delivered, then the end of the stream.
    Receive,
    /// Sending: the client sees the end of the stream behind the last reply.
    Send,
    /// Everything: to be closed once nothing is in flight.
    All,
}

/// Bytes that were received and belong to no complete request yet, or had to wait.
///
/// `consumed <= carry.len()`. One piece of memory whatever its size, so that every argument is contiguous; it
/// grows by an eighth at least, and from 128 KiB on the allocator moves pages and copies nothing.
#[derive(Debug, Default)]
pub struct Input {
    carry: Vec<u8>,
    consumed: usize,
}

impl Input {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.carry.len() - self.consumed
    }

    /// Whether no byte waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.carry.len() == self.consumed
    }

    /// Memory that it takes.
    pub fn memory(&self) -> usize {
        self.carry.capacity()
    }

    /// Keeps `bytes` behind those that wait.
    pub fn keep(&mut self, bytes: &[u8], spare: &mut Spare) {
        if bytes.is_empty() {
            return;
        }
        if self.carry.capacity() == 0 {
            self.carry = spare.take();
        }
        if self.carry.len() + bytes.len() > self.carry.capacity() {
            self.carry.drain(..self.consumed);
            self.consumed = 0;
            let needed = self.carry.len() + bytes.len();
            if needed > self.carry.capacity() {
                let room =
                    if needed <= STEP { needed.next_power_of_two() } else { needed + STEP.max(needed / 8) };
                self.carry.reserve_exact(room - self.carry.len());
            }
        }
        self.carry.extend_from_slice(bytes);
    }

    /// The bytes that wait.
    pub fn waiting(&self) -> &[u8] {
        &self.carry[self.consumed..]
    }

    /// The first `bytes` of those that wait are done with.
    pub fn skip(&mut self, bytes: usize) {
        self.consumed += bytes;
        debug_assert!(self.consumed <= self.carry.len(), "no more than there are");
    }

    /// Takes the waiting bytes out, for decoding; [`Input::put_back`] returns them.
    pub fn take(&mut self) -> (Vec<u8>, usize) {
        (std::mem::take(&mut self.carry), std::mem::take(&mut self.consumed))
    }

    /// Returns what [`Input::take`] gave, `consumed` bytes of it being done with.
    pub fn put_back(&mut self, carry: Vec<u8>, consumed: usize, spare: &mut Spare) {
        debug_assert!(self.carry.is_empty() && consumed <= carry.len());
        let left = carry.len() - consumed;
        if left == 0 {
            spare.give(carry);
        } else if carry.capacity() > SMALL && left <= carry.capacity() / 4 {
            // The end of a long wait: what little is left does not hold the memory of what is done with.
            self.keep(&carry[consumed..], spare);
            spare.give(carry);
        } else {
            (self.carry, self.consumed) = (carry, consumed);
        }
    }

    /// Forgets everything that waits.
    pub fn clear(&mut self, spare: &mut Spare) {
        spare.give(std::mem::take(&mut self.carry));
        self.consumed = 0;
    }
}

/// Memory that carries grow by above their first doublings.
const STEP: usize = 64 * 1024;

/// Memory of a carry that is not worth giving back before it is empty.
const SMALL: usize = 16 * 1024;

/// Empty carries kept for reuse: a client whose requests straddle blocks needs one every time.
#[derive(Debug, Default)]
pub struct Spare {
    carries: Vec<Vec<u8>>,
    /// Their capacities in sum, at most [`limits::SPARE_BYTES`].
    bytes: usize,
    /// Bytes that went back to the allocator since [`Spare::take_released`].
    released: usize,
}

impl Spare {
    /// Bytes that went back to the allocator since this was asked last.
    pub fn take_released(&mut self) -> usize {
        std::mem::take(&mut self.released)
    }

    fn take(&mut self) -> Vec<u8> {
        let carry = self.carries.pop().unwrap_or_default();
        self.bytes -= carry.capacity();
        carry
    }

    fn give(&mut self, mut carry: Vec<u8>) {
        let capacity = carry.capacity();
        if (1..=2 * limits::BACKLOG_BYTES).contains(&capacity) && self.bytes + capacity <= limits::SPARE_BYTES
        {
            carry.clear();
            self.bytes += capacity;
            self.carries.push(carry);
        } else {
            self.released += capacity;
        }
    }
}

/// A request that is worked off while it arrives.
#[derive(Debug)]
pub enum Stream {
    /// Executed in parts.
    Parts {
        /// What is executed.
        command: &'static Command,
        /// How far it has come.
        parts: Parts,
    },
    /// Refused by its first arguments: dropped to its end, then answered with this error.
    Refused(Vec<u8>),
}

/// One client.
#[derive(Debug)]
pub struct Connection {
    /// What commands see.
    pub session: Session,
    /// What the operator sees.
    pub client: Client,
    /// Undecoded bytes.
    pub input: Input,
    /// How far the first of them are decoded.
    pub framing: Framing,
    /// The request they belong to, where it is worked off as it arrives.
    pub stream: Option<Box<Stream>>,
    /// Unsent replies; absent while there are none.
    pub outgoing: Option<Box<Outgoing>>,
    /// What stands between its bytes and the network, where they are encrypted.
    pub tls: Option<Box<Tls>>,
    /// Position that the unsent replies wait for.
    pub wait: Lsn,
    /// It is on the worker's list of those whose replies wait for that.
    pub is_unsafe: bool,
    /// Distinguishes this connection from earlier ones in its slot.
    pub generation: u32,
    /// Turn in which `turn_bytes` were executed.
    pub turn: u32,
    /// Bytes of requests executed in that turn.
    pub turn_bytes: u32,
    /// Bytes dropped while finishing and lingering.
    pub drained: u32,
    /// Monotonic milliseconds at which a byte of reply left last, or the first that waits was encoded.
    pub left_ms: u64,
    /// How its end has come.
    pub phase: Phase,
    /// The client has sent its last byte.
    pub eof: bool,
    /// A reply comes later; requests behind it wait.
    pub pending: bool,
    /// Its next request waits for the end of a pause; is on the worker's list for it.
    pub paused: bool,
    /// Had its share of the turn; goes on with the next.
    pub throttled: bool,
    /// Its next attempt at a password has waited for its turn.
    pub waited: bool,
    /// Waits for replies to leave; is on the worker's list for it.
    pub stalled: bool,
    /// Reads on above the soft mark, because its client does not read before it has written.
    pub overrun: bool,
    /// The server drains: what has arrived is served, nothing more.
    pub draining: bool,
    /// Is on the worker's list of connections whose wants may have changed.
    pub listed: bool,
    /// Bytes that it takes, as its worker's sum has them.
    pub accounted: usize,
    /// What the reply that comes later is marked with, and when its request came.
    pub late: (u32, u64),
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(session: Session, client: Client, generation: u32) -> Self {
        Self {
            session,
            client,
            input: Input::default(),
            framing: Framing::default(),
            stream: None,
            outgoing: None,
            tls: None,
            wait: 0,
            is_unsafe: false,
            generation,
            turn: 0,
            turn_bytes: 0,
            drained: 0,
            left_ms: 0,
            phase: Phase::Open,
            eof: false,
            pending: false,
            paused: false,
            throttled: false,
            waited: false,
            stalled: false,
            overrun: false,
            draining: false,
            listed: false,
            accounted: 0,
            late: (0, 0),
        }
    }

    /// Gives it its share of a turn, if it is a new one.
    #[inline]
    pub fn begin_share(&mut self, turn: u32) {
        if self.turn != turn {
            (self.turn, self.turn_bytes) = (turn, 0);
        }
    }

    /// Bytes of replies that have not left, as they lie: some may be encrypted already.
    #[inline]
    pub fn unsent(&self) -> usize {
        let replies = self.outgoing.as_ref().map_or(0, |outgoing| outgoing.unsent());
        match &self.tls {
            None => replies,
            Some(tls) => Self::unsent_encrypted(tls, replies),
        }
    }

    /// Whether a send is in flight.
    #[inline]
    pub fn in_flight(&self) -> bool {
        match &self.tls {
            None => self.outgoing.as_ref().is_some_and(|outgoing| outgoing.in_flight()),
            Some(tls) => tls.in_flight(),
        }
    }

    /// Whether its next request may be executed now.
    #[inline]
    pub fn runnable(&self) -> bool {
        self.phase == Phase::Open
            && !self.pending
            && !self.paused
            && !self.throttled
            && (!self.stalled || self.overrun)
    }

    /// Whether there are replies that wait until changes beyond `safe` are safe too.
    #[inline]
    pub fn waits_for(&self, safe: Lsn) -> bool {
        self.wait > safe && self.unsent() > 0
    }

    /// What it wants, `safe` being the position up to which changes are safe.
    pub fn wants(&self, safe: Lsn) -> Wants {
        let patient = !self.stalled || self.overrun;
        let read = match self.phase {
            Phase::Open => !self.eof && patient && (self.runnable() || self.input.len() < self.backlog()),
            Phase::Finishing | Phase::Lingering => !self.eof,
            Phase::Closing => false,
        };
        let waits = self.wait > safe && self.waits_with_all();
        let replies = self.phase != Phase::Closing && self.unsent() > 0 && !self.in_flight();
        let end = match self.phase {
            Phase::Open if self.draining => End::Receive,
            Phase::Open | Phase::Finishing => End::Open,
            Phase::Lingering => End::Send,
            Phase::Closing => End::All,
        };
        Wants { read, send: replies && !waits, owes: replies && waits, end }
    }

    /// Whether the bytes that wait are the beginning of a request, and `threshold` or more.
    pub fn is_large(&self, threshold: usize) -> bool {
        self.input.len() >= threshold
            && self.framing.declared() > 1
            && !self.framing.is_held()
            && self.stream.is_none()
            && self.runnable()
    }

    /// Takes the chain of its unsent replies, to add to it; [`Connection::give_replies`] returns it.
    pub fn take_replies(&mut self, pool: &mut OutPool, now_ms: u64) -> Box<Outgoing> {
        let outgoing = self.outgoing.take().unwrap_or_else(|| pool.take());
        if outgoing.unsent() == 0 {
            self.left_ms = now_ms;
        }
        outgoing
    }

    /// Returns what [`Connection::take_replies`] gave; an empty chain goes back to the pool.
    pub fn give_replies(&mut self, outgoing: Box<Outgoing>, pool: &mut OutPool) {
        if outgoing.unsent() == 0 && !outgoing.in_flight() {
            pool.give(outgoing);
        } else {
            self.outgoing = Some(outgoing);
        }
    }

    /// Bytes of waiting requests from which on it is not read from.
    fn backlog(&self) -> usize {
        if self.session.authenticated { limits::BACKLOG_BYTES } else { limits::UNAUTHENTICATED_REQUEST }
    }

    /// Unsent replies above which it is not read from.
    pub fn soft_mark(&self) -> usize {
        if self.stream.is_some() { limits::STREAM_UNSENT } else { limits::UNSENT_SOFT }
    }

    /// Draws the conclusions from what happened last: which phase it is in now. True = the phase is new.
    pub fn settle(&mut self) -> bool {
        let before = self.phase;
        if self.phase == Phase::Open && self.eof && (self.runnable() || self.paused) {
            // Nobody waits for the end of a pause any more. Whatever waits undecoded is the beginning of a request that will never be complete.
            self.phase = Phase::Finishing;
        }
        if self.phase == Phase::Finishing && self.unsent() == 0 && !self.owes() {
            self.phase = if self.eof { Phase::Closing } else { Phase::Lingering };
        }
        let drained = self.drained as usize > limits::LINGER_BYTES;
        if (self.phase == Phase::Lingering && self.eof) || (self.phase != Phase::Open && drained) {
            self.phase = Phase::Closing;
        }
        self.phase != before
    }

    /// Bytes of replies have left.
    pub fn sent(&mut self, bytes: usize, now_ms: u64, pool: &mut OutPool) {
        self.left_ms = now_ms;
        self.overrun = false;
        if let Some(tls) = &mut self.tls {
            // Its replies have been taken off the chain already.
            return tls.sent(bytes);
        }
        let outgoing = self.outgoing.as_mut().expect("a send in flight keeps its chain");
        outgoing.sent(bytes, pool);
        if outgoing.unsent() == 0
            && let Some(outgoing) = self.outgoing.take()
        {
            pool.give(outgoing);
        }
    }
}
