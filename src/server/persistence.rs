//! The journal in this process: what is read at the start, the thread that writes while the server runs, and its end.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Config, Exit};
use crate::journal::Identity;
#[cfg(debug_assertions)]
use crate::journal::disk::{Action, death};
use crate::journal::disk::{Disk as _, Failure, RealDisk};
use crate::journal::life::{RING, boot_id, ring_bytes};
use crate::journal::recovery::{Extent, Recovered, Report, recover_telling};
use crate::journal::ring::{Memory, image::Image};
use crate::journal::snapshot::{self, Reader, Summary};
use crate::journal::writer::{Settings, SyncMode, Writer};
use crate::limits::{self, SyncPolicy};
use crate::table::effect::{Lsn, Replay};
use crate::worker::{Journal, Rest, Shared};

use super::ServerError;
use super::loading::Progress;
use super::settings::Directives;
use super::snapshots::Snapshots;
use super::syncer::{Gauge, Syncer};

/// Name of the file that the next log ring is in, until all that only the last one has is in files: it may be of another
/// length, and a process that is killed before leaves the last one as it was.
const NEXT_RING: &str = "journal.ring-next";

/// Milliseconds that another process may take to let go of the directory: one that was killed a moment ago has writes
/// under way.
const LOCK_PATIENCE_MS: u64 = 3_000;

/// A directory of data, which is this process's as long as this value exists.
#[derive(Debug)]
pub(super) struct Data {
    path: PathBuf,
    disk: RealDisk,
    ring: Option<Image>,
    boot: u128,
    settings: Settings,
}

fn failed(what: impl std::fmt::Display) -> ServerError {
    ServerError::new(what.to_string())
}

impl Data {
    /// Takes the directory, which is made where there is none.
    pub(super) fn open(config: &Config, clock: &Clock) -> Result<Self, ServerError> {
        let path = config.dir.clone();
        let shown = path.display();
        fs::create_dir_all(&path).map_err(|error| {
            failed(format!(
                "cannot make the data directory {shown}: {error} (remedy: set dir, or appendonly no)"
            ))
        })?;
        let disk = take(&path, clock)?;
        let at = path.join(RING);
        let ring =
            Image::read(&at).map_err(|error| failed(format!("cannot read {}: {error}", at.display())))?;
        let settings = Settings {
            sync: SyncMode::Never,
            segment_bytes: config.journal_segment_size as u64,
            ..Settings::default()
        };
        Ok(Self { path, disk, ring, boot: boot_id().map_err(failed)?, settings })
    }

    /// Reads what was saved into the table, and starts the threads that write what changes from now on.
    pub(super) fn load(
        self,
        shared: &Arc<Shared>,
        directives: &Arc<Directives>,
        clock: &Clock,
    ) -> Result<(Keeper, Snapshots), ServerError> {
        let mut apply = shared.table.replayer();
        let refused = |refusal: &dyn Display, damaged| {
            let text = format!("cannot load {}: {refusal}", self.path.display());
            if damaged { ServerError::damaged(text) } else { ServerError::new(text) }
        };
        let snapshot = self.load_snapshot(clock, &mut apply, &refused)?;
        let extent = snapshot.as_ref().map_or_else(Extent::default, Extent::on_top_of);
        let mut progress = Progress::begin(clock, "journal");
        let show = &mut |done, all| progress.at(done, all);
        let recovered = recover_telling(&self.disk, extent, self.ring.as_ref(), self.boot, &mut apply, show)
            .map_err(|refusal| refused(&refusal, refusal.is_damage()))?;
        // All keys are there.
        drop(apply);
        tell(&recovered.report, &self.path, progress.end());
        // Where replies wait for syncs anyway, the ring need not survive the process: a store to a file's page may have to
        // wait for its disk, and that would be with a lock held.
        let survives = shared.settings.limits().sync != SyncPolicy::Always;
        let memory = if survives { self.next_ring()? } else { self.ring_of_no_file()? };
        let identity = Identity::draw(self.boot);
        let run = identity.run;
        let disk = self.disk.clone();
        let keeper = self.keep(shared, clock, (&recovered, identity), (memory, survives))?;
        let orders = Arc::clone(&keeper.orders);
        if let Some(summary) = &snapshot {
            // Its name is durable: the journal that was begun a moment ago has synced all names.
            snapshot::remove_older(&disk, summary.head.start).map_err(failed)?;
            orders.drop_before(summary.head.start);
        }
        let snapshots = Snapshots::start(shared, directives, clock, (disk, orders), (run, snapshot))?;
        Ok((keeper, snapshots))
    }

