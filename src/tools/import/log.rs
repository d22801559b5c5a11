//! A log that one thread fills and writes, for as long as an import takes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::clock::Clock;
use crate::config::Config;
use crate::journal::Identity;
use crate::journal::disk::RealDisk;
use crate::journal::life::ring_bytes;
use crate::journal::record;
use crate::journal::ring::{Allowance, Memory, Ring};
use crate::journal::segment::sequence_of;
use crate::journal::writer::{Settings, SyncMode, Writer};
use crate::table::effect::Effect;
use crate::tools::ToolError;
use crate::tools::data::Data;

/// Bytes of effects that become one frame, where the ring takes frames of that length.
const FRAME_BYTES: u64 = 16 * 1024;

/// Where a log is made that a directory does not have yet. Only a complete one comes out of it, so that a start after an
/// import that was killed finds nothing instead of a part.
const STAGE: &str = "import.partial";

/// The log.
pub(super) struct Log {
    writer: Writer<RealDisk>,
    ring: Ring,
    allowance: Allowance,
    clock: Clock,
    /// Effects that are in no frame yet.
    records: Vec<u8>,
    dir: PathBuf,
    /// Keeps servers out of the directory, which has no log yet, while one is made in the stage.
    made_for: Option<Data>,
    /// The writer has failed, and is not to be used again.
    failed: bool,
}

impl Log {
    /// Goes on with the log in the configuration's directory, or begins one.
    pub(super) fn open(config: &Config, merge: bool, clock: &Clock) -> Result<Self, ToolError> {
        let dir = config.dir.clone();
        fs::create_dir_all(&dir).map_err(|error| cannot("make", &dir, &error))?;
        let mut data = Data::take(&dir)?;
        let mut made_for = None;
        if data.is_empty()? {
            let stage = dir.join(STAGE);
            // Of an import that was killed.
            remove(&stage);
            fs::create_dir(&stage).map_err(|error| cannot("make", &stage, &error))?;
            made_for = Some(std::mem::replace(&mut data, Data::take(&stage)?));
        } else if !merge {
            return Err(ToolError::failed(format!(
                "{} holds data already (remedy: --merge adds to it, or give another --dir)",
                dir.display()
            )));
        }
        // Also what only the ring of a killed server has: it comes with the log that is continued.
        let recovered = data.read(&mut |_: &Effect<'_>| ())?.log;
        let segment_bytes = config.journal_segment_size as u64;
        // What an import was killed in has to be done again anyway: no sync before a file is full, no ring in a file.
        let settings = Settings { sync: SyncMode::Never, segment_bytes, ..Settings::default() };
        let memory = Memory::anonymous(ring_bytes(segment_bytes))
            .map_err(|error| ToolError::failed(format!("there is no memory for the log ring: {error}")))?;
        let begun = Writer::begin(data.disk, &recovered, Identity::draw(data.boot), settings, memory);
        let (writer, ring) = begun.map_err(|failure| {
            if made_for.is_some() {
                remove(&dir.join(STAGE));
            }
            ToolError::failed(failure)
        })?;
        let (allowance, records) = (Allowance::default(), Vec::new());
        Ok(Self { writer, ring, allowance, clock: clock.clone(), records, dir, made_for, failed: false })
    }

    /// Adds an effect.
    pub(super) fn add(&mut self, effect: &Effect<'_>) -> Result<(), ToolError> {
        record::encode(effect, &mut self.records);
        let enough = FRAME_BYTES.min(self.ring.longest() / 2);
        if (self.records.len() as u64) < enough { Ok(()) } else { self.flush() }
    }

    /// Makes a frame of what was added.
    pub(super) fn flush(&mut self) -> Result<(), ToolError> {
        if self.records.is_empty() {
            return Ok(());
        }
        let cost = self.ring.cost(self.records.len());
        while !self.ring.top_up(&mut self.allowance, cost) {
            self.step()?;
        }
        self.ring.append(&mut self.allowance, &self.records);
        self.records.clear();
        if self.ring.waiting() > self.ring.capacity() / 2 {
            self.step()?;
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), ToolError> {
        let stepped = self.writer.step(&self.ring, self.clock.monotonic_ms(), false);
        self.failed = stepped.is_err();
        stepped.map_err(ToolError::failed)?;
        match self.ring.refusing() {
            Some(errno) => Err(self.no_space(errno)),
            None => Ok(()),
        }
    }

    fn no_space(&self, errno: i32) -> ToolError {
        let why = nix::errno::Errno::from_raw(errno).desc();
        ToolError::failed(format!("there is no space in {}: {why}", self.dir.display()))
    }

    /// Writes and syncs all, and says in the file that nothing follows.
    pub(super) fn close(mut self) -> Result<(), ToolError> {
        self.ring.give_back(&mut self.allowance);
        let error = match self.writer.close(&self.ring, self.clock.monotonic_ms()) {
            Ok(true) if self.made_for.is_none() => return Ok(()),
            Ok(true) => match bring_out(&self.dir) {
                Ok(()) => return Ok(()),
                Err(error) => cannot("write to", &self.dir, &error),
            },
            Ok(false) => self.no_space(self.ring.refusing().unwrap_or(libc::ENOSPC)),
            Err(failure) => ToolError::failed(failure),
        };
        self.failed = true;
        Err(self.give_up(error))
    }

    /// The import has failed. What it has written of a log that is its own goes; of another's it stays.
    pub(super) fn give_up(mut self, mut error: ToolError) -> ToolError {
        if self.made_for.is_some() {
            remove(&self.dir.join(STAGE));
            return error;
        }
        if !self.failed {
            // As far as it came, so that a start needs to cut nothing. If that fails too, a start cuts it.
            let _ = self.writer.close(&self.ring, self.clock.monotonic_ms());
        }
        error.line.push_str("; a part of the keys may be there already: once this is mended, import again");
        error
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> ToolError {
    ToolError::failed(format!("cannot {what} {}: {error}", path.display()))
}

/// Removes a directory. What cannot be removed is in the way of the next import, which then says so.
fn remove(path: &Path) {
    let _ = fs::remove_dir_all(path);
}

/// Brings a complete log out of the stage. Without its first file it is refused by every start: that one comes last.
fn bring_out(dir: &Path) -> io::Result<()> {
    let stage = dir.join(STAGE);
    let mut names = Vec::new();
    for entry in fs::read_dir(&stage)? {
        let name = entry?.file_name();
        names.extend(name.to_str().and_then(sequence_of).map(|sequence| (sequence, name.clone())));
    }
    names.sort_by(|one, other| other.cmp(one));
    let sync = || File::open(dir).and_then(|names| names.sync_all());
    for (place, (_, name)) in names.iter().enumerate() {
        if place + 1 == names.len() {
            sync()?;
        }
        fs::rename(stage.join(name), dir.join(name))?;
    }
    fs::remove_dir_all(&stage)?;
    sync()
}
