//! The journal thread without the thread: takes complete frames out of the ring, a step at a time, and brings them to
//! files. Is told the time, and never waits but for the disk.
//!
//! ```text
//! step:  ring ─ complete frames ─> groups ─> write ─> `written` ─> sync, if due ─> `durable`
//!        then a piece of the next file, and as many credits as ring and files have room for
//! ```
//!
//! A disk without space is met only while the next file is made. Credits then run out, the ring says why, and the step
//! after some time tries again. Any other failure to write or sync ends the log: nothing is published after it, and the
//! caller ends the process.

use std::sync::Arc;

use super::Identity;
use super::disk::{Disk, Failure};
use super::frame::{Header as FrameHeader, WORD, WORD_LEN};
use super::recovery::Recovered;
use super::ring::{Begin, Memory, Ring};
use super::segment::{Before, GROUP_BYTES, GROUP_LEN, Group, HEADER_BYTES, Header, SPARE, name_of};
use super::spare::Spare;
use crate::limits::{
    JOURNAL_GROUP_BYTES, JOURNAL_IDLE_MS, JOURNAL_RETRY_MS, JOURNAL_SEGMENT_BYTES, JOURNAL_SYNC_MS,
    JOURNAL_ZEROED_BYTES,
};
use crate::table::effect::Lsn;

mod resume;

use resume::{carried_groups, mark_of, rewrite_unproven};

/// Bytes of file for a byte of ring, at the worst: the smallest frame of two words, alone in its group of eight, with a
/// group behind it that says it is durable.
const FILE_PER_RING: u64 = 8;

const _: () = assert!(FILE_PER_RING * 2 * WORD >= 2 * WORD + 2 * GROUP_BYTES);

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

/// How far the open file was written when a flush began.
#[derive(Clone, Copy, Debug)]
struct Flushing {
    head: Lsn,
    at: u64,
}

