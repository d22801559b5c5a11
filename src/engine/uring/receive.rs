//! Receives of the ring's engine: what arrives, in whose block, who has to wait for one, and when more is asked for.

use io_uring::types::Fd;
use io_uring::{cqueue, opcode, squeue};
use nix::errno::Errno;

use super::Turns;
use super::buffers::Group;
use super::slot::{Operation, Receive, slot_of};
use crate::worker::Token;

/// `ioprio` flags of a receive (include/uapi/linux/io_uring.h).
const RECVSEND_POLL_FIRST: u16 = 1;
const RECV_MULTISHOT: u16 = 1 << 1;

impl Turns<'_> {
    /// A receive has completed, or did once more.
    pub(super) fn received(&mut self, group: Group, token: Token, completion: &cqueue::Entry) {
        let (result, flags) = (completion.result(), completion.flags());
        let bytes = usize::try_from(result).unwrap_or(0);
        self.receives += 1;
        if let Some(slot) = slot_of(&mut self.slots, token) {
            slot.emptied = result > 0 && !cqueue::sock_nonempty(flags);
            let over = !cqueue::more(flags);
            if over {
                slot.receive = Receive::Idle;
            }
            let other = result > 0 && slot.weigh(self.turn, bytes, slot.emptied);
            if over || other {
                self.worker.touch(token);
            }
        }
        if let Some(id) = cqueue::buffer_select(flags) {
            let lending = match group {
                Group::Common => &mut self.lending,
                Group::Ration => &mut self.ration,
            };
            // Also for a token that is stale: the block comes back whoever it was for.
            let mut held = lending.received(id, bytes);
            if result > 0 {
                self.worker.handle_bytes(token, lending.bytes(&mut held));
            }
            lending.release(held);
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
        let Some(slot) = slot_of(&mut self.slots, token) else { return };
        slot.receive = Receive::Starved;
        match group {
            Group::Common => {
                self.worker.counts().starved += 1;
                self.starved.push(token);
            }
            Group::Ration => self.hungry.push_back(token),
        }
    }

    /// Blocks are back: receives that ended for want of them are armed again.
    pub(super) fn feed_starved(&mut self) {
        for index in 0..self.starved.len() {
            self.feed(self.starved[index]);
        }
        self.starved.clear();
        // One at a time: it takes the whole ration, or else there are fewer hungry ones in the next turn. Its bytes wait
        // in the socket, so that there is a next turn.
        while let Some(token) = self.hungry.pop_front() {
            if self.feed(token) {
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

    /// Asks for the bytes of a connection that has no receive in flight, in blocks of this group.
    pub(super) fn arm_receive(&mut self, descriptor: Fd, group: Group, token: Token) {
        // Waits for bytes first: arming on an empty buffer ring would fail at once, and there rarely are any yet. Whoever
        // is fed from the ration has bytes waiting, and blocks are free.
        let first = match group {
            Group::Common => RECVSEND_POLL_FIRST,
            Group::Ration => 0,
        };
        let receive = opcode::Recv::new(descriptor, std::ptr::null_mut(), 0)
            .ioprio(RECV_MULTISHOT | first)
            .buf_group(group.id())
            .build()
            .flags(squeue::Flags::BUFFER_SELECT)
            .user_data(Operation::receive(group).data(token));
        self.push(&receive);
    }
}
