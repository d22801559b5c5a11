//! The reader: gives back the effects of a file, block by block, none of a block that is not as it was written.

use super::{
    Count, Disk, Effect, FRONT_LEN, Failure, HEADER_LEN, Head, Lsn, Malformed, PathBuf, Summary, TRAILER,
    TRAILER_LEN, Totals, VERSION, checksum_of, name_of, record,
};
use crate::table::effect::{Gathered, Replay};

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It is no snapshot.
    Foreign,
    /// A later version wrote it, in this format.
    Newer(u32),
    /// Its header does not have its checksum.
    Header,
    /// It starts at this position, and has another's name.
    Misnamed(Lsn),
    /// A block does not have its checksum, or is not the next one.
    Block,
    /// A block is whole, and holds something that is no record, or none that a snapshot has.
    Record,
    /// It ends before its trailer.
    Short,
    /// Something stands behind its trailer.
    Long,
    /// Its trailer tells of another number of keys, tokens or records.
    Totals,
}

/// Why a snapshot is not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Something could not be read.
    Disk(Failure),
    /// The file is not as it was written.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the part begins that is not.
        offset: u64,
        /// How so.
        damage: Damage,
    },
}

impl Refusal {
    /// Whether the file is damaged; not so where it cannot be read, or only by a later version.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Disk(_) | Self::Damaged { damage: Damage::Newer(_), .. } => false,
            Self::Damaged { .. } => true,
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Disk(failure)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (path, offset, damage) = match self {
            Self::Disk(failure) => return write!(f, "{failure}"),
            Self::Damaged { path, offset, damage } => (path.display(), offset, damage),
        };
        write!(f, "{path} is damaged at byte {offset}: ")?;
        match damage {
            Damage::Foreign => f.write_str("it is not a snapshot")?,
            Damage::Newer(version) => {
                return write!(
                    f,
                    "it has format {version}, this version reads up to {VERSION}; start the version that wrote it"
                );
            }
            Damage::Header => f.write_str("its header has another checksum")?,
            Damage::Misnamed(start) => write!(f, "it was written as {}", name_of(*start))?,
            Damage::Block => f.write_str("what was written there has another checksum")?,
            Damage::Record => f.write_str("there is a record that this version does not know")?,
            Damage::Short => f.write_str("it ends there, and was longer")?,
            Damage::Long => f.write_str("it was shorter")?,
            Damage::Totals => f.write_str("its parts are not what its end tells of")?,
        }
        f.write_str(
            "; restore the directory from a copy: the journal alone does not go back to where the snapshot was begun",
        )
    }
}

impl std::error::Error for Refusal {}

/// A snapshot that is read in order. On a refusal, what was shown so far is worth nothing.
#[derive(Debug)]
pub struct Reader<'d, D: Disk> {
    disk: &'d D,
    file: D::File,
    name: String,
    head: Head,
    /// Bytes of the file.
    len: u64,
    /// Where the next block comes.
    at: u64,
    /// Checksum of what stands before it.
    chain: u32,
    block: Vec<u8>,
    blocks: u64,
    count: Count,
    summary: Option<Summary>,
}

