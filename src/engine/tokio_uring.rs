//! The engine of tasks: `tokio-uring` reads into registered blocks and writes from them, one operation at a time.
//!
//! ```text
//!   task      waits for                        then
//!   receive   go-ahead, then its read_fixed    gives the bytes to the worker where they lie
//!   send      go-ahead, then its write         says what has left
//!   accept    a listener to be readable        opens connections, or deals them out
//!   mail      the bell                         reads the mail
//!   driver    whoever of these began a turn    applies what changed connections want, ends the turn
//! ```
//! A connection has two tasks, because neither direction may wait for the other: a client may write everything before
//! it reads, and a read that is dropped loses its bytes. All run on one thread. A task that was woken first runs
//! first, so that the driver, woken by the first event of a turn, comes behind all events that were reaped with it.
//!
//! The driver wakes a connection's sender before its receiver. So the write stands before the read in the submission
//! queue, and the kernel gets the block that arguments lie in only after it was given their replies.
//!
//! There is no cancelling here: shutting the socket ends what is in flight. A connection is closed when both its
//! tasks have ended, and the runtime is dropped when all connections are closed.

#![expect(unsafe_code, reason = "the runtime is told of memory that lasts longer than its borrows")]

mod blocks;
mod connection;
mod listen;

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio_uring::Runtime;
use tokio_uring::buf::fixed::{FixedBuf, FixedBufPool};

use self::blocks::{Block, InPlace, Reply};
use self::connection::{Link, Slot, slot_of};
use super::refusal::{Call, Obstacle, explain};
use super::{Setup, socket};
use crate::buffer::block::POISON;
use crate::buffer::witness;
use crate::connection::End;
use crate::limits;
use crate::worker::{Resources, TOO_MANY, Token, Unsent, Worker};

/// Entries of the submission queue. The completion queue is twice that, which is a read and a write for each block.
const ENTRIES: u32 = 1024;

/// What the tasks of one worker share.
struct Hub {
    /// Borrowed for a call into the worker, never across an await.
    state: RefCell<State>,
    blocks: FixedBufPool<Block>,
    /// Wakes the driver: a turn has begun.
    begun: Notify,
    listeners: Vec<AsyncFd<OwnedFd>>,
    /// Operations that were started and that are over.
    submitted: Cell<u64>,
    completed: Cell<u64>,
}

struct State {
    worker: Worker,
    slots: Vec<Option<Slot>>,
    /// Between the worker's `begin_turn` and `end_turn`.
    in_turn: bool,
    /// Registered blocks that connections and sends have.
    taken: usize,
    /// Those that sends have.
    sending: usize,
    /// Fewest registered blocks that nobody had.
    low_water: usize,
    /// The listeners have been shut.
    deaf: bool,
}

/// Drives `worker` until it is finished.
pub fn run(setup: Setup, worker: Worker) -> io::Result<()> {
    // What was granted to `probe` may not be granted once more for each worker.
    let runtime = build().map_err(refused)?;
    runtime.block_on(serve(setup, worker))
}

/// Builds the runtime and registers its blocks, to see whether that can be done. `Err`: with cause and remedy.
pub fn probe() -> Result<(), String> {
    let attempt = || {
        let runtime = build()?;
        runtime.block_on(async { blocks::pool().register() }).map_err(Obstacle::of(Call::Register))
    };
    attempt().map_err(|obstacle| explain(&obstacle, SINCE))
}

/// The first kernel with all that `build` asks for.
const SINCE: &str = "6.0";

fn refused(obstacle: Obstacle) -> io::Error {
    io::Error::other(explain(&obstacle, SINCE))
}

/// `DEFER_TASKRUN` is no choice: the runtime waits with epoll, for which that ring never becomes ready.
fn build() -> Result<Runtime, Obstacle> {
    let mut ring = tokio_uring::uring_builder();
    ring.setup_coop_taskrun().setup_single_issuer();
    // A runtime whose entries are not taken waits for them for ever, and says nothing: see first whether they are.
    let trial = ring.build(8).map_err(Obstacle::of(Call::Setup))?;
    trial.submit().map_err(Obstacle::of(Call::Enter))?;
    let mut builder = tokio_uring::builder();
    builder.entries(ENTRIES).uring_builder(&ring);
    Runtime::new(&builder).map_err(Obstacle::of(Call::Setup))
}