    /// Memory of the file of the next log ring.
    fn next_ring(&self) -> Result<Memory, ServerError> {
        let at = self.path.join(NEXT_RING);
        #[cfg(debug_assertions)]
        death::before(Action::Create, NEXT_RING);
        let memory = Memory::of_file(&at, ring_bytes(self.settings.segment_bytes))
            .map_err(|error| failed(format!("cannot map {}: {error}", at.display())))?;
        #[cfg(debug_assertions)]
        death::after(Action::Create, NEXT_RING);
        Ok(memory)
    }

    fn ring_of_no_file(&self) -> Result<Memory, ServerError> {
        Memory::anonymous(ring_bytes(self.settings.segment_bytes))
            .map_err(|error| failed(format!("cannot map the log ring: {error}")))
    }

    /// Reads the newest snapshot, if there is one.
    fn load_snapshot(
        &self,
        clock: &Clock,
        apply: &mut dyn Replay,
        refused: &dyn Fn(&dyn Display, bool) -> ServerError,
    ) -> Result<Option<Summary>, ServerError> {
        if snapshot::remove_unfinished(&self.disk).map_err(failed)? > 0 {
            log::info!("removed a snapshot that was not finished");
        }
        let Some(start) = snapshot::newest(&self.disk).map_err(failed)? else { return Ok(None) };
        let mut progress = Progress::begin(clock, "snapshot");
        let read = Reader::open(&self.disk, start)
            .and_then(|reader| reader.read_all(apply, &mut |done, all| progress.at(done, all)));
        let summary = read.map_err(|refusal| refused(&refusal, refusal.is_damage()))?;
        let seconds = progress.end() as f64 / 1000.0;
        log::info!(
            file = snapshot::name_of(start), keys = summary.totals.keys, bytes = summary.bytes, seconds;
            "read {} keys and {} tokens from {} ({} bytes) in {seconds:.2} s, {:.0} keys/s",
            summary.totals.keys,
            summary.totals.tokens,
            snapshot::name_of(start),
            summary.bytes,
            summary.totals.keys as f64 / seconds.max(0.001)
        );
        Ok(Some(summary))
    }

    fn keep(
        self,
        shared: &Arc<Shared>,
        clock: &Clock,
        (recovered, identity): (&Recovered, Identity),
        (memory, survives): (Memory, bool),
    ) -> Result<Keeper, ServerError> {
        let disk = self.disk.clone();
        let (writer, ring) = Writer::begin(self.disk, recovered, identity, self.settings, memory)
            .map_err(|failure| failed(format!("cannot begin the journal: {failure}")))?;
        // Before anything is appended.
        let replaced = if survives { disk.rename(NEXT_RING, RING) } else { remove(&disk, RING) };
        replaced.map_err(|failure| failed(format!("cannot replace the log ring: {failure}")))?;
        if let Some(disk) = disk_of(&self.path) {
            shared.watch.journal.name_disk(disk);
        }
        let (ending, orders) = (Arc::new(AtomicBool::new(false)), Arc::<Orders>::default());
        let (give, take) = channel();
        let body = {
            let (shared, clock, ending) = (Arc::clone(shared), clock.clone(), Arc::clone(&ending));
            let orders = Arc::clone(&orders);
            move || keep(&shared, &take, &clock, (&ending, &orders))
        };
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(body);
        let thread = thread.map_err(|error| failed(format!("cannot start a thread: {error}")))?;
        let bell = thread.thread().clone();
        shared.name_journal(Journal::new(ring, survives, Box::new(move || bell.unpark())));
        give.send(writer).map_err(|_| failed("the journal's thread has ended"))?;
        Ok(Keeper { thread, ending, orders, disk })
    }
}

/// The kernel's name of the disk that a directory is on; `None`: it is on none, or on several.
fn disk_of(path: &Path) -> Option<String> {
    let device = fs::metadata(path).ok()?.dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let told = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/uevent")).ok()?;
    told.lines().find_map(|line| line.strip_prefix("DEVNAME=")).map(str::to_owned)
}

