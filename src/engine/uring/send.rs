//! Sends of the ring's engine: those that must not wait and say nothing, and those that wait where something waits for
//! them.

use io_uring::types::Fd;
use nix::errno::Errno;

use super::ring::Memory;
use super::slot::{Operation, Sending, slot_of};
use super::{Turns, entries};
use crate::worker::{Token, Unsent};

/// Most bytes of one send: the kernel counts them in 31 bits.
const SEND_MOST: usize = 1 << 30;

impl Turns<'_> {
    /// Queues a connection's next bytes.
    pub(super) fn send(&mut self, descriptor: Fd, token: Token) {
        let Some(Unsent { bytes, last }) = self.worker.start_send(token) else { return };
        let last = last && bytes.len() <= SEND_MOST;
        let bytes = &bytes[..bytes.len().min(SEND_MOST)];
        let slot = slot_of(&mut self.slots, token).expect("the caller found it");
        let waits = !last || slot.sending != Sending::Idle;
        if waits {
            slot.sending = Sending::Waiting;
        } else {
            slot.sending = Sending::Silent;
            self.silent.push((token, bytes.len()));
        }
        let send = entries::send(descriptor, bytes, waits).user_data(Operation::Send.data(token));
        // The bytes stay where they are until `handle_sent` (see `Outgoing`), which is called when the send is over,
        // and the connection is closed only then.
        self.push(&send);
    }

    /// A send that could wait is over, or one that could not has failed or was cut short.
    pub(super) fn sent(&mut self, token: Token, result: i32) {
        if let Some(slot) = slot_of(&mut self.slots, token) {
            slot.sending = if slot.sending == Sending::Silent {
                let at = self
                    .silent
                    .iter()
                    .position(|(it, _)| *it == token)
                    .expect("a silent send is on the list");
                self.silent.remove(at);
                Sending::Full
            } else {
                Sending::Idle
            };
        }
        let bytes = usize::try_from(result).unwrap_or(0);
        self.worker.handle_sent(token, bytes);
        if let Memory::Fixed(fixed) = self.memory
            && bytes > 0
        {
            fixed.progressed(token.slot, self.worker.now_ms());
        }
        match result {
            0.. => {}
            _ => match Errno::from_raw(-result) {
                // To be sent again.
                Errno::EINTR | Errno::EAGAIN => {}
                errno => {
                    log::debug!("a connection broke while sending: {errno}");
                    self.worker.handle_broken(token);
                }
            },
        }
        self.worker.touch(token);
    }

    /// Everything that was queued has been submitted and every completion reaped: silent sends of which none told
    /// have succeeded.
    pub(super) fn confirm_silent(&mut self) {
        self.submissions.sync();
        if !self.submissions.is_empty() || self.submissions.cq_overflow() {
            // The kernel has not taken all of them, or has completions it had no room for: after the next enter.
            return;
        }
        self.in_flight -= self.silent.len() as u64;
        for (token, bytes) in self.silent.drain(..) {
            if let Some(slot) = slot_of(&mut self.slots, token) {
                debug_assert_eq!(slot.sending, Sending::Silent, "a send that told was taken off the list");
                slot.sending = Sending::Idle;
            }
            self.worker.handle_sent(token, bytes);
            if let Memory::Fixed(fixed) = self.memory {
                // Its block waited for that.
                fixed.progressed(token.slot, self.worker.now_ms());
                self.worker.touch(token);
            }
        }
    }
}