async fn serve(setup: Setup, worker: Worker) -> io::Result<()> {
    let Setup { listeners, bell } = setup;
    let bell = watch(bell)?;
    let listeners = listeners.into_iter().map(watch);
    let state = State {
        worker,
        slots: Vec::new(),
        in_turn: false,
        taken: 0,
        sending: 0,
        low_water: limits::RUNTIME_BLOCKS,
        deaf: false,
    };
    let hub = Rc::new(Hub {
        state: RefCell::new(state),
        blocks: blocks::pool(),
        begun: Notify::new(),
        listeners: listeners.collect::<io::Result<_>>()?,
        submitted: Cell::new(0),
        completed: Cell::new(0),
    });
    hub.blocks.register().map_err(Obstacle::of(Call::Register)).map_err(refused)?;
    let mail = tokio_uring::spawn(listen::read_mail(Rc::clone(&hub), bell));
    let indices = 0..hub.listeners.len();
    let accepts: Vec<_> =
        indices.map(|index| tokio_uring::spawn(listen::accept(Rc::clone(&hub), index))).collect();
    // A task of its own: the runtime polls what it blocks on before all tasks, not behind them.
    let driver = tokio_uring::spawn(drive(Rc::clone(&hub)));
    driver.await?;
    for accept in accepts {
        accept.await?;
    }
    // It waits for readiness alone; nothing of it is in flight.
    mail.abort();
    let _ended = mail.await;
    assert_eq!(hub.submitted.get(), hub.completed.get(), "every operation is over when the runtime ends");
    hub.blocks.unregister()
}

/// Registers a descriptor with the runtime's epoll.
fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor that `OwnedFd` names is open, is the same at every call and stays open until the value is
    // dropped, which `AsyncFd` does after it took it out of epoll.
    unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }.map_err(io::Error::from)
}

/// Ends turns until the worker is finished.
async fn drive(hub: Rc<Hub>) {
    loop {
        let wait = hub.end_turn();
        if hub.state.borrow().worker.finished() {
            return;
        }
        match wait {
            None => hub.begun.notified().await,
            Some(wait) if wait.is_zero() => pass().await,
            Some(wait) => {
                // Elapsed or woken: both begin a turn.
                let _in_time = tokio::time::timeout(wait, hub.begun.notified()).await;
            }
        }
    }
}

/// Lets everything else that can run do so, and what was queued reach the kernel. Yielding would not: the runtime
/// submits only when no task can run, and this task soon could again.
async fn pass() {
    if let Err(error) = tokio_uring::no_op().await {
        log::debug!("an operation that does nothing failed: {error}");
    }
}

impl Hub {
    /// The state, within a turn: begins one and calls the driver to end it, unless one is under way.
    fn turn(&self) -> RefMut<'_, State> {
        let mut state = self.state.borrow_mut();
        if state.begin() {
            self.begun.notify_one();
        }
        state
    }

    /// Applies what changed connections want and ends the turn. Returns how long to wait for the next.
    fn end_turn(&self) -> Option<Duration> {
        let mut state = self.state.borrow_mut();
        state.begin();
        while let Some(token) = state.worker.next_changed() {
            state.apply(token, &self.blocks);
        }
        if state.worker.draining() && !std::mem::replace(&mut state.deaf, true) {
            for listener in &self.listeners {
                // Clients see that nobody listens any more, and the tasks that accept wake up.
                socket::shut(listener.get_ref().as_fd(), End::All);
            }
        }
        let narrow = |blocks: usize| u32::try_from(blocks).expect("a thousand blocks");
        state.worker.note(Resources {
            blocks: narrow(limits::RUNTIME_BLOCKS),
            blocks_free: narrow(limits::RUNTIME_BLOCKS - state.taken),
            blocks_low_water: narrow(state.low_water),
            in_flight: self.submitted.get() - self.completed.get(),
        });
        state.in_turn = false;
        state.worker.end_turn()
    }

    /// Serves a connection that this worker was given, or refuses it for want of a block.
    fn open(self: &Rc<Self>, state: &mut State, socket: OwnedFd, token: Token) {
        let Some(block) = self.blocks.try_next(limits::BLOCK_BYTES) else {
            state.worker.counts().rejected += 1;
            socket::refuse(&socket, TOO_MANY);
            drop(socket);
            return state.worker.closed(token);
        };
        let link = Rc::new(Link::new(socket));
        let index = token.slot as usize;
        if index >= state.slots.len() {
            state.slots.resize_with(index + 1, || None);
        }
        let before = state.slots[index].replace(Slot::new(token, Rc::clone(&link)));
        debug_assert!(before.is_none(), "a slot is reused only after its connection was closed");
        state.take_block();
        // Their ends are counted in the slot; they are over before the worker is finished.
        drop(tokio_uring::spawn(connection::receive(Rc::clone(self), Rc::clone(&link), token, block)));
        drop(tokio_uring::spawn(connection::send(Rc::clone(self), link, token)));
    }

    fn submit(&self) {
        self.submitted.set(self.submitted.get() + 1);
        self.state.borrow_mut().worker.counts().submissions += 1;
    }

    /// An operation is over: begins a turn.
    fn complete(&self) -> RefMut<'_, State> {
        self.completed.set(self.completed.get() + 1);
        let mut state = self.turn();
        state.worker.counts().completions += 1;
        state
    }

    /// A read is over; the first bytes of `block` are what it read.
    fn received(&self, token: Token, result: io::Result<usize>, block: &mut FixedBuf) {
        let mut state = self.complete();
        if let Some(slot) = slot_of(&mut state.slots, token) {
            slot.receiving = false;
        }
        if cfg!(debug_assertions) {
            let behind = &block[*result.as_ref().unwrap_or(&0)..];
            assert!(
                behind.iter().all(|byte| *byte == POISON),
                "a block comes back with more bytes than said"
            );
            witness::came_back(behind.len());
        }
        match result {
            Ok(0) => state.worker.handle_end(token),
            Ok(bytes) => state.worker.handle_bytes(token, &mut block[..bytes]),
            Err(error) => match errno(&error) {
                // To be read again.
                Errno::EINTR | Errno::EAGAIN => {}
                errno => {
                    log::debug!("a connection broke while receiving: {errno}");
                    state.worker.handle_broken(token);
                }
            },
        }
        state.worker.touch(token);
    }

    /// A write is over.
    fn sent(&self, token: Token, result: io::Result<usize>, was_fixed: bool) {
        let mut state = self.complete();
        state.sending -= usize::from(was_fixed);
        state.taken -= usize::from(was_fixed);
        state.worker.handle_sent(token, *result.as_ref().unwrap_or(&0));
        if let Err(error) = result {
            match errno(&error) {
                // To be sent again.
                Errno::EINTR | Errno::EAGAIN => state.worker.touch(token),
                errno => {
                    log::debug!("a connection broke while sending: {errno}");
                    state.worker.handle_broken(token);
                }
            }
        }
    }

    /// A connection's task has ended; with the second one the connection is closed.
    fn ended(&self, token: Token) {
        let mut state = self.turn();
        let slot = slot_of(&mut state.slots, token).expect("a slot stays until both tasks have ended");
        slot.tasks -= 1;
        if slot.tasks == 0 {
            // The receiver's, which it has dropped.
            state.taken -= 1;
            state.worker.counts().system_calls += 1;
            state.slots[token.slot as usize] = None;
            state.worker.closed(token);
        }
    }
}