impl<'d, D: Disk> Reader<'d, D> {
    /// Opens the snapshot that starts here.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn open(disk: &'d D, start: Lsn) -> Result<Self, Refusal> {
        let name = name_of(start);
        let file = disk.open(&name)?;
        let len = disk.len(&file)?;
        let mut bytes = vec![0; HEADER_LEN];
        let read = disk.read_up_to(&file, &mut bytes, 0)?;
        let damaged = |damage| Refusal::Damaged { path: disk.path(&name), offset: 0, damage };
        let (head, chain) = Head::parse(&bytes[..read]).map_err(damaged)?;
        if head.start != start {
            return Err(damaged(Damage::Misnamed(head.start)));
        }
        Ok(Self {
            disk,
            file,
            name,
            head,
            len,
            at: HEADER_LEN as u64,
            chain,
            block: Vec::new(),
            blocks: 0,
            count: Count::default(),
            summary: None,
        })
    }

    /// What the header tells.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// What it held. `None`: it was not read to its end yet.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    /// Bytes read, and bytes of the file.
    pub fn progress(&self) -> (u64, u64) {
        (self.at, self.len)
    }

    /// Gives the effects of the next block. False: there is none any more, and the file is whole.
    ///
    /// # Errors
    /// It is not as it was written.
    pub fn read_block(&mut self, apply: &mut dyn Replay) -> Result<bool, Refusal> {
        if self.summary.is_some() {
            return Ok(false);
        }
        let mut front = [0; FRONT_LEN];
        if self.disk.read_up_to(&self.file, &mut front, self.at)? < FRONT_LEN {
            return Err(self.damaged(Damage::Short));
        }
        let [length, checksum] =
            [0, 4].map(|at| u32::from_le_bytes(*front[at..].first_chunk().expect("four")));
        let bytes = if length == TRAILER { TRAILER_LEN } else { length as usize };
        // Not before it is known to be there: a damaged length may be anything.
        if bytes as u64 > self.len.saturating_sub(self.at + FRONT_LEN as u64) {
            return Err(self.damaged(Damage::Short));
        }
        self.block.resize(bytes, 0);
        let read = self.disk.read_up_to(&self.file, &mut self.block, self.at + FRONT_LEN as u64)?;
        if read < bytes {
            return Err(self.damaged(Damage::Short));
        }
        if checksum_of(self.chain, length, &self.block) != checksum {
            return Err(self.damaged(Damage::Block));
        }
        if length == TRAILER {
            self.summary = Some(self.end()?);
            return Ok(false);
        }
        self.give(apply).map_err(|Malformed| self.damaged(Damage::Record))?;
        self.at += (FRONT_LEN + bytes) as u64;
        self.chain = checksum;
        self.blocks += 1;
        Ok(true)
    }

    /// Gives all effects, and what the file held. `tell` is told after each block how many bytes were read, of how many.
    ///
    /// # Errors
    /// It is not as it was written.
    pub fn read_all(
        mut self,
        apply: &mut dyn Replay,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<Summary, Refusal> {
        while self.read_block(apply)? {
            // A snapshot has its keys in the order of hashes that are no longer used, so of each kind as many everywhere.
            apply.expect(self.at, self.len);
            tell(self.at, self.len);
        }
        Ok(self.summary.expect("it was read to its end"))
    }

    fn give(&mut self, apply: &mut dyn Replay) -> Result<(), Malformed> {
        let (mut rest, mut gathered) = (&self.block[..], Gathered::new(apply));
        while !rest.is_empty() {
            let (effect, behind) = record::decode(rest)?;
            match effect {
                Effect::Set { .. }
                | Effect::Field { .. }
                | Effect::Deadline { .. }
                | Effect::Token { .. } => {}
                // They tell of a change.
                Effect::Remove { .. }
                | Effect::RemoveField { .. }
                | Effect::Splice { .. }
                | Effect::Bucket { .. }
                | Effect::Flush => return Err(Malformed),
            }
            self.count.add(&effect);
            gathered.push(effect);
            rest = behind;
        }
        gathered.flush();
        Ok(())
    }

    /// What the trailer tells, if it is true.
    fn end(&mut self) -> Result<Summary, Refusal> {
        let number = |place: usize| {
            u64::from_le_bytes(*self.block[place * 8..].first_chunk().expect("the length was checked"))
        };
        let (end, totals) = (number(0), Totals { keys: number(1), tokens: number(2), records: number(3) });
        if totals != self.count.totals || number(4) != self.blocks || end < self.head.start {
            return Err(self.damaged(Damage::Totals));
        }
        self.at += (FRONT_LEN + TRAILER_LEN) as u64;
        if self.at != self.len {
            return Err(self.damaged(Damage::Long));
        }
        Ok(Summary { head: self.head, end, totals, bytes: self.len })
    }

    fn damaged(&self, damage: Damage) -> Refusal {
        Refusal::Damaged { path: self.disk.path(&self.name), offset: self.at, damage }
    }
}
