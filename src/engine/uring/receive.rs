//! Receives of the ring's engine: what arrives, in whose block, who has to wait for one, and when more is asked for.

use io_uring::cqueue;
use io_uring::types::Fd;
use nix::errno::Errno;

use super::buffers::Group;
use super::ring::Memory;
use super::slot::{Operation, Receive, Sending, slot_of};
use super::{Turns, entries};
use crate::worker::Token;

impl Turns<'_> {
    /// A receive has completed, or did once more.
    pub(super) fn received(&mut self, group: Group, token: Token, completion: &cqueue::Entry) {
        let (result, flags) = (completion.result(), completion.flags());
        let len = usize::try_from(result).unwrap_or(0);
        self.receives += 1;
        if let Some(slot) = slot_of(&mut self.slots, token) {
            slot.rest = cqueue::sock_nonempty(flags);
            slot.emptied = result > 0 && !slot.rest;
            if group == Group::Ration {
                slot.share = slot.share.map(|share| share + len);
            }
            let over = !cqueue::more(flags);
            if over {
                slot.receive = Receive::Idle;
            }
            let other = result > 0 && slot.weigh(self.turn, len, slot.emptied);
            // A read into a block of its own tells of no rest, and takes from nobody.
            if over && result > 0 && slot.rest && slot.wanted == Group::Ration {
                self.queue(token);
            } else if over || other {
                self.worker.touch(token);
            }
        }
        match self.memory {
            Memory::Shared(shared) => {
                if let Some(id) = cqueue::buffer_select(flags) {
                    let lending = shared.of(group);
                    // Also for a token that is stale: the block comes back whoever it was for.
                    let mut held = lending.received(id, len);
                    if result > 0 {
                        self.worker.handle_bytes(token, lending.bytes(&mut held));
                    }
                    lending.release(held);
                }
            }
            Memory::Fixed(fixed) => {
                // Its own block comes back with every read; it stays with us until `arm_receive`.
                let bytes = fixed.received(token.slot, len);
                if result > 0 {
                    self.worker.handle_bytes(token, bytes);
                }
            }
        }
        match result {
            1.. => {}
            0 => self.worker.handle_end(token),
            _ => match Errno::from_raw(-result) {
                Errno::ENOBUFS => self.starve(group, token),
                // Cancelled by us, or to be armed again.
                Errno::ECANCELED | Errno::EINTR | Errno::EAGAIN => {}
                errno => {
                    log::debug!("a connection broke while receiving: {errno}");
                    self.worker.handle_broken(token);
                }
            },
        }
    }

    /// No block was free: the bytes stay in the socket until there are.
    fn starve(&mut self, group: Group, token: Token) {
        if group == Group::Ration {
            return self.queue(token);
        }
        let Some(slot) = slot_of(&mut self.slots, token) else { return };
        slot.receive = Receive::Starved;
        self.worker.counts().starved += 1;
        self.starved.push(token);
    }

    /// Has a connection with bytes in its socket wait for the ration.
    fn queue(&mut self, token: Token) {
        let Some(slot) = slot_of(&mut self.slots, token) else { return };
        // To be received as soon as it is submitted: the kernel would let others be first if it looked for bytes before.
        (slot.receive, slot.rest) = (Receive::Starved, true);
        if slot.has_a_turn() {
            self.hungry.push_front(token);
        } else {
            self.hungry.push_back(token);
        }
    }

    /// Blocks are back: receives that ended for want of them are armed again.
    pub(super) fn feed_starved(&mut self) {
        for index in 0..self.starved.len() {
            self.feed(self.starved[index]);
        }
        self.starved.clear();
    }

    /// Lets the next of those receive who wait for the ration. One at a time: it takes the whole ration, or else there are
    /// fewer hungry ones in the next turn, which comes at once; and it is submitted before all others, who would leave
    /// nothing.
    pub(super) fn feed_hungry(&mut self) {
        while let Some(token) = self.hungry.pop_front() {
            if self.feed(token) {
                if let Some(slot) = slot_of(&mut self.slots, token)
                    && !slot.has_a_turn()
                {
                    slot.share = Some(0);
                }
                self.apply(token);
                break;
            }
        }
    }

    /// Lets a starved connection receive again. False: it does not want to, or is gone.
    fn feed(&mut self, token: Token) -> bool {
        let wants = self.worker.wants(token).is_some_and(|wants| wants.read);
        let Some(slot) = slot_of(&mut self.slots, token) else { return false };
        if slot.receive != Receive::Starved {
            return false;
        }
        slot.receive = Receive::Idle;
        self.worker.touch(token);
        wants
    }

    /// Clients that have taken no reply for too long: they may be writing everything before they read.
    pub(super) fn feed_overrun(&mut self) {
        if let Memory::Fixed(fixed) = self.memory {
            while let Some(token) = fixed.next_overrun(self.worker.now_ms()) {
                self.worker.touch(token);
            }
        }
    }

    /// Asks for more bytes of a connection that has no receive in flight. Where its block is its own, that has to wait
    /// until the replies to what lies there have left; this is then called again.
    pub(super) fn arm_receive(&mut self, descriptor: Fd, token: Token) {
        let slot = slot_of(&mut self.slots, token).expect("the caller found it");
        let receive = match self.memory {
            Memory::Shared(_) => {
                slot.group = slot.wanted;
                if slot.group == Group::Common {
                    slot.share = None;
                }
                // Waits for bytes where none are known to be there.
                entries::receive(descriptor, self.rung, slot.group, !slot.rest, self.capped)
            }
            Memory::Fixed(fixed) => {
                if self.worker.has_unsent(token) && !fixed.is_overrun(token.slot) {
                    match slot.sending {
                        Sending::Waiting => fixed.wait(token, self.worker.now_ms()),
                        // Over when it has been submitted; or it may not leave yet, which will be told.
                        Sending::Silent | Sending::Idle | Sending::Full => {}
                    }
                    return;
                }
                let (registered, block) = fixed.lend(token.slot);
                entries::read(descriptor, block, registered)
            }
        };
        slot.receive = Receive::Armed;
        let data = Operation::receive(slot.group).data(token);
        self.push(&receive.user_data(data));
    }
}