impl State {
    /// Begins a turn. False: one is under way.
    fn begin(&mut self) -> bool {
        let begins = !std::mem::replace(&mut self.in_turn, true);
        if begins {
            self.worker.begin_turn();
        }
        begins
    }

    /// Does what a connection wants.
    fn apply(&mut self, token: Token, blocks: &FixedBufPool<Block>) {
        let Some(wants) = self.worker.wants(token) else { return };
        let Some(slot) = slot_of(&mut self.slots, token) else { return };
        if wants.end > slot.shut {
            self.worker.counts().system_calls += 1;
            slot.link.shut(wants.end);
            slot.shut = wants.end;
        }
        if slot.shut == End::All {
            return;
        }
        // The sender first: see the module's words on the order of entries.
        let link = Rc::clone(&slot.link);
        let reads = wants.read && !std::mem::replace(&mut slot.receiving, true);
        if wants.send
            && let Some(reply) = self.start_send(token, blocks)
        {
            link.send(reply);
        }
        if reads {
            link.receive();
        }
    }

    /// A connection's next bytes: copied into a registered block if they fit and there is one for them.
    fn start_send(&mut self, token: Token, blocks: &FixedBufPool<Block>) -> Option<Reply> {
        let roomy =
            self.worker.connections() <= limits::RUNTIME_ROOMY || self.sending < limits::RUNTIME_SENDS;
        let Unsent { bytes, .. } = self.worker.start_send(token)?;
        if roomy
            && bytes.len() <= limits::BLOCK_BYTES
            && let Some(mut block) = blocks.try_next(limits::BLOCK_BYTES)
        {
            block[..bytes.len()].copy_from_slice(bytes);
            let reply = Reply::fixed(block, bytes.len());
            self.sending += 1;
            self.take_block();
            return Some(reply);
        }
        // SAFETY: the bytes stay where they are until `handle_sent` (see `Outgoing`), which is called when the write is
        // over; the connection is closed only after that, and the worker outlives all tasks.
        Some(Reply::InPlace(unsafe { InPlace::new(bytes) }))
    }

    /// A registered block was taken from the pool.
    fn take_block(&mut self) {
        self.taken += 1;
        self.low_water = self.low_water.min(limits::RUNTIME_BLOCKS - self.taken);
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