/// What becomes of a group that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Others may follow before it is synced.
    GoOn,
    /// It is synced at once.
    Sync,
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
    synced_ms: u64,
    /// Before it, space is not asked for again.
    retry_ms: Option<u64>,
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
            synced_ms: 0,
            retry_ms: None,
            zero_debt: 0,
            group: Vec::new(),
        };
        writer.give_credits(&ring);
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
            writer.retry_ms = None;
            writer.try_step(ring, now_ms, true)?;
            if writer.head < ring.tail() {
                return Ok(false);
            }
            writer.group.resize(GROUP_LEN, 0);
            writer.write_group(writer.head, Then::Close, &[])?;
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

    /// Removes the files that have nothing from `from` on, which a durable snapshot makes superfluous. Returns how many.
    ///
    /// # Errors
    /// As [`Writer::step`].
    ///
    /// # Panics
    /// As [`Writer::step`].
    pub fn drop_before(&mut self, from: Lsn) -> Result<usize, Failure> {
        self.guarded(|writer| {
            let kept_from = writer.segments.iter().rposition(|&(_, first)| first <= from).unwrap_or(0);
            for (sequence, _) in writer.segments.drain(..kept_from) {
                writer.disk.remove(&name_of(sequence))?;
            }
            if kept_from > 0 {
                writer.disk.sync_names()?;
            }
            Ok(kept_from)
        })
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
        let before = self.head;
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
            self.write_some(ring, header, until)?;
        }
        let due = match self.settings.sync {
            SyncMode::Always => true,
            SyncMode::EverySecond => now_ms.saturating_sub(self.synced_ms) >= JOURNAL_SYNC_MS,
            SyncMode::Never => false,
        };
        let synced = self.head > before && self.durable == self.head
            || self.head > self.durable && (due || want_sync) && self.flushing.is_none();
        if synced {
            self.sync(ring)?;
            self.synced_ms = now_ms;
        } else if self.head == before
            && self.is_undeclared()
            && now_ms.saturating_sub(self.synced_ms) >= JOURNAL_IDLE_MS
        {
            self.declare()?;
        }
        self.prepare(ring, self.head - before, now_ms)?;
        self.give_credits(ring);
        let next_ms = [
            (self.settings.sync == SyncMode::EverySecond
                && self.head > self.durable
                && self.flushing.is_none())
            .then_some(self.synced_ms + JOURNAL_SYNC_MS),
            self.is_undeclared().then_some(self.synced_ms + JOURNAL_IDLE_MS),
            (stalled && self.flushing.is_none() || self.spare.ready().is_none())
                .then_some(self.retry_ms.unwrap_or(now_ms)),
        ];
        let next_ms = next_ms.into_iter().flatten().min();
        Ok(Progress { taken: self.head - before, synced, stalled, next_ms })
    }

    /// Sees to it that the frame at the head fits the open file. False: it has to wait for space on the disk.
    fn make_room(&mut self, ring: &Ring, header: FrameHeader, now_ms: u64) -> Result<bool, Failure> {
        let mut needed = GROUP_BYTES + header.bytes;
        if header.boxed {
            needed += ring.boxed_len(self.head).next_multiple_of(WORD);
        }
        if needed <= self.open.room() {
            return Ok(true);
        }
        if self.flushing.is_some() {
            return Ok(false);
        }
        // Whatever the file is good for besides, the ring is to have its room in it.
        if needed > self.settings.segment_bytes / 4 {
            self.spare.want(self.settings.segment_bytes + needed);
        }
        let complete = |writer: &mut Self| writer.spare.complete(&writer.disk).map(|()| true);
        if self.spare.ready().is_none() && !self.ask(ring, now_ms, complete)? {
            return Ok(false);
        }
        self.sync(ring)?;
        self.ask(ring, now_ms, |writer| writer.rotate().map(|()| true)).inspect(|rotated| {
            if *rotated {
                ring.set_segment(self.segment(), self.head)
            }
        })
    }

    /// Does what may find the disk full. False: it is, or was a moment ago.
    fn ask(
        &mut self,
        ring: &Ring,
        now_ms: u64,
        work: impl FnOnce(&mut Self) -> Result<bool, Failure>,
    ) -> Result<bool, Failure> {
        if self.retry_ms.is_some_and(|retry| now_ms < retry) {
            return Ok(false);
        }
        match work(self) {
            Ok(done) => {
                self.retry_ms = None;
                ring.set_refusing(None);
                Ok(done)
            }
            Err(failure) if failure.is_no_space() => {
                self.retry_ms = Some(now_ms + JOURNAL_RETRY_MS);
                ring.set_refusing(Some(failure.errno));
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Goes on in the next file, which is ready. All that was written is durable.
    fn rotate(&mut self) -> Result<(), Failure> {
        debug_assert!(self.open.clean && self.durable == self.head, "what a file continues is durable");
        let old = &self.open;
        let sequence = old.header.sequence + 1;
        let header = Header {
            sequence,
            first: self.head,
            mark: mark_of(&self.identity, sequence),
            before: Some(Before { sequence: old.header.sequence, offset: old.at, chain: old.chain }),
            ..old.header
        };
        let block = header.encode();
        let (_, chain) = Header::parse(&block).expect("it was made this moment");
        let next = self.spare.file().expect("it is ready");
        self.disk.write_all_at(next, &block, 0)?;
        self.disk.sync(next)?;
        self.disk.rename(SPARE, &name_of(sequence))?;
        self.disk.sync_names()?;
        let (mut file, bytes) = self.spare.take(self.settings.segment_bytes).expect("it is ready");
        self.disk.set_name(&mut file, &name_of(sequence));
        self.open = Open { file: Arc::new(file), header, bytes, at: HEADER_BYTES, chain, clean: true };
        self.segments.push((sequence, self.head));
        // The header says so.
        self.declared = self.durable;
        Ok(())
    }

    /// Writes the frame at the head, and as many behind it as fit its group and file. What reaches `until` is the last of
    /// this step, and synced along with it where each step is.
    fn write_some(&mut self, ring: &Ring, header: FrameHeader, until: Lsn) -> Result<(), Failure> {
        self.group.resize(GROUP_LEN, 0);
        let mut end = self.head + header.bytes;
        if header.boxed {
            ring.copy_out(self.head, end, &mut self.group);
            let mut records = ring.unbox(self.head);
            records.resize(records.len().next_multiple_of(WORD_LEN), 0);
            self.write_group(end, Then::GoOn, &records)?;
        } else {
            let most = self.settings.group_bytes.min(self.open.room() - GROUP_BYTES);
            while let Some(next) = ring.ready(end)
                && !next.boxed
                && end + next.bytes - self.head <= most
            {
                end += next.bytes;
            }
            ring.copy_out(self.head, end, &mut self.group);
            let last = end >= until || ring.ready(end).is_none();
            let syncs = last && self.settings.sync == SyncMode::Always && self.flushing.is_none();
            self.write_group(end, if syncs { Then::Sync } else { Then::GoOn }, &[])?;
        }
        self.head = end;
        ring.set_written(end);
        if self.open.clean {
            self.durable = end;
            ring.set_durable(end);
        }
        Ok(())
    }

    /// Writes `group`, whose header is still to be filled in, and `rest` behind it. It begins at the head.
    fn write_group(&mut self, end: Lsn, then: Then, rest: &[u8]) -> Result<(), Failure> {
        let frames = &self.group[GROUP_LEN..];
        let checksum = crc32c::crc32c_append(crc32c::crc32c(frames), rest);
        let bytes = u32::try_from(frames.len() + rest.len()).expect("groups and boxed frames are bounded");
        let (first, durable, chain) = (self.head, self.durable, self.open.chain);
        let closed = then == Then::Close;
        let group = Group { first, end, durable, bytes, checksum, chain, closed };
        let (header, chain) = group.encode(self.open.header.mark);
        self.group[..GROUP_LEN].copy_from_slice(&header);
        self.open.clean = then == Then::Sync;
        if self.open.clean {
            debug_assert!(rest.is_empty(), "what is long is synced by itself");
            self.disk.write_and_sync(&self.open.file, &self.group, self.open.at)?;
        } else {
            self.disk.write_all_at(&self.open.file, &self.group, self.open.at)?;
            self.disk.write_all_at(&self.open.file, rest, self.open.at + self.group.len() as u64)?;
        }
        self.open.at += (self.group.len() + rest.len()) as u64;
        debug_assert!(self.open.at <= self.open.bytes, "nothing is written where no space was taken");
        self.open.chain = chain;
        self.declared = durable;
        self.group.clear();
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

    /// Zeroes some of the next file: when nothing was to be written, and else twice as much as was, so that it is ready
    /// before this one is full.
    fn prepare(&mut self, ring: &Ring, written: u64, now_ms: u64) -> Result<(), Failure> {
        self.zero_debt += 2 * written;
        if (written == 0 || self.zero_debt >= JOURNAL_ZEROED_BYTES) && self.spare.ready().is_none() {
            self.zero_debt = 0;
            self.ask(ring, now_ms, |writer| writer.spare.grow(&writer.disk))?;
        }
        Ok(())
    }

    /// Gives the ring as many credits as it has room for, and the files, whatever the frames will be like.
    fn give_credits(&mut self, ring: &Ring) {
        let unused = ring.longest() + 2 * GROUP_BYTES;
        let mut room = self.open.room().saturating_sub(unused);
        if let Some(bytes) = self.spare.ready() {
            room += (bytes - HEADER_BYTES).saturating_sub(unused + GROUP_BYTES);
        }
        let most = self.head + ring.capacity().min(room / FILE_PER_RING / WORD * WORD);
        if most > self.granted {
            ring.add_credits(most - self.granted);
            self.granted = most;
        }
    }
}
