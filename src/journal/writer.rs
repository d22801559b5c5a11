//! The journal thread without the thread: takes complete frames out of the ring, a step at a time, and brings them to
//! files. Is told the time, and never waits but for the disk.
//!
//! ```text
//! step:  ring ─ complete frames ─> groups ─> write ─> `written` ─> sync, if due ─> `durable`
//!        then a piece of the next file, and as many credits as ring and files have room for
//! ```
//!
//! A disk without space is met while the next file is made: see `space`. Credits then run out, the ring says why, and the
//! step after some time tries again. Where even a file that was made ahead cannot be written, since a limit was lowered or
//! the file system copies what is written to, nothing was acknowledged: frames stay in the ring, no credits are given, and
//! the same is written at the same place later. Any other failure to write, and any to sync, ends the log: nothing is
//! published after it, and the caller ends the process.

use std::sync::Arc;

use super::Identity;
use super::disk::{Disk, Failure};
use super::frame::{Header as FrameHeader, WORD_LEN};
use super::recovery::Recovered;
use super::ring::{Begin, Memory, Ring};
use super::segment::{GROUP_BYTES, GROUP_LEN, Group, HEADER_BYTES, Header, SPARE, name_of};
use super::spare::Spare;
use crate::limits::{
    JOURNAL_GROUP_BYTES, JOURNAL_IDLE_MS, JOURNAL_RETRY_MS, JOURNAL_SEGMENT_BYTES, JOURNAL_SYNC_MS,
};
use crate::table::effect::Lsn;

mod resume;
mod space;

use resume::{carried_groups, mark_of, rewrite_unproven};
use space::Demand;

/// When what was written is synced, as `appendfsync` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Before anybody is told.
    Always,
    /// Once in a second.
    EverySecond,
    /// When a file is full, and at the end; or by [`Writer::start_flush`], for a caller who has a thread to spare.
    Never,
}

/// How the journal is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// When it is synced.
    pub sync: SyncMode,
    /// Bytes of a file. Enough for eight times the ring, and its longest frame.
    pub segment_bytes: u64,
    /// Bytes of frames that one checksum covers.
    pub group_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sync: SyncMode::EverySecond,
            segment_bytes: JOURNAL_SEGMENT_BYTES,
            group_bytes: JOURNAL_GROUP_BYTES,
        }
    }
}

/// What a step has done, and when there is something to do even if nothing is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of frames that were taken out of the ring.
    pub taken: u64,
    /// Whether something was synced.
    pub synced: bool,
    /// Complete frames wait for space on the disk, or for a flush that is under way.
    pub stalled: bool,
    /// Somebody waits for space in the next file, which takes more steps to make.
    pub pressing: bool,
    /// Milliseconds of the clock that was given, at which the next step has something to do. `None`: nothing before
    /// something is appended.
    pub next_ms: Option<u64>,
}

/// The file that is written to.
#[derive(Debug)]
struct Open<F> {
    /// Shared with a flush.
    file: Arc<F>,
    header: Header,
    bytes: u64,
    /// Where the next group comes.
    at: u64,
    /// Checksum of the header before it.
    chain: u32,
    /// Nothing was written since the last sync: not even a group without frames.
    clean: bool,
}

impl<F> Open<F> {
    /// Bytes for groups, but for the last one, that the log is closed with.
    fn room(&self) -> u64 {
        (self.bytes - self.at).saturating_sub(GROUP_BYTES)
    }
}

/// A sync that any thread may do while the writer goes on.
#[derive(Debug)]
#[must_use = "the writer waits for it"]
pub struct Flush<D: Disk> {
    disk: D,
    file: Arc<D::File>,
}

/// What came of a [`Flush`].
#[derive(Debug)]
#[must_use = "the writer waits for it"]
pub struct Flushed(Result<(), Failure>);

impl<D: Disk> Flush<D> {
    /// Waits for the disk.
    pub fn run(self) -> Flushed {
        Flushed(self.disk.sync(&self.file))
    }
}

/// The disk had no space.
#[derive(Clone, Copy, Debug)]
struct Full {
    errno: i32,
    /// Before it, space is not asked for again.
    retry_ms: u64,
}

impl Full {
    fn met(failure: &Failure, now_ms: u64) -> Self {
        Self { errno: failure.errno, retry_ms: now_ms + JOURNAL_RETRY_MS }
    }
}

/// How far the open file was written when a flush began.
#[derive(Clone, Copy, Debug)]
struct Flushing {
    head: Lsn,
    at: u64,
}

/// Whether a group may be followed by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    /// It is the last one of the log.
    Close,
}

/// Whether it can still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Closed,
    Failed,
}

