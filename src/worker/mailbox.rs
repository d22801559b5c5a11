//! What workers share, and the bounded mailboxes through which they talk.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};

use crate::command::acl::Users;
use crate::command::client_list::Question;
use crate::command::{ConfigError, Now, RewriteError, lookup};
use crate::connection::Peer;
use crate::journal::ring::Ring;
use crate::limits::{self, Limits, SyncPolicy};
use crate::metrics::busiest::Busiest;
use crate::metrics::meters::{Baseline, Meters, Reading};
use crate::resp::codes::Codes;
use crate::table::Table;
use crate::table::effect::Lsn;
use crate::tls::Profile;

use super::journaling::Journal;
use super::monitor::{Executed, Feed};
use super::pause::Pause;
use super::readings::Readings;
use super::saving::Saves;
use super::strikes::Strikes;
use super::watch::Watch;

/// A connection that one worker accepted for another. The worker does not look inside; its engine does.
#[derive(Debug)]
pub struct Dealt {
    /// The engine's descriptor.
    pub socket: Box<dyn Any + Send>,
    /// Its ends.
    pub peer: Peer,
}

/// What a worker finds in its mailbox.
#[derive(Debug)]
pub enum Message {
    /// A connection to serve.
    Deal(Dealt),
    /// Another worker's question about our connections.
    Ask {
        /// The worker that asks.
        from: usize,
        /// Its name for the question.
        ticket: u64,
        /// What it wants to know.
        question: Question,
    },
    /// The answer to a question of ours.
    Answer {
        /// Our name for the question.
        ticket: u64,
        /// Connections that matched.
        matched: u64,
        /// A line for each, where lines were asked for.
        lines: Vec<u8>,
    },
    /// Directives have new values.
    ConfigChanged,
    /// A pause was ended.
    Unpaused,
    /// A snapshot is over.
    Saved,
    /// More changes are safe: replies that waited for them may leave.
    Durable,
    /// What another worker executed, for those who monitor here.
    Executed(Executed),
    /// Somebody wants to see a turn.
    Watched,
    /// Accept no more, serve what has arrived, end.
    Drain,
    /// End without waiting.
    Cut,
}

/// The directives as workers see them. The server implements it.
pub trait Settings: Send + Sync {
    /// The bounds as they stand.
    fn limits(&self) -> Limits;
    /// Calls `found` with the name and value of each directive whose name `wanted` accepts.
    fn get(&self, wanted: &dyn Fn(&str) -> bool, found: &mut dyn FnMut(&str, &str));
    /// Sets directives, all or none.
    fn set(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), ConfigError>;
    /// Writes them into the configuration file.
    fn rewrite(&self) -> Result<(), RewriteError>;
    /// Who may do what; the same list as long as the server runs.
    fn users(&self) -> Arc<Users>;
    /// Reads the users from their file; `Err` says what is wrong with it. `None`: there is no such file.
    fn load_users(&self) -> Option<Result<(), String>> {
        None
    }
    /// Writes the users into their file, likewise.
    fn save_users(&self) -> Option<Result<(), String>> {
        None
    }
    /// What connections to the port for that are encrypted with from now on. `None`: there is no such port.
    fn tls(&self) -> Option<Profile> {
        None
    }
}

/// Rings a worker's bell: makes its engine return from waiting. The engine's side provides it.
pub type Bell = Box<dyn Fn() + Send + Sync>;

/// The way to one worker.
pub struct Post {
    mail: SyncSender<Message>,
    bell: Bell,
    /// Somebody has rung since the worker looked last.
    rung: AtomicBool,
    /// The worker has replies that wait until what they show is safe.
    expects: AtomicBool,
    pub(super) feed: Feed,
    /// Connections it serves or has been dealt.
    pub connections: AtomicUsize,
    /// Bytes that its connections take, where that is bounded.
    pub clients_bytes: AtomicUsize,
    /// Its counters.
    pub stats: Stats,
    /// What its engine said last of its blocks and operations.
    pub readings: Readings,
    /// What commands took on it.
    pub meters: Meters,
    /// Errors that it replied, by their codes.
    errors: Mutex<Codes>,
    /// When a second began, in monotonic milliseconds, and the commands executed before it: the current one and the
    /// one before.
    seconds: [(AtomicU64, AtomicU64); 2],
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("connections", &self.connections).finish_non_exhaustive()
    }
}

