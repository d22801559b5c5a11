//! The engine on a raw ring: multishot accepts, receives into blocks, one system call a turn.
//!
//! What is in flight, and whose memory it names:
//!
//! | operation | memory | ends with |
//! |---|---|---|
//! | accept, poll of the bell | none | the ring |
//! | receive | a block it takes from the buffer ring when bytes arrive | a completion without `F_MORE` |
//! | read, with `recv fixed` | the connection's own block, the kernel's until then | its one completion |
//! | send | the front of the connection's outgoing chain, which does not move | being submitted: see below |
//! | send that may wait | the same | its one completion |
//! | cancel | none | its one completion, which is ignored |
//!
//! A send that must not wait (`MSG_DONTWAIT`) is over when it has been submitted. It posts a completion only if it
//! failed or was cut short (`IOSQE_CQE_SKIP_SUCCESS`), so that the usual one neither costs a completion nor ends the
//! wait for the next requests. Where something waits for its end, or the socket was full, a send may wait and tells.
//! With `recv fixed` the next read waits for it: what was queued is submitted without waiting, and then the read.
//!
//! The kernel fills as many blocks as a client has bytes for, and more than a turn's share of them would have to be kept.
//! So a connection that had more than its share at once is put on rations: it receives from a ring of few blocks, which
//! all of its kind share and take turns at, until it is calm again. The others keep their blocks meanwhile.
//!
//! A connection is closed when neither a receive nor a send of it is in flight; its slot is free from then on.
//! Shutting the socket makes both end. Tokens carry a generation, so that a completion that comes late is
//! recognised all the same; a block that it names goes back.

#![expect(unsafe_code, reason = "submission entries name memory; each push says why it stays valid")]

mod buffers;
mod entries;
mod fixed;
mod probe;
mod receive;
mod ring;
mod send;
mod slot;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{CompletionQueue, SubmissionQueue, Submitter, cqueue, squeue};
use nix::errno::Errno;

use self::buffers::Group;
pub(super) use self::probe::climb;
pub use self::ring::Ring;
use self::ring::{Memory, disband, enable};
use self::slot::{Operation, Receive, Slot, slot_of};
use super::socket::{self, AcceptError};
use super::{Rung, Setup};
use crate::connection::End;
use crate::limits;
use crate::worker::{Resources, TOO_MANY, Token, Worker};

/// `IORING_ENTER_GETEVENTS` (include/uapi/linux/io_uring.h).
const ENTER_GETEVENTS: u32 = 1;

/// Longest time that completions may wait for company.
const GATHER: Duration = Duration::from_micros(50);
/// Receives in a turn from which on waiting for company saves more than the timer costs.
const GATHER_FROM: usize = 8;
/// Most receives waited for.
const GATHER_MOST: usize = 64;

/// One worker's ring and what is on it.
struct Turns<'r> {
    submitter: Submitter<'r>,
    submissions: SubmissionQueue<'r>,
    completions: CompletionQueue<'r>,
    setup: Setup,
    worker: Worker,
    rung: Rung,
    /// Whether a receive is over when a turn's bytes have come.
    capped: bool,
    memory: &'r mut Memory,
    slots: Vec<Option<Slot>>,
    starved: Vec<Token>,
    /// Connections that found no block of the ration: they take turns.
    hungry: VecDeque<Token>,
    /// Listeners whose accept is not armed, and the monotonic milliseconds from which it may be.
    unarmed: Vec<(usize, u64)>,
    /// Silent sends that are not known to have succeeded, and their bytes.
    silent: Vec<(Token, usize)>,
    /// Completions of this turn; empty between turns.
    reaped: Vec<cqueue::Entry>,
    /// Receives reaped in this turn.
    receives: usize,
    /// Number of this turn.
    turn: u32,
    /// Receives of the busiest of the last turns: how much company is worth waiting for.
    busy: usize,
    /// Completions that the kernel had no memory to keep.
    dropped: u32,
    /// Operations that were queued and are not over.
    in_flight: u64,
}