/// Removes a file, if it is there.
fn remove(disk: &RealDisk, name: &str) -> Result<(), Failure> {
    match disk.remove(name) {
        Err(failure) if failure.errno != libc::ENOENT => Err(failure),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Takes a directory's lock, waiting a little for a process that is about to let go of it.
fn take(path: &Path, clock: &Clock) -> Result<RealDisk, ServerError> {
    let until = clock.monotonic_ms() + LOCK_PATIENCE_MS;
    loop {
        match RealDisk::take(path) {
            Ok(disk) => return Ok(disk),
            Err(failure) if failure.errno != libc::EWOULDBLOCK => return Err(failed(failure)),
            Err(_) if clock.monotonic_ms() >= until => {
                return Err(failed(format!(
                    "another server uses the data directory {} (remedy: end it, or give this one a dir of its own)",
                    path.display()
                )));
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Logs what was found.
fn tell(report: &Report, path: &Path, took_ms: u64) {
    if let Some(cut) = &report.cut {
        log::warn!(
            file:% = cut.path.display(), bytes = cut.bytes, offset = cut.offset;
            "{}: cut {} bytes off its end, from byte {} on, which were written and never synced{}",
            cut.path.display(),
            cut.bytes,
            cut.offset,
            if cut.groups > 0 { " (some of them whole, behind others that are not)" } else { "" }
        );
    }
    if let Some((from, to)) = report.lost {
        log::warn!("positions {from} to {to} of the journal were written and never synced, and are gone");
    }
    if report.ring_frames > 0 {
        log::info!("{} changes that a killed server had not yet written are there", report.ring_frames);
    }
    log::info!(
        dir:% = path.display(), changes = report.effects, files = report.files, bytes = report.bytes, ms = took_ms;
        "read {} changes from {} files ({} bytes) of {} in {took_ms} ms{}",
        report.effects,
        report.files,
        report.bytes,
        path.display(),
        if report.closed { "; the server before closed it" } else { "" }
    );
}

/// The thread that writes the journal.
#[derive(Debug)]
pub(super) struct Keeper {
    thread: JoinHandle<()>,
    ending: Arc<AtomicBool>,
    orders: Arc<Orders>,
    disk: RealDisk,
}

/// What the journal's thread does for others, in its next step, and what it leaves to them.
#[derive(Debug, Default)]
pub(super) struct Orders {
    drop_before: AtomicU64,
    /// Numbers of files that nothing needs any more, the oldest first. A file system may take tens of milliseconds to remove
    /// one, in which no reply could leave.
    superseded: Mutex<Vec<u64>>,
}

impl Orders {
    /// Wants the files given up that have nothing from here on. A durable snapshot starts here.
    pub(super) fn drop_before(&self, position: Lsn) {
        // Relaxed: a number, which the thread sees within a step; that the snapshot is durable was waited for before.
        self.drop_before.fetch_max(position, Ordering::Relaxed);
    }

    /// Removes those files, with a `rest` behind each: the file system has to work on it, and the journal's syncs wait for that.
    pub(super) fn remove_superseded(&self, disk: &RealDisk, rest: impl FnMut()) {
        let numbers = std::mem::take(&mut *self.superseded());
        match snapshot::remove_superseded(disk, &numbers, rest) {
            Ok(()) if numbers.is_empty() => {}
            Ok(()) => {
                log::debug!("removed {} files of the journal that a snapshot has replaced", numbers.len());
            }
            Err(failure) => log::warn!(
                "files of the journal that a snapshot has replaced stay until the next start: {failure}"
            ),
        }
    }

    fn superseded(&self) -> MutexGuard<'_, Vec<u64>> {
        self.superseded.lock().expect("no holder of this lock panics")
    }
}

impl Keeper {
    /// Writes and syncs what is left, and ends. No worker runs any more.
    pub(super) fn end(self) {
        // Release: pairs with the Acquire in `keep`; all that was appended is seen before.
        self.ending.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            log::error!("the journal's thread has panicked");
        }
        // What the last snapshot has replaced: the thread that removes them has ended before.
        self.orders.remove_superseded(&self.disk, || ());
    }
}

/// Milliseconds for which the thread waits while something is appended now and then: what it would lose is what a power
/// cut may take anyway, and the ring is far from full by then.
const STEP_MS: u64 = 10;

/// Milliseconds for which it waits while nothing is appended.
const IDLE_MS: u64 = 1000;

/// The thread.
fn keep(
    shared: &Shared,
    writer: &Receiver<Writer<RealDisk>>,
    clock: &Clock,
    (ending, orders): (&AtomicBool, &Orders),
) {
    let Ok(mut writer) = writer.recv() else { return };
    let journal = shared.journal().expect("it was named before the writer was sent");
    if let Err(failure) = keep_writing(shared, journal, &mut writer, clock, (ending, orders)) {
        give_up(&failure);
    }
    shared.tell_expecting();
}

fn keep_writing(
    shared: &Shared,
    journal: &Journal,
    writer: &mut Writer<RealDisk>,
    clock: &Clock,
    (ending, orders): (&AtomicBool, &Orders),
) -> Result<(), Failure> {
    let ring = &journal.ring;
    let gauge = Gauge { watch: &shared.watch, clock };
    let syncer = Syncer::start(clock.clone());
    let mut syncer = syncer.expect("a thread can be started where others were a moment ago");
    let (mut refusing, mut idle_turns, mut dropped) = (None, 0_u32, 0);
    loop {
        // Acquire: pairs with the Release in `end`.
        let ends = ending.load(Ordering::Acquire);
        let sync = shared.settings.limits().sync;
        let now_ms = clock.monotonic_ms();
        // Once a second is the other thread's business, so that what is appended meanwhile does not wait for the disk.
        writer.set_sync(if sync == SyncPolicy::Always { SyncMode::Always } else { SyncMode::Never });
        let synced = syncer.finish(writer, (&gauge, ring), now_ms, ends)?;
        let progress = gauge.step(writer, ring, now_ms)?;
        let from = orders.drop_before.load(Ordering::Relaxed);
        if from > dropped {
            orders.superseded().extend(writer.supersede(from));
            dropped = from;
        }
        if synced || progress.synced || progress.taken > 0 {
            shared.tell_expecting();
        }
        let every_second = sync == SyncPolicy::EverySecond
            && now_ms.saturating_sub(syncer.began_ms) >= limits::JOURNAL_SYNC_MS;
        let wanted = journal.wanted_sync() > ring.durable();
        // Not at the end: what closes the log syncs all of it.
        if !ends && (every_second || wanted && !syncer.busy) {
            syncer.begin(writer, &gauge, now_ms);
        }
        if ring.refusing() != refusing {
            refusing = ring.refusing();
            tell_refusing(refusing);
        }
        if ends {
            break;
        }
        if progress.taken > 0 && !progress.stalled || progress.pressing {
            idle_turns = 0;
            continue;
        }
        idle_turns = idle_turns.saturating_add(1);
        // Dozes for a while first: to be woken costs whoever appends more than a look now and then costs us.
        let unsynced = ring.durable() < ring.written() && sync == SyncPolicy::EverySecond;
        let sleeps = idle_turns > 10 && !unsynced && !syncer.busy && progress.next_ms.is_none();
        let (how, most) = if sleeps { (Rest::Asleep, IDLE_MS) } else { (Rest::Dozing, STEP_MS) };
        let patient = progress.stalled || how == Rest::Dozing && sync != SyncPolicy::Always;
        let syncs =
            || syncer.busy || ring.durable() == ring.written() || journal.wanted_sync() <= ring.durable();
        if journal.rest(how, || (patient || ring.waiting() == 0) && syncs()) {
            thread::park_timeout(Duration::from_millis(most));
            journal.wake();
        } else {
            // A worker is about to complete what it has begun.
            thread::yield_now();
        }
    }
    if !writer.close(ring, clock.monotonic_ms())? {
        log::error!("the disk has no space for the last changes; they are in the log ring");
    }
    Ok(())
}

fn tell_refusing(refusing: Option<i32>) {
    match refusing {
        Some(errno) => log::error!(
            "there is no space for the journal: {}; commands that write are refused until there is (remedy: free some)",
            nix::errno::Errno::from_raw(errno).desc()
        ),
        None => log::warn!("there is space for the journal again; commands that write are served"),
    }
}

/// What the disk holds is not known any more: nothing may be acknowledged from here on.
fn give_up(failure: &Failure) -> ! {
    log::error!("the journal cannot go on: {failure}; nothing more is acknowledged, the server ends");
    std::process::exit(Exit::Journal.code().into());
}
