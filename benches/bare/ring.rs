//! The bare loop on a ring: multishot accept and receive, provided buffers, one submit-and-wait per turn.
//!
//! As lean as a ring gets with plain sockets. One thread owns everything; a slot is given back only when nothing
//! of it is in flight, so that a completion always finds the connection it belongs to.
#![expect(unsafe_code, reason = "submission entries carry addresses that the kernel uses later")]

mod buffers;

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use io_uring::{IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue, types};
use slab::Slab;

use super::{Owed, requests};
use buffers::{BufferRing, GROUP};

/// Submission entries; a turn that needs more submits in between.
const ENTRIES: u32 = 1024;

/// Completions that fit before the kernel keeps them elsewhere.
const COMPLETIONS: u32 = 8192;

/// `IORING_RECV_MULTISHOT` of `linux/io_uring.h`.
const RECV_MULTISHOT: u16 = 1 << 1;

/// Most completions that one wait asks for: one enter runs at most 20 items of deferred work unless it waits for
/// more, and a turn that waited for all of its connections would wait for the slowest.
const WAIT_MOST: usize = 64;

/// How long a wait for more than one completion may last: connections may have gone quiet.
const WAIT_NANOSECONDS: u32 = 50_000;

/// What a completion is about: the kind in the upper half of `user_data`, the slot in the lower.
#[derive(Clone, Copy)]
enum Token {
    Accept,
    Receive(u32),
    Send(u32),
}

impl Token {
    fn pack(self) -> u64 {
        match self {
            Self::Accept => 0,
            Self::Receive(slot) => 1 << 32 | u64::from(slot),
            Self::Send(slot) => 2 << 32 | u64::from(slot),
        }
    }

    fn unpack(data: u64) -> Self {
        let slot = u32::try_from(data & 0xffff_ffff).expect("the lower half of a u64 is a u32");
        match data >> 32 {
            0 => Self::Accept,
            1 => Self::Receive(slot),
            _ => Self::Send(slot),
        }
    }
}

/// A connection. Its slot lives while `receiving || sending || !closing`.
struct Connection {
    stream: TcpStream,
    owed: Owed,
    /// A multishot receive is armed.
    receiving: bool,
    /// A send is in flight: the next waits for it, or replies could change their order.
    sending: bool,
    /// Nothing more is received or sent.
    closing: bool,
}

/// Serves until the process is ended.
///
/// # Errors
/// If the kernel refuses a ring with these features, or the ring itself fails.
pub(super) fn serve(listener: &TcpListener) -> io::Result<()> {
    let mut ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_cqsize(COMPLETIONS)
        .build(ENTRIES)?;
    let (mut submitter, submissions, mut completions) = ring.split();
    // Saves the kernel a look-up per call; 5.18 and later, and no loss where it is missing.
    let _ = submitter.register_ring_fd();
    let buffers = BufferRing::register(&submitter)?;
    let mut server = Server {
        listener: listener.as_raw_fd(),
        submitter,
        submissions,
        buffers,
        connections: Slab::new(),
        touched: Vec::new(),
        sends: 0,
        receives: 0,
        busy: 0,
    };
    server.arm_accept()?;
    loop {
        server.submit_and_wait()?;
        completions.sync();
        server.receives = 0;
        for completion in completions.by_ref() {
            server.reap(&completion)?;
        }
        server.buffers.publish();
        server.finish_turn()?;
    }
}

struct Server<'ring> {
    listener: RawFd,
    submitter: Submitter<'ring>,
    submissions: SubmissionQueue<'ring>,
    buffers: BufferRing,
    connections: Slab<Connection>,
    /// Slots that this turn's completions were about; a slot may stand here twice.
    touched: Vec<u32>,
    /// Sends queued since the last submission.
    sends: usize,
    /// Receives that completed in the last turn.
    receives: usize,
    /// Connections that are busy, by the turns of late.
    busy: usize,
}