/// The writer. `declared <= durable <= head`, and all but `declared` as the ring publishes them.
#[derive(Debug)]
pub struct Writer<D: Disk> {
    disk: D,
    settings: Settings,
    identity: Identity,
    stage: Stage,
    open: Open<D::File>,
    spare: Spare<D::File>,
    /// Files of the log that exist: number and first position, the open one last.
    segments: Vec<(u64, Lsn)>,
    /// All before it is out of the ring and written.
    head: Lsn,
    durable: Lsn,
    /// Meanwhile nobody else syncs the file, as the kernel tells of an error only once; and it stays the open one.
    flushing: Option<Flushing>,
    /// The durable position that the last group tells.
    declared: Lsn,
    /// Credits that the ring was given, and the position up to which they would be spent.
    granted: Lsn,
    /// What was given, and is wanted, for frames beside the ring.
    demand: Demand,
    synced_ms: u64,
    /// There was no space for more of the next file.
    full: Option<Full>,
    /// There was none for what has its place in the open one.
    blocked: Option<Full>,
    /// Bytes of groups so far.
    written: u64,
    /// Bytes that go to the next file's zeros in the next steps.
    zero_debt: u64,
    /// The group in the making: room for its header, then frames.
    group: Vec<u8>,
}

impl<D: Disk> Writer<D> {
    /// Continues a log that was recovered, or begins one, in a file of its own; and the ring in this memory, whatever was
    /// in it. What recovery found in the ring is in the file, and what it found in files is durable, before either exists:
    /// a process that dies in here leaves to the next one what it found.
    ///
    /// # Errors
    /// The disk's, whether it is full or broken: there is no log then.
    pub fn begin(
        disk: D,
        recovered: &Recovered,
        identity: Identity,
        settings: Settings,
        memory: Memory,
    ) -> Result<(Self, Ring), Failure> {
        let epoch = recovered.epoch + 1;
        let header = Header {
            run: identity.run,
            epoch,
            sequence: recovered.before.map_or(1, |before| before.sequence + 1),
            first: recovered.end,
            mark: mark_of(&identity, recovered.before.map_or(1, |before| before.sequence + 1)),
            before: recovered.before,
        };
        rewrite_unproven(&disk, recovered)?;
        let (groups, head, chain) = carried_groups(recovered, &identity, &header, settings.group_bytes);
        let mut spare = Spare::of(settings.segment_bytes + groups.len() as u64);
        spare.complete(&disk)?;
        let (mut file, bytes) = spare.take(settings.segment_bytes).expect("it has grown");
        disk.write_all_at(&file, &header.encode(), 0)?;
        disk.write_all_at(&file, &groups, HEADER_BYTES)?;
        disk.sync(&file)?;
        disk.rename(SPARE, &name_of(header.sequence))?;
        disk.set_name(&mut file, &name_of(header.sequence));
        disk.sync_names()?;
        let mut segments = recovered.segments.clone();
        segments.push((header.sequence, header.first));
        let at = HEADER_BYTES + groups.len() as u64;
        let ring = Ring::begin(memory, &identity, Begin { first: head, epoch, segment: header.sequence });
        let mut writer = Self {
            disk,
            settings,
            identity,
            stage: Stage::Open,
            open: Open { file: Arc::new(file), header, bytes, at, chain, clean: true },
            spare,
            segments,
            head,
            durable: head,
            flushing: None,
            declared: header.first,
            granted: head,
            demand: Demand::default(),
            synced_ms: 0,
            full: None,
            blocked: None,
            written: 0,
            zero_debt: 0,
            group: Vec::new(),
        };
        writer.give_credits(&ring, 0)?;
        assert!(
            writer.granted - writer.head == ring.capacity(),
            "a file has room for eight times the ring, and its longest frame"
        );
        Ok((writer, ring))
    }

    /// Writes what is complete, syncs it if that is due or `want_sync`, and prepares for what comes.
    ///
    /// # Errors
    /// The disk's. The writer is not to be used again, and the process ends: what the disk has is not known any more.
    ///
    /// # Panics
    /// If it has failed or was closed before.
    pub fn step(&mut self, ring: &Ring, now_ms: u64, want_sync: bool) -> Result<Progress, Failure> {
        self.guarded(|writer| writer.try_step(ring, now_ms, want_sync))
    }

    /// Writes and syncs all that was appended, and says in the file that nothing follows. False: the disk has no space for
    /// some of it. Nobody appends any more, and no flush is under way.
    ///
    /// # Errors
    /// As [`Writer::step`].
    ///
    /// # Panics
    /// As [`Writer::step`].
    pub fn close(&mut self, ring: &Ring, now_ms: u64) -> Result<bool, Failure> {
        self.guarded(|writer| {
            assert!(writer.flushing.is_none(), "a flush is finished before the log is closed");
            (writer.full, writer.blocked) = (None, None);
            writer.try_step(ring, now_ms, true)?;
            if writer.head < ring.tail() {
                return Ok(false);
            }
            let last = |writer: &mut Self| {
                writer.group.resize(GROUP_LEN, 0);
                writer.write_group(writer.head, Then::Close, &[])
            };
            if !writer.write_where_space_is(ring, now_ms, last)? {
                return Ok(false);
            }
            writer.sync(ring)?;
            writer.stage = Stage::Closed;
            Ok(true)
        })
    }

