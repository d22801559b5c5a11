//! An RDB file, key by key: versions 1 to 12, which Redis writes up to 7.4. Any bytes are read without a panic, and no
//! memory is taken for what a length only declares.
//!
//! ```text
//! "REDIS" version  { opcode … | [ deadline ] type key value }  0xFF checksum
//! ```
//!
//! The format is that of `rdb.c` and `rdb.h` of Redis 7.2; there is no other specification. The crate `rdb` (0.4) reads it
//! too, but takes as much memory as a compressed string declares, holds hashes whole, and passes over deadlines of fields.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{Kind, Sink};
use crate::tools::ToolError;

mod input;
mod lzf;
mod packed;
mod skip;
#[cfg(test)]
mod tests;

pub use input::{Input, Malformed};
use packed::Entries;

/// The newest version that is understood: that of Redis 7.4.
const NEWEST: u32 = 12;

// What stands between keys.
const SLOT_INFO: u8 = 244;
const FUNCTION: u8 = 245;
const MODULE_AUX: u8 = 247;
const IDLE: u8 = 248;
const FREQUENCY: u8 = 249;
const AUX: u8 = 250;
const RESIZE: u8 = 251;
const DEADLINE_MS: u8 = 252;
const DEADLINE_SECONDS: u8 = 253;
const SELECT: u8 = 254;
const END: u8 = 255;

// Types of values that are taken.
const STRING: u8 = 0;
const HASH: u8 = 4;
const HASH_ZIPMAP: u8 = 9;
const HASH_ZIPLIST: u8 = 13;
const HASH_LISTPACK: u8 = 16;

/// A file that is to be read.
#[derive(Debug)]
pub(super) struct RdbFile {
    file: File,
    path: PathBuf,
    bytes: u64,
}

/// Reads a file from its beginning, however often.
struct FromStart<'f> {
    file: &'f File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(out, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl RdbFile {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self, ToolError> {
        let failed =
            |why: &dyn std::fmt::Display| ToolError::failed(format!("cannot read {}: {why}", path.display()));
        let file = File::open(path).map_err(|error| failed(&error))?;
        let found = file.metadata().map_err(|error| failed(&error))?;
        if !found.is_file() {
            return Err(failed(&"it is no regular file"));
        }
        Ok(Self { file, path: path.to_owned(), bytes: found.len() })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Why reading ended early.
#[derive(Debug)]
pub enum Trouble {
    /// The bytes are no RDB file, or not as they were written.
    Malformed(Malformed),
    /// The sink took no more.
    Sink(ToolError),
}

impl From<Malformed> for Trouble {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<ToolError> for Trouble {
    fn from(error: ToolError) -> Self {
        Self::Sink(error)
    }
}

/// Reads all of a file.
pub(super) fn read(file: &RdbFile, db: u64, sink: &mut dyn Sink) -> Result<(), ToolError> {
    let mut source = FromStart { file: &file.file, at: 0 };
    let mut input = Input::of(&mut source, file.bytes);
    match parse(&mut input, db, sink) {
        Ok(()) => Ok(()),
        Err(Trouble::Sink(error)) => Err(error),
        Err(Trouble::Malformed(Malformed(what))) => Err(ToolError::failed(format!(
            "cannot read {} beyond byte {}: {what}",
            file.path.display(),
            input.position()
        ))),
    }
}

/// Whether all of a file can be read.
pub(super) fn check(file: &RdbFile, db: u64) -> Result<(), ToolError> {
    read(file, db, &mut Nobody)
}

/// Wants every value, and takes none.
struct Nobody;

impl Sink for Nobody {
    fn key(&mut self, _: &[u8], _: Kind, _: Option<u64>) -> Result<bool, ToolError> {
        Ok(true)
    }
    fn most_bytes(&self) -> usize {
        usize::MAX
    }
    fn string(&mut self, _: &[u8]) -> Result<(), ToolError> {
        Ok(())
    }
    fn field(&mut self, _: &[u8], _: &[u8]) -> Result<(), ToolError> {
        Ok(())
    }
    fn too_long(&mut self) {}
    fn end(&mut self) -> Result<(), ToolError> {
        Ok(())
    }
    fn passed(&mut self, _: u64) {}
}

/// The version that the file's first bytes tell.
fn version(input: &mut Input<'_>) -> Result<u32, Malformed> {
    let head: [u8; 9] = input.array()?;
    if !head.starts_with(b"REDIS") {
        return Err(Malformed("it is no RDB file of Redis"));
    }
    let digits =
        str::from_utf8(&head[5..]).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(version @ 1..=NEWEST) => Ok(version),
        Some(version) if version > NEWEST => Err(Malformed(
            "its version is newer than 12, that of Redis 7.4 (remedy: import from the running server)",
        )),
        Some(_) | None => Err(Malformed("its version is no number")),
    }
}