/// Drives `worker` until it is finished.
pub fn run(ring: Ring, setup: Setup, worker: Worker) -> io::Result<()> {
    // The ring is declared last and so goes first, before its blocks.
    let Ring { rung, capped, mut memory, mut ring } = ring;
    if cfg!(test) {
        memory.show();
    }
    let (mut submitter, submissions, completions) = ring.split();
    if let Err(error) = submitter.register_ring_fd() {
        log::debug!("the ring's descriptor is looked up in every call: {error}");
    }
    if let Some(error) = enable(&submitter, memory.supply())? {
        log::debug!("the ring is not restricted: {error}");
    }
    let unarmed = (0..setup.listeners.len()).map(|index| (index, 0)).collect();
    let mut turns = Turns {
        submitter,
        submissions,
        completions,
        setup,
        worker,
        rung,
        capped,
        memory: &mut memory,
        slots: Vec::new(),
        starved: Vec::new(),
        hungry: VecDeque::new(),
        unarmed,
        silent: Vec::with_capacity(256),
        reaped: Vec::with_capacity(256),
        receives: 0,
        turn: 0,
        busy: 0,
        dropped: 0,
        in_flight: 0,
    };
    turns.watch_bell();
    turns.arm_accepts();
    let mut wait = None;
    while !turns.worker.finished() {
        wait = match turns.turn(wait) {
            Ok(wait) => wait,
            Err(error) => {
                // Operations are in flight that name our memory: it must stay until the process is gone.
                std::mem::forget(turns);
                std::mem::forget(memory);
                return Err(error);
            }
        };
    }
    disband(&turns.submitter, turns.memory)
}

