//! One file of the log, group by group, up to where it stops being what was written.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::{Cut, Damage, Found, Refusal, Report};
use crate::journal::disk::{Disk, Failure};
use crate::journal::frame;
use crate::journal::segment::{GROUP_BYTES, Group, HEADER_BYTES, Header, u64_at};
use crate::table::effect::{Gathered, Lsn, Replay};

/// Bytes that are read at once, if nothing larger is wanted.
const WINDOW_BYTES: u64 = 1024 * 1024;

/// A file that is read in order, through a window.
pub(super) struct Source<'d, D: Disk> {
    disk: &'d D,
    file: D::File,
    len: u64,
    window: Vec<u8>,
    /// Where in the file the window begins.
    start: u64,
}

impl<'d, D: Disk> Source<'d, D> {
    pub(super) fn of(disk: &'d D, file: D::File) -> Result<Self, Failure> {
        let len = disk.len(&file)?;
        Ok(Self { disk, file, len, window: Vec::new(), start: 0 })
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }

    /// So many bytes from `at` on. `None`: the file ends before.
    pub(super) fn bytes(&mut self, at: u64, count: u64) -> Result<Option<&[u8]>, Failure> {
        if at.checked_add(count).is_none_or(|end| end > self.len) {
            return Ok(None);
        }
        if at < self.start || at + count > self.start + self.window.len() as u64 {
            let size = WINDOW_BYTES.max(count).min(self.len - at);
            self.window.resize(index(size), 0);
            let read = self.disk.read_up_to(&self.file, &mut self.window, at)?;
            // Shorter than it said a moment ago: then it ends here.
            self.window.truncate(read);
            self.start = at;
        }
        let from = index(at - self.start);
        Ok(self.window.get(from..from + index(count)))
    }

    /// From `at` to the end, a window at a time.
    fn windows(&mut self, at: u64, show: &mut dyn FnMut(u64, &[u8])) -> Result<(), Failure> {
        let mut at = at;
        while at < self.len {
            let count = WINDOW_BYTES.min(self.len - at);
            let Some(bytes) = self.bytes(at, count)? else { break };
            show(at, bytes);
            at += count;
        }
        Ok(())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "addresses have 64 bits here, and what is asked for is in a file"
)]
fn index(bytes: u64) -> usize {
    bytes as usize
}

/// How far a file was read. All in front of `at` is as it was written.
pub(super) struct Scan {
    /// Offset in the file.
    pub(super) at: u64,
    /// Position in the log.
    pub(super) lsn: Lsn,
    /// Checksum of the last header.
    pub(super) chain: u32,
    /// The last group says that the log was closed.
    pub(super) closed: bool,
    /// Offset up to which some header says that all is durable.
    pub(super) proven: u64,
    /// Ends of groups that none says it of: the least durable position that does, and the offset.
    unproven: VecDeque<(Lsn, u64)>,
    /// Effects before it are not wanted.
    from: Lsn,
}

impl Scan {
    pub(super) fn of<D: Disk>(file: &Found<'_, D>, from: Lsn) -> Self {
        Self {
            at: HEADER_BYTES,
            lsn: file.header.first,
            chain: file.chain,
            closed: false,
            proven: HEADER_BYTES,
            unproven: VecDeque::new(),
            from,
        }
    }

    /// Shows what is in the file: up to where the next one says that it ends, or as far as its groups are whole.
    pub(super) fn read<D: Disk>(
        &mut self,
        file: &mut Found<'_, D>,
        next: Option<&Header>,
        report: &mut Report,
        apply: &mut dyn Replay,
        tell: &mut dyn FnMut(u64),
    ) -> Result<(), Refusal> {
        let end = next.and_then(|next| next.before).map(|before| before.offset);
        while end.is_none_or(|end| self.at < end) && self.group(file, report, apply)? {
            tell(self.at);
        }
        match end {
            // What the next file continues was durable.
            Some(end) if self.at < end => Err(file.damaged(self.at, Damage::Group)),
            Some(_) | None => Ok(()),
        }
    }

    /// Shows the group at `at`, and goes behind it. False: there is none that is whole.
    fn group<D: Disk>(
        &mut self,
        file: &mut Found<'_, D>,
        report: &mut Report,
        apply: &mut dyn Replay,
    ) -> Result<bool, Refusal> {
        let mark = file.header.mark;
        let header = file.source.bytes(self.at, GROUP_BYTES)?;
        let Some((group, chain)) = header.and_then(|bytes| Group::parse(bytes, mark)) else {
            return Ok(false);
        };
        if group.chain != self.chain || group.first != self.lsn {
            return Ok(false);
        }
        let (from, bytes) = (self.at + GROUP_BYTES, u64::from(group.bytes));
        let Some(frames) = file.source.bytes(from, bytes)? else { return Ok(false) };
        if crc32c::crc32c(frames) != group.checksum {
            return Ok(false);
        }
        let (wanted_from, mut gathered) = (self.from, Gathered::new(apply));
        let shown = group.for_each_frame(frames, &mut |at, records| {
            if at >= wanted_from {
                report.effects += frame::for_each(records, &mut |effect| gathered.push(effect))?;
                report.frames += 1;
            }
            Ok(())
        });
        gathered.flush();
        drop(gathered);
        if shown.is_err() {
            return Err(file.damaged(self.at, Damage::Record));
        }
        self.at = from + bytes;
        self.lsn = group.end;
        self.chain = chain;
        self.closed = group.closed;
        while let Some(&(_, offset)) = self.unproven.front().filter(|(least, _)| *least <= group.durable) {
            self.proven = offset;
            self.unproven.pop_front();
        }
        // A group without frames was written behind the sync that it tells of: only a later one covers it.
        let is_empty = group.first == group.end;
        self.unproven.push_back((group.end + Lsn::from(is_empty), self.at));
        Ok(true)
    }

    /// What stands behind the last group of the last file. Refuses if it was durable: if a header further on says that
    /// more was than could be read.
    pub(super) fn cut<D: Disk>(&self, file: &mut Found<'_, D>) -> Result<Option<Cut>, Refusal> {
        let mark = file.header.mark;
        let mut end = self.at;
        let mut marks = Vec::new();
        file.source.windows(self.at, &mut |start, bytes| {
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                end = start + last as u64 + 1;
                let words = bytes.chunks_exact(8).enumerate();
                let found = words.filter(|(_, word)| u64_at(word, 0) == mark);
                marks.extend(found.map(|(place, _)| start + place as u64 * 8));
            }
        })?;
        let (mut groups, mut behind) = (0, self.at);
        for at in marks {
            let header = file.source.bytes(at, GROUP_BYTES)?;
            let Some((group, _)) = header.and_then(|bytes| Group::parse(bytes, mark)) else { continue };
            if group.durable > self.lsn {
                return Err(file.damaged(self.at, Damage::Group));
            }
            // None begins within another, and so nothing is summed up twice, whatever there is.
            if at >= behind
                && let Some(frames) = file.source.bytes(at + GROUP_BYTES, group.bytes.into())?
            {
                groups += u64::from(crc32c::crc32c(frames) == group.checksum);
                behind = at + GROUP_BYTES + u64::from(group.bytes);
            }
        }
        let path = file.source.path(&file.name);
        let bytes = end - self.at;
        Ok((bytes > 0).then_some(Cut { path, offset: self.at, bytes, groups }))
    }
}
