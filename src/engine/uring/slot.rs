//! What the ring's engine knows of each connection and of each completion. Makes no system call.

use std::os::fd::OwnedFd;

use super::buffers::Group;
use crate::connection::End;
use crate::limits;
use crate::worker::{GENERATION_BITS, Token};

/// What a completion is about: the top eight bits of `user_data`, above generation and slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Accept,
    Bell,
    /// Into a common block.
    Receive,
    Send,
    Cancel,
    /// Into a block of the ration.
    ReceiveRation,
}

impl Operation {
    const ALL: [Self; 6] =
        [Self::Accept, Self::Bell, Self::Receive, Self::Send, Self::Cancel, Self::ReceiveRation];

    /// The receive into a group's blocks.
    pub(super) fn receive(group: Group) -> Self {
        match group {
            Group::Common => Self::Receive,
            Group::Ration => Self::ReceiveRation,
        }
    }

    pub(super) fn data(self, token: Token) -> u64 {
        debug_assert!(token.generation >> GENERATION_BITS == 0);
        (self as u64) << 56 | u64::from(token.generation) << 32 | u64::from(token.slot)
    }

    pub(super) fn of(data: u64) -> (Self, Token) {
        let operation = Self::ALL[usize::from(data.to_be_bytes()[0])];
        let generation = u32::try_from(data >> 32 & ((1 << GENERATION_BITS) - 1)).expect("masked to 24 bits");
        let slot = u32::try_from(data & u64::from(u32::MAX)).expect("masked to 32 bits");
        (operation, Token { slot, generation })
    }
}

/// A connection's receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receive {
    /// Nothing is in flight.
    Idle,
    /// Armed; completions come until one says that it was the last.
    Armed,
    /// Armed and cancelled: the last completion is on its way, and bytes may come before it.
    Ending,
    /// Ended because no block was free; armed again when there are.
    Starved,
}

/// A connection's send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    /// Nothing is in flight.
    Idle,
    /// Nothing is in flight; the last send found the socket full.
    Full,
    /// Must not wait; over once submitted, and silent unless it fails.
    Silent,
    /// Waits for room; ends with its completion.
    Waiting,
}

impl Sending {
    pub(super) fn in_flight(self) -> bool {
        matches!(self, Self::Silent | Self::Waiting)
    }
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) socket: OwnedFd,
    pub(super) token: Token,
    pub(super) receive: Receive,
    /// Whose blocks the receive takes that is in flight, and whose the next one is to take.
    pub(super) group: Group,
    pub(super) wanted: Group,
    /// Bytes it received in the turn of this number.
    received: (u32, u32),
    pub(super) sending: Sending,
    /// The last receive emptied the socket: a reset right behind those bytes may have gone unnoticed.
    pub(super) emptied: bool,
    /// The last receive left bytes in the socket.
    pub(super) rest: bool,
    /// It waited for the ration, it was its turn, and it has received so many bytes since.
    pub(super) share: Option<usize>,
    /// What has been shut.
    pub(super) shut: End,
}

impl Slot {
    /// The slot of a connection that was just opened.
    pub(super) fn new(socket: OwnedFd, token: Token) -> Self {
        Self {
            socket,
            token,
            receive: Receive::Idle,
            group: Group::Common,
            wanted: Group::Common,
            received: (0, 0),
            sending: Sending::Idle,
            emptied: false,
            rest: false,
            share: None,
            shut: End::Open,
        }
    }

    /// Whether it is its turn to be served from the ration.
    pub(super) fn has_a_turn(&self) -> bool {
        self.share.is_some_and(|share| share < limits::RATION_SHARE_BYTES)
    }

    /// Bytes arrived in the turn of this number, and emptied the socket or not. Says whether the next receive has to be
    /// another one: a connection that had all that may be executed in a turn is put on rations, until it is calm again.
    pub(super) fn weigh(&mut self, turn: u32, bytes: usize, emptied: bool) -> bool {
        let bytes = u32::try_from(bytes).expect("a receive is far below 4 GiB");
        let (before, last) = self.received;
        let received = if last == turn { before.saturating_add(bytes) } else { bytes };
        self.received = (received, turn);
        let received = usize::try_from(received).expect("32 bits");
        if received >= limits::TURN_BYTES {
            self.wanted = Group::Ration;
        } else if received < limits::BLOCK_BYTES && emptied {
            self.wanted = Group::Common;
        }
        self.wanted != self.group
    }
}

/// The slot of a connection that is still there.
pub(super) fn slot_of(slots: &mut [Option<Slot>], token: Token) -> Option<&mut Slot> {
    slots.get_mut(token.slot as usize)?.as_mut().filter(|slot| slot.token == token)
}