impl Post {
    /// A mailbox and the way to it; `bell` wakes the worker that holds the other end.
    pub fn new(bell: Bell) -> (Self, Receiver<Message>) {
        let (mail, inbox) = sync_channel(limits::MAILBOX);
        let post = Self {
            mail,
            bell,
            rung: AtomicBool::new(false),
            expects: AtomicBool::new(false),
            feed: Feed::default(),
            connections: AtomicUsize::new(0),
            clients_bytes: AtomicUsize::new(0),
            stats: Stats::default(),
            readings: Readings::default(),
            meters: Meters::new(lookup::all().count()),
            errors: Mutex::default(),
            seconds: Default::default(),
        };
        (post, inbox)
    }

    /// Puts a message into the mailbox. `Err` gives it back: the mailbox is full, or its worker has ended.
    #[expect(clippy::result_large_err, reason = "the message itself comes back, to be kept and sent again")]
    pub fn send(&self, message: Message) -> Result<(), Message> {
        let sent = self.mail.try_send(message).map_err(|error| match error {
            TrySendError::Full(message) | TrySendError::Disconnected(message) => message,
        });
        // AcqRel: pairs with the swap in `quiet`. Whoever finds `false` rings; a worker that clears it reads its
        // mail afterwards and so sees what was put in before.
        if !self.rung.swap(true, Ordering::AcqRel) {
            (self.bell)();
        }
        sent
    }

    /// Adds errors that were replied, by their codes.
    #[cold]
    pub(super) fn add_errors(&self, counts: &mut Codes) {
        self.errors.lock().expect("no holder of this lock panics").take_from(counts);
    }

    /// Notes where a new second begins, and says that one does. The worker calls this every turn.
    #[inline]
    pub(super) fn pace(&self, now_ms: u64) -> bool {
        let [now, before] = &self.seconds;
        // Relaxed, here and below: for display, and there is one writer; a reader between two stores is off by a
        // second once.
        if now_ms < now.0.load(Ordering::Relaxed) + 1000 {
            return false;
        }
        before.0.store(now.0.load(Ordering::Relaxed), Ordering::Relaxed);
        before.1.store(now.1.load(Ordering::Relaxed), Ordering::Relaxed);
        now.0.store(now_ms, Ordering::Relaxed);
        now.1.store(self.stats.commands.load(Ordering::Relaxed), Ordering::Relaxed);
        true
    }

    /// Commands a second, over the last one to two seconds in which the worker had anything to do.
    pub(super) fn commands_per_second(&self, now_ms: u64) -> u64 {
        let [_, before] = &self.seconds;
        let commands =
            self.stats.commands.load(Ordering::Relaxed).saturating_sub(before.1.load(Ordering::Relaxed));
        commands * 1000 / now_ms.saturating_sub(before.0.load(Ordering::Relaxed)).max(1)
    }

    /// The worker wants to know when more is safe.
    pub(super) fn expect(&self) {
        self.expects.store(true, Ordering::Relaxed);
        // SeqCst: pairs with the one in `tell_expecting`. Of this store and the look at what is safe behind it, and of the
        // publication and the look at this, one side sees the other.
        fence(Ordering::SeqCst);
    }