/// Reads a file's bytes.
///
/// # Errors
/// They are none of such a file, or the sink took no more.
pub fn parse(input: &mut Input<'_>, db: u64, sink: &mut dyn Sink) -> Result<(), Trouble> {
    let version = version(input)?;
    let (mut here, mut deadline) = (0, None);
    let (mut key, mut value) = (Vec::new(), Values::default());
    loop {
        match input.byte()? {
            END => break,
            SELECT => here = input.length()?,
            DEADLINE_MS => deadline = Some(not_negative(i64::from_le_bytes(input.array()?))),
            DEADLINE_SECONDS => {
                deadline = Some(not_negative(i64::from(i32::from_le_bytes(input.array()?)) * 1000));
            }
            FREQUENCY => input.skip(1)?,
            IDLE => drop(input.length()?),
            RESIZE => skip::lengths(input, 2)?,
            SLOT_INFO => skip::lengths(input, 3)?,
            AUX => skip::strings(input, 2)?,
            FUNCTION => input.skip_string()?,
            MODULE_AUX => skip::module_aux(input)?,
            form => {
                let kind = kind_of(form)?;
                key.clear();
                input.string(&mut key, usize::MAX)?;
                let wanted = if here == db { kind } else { Kind::Elsewhere };
                let deadline = deadline.take();
                if sink.key(&key, wanted, deadline)? && matches!(kind, Kind::String | Kind::Hash) {
                    value.read(input, form, sink)?;
                    sink.end()?;
                } else {
                    skip::value(input, form)?;
                }
                sink.passed(input.position());
            }
        }
    }
    if version >= 5 {
        let computed = input.checksum();
        let told = u64::from_le_bytes(input.array()?);
        // Redis writes 0 where it was told to compute none.
        if told != 0 && told != computed {
            return Err(Malformed("its checksum is another than that of its bytes").into());
        }
    }
    if input.left() > 0 {
        return Err(
            Malformed("something follows its end: an append-only file that begins as one is none").into()
        );
    }
    Ok(())
}

/// A deadline before 1970 has passed as well.
fn not_negative(deadline: i64) -> u64 {
    u64::try_from(deadline).unwrap_or(0)
}

fn kind_of(form: u8) -> Result<Kind, Malformed> {
    Ok(match form {
        STRING => Kind::String,
        HASH | HASH_ZIPMAP | HASH_ZIPLIST | HASH_LISTPACK => Kind::Hash,
        1 | 10 | 14 | 18 => Kind::Other("list"),
        2 | 11 | 20 => Kind::Other("set"),
        3 | 5 | 12 | 17 => Kind::Other("zset"),
        15 | 19 | 21 => Kind::Other("stream"),
        7 => Kind::Other("module"),
        22..=25 => Kind::Other("hash with deadlines of fields"),
        6 => return Err(Malformed("a module's value in a form of Redis 4.0's release candidates")),
        _ => return Err(Malformed("an unknown type of value")),
    })
}

/// Room for values on their way.
#[derive(Default)]
struct Values {
    field: Vec<u8>,
    value: Vec<u8>,
    blob: Vec<u8>,
}

impl Values {
    fn read(&mut self, input: &mut Input<'_>, form: u8, sink: &mut dyn Sink) -> Result<(), Trouble> {
        let most = sink.most_bytes();
        match form {
            STRING => {
                self.value.clear();
                if input.string(&mut self.value, most)? { sink.string(&self.value)? } else { sink.too_long() }
            }
            HASH => {
                for _ in 0..input.length()? {
                    self.field.clear();
                    self.value.clear();
                    let field = input.string(&mut self.field, most)?;
                    let value = input.string(&mut self.value, most)?;
                    if field && value { sink.field(&self.field, &self.value)? } else { sink.too_long() }
                }
            }
            _ => {
                self.blob.clear();
                input.string(&mut self.blob, usize::MAX)?;
                match form {
                    HASH_ZIPMAP => fields(Entries::of_zipmap(&self.blob)?, sink)?,
                    HASH_ZIPLIST => fields(Entries::of_ziplist(&self.blob)?, sink)?,
                    _ => fields(Entries::of_listpack(&self.blob)?, sink)?,
                }
            }
        }
        Ok(())
    }
}

/// Shows entries in turn as fields and values.
fn fields(mut entries: Entries<'_>, sink: &mut dyn Sink) -> Result<(), Trouble> {
    let most = sink.most_bytes();
    while let Some(field) = entries.next() {
        let value = entries.next().ok_or(Malformed("a field without a value"))?;
        let (mut one, mut other) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (field, value) = (field?.bytes(&mut one), value?.bytes(&mut other));
        if field.len() <= most && value.len() <= most { sink.field(field, value)? } else { sink.too_long() }
    }
    Ok(())
}