    /// Begins a sync of all that is written. `None`: all of it is durable, or a flush is under way. Until
    /// [`Writer::finish_flush`], steps write and do not sync; they stall when the file is full.
    pub fn start_flush(&mut self) -> Option<Flush<D>>
    where
        D: Clone,
    {
        let wanted = self.stage == Stage::Open && self.flushing.is_none() && self.head > self.durable;
        wanted.then(|| {
            self.flushing = Some(Flushing { head: self.head, at: self.open.at });
            Flush { disk: self.disk.clone(), file: Arc::clone(&self.open.file) }
        })
    }

    /// Publishes what a flush has made durable.
    ///
    /// # Errors
    /// As [`Writer::step`]: what the flush met.
    ///
    /// # Panics
    /// As [`Writer::step`], and if no flush is under way.
    pub fn finish_flush(&mut self, ring: &Ring, now_ms: u64, flushed: Flushed) -> Result<(), Failure> {
        self.guarded(|writer| {
            let begun = writer.flushing.take().expect("a flush was started");
            flushed.0?;
            writer.open.clean = writer.open.at == begun.at;
            writer.durable = begun.head;
            writer.synced_ms = now_ms;
            ring.set_durable(begun.head);
            Ok(())
        })
    }

    /// Forgets the files that have nothing from `from` on, which a durable snapshot makes superfluous. Their numbers, the
    /// oldest first, are for [`remove_superseded`](super::snapshot::remove_superseded): not here, where replies wait for what
    /// this thread does.
    pub fn supersede(&mut self, from: Lsn) -> Vec<u64> {
        let kept_from = self.segments.iter().rposition(|&(_, first)| first <= from).unwrap_or(0);
        self.segments.drain(..kept_from).map(|(sequence, _)| sequence).collect()
    }

    /// Syncs at other times from the next step on.
    pub fn set_sync(&mut self, sync: SyncMode) {
        self.settings.sync = sync;
    }

    /// The number of the file that is written to.
    pub fn segment(&self) -> u64 {
        self.open.header.sequence
    }

    fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        assert_eq!(self.stage, Stage::Open, "a journal that failed or was closed is not used again");
        let done = work(self);
        if done.is_err() {
            self.stage = Stage::Failed;
        }
        done
    }

    fn try_step(&mut self, ring: &Ring, now_ms: u64, want_sync: bool) -> Result<Progress, Failure> {
        let (before, began_at) = (self.head, self.written);
        // Not further: what is appended meanwhile would put off the sync for ever.
        let until = ring.tail();
        let mut stalled = false;
        while self.head < until
            && let Some(header) = ring.ready(self.head)
        {
            if !self.make_room(ring, header, now_ms)? {
                stalled = true;
                break;
            }
            if !self.write_where_space_is(ring, now_ms, |writer| writer.write_some(ring, header))? {
                stalled = true;
                break;
            }
        }
        let due = match self.settings.sync {
            SyncMode::Always => true,
            SyncMode::EverySecond => now_ms.saturating_sub(self.synced_ms) >= JOURNAL_SYNC_MS,
            SyncMode::Never => false,
        };
        let synced = self.head > self.durable && (due || want_sync) && self.flushing.is_none();
        if synced {
            self.sync(ring)?;
            self.synced_ms = now_ms;
        } else if self.head == before
            && self.is_undeclared()
            && now_ms.saturating_sub(self.synced_ms) >= JOURNAL_IDLE_MS
        {
            self.write_where_space_is(ring, now_ms, Self::declare)?;
        }
        self.prepare(ring, self.written - began_at, now_ms)?;
        self.give_credits(ring, now_ms)?;
        if let Some(full) = self.full.filter(|_| stalled) {
            // Whatever is appended waits behind a frame that had not obtained its space.
            ring.set_refusing(Some(full.errno));
        }
        let next_ms = [
            (self.settings.sync == SyncMode::EverySecond
                && self.head > self.durable
                && self.flushing.is_none())
            .then_some(self.synced_ms + JOURNAL_SYNC_MS),
            (self.is_undeclared() && self.blocked.is_none()).then_some(self.synced_ms + JOURNAL_IDLE_MS),
            (stalled && self.flushing.is_none() || self.blocked.is_some())
                .then_some(self.blocked.or(self.full).map_or(now_ms, |full| full.retry_ms)),
            (self.spare.lacks() || self.demand.lacking.is_some())
                .then_some(self.full.map_or(now_ms, |full| full.retry_ms)),
        ];
        let next_ms = next_ms.into_iter().flatten().min();
        let pressing = self.demand.lacking.is_some() && self.spare.lacks() && self.full.is_none();
        Ok(Progress { taken: self.head - before, synced, stalled, pressing, next_ms })
    }

    /// Does what writes to the open file, whose blocks were taken ahead. False: all the same there is no space for it, or was
    /// none a moment ago, and nothing is different from before. Then no credits are given: who had some would change what
    /// nobody may be told of.
    fn write_where_space_is(
        &mut self,
        ring: &Ring,
        now_ms: u64,
        work: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        if self.blocked.is_some_and(|blocked| now_ms < blocked.retry_ms) {
            return Ok(false);
        }
        let blocked = match work(self) {
            Ok(()) => None,
            Err(failure) if failure.is_unwritten() => Some(Full::met(&failure, now_ms)),
            Err(failure) => return Err(failure),
        };
        if blocked.is_some() || self.blocked.is_some() {
            self.blocked = blocked;
            ring.set_halted(blocked.is_some());
            self.tell_refusing(ring);
        }
        Ok(blocked.is_none())
    }

    /// Writes the frame at the head, and as many behind it as fit its group and file.
    fn write_some(&mut self, ring: &Ring, header: FrameHeader) -> Result<(), Failure> {
        self.group.resize(GROUP_LEN, 0);
        let mut end = self.head + header.bytes;
        if header.boxed {
            ring.copy_out(self.head, end, &mut self.group);
            let mut boxed = ring.unbox(self.head);
            boxed.records.resize(boxed.records.len().next_multiple_of(WORD_LEN), 0);
            if let Err(failure) = self.write_group(end, Then::GoOn, &boxed.records) {
                ring.put_back(boxed);
                return Err(failure);
            }
            self.demand.given -= boxed.paid;
        } else {
            let most = self.settings.group_bytes.min(self.open.room() - GROUP_BYTES);
            while let Some(next) = ring.ready(end)
                && !next.boxed
                && end + next.bytes - self.head <= most
            {
                end += next.bytes;
            }
            ring.copy_out(self.head, end, &mut self.group);
            self.write_group(end, Then::GoOn, &[])?;
        }
        self.head = end;
        ring.set_written(end);
        Ok(())
    }

    /// Writes `group`, whose header is still to be filled in, and `rest` behind it. It begins at the head. Where that fails,
    /// it is as if it had not been tried, but for what stands in the file behind the last group.
    fn write_group(&mut self, end: Lsn, then: Then, rest: &[u8]) -> Result<(), Failure> {
        let frames = &self.group[GROUP_LEN..];
        let checksum = crc32c::crc32c_append(crc32c::crc32c(frames), rest);
        let bytes = u32::try_from(frames.len() + rest.len()).expect("groups and boxed frames are bounded");
        let (first, durable, chain) = (self.head, self.durable, self.open.chain);
        let closed = then == Then::Close;
        let group = Group { first, end, durable, bytes, checksum, chain, closed };
        let (header, chain) = group.encode(self.open.header.mark);
        let mut group = std::mem::take(&mut self.group);
        group[..GROUP_LEN].copy_from_slice(&header);
        let (file, at, len) = (&self.open.file, self.open.at, group.len() as u64);
        let front = self.disk.write_all_at(file, &group, at);
        let done = front.and_then(|()| self.disk.write_all_at(file, rest, at + len));
        group.clear();
        self.group = group;
        self.open.clean = false;
        done?;
        let bytes = len + rest.len() as u64;
        self.open.at += bytes;
        self.written += bytes;
        debug_assert!(self.open.at <= self.open.bytes, "nothing is written where no space was taken");
        self.open.chain = chain;
        self.declared = durable;
        Ok(())
    }

    fn sync(&mut self, ring: &Ring) -> Result<(), Failure> {
        if !self.open.clean {
            self.disk.sync(&self.open.file)?;
            self.open.clean = true;
            self.durable = self.head;
            ring.set_durable(self.durable);
        }
        Ok(())
    }

    /// Whether all is durable, and no group says so.
    fn is_undeclared(&self) -> bool {
        self.declared < self.durable && self.durable == self.head
    }

    /// Says in the file what is durable, where no frame came that would have.
    fn declare(&mut self) -> Result<(), Failure> {
        if self.open.room() >= GROUP_BYTES {
            self.group.resize(GROUP_LEN, 0);
            self.write_group(self.head, Then::GoOn, &[])
        } else {
            // The next file's header says so.
            self.declared = self.durable;
            Ok(())
        }
    }
}
