//! What becomes of each key that a source shows: effects for the log, or a reason why it was left out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::log::Log;
use super::progress::Progress;
use super::{Kind, Sink};
use crate::limits::KEY_BYTES;
use crate::table::effect::{Effect, Removal};
use crate::table::{Scalar, Value};
use crate::tools::ToolError;

/// Keys between two looks at the clock.
const KEYS_PER_LOOK: u64 = 256;

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Summary {
    keys: u64,
    strings: u64,
    hashes: u64,
    fields: u64,
    expired: u64,
    elsewhere: u64,
    too_long: u64,
    others: BTreeMap<&'static str, u64>,
}

impl Summary {
    /// As lines.
    pub(super) fn text(&self, dir: &Path, ms: u64) -> String {
        let mut reasons = vec![
            (self.expired, "whose deadline has passed".to_owned()),
            (self.elsewhere, "in other databases".to_owned()),
            (self.too_long, "keys, values or fields that are too long".to_owned()),
        ];
        reasons.extend(self.others.iter().map(|(name, count)| (*count, format!("of type {name}"))));
        let seconds = std::time::Duration::from_millis(ms).as_secs_f64();
        let rate = u128::from(self.keys) * 1000 / u128::from(ms.max(1));
        let mut text = format!(
            "{}: {} keys ({} strings, {} hashes with {} fields), {seconds:.2} s, {rate} keys/s\n",
            dir.display(),
            self.keys,
            self.strings,
            self.hashes,
            self.fields
        );
        for (count, reason) in reasons.iter().filter(|(count, _)| *count > 0) {
            writeln!(text, "  left out          {count} {reason}").expect("a string can be written to");
        }
        text
    }
}

/// Takes keys.
pub(super) struct Intake<'l, 't, 'o> {
    log: &'l mut Log,
    progress: Progress<'t, 'o>,
    most_bytes: usize,
    /// A key may be there already, and what it holds then goes.
    replaces: bool,
    now_ms: u64,
    summary: Summary,
    /// The key that is under way, its kind and deadline; and fields of it that were taken.
    key: Vec<u8>,
    deadline: Option<u64>,
    kind: Kind,
    taken: u64,
    /// Keys seen, those left out included.
    seen: u64,
}

impl<'l, 't, 'o> Intake<'l, 't, 'o> {
    pub(super) fn new(
        log: &'l mut Log,
        progress: Progress<'t, 'o>,
        most_bytes: usize,
        replaces: bool,
        now_ms: u64,
    ) -> Self {
        Self {
            log,
            progress,
            most_bytes,
            replaces,
            now_ms,
            summary: Summary::default(),
            key: Vec::new(),
            deadline: None,
            kind: Kind::String,
            taken: 0,
            seen: 0,
        }
    }

    /// Hands the last effects to the log.
    pub(super) fn finish(mut self) -> Result<Summary, ToolError> {
        self.progress.end();
        self.log.flush()?;
        Ok(self.summary)
    }
}

impl Sink for Intake<'_, '_, '_> {
    fn key(&mut self, key: &[u8], kind: Kind, deadline: Option<u64>) -> Result<bool, ToolError> {
        self.seen += 1;
        let summary = &mut self.summary;
        let left_out = match kind {
            Kind::Elsewhere => &mut summary.elsewhere,
            Kind::Other(name) => summary.others.entry(name).or_default(),
            Kind::String | Kind::Hash if key.len() > KEY_BYTES => &mut summary.too_long,
            Kind::String | Kind::Hash if deadline.is_some_and(|deadline| deadline <= self.now_ms) => {
                &mut summary.expired
            }
            Kind::String | Kind::Hash => {
                self.key.clear();
                self.key.extend_from_slice(key);
                (self.kind, self.deadline, self.taken) = (kind, deadline, 0);
                return Ok(true);
            }
        };
        *left_out += 1;
        Ok(false)
    }

    fn most_bytes(&self) -> usize {
        self.most_bytes
    }

    fn string(&mut self, value: &[u8]) -> Result<(), ToolError> {
        self.taken = 1;
        self.log.add(&Effect::Set { key: &self.key, value: Value::of(value), deadline: self.deadline })
    }

    fn field(&mut self, field: &[u8], value: &[u8]) -> Result<(), ToolError> {
        if self.taken == 0 && self.replaces {
            self.log.add(&Effect::Remove { key: &self.key, cause: Removal::Command })?;
        }
        self.taken += 1;
        self.log.add(&Effect::Field {
            key: &self.key,
            field,
            value: Scalar::of(value),
            deadline: self.deadline,
        })
    }

    fn too_long(&mut self) {
        self.summary.too_long += 1;
    }

    fn end(&mut self) -> Result<(), ToolError> {
        if self.taken == 0 {
            return Ok(());
        }
        self.summary.keys += 1;
        match self.kind {
            Kind::Hash => {
                self.summary.hashes += 1;
                self.summary.fields += self.taken;
            }
            Kind::String | Kind::Other(_) | Kind::Elsewhere => self.summary.strings += 1,
        }
        Ok(())
    }

    fn passed(&mut self, position: u64) {
        if self.seen.is_multiple_of(KEYS_PER_LOOK) {
            self.progress.tell(position, self.summary.keys);
        }
    }
}