impl Turns<'_> {
    /// One turn: submit what the last one queued, wait, reap, apply.
    fn turn(&mut self, wait: Option<Duration>) -> io::Result<Option<Duration>> {
        self.enter(wait)?;
        self.worker.begin_turn();
        self.completions.sync();
        self.receives = 0;
        self.turn = self.turn.wrapping_add(1);
        let mut reaped = std::mem::take(&mut self.reaped);
        reaped.extend(&mut self.completions);
        self.completions.sync();
        // Sends first: what has left makes room for what is about to be answered.
        for completion in &reaped {
            let (operation, token) = Operation::of(completion.user_data());
            self.in_flight -= u64::from(!cqueue::more(completion.flags()));
            if operation == Operation::Send {
                self.sent(token, completion.result());
            }
        }
        self.confirm_silent();
        self.note_resources();
        for completion in &reaped {
            self.complete(completion);
        }
        self.worker.counts().completions += reaped.len() as u64;
        reaped.clear();
        self.reaped = reaped;
        // Falls slowly: half of the last turn alone would halve itself turn by turn.
        self.busy = self.receives.max(self.busy - self.busy.div_ceil(8));
        self.note_overflows();
        match self.memory {
            Memory::Shared(shared) => {
                shared.common.lend_free(limits::blocks_lent(self.worker.connections()));
                shared.ration.lend_free(limits::RATION_BLOCKS);
            }
            Memory::Fixed(fixed) => fixed.shed(&self.submitter),
        }
        self.feed_starved();
        self.feed_overrun();
        self.feed_hungry();
        self.apply_changes();
        self.mind_listeners();
        Ok(self.patience())
    }

    /// Ends the turn: how long to wait for the next event, `None` = for ever.
    fn patience(&mut self) -> Option<Duration> {
        let mut wait = self.worker.end_turn();
        let mut at_most = |time: Duration| wait = Some(wait.map_or(time, |wait| wait.min(time)));
        if !self.unarmed.is_empty() {
            at_most(Duration::from_millis(socket::ACCEPT_WAIT_MS));
        }
        if !self.hungry.is_empty() {
            // Whose turn it is may have no bytes after all: older kernels look for a block once more when a socket is empty.
            at_most(Duration::ZERO);
        }
        if let Memory::Fixed(fixed) = self.memory {
            if !self.silent.is_empty() {
                // Reads wait for these sends, which are over when they have been submitted.
                at_most(Duration::ZERO);
            }
            if let Some(due) = fixed.due(self.worker.now_ms()) {
                at_most(due);
            }
        }
        wait
    }

    /// Submits and waits, for half as many receives as turns had of late.
    fn enter(&mut self, wait: Option<Duration>) -> io::Result<()> {
        self.submissions.sync();
        self.worker.counts().system_calls += 1;
        self.worker.counts().submissions += self.submissions.len() as u64;
        let many = if self.busy < GATHER_FROM { 1 } else { (self.busy / 2).min(GATHER_MOST) };
        let result = match wait {
            None if many == 1 => self.submitter.submit_and_wait(1),
            None => self.wait_for(many, GATHER),
            Some(wait) if wait.is_zero() => self.look(),
            Some(wait) if many == 1 => self.wait_for(1, wait),
            Some(wait) => self.wait_for(many, wait.min(GATHER)),
        };
        self.submissions.sync();
        match result.map_err(|error| (error.raw_os_error(), error)) {
            Ok(_) => Ok(()),
            // ETIME: nothing in time. EINTR: a signal. EBUSY, EAGAIN: completions must be reaped first.
            Err((Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN), _)) => Ok(()),
            Err((_, error)) => Err(error),
        }
    }

    /// Submits, has the kernel work off what it put off until asked, and waits for nothing. Without the flag it would
    /// only submit: as long as one connection had more to do, nobody else would be heard.
    fn look(&self) -> io::Result<usize> {
        let queued = u32::try_from(self.submissions.len()).expect("a queue of a thousand entries");
        // SAFETY: no memory is passed; what the entries name is the matter of `push`.
        unsafe { self.submitter.enter::<libc::sigset_t>(queued, 0, ENTER_GETEVENTS, None) }
    }

    fn wait_for(&self, completions: usize, wait: Duration) -> io::Result<usize> {
        let timeout = Timespec::from(wait);
        self.submitter.submit_with_args(completions, &SubmitArgs::new().timespec(&timeout))
    }

    fn complete(&mut self, completion: &cqueue::Entry) {
        let (operation, token) = Operation::of(completion.user_data());
        match operation {
            Operation::Receive => self.received(Group::Common, token, completion),
            Operation::ReceiveRation => self.received(Group::Ration, token, completion),
            Operation::Accept => self.accepted(token.slot as usize, completion),
            Operation::Bell => self.answer_bell(cqueue::more(completion.flags())),
            // A send has been told of before; how a cancel went shows in what it was to end.
            Operation::Send | Operation::Cancel => {}
        }
    }

    fn accepted(&mut self, listener: usize, completion: &cqueue::Entry) {
        let result = completion.result();
        let mut wait_until = 0;
        if result >= 0 {
            // Also while draining: the client is connected already, and closing tells it so.
            let socket = socket::own(result);
            if !self.worker.draining()
                && let Some((socket, token)) = socket::take_in(socket, &mut self.worker)
            {
                self.open(socket, token);
            }
        } else if result != -libc::ECANCELED
            && socket::accept_error(Errno::from_raw(-result), &mut self.worker) == AcceptError::Wait
        {
            wait_until = self.worker.now_ms() + socket::ACCEPT_WAIT_MS;
        }
        if !cqueue::more(completion.flags()) {
            self.unarmed.push((listener, wait_until));
        }
    }

    fn answer_bell(&mut self, more: bool) {
        let mut count = [0; 8];
        self.worker.counts().system_calls += 1;
        if let Err(errno) = nix::unistd::read(&self.setup.bell, &mut count) {
            debug_assert_eq!(errno, Errno::EAGAIN, "a bell only ever has nothing to read");
        }
        self.worker.handle_mail();
        while let Some(dealt) = self.worker.take_dealt() {
            let (socket, token) = socket::open_dealt(dealt, &mut self.worker);
            self.open(socket, token);
        }
        if !more {
            self.watch_bell();
        }
    }

    /// Serves a connection that this worker was given, or refuses it for want of a block.
    fn open(&mut self, socket: OwnedFd, token: Token) {
        if let Memory::Fixed(fixed) = self.memory
            && !fixed.open(token, self.worker.now_ms(), &self.submitter)
        {
            self.worker.counts().rejected += 1;
            socket::refuse(&socket, TOO_MANY);
            drop(socket);
            return self.worker.closed(token);
        }
        let index = token.slot as usize;
        if index >= self.slots.len() {
            self.slots.resize_with(index + 1, || None);
        }
        let before = self.slots[index].replace(Slot::new(socket, token));
        debug_assert!(before.is_none(), "a slot is reused only after its connection was closed");
    }

    fn apply_changes(&mut self) {
        while let Some(token) = self.worker.next_changed() {
            self.apply(token);
        }
    }

    /// Does what a connection wants.
    fn apply(&mut self, token: Token) {
        let Some(wants) = self.worker.wants(token) else { return };
        let index = token.slot as usize;
        let Some(slot) = slot_of(&mut self.slots, token) else { return };
        if wants.end > slot.shut {
            self.worker.counts().system_calls += 1;
            socket::shut(slot.socket.as_fd(), wants.end);
            slot.shut = wants.end;
        }
        if wants.end == End::All {
            if matches!(slot.receive, Receive::Idle | Receive::Starved) && !slot.sending.in_flight() {
                self.worker.counts().system_calls += 1;
                self.slots[index] = None;
                if let Memory::Fixed(fixed) = self.memory {
                    fixed.close(token.slot);
                }
                self.worker.closed(token);
            }
            return;
        }
        let descriptor = Fd(slot.socket.as_raw_fd());
        if !wants.owes
            && std::mem::take(&mut slot.emptied)
            && !slot.sending.in_flight()
            && !wants.send
            && slot.receive == Receive::Armed
        {
            // The kernel wakes an armed receive once for bytes and a reset that arrive together, hands out the bytes
            // and waits for more, which will never come. A send would fail and tell; there is none, nor will there be
            // one by itself, so ask.
            self.worker.counts().system_calls += 1;
            if socket::is_broken(slot.socket.as_fd()) {
                return self.worker.handle_broken(token);
            }
        }
        let receive = slot.receive;
        if receive == Receive::Armed && (!wants.read || slot.group != slot.wanted) {
            slot.receive = Receive::Ending;
            let cancel = entries::cancel(Operation::receive(slot.group).data(token));
            self.push(&cancel.user_data(Operation::Cancel.data(token)));
        }
        // Before a receive: the block that it names may wait for these bytes.
        if wants.send {
            self.send(descriptor, token);
        }
        if receive == Receive::Idle && wants.read {
            self.arm_receive(descriptor, token);
        }
    }

    fn arm_accepts(&mut self) {
        let now_ms = self.worker.now_ms();
        let due = self.unarmed.iter().filter(|(_, at)| *at <= now_ms).map(|(index, _)| *index);
        for index in due.collect::<Vec<_>>() {
            let listener = Fd(self.setup.listeners[index].as_raw_fd());
            let slot = u32::try_from(index).expect("a handful of listeners");
            let accept = entries::accept(listener, self.memory.supply());
            self.push(&accept.user_data(Operation::Accept.data(Token { slot, generation: 0 })));
        }
        self.unarmed.retain(|(_, at)| *at > now_ms);
    }

    /// Arms accepts that ended; ends all of them when the server drains.
    fn mind_listeners(&mut self) {
        if self.worker.draining() {
            self.unarmed.clear();
            for listener in self.setup.listeners.drain(..) {
                // The accept in flight holds the socket open; shutting it makes the accept end and clients see
                // that nobody listens any more.
                socket::shut(listener.as_fd(), End::All);
            }
        } else if !self.unarmed.is_empty() {
            self.arm_accepts();
        }
    }

    fn watch_bell(&mut self) {
        let bell = Fd(self.setup.bell.as_raw_fd());
        let data = Operation::Bell.data(Token { slot: 0, generation: 0 });
        self.push(&entries::listen(bell).user_data(data));
    }

    /// Queues an entry; it is submitted with the next enter.
    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: every entry pushed here names no memory, a block taken from the buffer ring, a connection's own
            // block, or bytes of an outgoing chain; the module's table says why each stays valid until the last
            // completion.
            if unsafe { self.submissions.push(entry) }.is_ok() {
                self.in_flight += 1;
                return;
            }
            self.submissions.sync();
            self.worker.counts().system_calls += 1;
            self.worker.counts().submissions += self.submissions.len() as u64;
            match self.submitter.submit() {
                Ok(_) => {}
                Err(error) => log::debug!("submitting a full queue: {error}"),
            }
            self.submissions.sync();
            // Gives the kernel room for completions, in case that is what it waits for.
            self.completions.sync();
        }
    }

    /// Says how things stand before this turn's completions are worked off: nothing is held yet.
    fn note_resources(&self) {
        let [blocks, blocks_free, blocks_low_water] = self.memory.blocks();
        self.worker.note(Resources { blocks, blocks_free, blocks_low_water, in_flight: self.in_flight });
    }

    /// Counts the turn if completions found the queue full. The kernel keeps them elsewhere until the next enter, and says so by
    /// a flag; what it counts itself are those that it had no memory to keep.
    fn note_overflows(&mut self) {
        let dropped = self.completions.overflow();
        let more = dropped.wrapping_sub(self.dropped);
        self.dropped = dropped;
        let kept = u32::from(self.submissions.cq_overflow());
        self.worker.counts().overflows += u64::from(more.max(kept));
    }
}

#[cfg(test)]
mod tests;