impl Server<'_> {
    /// Submits what the last turn queued, and waits for half as many receives as turns had of late: sends complete
    /// while they are submitted, so that they are waited for on top.
    fn submit_and_wait(&mut self) -> io::Result<()> {
        self.submissions.sync();
        // Falls slowly: half of the last turn alone would halve itself turn by turn.
        self.busy = self.receives.max(self.busy - self.busy.div_ceil(8));
        let receives = (self.busy / 2).clamp(1, WAIT_MOST);
        let want = std::mem::take(&mut self.sends) + receives;
        let waited = if receives == 1 {
            self.submitter.submit_and_wait(want)
        } else {
            let limit = types::Timespec::new().nsec(WAIT_NANOSECONDS);
            self.submitter.submit_with_args(want, &types::SubmitArgs::new().timespec(&limit))
        };
        match waited {
            Ok(_) => Ok(()),
            // Time is up, a signal came, or completions must be reaped first: look at what is there.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY)) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn reap(&mut self, completion: &cqueue::Entry) -> io::Result<()> {
        let (result, flags) = (completion.result(), completion.flags());
        match Token::unpack(completion.user_data()) {
            Token::Accept => {
                if result >= 0 {
                    self.accepted(result)?;
                }
                if cqueue::more(flags) { Ok(()) } else { self.arm_accept() }
            }
            Token::Receive(slot) => {
                self.receives += 1;
                self.received(slot, result, flags);
                Ok(())
            }
            Token::Send(slot) => {
                let connection = &mut self.connections[slot as usize];
                connection.sending = false;
                match usize::try_from(result) {
                    Ok(sent) => connection.owed.sent(sent),
                    // The receive notices, too, and ends.
                    Err(_) => close(connection),
                }
                self.touched.push(slot);
                Ok(())
            }
        }
    }

    fn accepted(&mut self, descriptor: RawFd) -> io::Result<()> {
        // SAFETY: the accept that just completed made this descriptor, and nothing else knows it.
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
        let stream = TcpStream::from(owned);
        stream.set_nodelay(true)?;
        let slot = self.connections.insert(Connection {
            stream,
            owed: Owed::default(),
            receiving: false,
            sending: false,
            closing: false,
        });
        self.touched
            .push(u32::try_from(slot).expect("descriptors, and so connections, are counted in an i32"));
        Ok(())
    }

    fn received(&mut self, slot: u32, result: i32, flags: u32) {
        let connection = &mut self.connections[slot as usize];
        connection.receiving = cqueue::more(flags);
        self.touched.push(slot);
        match usize::try_from(result) {
            Ok(0) => close(connection),
            Ok(length) => {
                let id = cqueue::buffer_select(flags)
                    .expect("a receive that selects buffers names the one it used");
                connection.owed.add(requests(self.buffers.filled(id, length)));
                self.buffers.give_back(id);
            }
            // The buffers were used up: they are back by the end of this turn, and the data waits in the socket.
            Err(_) if result == -libc::ENOBUFS => {}
            Err(_) => close(connection),
        }
    }

    /// Sends what is owed, arms receives that ended, forgets connections of which nothing is in flight.
    fn finish_turn(&mut self) -> io::Result<()> {
        let mut touched = std::mem::take(&mut self.touched);
        for &slot in &touched {
            let Some(connection) = self.connections.get_mut(slot as usize) else { continue };
            if connection.closing {
                if !connection.receiving && !connection.sending {
                    self.connections.remove(slot as usize);
                }
                continue;
            }
            let descriptor = types::Fd(connection.stream.as_raw_fd());
            let send = (!connection.sending && !connection.owed.is_none()).then(|| connection.owed.next());
            let receive = !connection.receiving;
            connection.sending |= send.is_some();
            connection.receiving = true;
            if let Some(replies) = send {
                let length = u32::try_from(replies.len()).expect("replies are sent 16 KiB at a time");
                let entry = opcode::Send::new(descriptor, replies.as_ptr(), length)
                    .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
                    .build()
                    .user_data(Token::Send(slot).pack());
                self.push(&entry)?;
                self.sends += 1;
            }
            if receive {
                // Not `RecvMulti`: the plain entry is the one that can also carry other receive flags.
                let entry = opcode::Recv::new(descriptor, std::ptr::null_mut(), 0)
                    .ioprio(RECV_MULTISHOT)
                    .buf_group(GROUP)
                    .build()
                    .flags(squeue::Flags::BUFFER_SELECT)
                    .user_data(Token::Receive(slot).pack());
                self.push(&entry)?;
            }
        }
        touched.clear();
        self.touched = touched;
        Ok(())
    }

    fn arm_accept(&mut self) -> io::Result<()> {
        let entry =
            opcode::AcceptMulti::new(types::Fd(self.listener)).build().user_data(Token::Accept.pack());
        self.push(&entry)
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: the entry's descriptor stays open while it is in flight, because a slot is kept until then (the
        // listener until the process ends); sends point into a static, receives at buffers that are never freed.
        while unsafe { self.submissions.push(entry) }.is_err() {
            self.submissions.sync();
            self.submitter.submit()?;
            self.submissions.sync();
        }
        Ok(())
    }
}

/// Ends a connection both ways, which completes an armed receive.
fn close(connection: &mut Connection) {
    connection.closing = true;
    // Fails when the client is gone already, which is just as well.
    let _ = connection.stream.shutdown(Shutdown::Both);
}