    /// The worker is about to read its mail: the next message rings again.
    pub(super) fn quiet(&self) {
        // AcqRel: pairs with the swap in `send`.
        self.rung.swap(false, Ordering::AcqRel);
    }
}

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Counters of one worker: written by it alone, read by anybody.
        #[derive(Debug, Default)]
        pub struct Stats { $($(#[$doc])* pub $name: AtomicU64,)+ }

        /// A worker's counters since it published them last, and sums over workers.
        #[derive(Clone, Copy, Debug, Default)]
        pub struct Counts { $($(#[$doc])* pub $name: u64,)+ }

        impl Stats {
            /// Adds what was counted. Only the worker that owns the counters calls this.
            pub(super) fn publish(&self, counts: &mut Counts) {
                // Relaxed: each counter stands alone, and there is one writer.
                $(if counts.$name != 0 {
                    let value = self.$name.load(Ordering::Relaxed).wrapping_add(counts.$name);
                    self.$name.store(value, Ordering::Relaxed);
                })+
                *counts = Counts::default();
            }

            /// Adds this worker's counters to `sum`.
            pub fn add_to(&self, sum: &mut Counts) {
                // Relaxed: a reading of counters that go on counting.
                $(sum.$name = sum.$name.wrapping_add(self.$name.load(Ordering::Relaxed));)+
            }
        }

        impl Counts {
            /// What was counted since `earlier`.
            #[must_use]
            pub fn since(&self, earlier: &Self) -> Self {
                Self { $($name: self.$name.wrapping_sub(earlier.$name),)+ }
            }
        }
    };
}

stats! {
    /// Requests executed, refused ones included.
    commands,
    /// Connections opened.
    connections,
    /// Connections refused for `maxclients`, or because an engine had no block for them.
    rejected,
    /// Connections of other machines refused in protected mode.
    denied,
    /// Bytes received.
    bytes_in,
    /// Bytes sent.
    bytes_out,
    /// Keys that a reading command found.
    hits,
    /// Keys that a reading command did not find.
    misses,
    /// Replies that were errors, and connections closed for malformed requests.
    errors,
    /// Connections closed for bytes that are no request, in another way than the following.
    malformed,
    /// A number of arguments that was none, or above `proto-max-multibulk-len`.
    bad_counts,
    /// An argument's length that was none, or above `proto-max-bulk-len`.
    bad_lengths,
    /// More, or longer, arguments than are allowed before `AUTH`, or replies that nobody took.
    unauthenticated_sizes,
    /// Connections closed because they did not authenticate in time.
    unauthenticated_times,
    /// Requests refused because their client had not authenticated.
    unauthenticated,
    /// Passwords that did not fit.
    wrong_passwords,
    /// Attempts at a password that had to wait, because too many came from their address.
    slowed_passwords,
    /// Attempts to accept a connection for which the kernel had no descriptor or memory.
    unaccepted,
    /// Connections ended because all together took too much memory.
    evicted_clients,
    /// Requests refused because their user may not run the command.
    denied_commands,
    /// Requests refused because their user may not touch one of the keys.
    denied_keys,
    /// TLS handshakes that failed, or were not done in time.
    tls_handshakes,
    /// TLS sessions that broke after their handshake.
    tls_sessions,
    /// Requests that named no command.
    unknown_commands,
    /// Requests with a number of arguments that their command does not take.
    wrong_arities,
    /// Requests with a key above the bound.
    long_keys,
    /// Questions to all workers refused because too many were under way.
    busy_questions,
    /// Connections closed for `timeout`.
    idle,
    /// Connections closed for unsent replies above `client-output-buffer-limit`.
    output_overflows,
    /// Connections closed for monitoring more than could be passed on to them.
    monitor_overflows,
    /// Requests that were worked off while they arrived.
    streamed,
    /// Connections closed for a request above `client-query-buffer-limit`.
    query_overflows,
    /// Changes to keys.
    changes,
    /// Turns that left keys for the next one whose deadline had passed.
    expiry_capped,
    /// Times the engine asked the kernel for work.
    turns,
    /// System calls the engine made.
    system_calls,
    /// Entries submitted to a ring.
    submissions,
    /// Completions reaped from a ring.
    completions,
    /// Times a receive ended because no block was free.
    starved,
    /// Times the completion queue overflowed.
    overflows,
    /// Sends.
    sends,
}

/// What all workers share.
pub struct Shared {
    /// The counters.
    pub table: Table,
    /// The directives.
    pub settings: Box<dyn Settings>,
    /// Who may do what.
    pub users: Arc<Users>,
    /// Where wrong passwords come from.
    pub(super) strikes: Strikes,
    /// The workers, by their numbers.
    pub posts: Box<[Post]>,
    /// Connections of the whole server.
    pub connected: AtomicUsize,
    /// The journal, once it is there.
    journal: OnceLock<Journal>,
    /// What was saved is being read: commands that need it are refused.
    loading: AtomicBool,
    /// What does not change after start.
    pub identity: Identity,
    /// Requests that wait.
    pub pause: Pause,
    next_client: AtomicU64,
    /// Ends the server; absent where its clients may not.
    stopper: OnceLock<Bell>,
    /// Has freed memory given back to the kernel; absent where nobody does that.
    trimmer: OnceLock<Bell>,
    /// Takes snapshots; absent where nothing is kept on disk.
    saves: OnceLock<Arc<dyn Saves>>,
    /// What took long.
    pub watch: Watch,
    /// Counters' sums at the last `CONFIG RESETSTAT`.
    baseline: Mutex<Counts>,
    /// Likewise of what commands took.
    meters_before: Baseline,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("posts", &self.posts).finish_non_exhaustive()
    }
}

/// Facts about this run of the server.
#[derive(Clone, Debug)]
pub struct Identity {
    /// 40 hexadecimal digits, new with every start.
    pub run_id: String,
    /// When the server started.
    pub started: Now,
    /// Monotonic milliseconds at which the server started.
    pub started_ms: u64,
    /// Bytes in use before the first key.
    pub startup_bytes: u64,
    /// The executable's path.
    pub executable: String,
    /// Process number.
    pub process: u32,
    /// TCP port, 0 = none.
    pub port: u16,
    /// The configuration file's path, empty = none.
    pub config_file: String,
    /// Name of the engine.
    pub engine: &'static str,
    /// The engine's rung on its ladder of kernel features.
    pub rung: String,
    /// The kernel's name and release.
    pub os: String,
}

impl Shared {
    /// What workers share at start.
    pub fn new(table: Table, settings: Box<dyn Settings>, posts: Box<[Post]>, identity: Identity) -> Self {
        Self {
            table,
            watch: Watch::new(&settings.limits()),
            users: settings.users(),
            strikes: Strikes::default(),
            settings,
            posts,
            connected: AtomicUsize::new(0),
            journal: OnceLock::new(),
            loading: AtomicBool::new(false),
            identity,
            pause: Pause::default(),
            next_client: AtomicU64::new(1),
            stopper: OnceLock::new(),
            trimmer: OnceLock::new(),
            saves: OnceLock::new(),
            baseline: Mutex::new(Counts::default()),
            meters_before: Baseline::default(),
        }
    }

    /// Says who ends the server when a client asks for it. Only the first to be named is asked.
    pub fn name_stopper(&self, bell: Bell) {
        let _named_before = self.stopper.set(bell);
    }

    /// Begins to end the server. False: nobody was named for that.
    pub(super) fn stop(&self) -> bool {
        self.stopper.get().is_some_and(|bell| {
            bell();
            true
        })
    }

    /// Says who gives freed memory back to the kernel when it is asked to. Only the first to be named is asked.
    pub fn name_trimmer(&self, bell: Bell) {
        let _named_before = self.trimmer.set(bell);
    }

    /// Says who takes snapshots. Only the first to be named is asked.
    pub fn name_saves(&self, saves: Arc<dyn Saves>) {
        let _named_before = self.saves.set(saves);
    }

    /// Who takes snapshots, if anybody does.
    pub fn saves(&self) -> Option<&dyn Saves> {
        self.saves.get().map(|saves| &**saves)
    }

    /// A snapshot is over: tells those who may wait for it.
    pub fn tell_saved(&self) {
        for post in &self.posts {
            // A full mailbox wakes its worker just as well, which looks in each turn.
            let _ = post.send(Message::Saved);
        }
    }

    /// Much memory was freed.
    pub(super) fn ask_for_trim(&self) {
        if let Some(bell) = self.trimmer.get() {
            bell();
        }
    }

    /// The journal, if there is one.
    #[inline]
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.get()
    }

    /// What workers append to, if there is a journal.
    #[inline]
    pub(super) fn ring(&self) -> Option<&Ring> {
        self.journal().map(|journal| &journal.ring)
    }

    /// There is a journal from now on. Before anything is changed, and only once.
    pub fn name_journal(&self, journal: Journal) {
        assert!(self.journal.set(journal).is_ok(), "a server has one journal");
    }

    /// Position up to which changes are safe: durable, where replies wait for that, or else such that they survive the
    /// process.
    #[inline]
    pub(super) fn reached(&self, sync: SyncPolicy) -> Lsn {
        match self.journal() {
            None => Lsn::MAX,
            Some(journal) if sync == SyncPolicy::Always => journal.ring.durable(),
            Some(journal) if journal.survives && journal.ring.survives_the_process(Lsn::MAX) => Lsn::MAX,
            Some(journal) => journal.ring.written(),
        }
    }

    /// More is safe: wakes those who wait for that.
    pub fn tell_expecting(&self) {
        // SeqCst: pairs with the one in `Post::expect`.
        fence(Ordering::SeqCst);
        for post in &self.posts {
            // Relaxed: see above; whoever sets it again looks again.
            if post.expects.load(Ordering::Relaxed) && post.expects.swap(false, Ordering::Relaxed) {
                // A full mailbox wakes its worker just as well.
                let _ = post.send(Message::Durable);
            }
        }
    }

    /// Whether what was saved is still being read.
    #[inline]
    pub fn is_loading(&self) -> bool {
        // Relaxed: who sees it late refuses one request more. The table's locks order what was read.
        self.loading.load(Ordering::Relaxed)
    }

    /// What was saved is being read, or has been.
    pub fn set_loading(&self, loading: bool) {
        self.loading.store(loading, Ordering::Relaxed);
    }

    /// Who sent most of the commands of the last second, on any worker, and how many there were on all.
    pub(super) fn busiest(&self) -> Busiest {
        let each = || self.posts.iter().map(|post| post.readings.busiest());
        let of = each().map(|busiest| busiest.of).sum();
        let most = each().max_by_key(|busiest| busiest.commands).unwrap_or_default();
        Busiest { of, ..most }
    }

    /// Bytes that all connections take, where that is bounded.
    pub(super) fn clients_bytes(&self) -> usize {
        // Relaxed: sums of workers that go on.
        self.posts.iter().map(|post| post.clients_bytes.load(Ordering::Relaxed)).sum()
    }

    /// A number for a connection, never given twice.
    pub(super) fn client_id(&self) -> u64 {
        // Relaxed: only that no two are the same matters.
        self.next_client.fetch_add(1, Ordering::Relaxed)
    }

    /// Sums of all workers' counters since the last reset.
    pub fn counts(&self) -> Counts {
        self.totals().since(&self.baseline.lock().expect("no holder of this lock panics"))
    }

    /// Counts from zero again.
    pub fn reset_counts(&self) {
        self.watch.journal.reset();
        *self.baseline.lock().expect("no holder of this lock panics") = self.totals();
        self.meters_before.reset(self.meters());
        for post in &self.posts {
            post.errors.lock().expect("no holder of this lock panics").clear();
        }
    }

    /// What commands took, on all workers since the last reset: those that were called or refused.
    pub fn readings(&self) -> Vec<Reading> {
        self.meters_before.readings(self.meters())
    }

    fn meters(&self) -> impl Iterator<Item = &Meters> {
        self.posts.iter().map(|post| &post.meters)
    }

    /// Errors that were replied since the last reset, by their codes.
    pub fn errors(&self) -> Codes {
        let mut sum = Codes::default();
        for post in &self.posts {
            sum.add(&post.errors.lock().expect("no holder of this lock panics"));
        }
        sum
    }

    /// Changes to keys since the start.
    pub fn changes(&self) -> u64 {
        self.totals().changes
    }

    /// Sums of all workers' counters since the start.
    pub fn totals(&self) -> Counts {
        let mut sum = Counts::default();
        for post in &self.posts {
            post.stats.add_to(&mut sum);
        }
        sum
    }
}
