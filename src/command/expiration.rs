//! The deadline options that commands have besides what they do: `EX`, `PX`, `EXAT`, `PXAT`, and one word of their own.

use crate::resp::args::ArgsIter;

use super::Now;
use super::expire::{self, Base, TimeError, Unit};

/// A deadline option, before its time is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiration<'a> {
    /// None was given.
    Absent,
    /// The command's own word: `KEEPTTL` or `PERSIST`.
    Word,
    /// `EX`, `PX`, `EXAT`, `PXAT` and the text of the time.
    At(Unit, Base, &'a [u8]),
}

/// The same, its time read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewTime {
    /// None was given.
    Absent,
    /// The command's own word.
    Word,
    /// Milliseconds since the Unix epoch.
    At(u64),
}

impl<'a> Expiration<'a> {
    /// This and one option more, whose time is the next of `rest`. The same option may come twice, and then the last
    /// one counts, as in Redis. `None`: it is no deadline option, lacks its time, or does not go with this one.
    pub(super) fn and(self, word: &[u8], option: &[u8], rest: &mut ArgsIter<'a>) -> Option<Self> {
        if option.eq_ignore_ascii_case(word) {
            return match self {
                Self::Absent | Self::Word => Some(Self::Word),
                Self::At(..) => None,
            };
        }
        let (unit, base) = if option.eq_ignore_ascii_case(b"ex") {
            (Unit::Seconds, Base::Now)
        } else if option.eq_ignore_ascii_case(b"px") {
            (Unit::Milliseconds, Base::Now)
        } else if option.eq_ignore_ascii_case(b"exat") {
            (Unit::Seconds, Base::Epoch)
        } else if option.eq_ignore_ascii_case(b"pxat") {
            (Unit::Milliseconds, Base::Epoch)
        } else {
            return None;
        };
        match self {
            Self::Absent => {}
            Self::At(before_unit, before_base, _) if (before_unit, before_base) == (unit, base) => {}
            Self::Word | Self::At(..) => return None,
        }
        Some(Self::At(unit, base, rest.next()?))
    }

    /// Reads the time.
    pub(super) fn read(self, now: Now) -> Result<NewTime, TimeError> {
        match self {
            Self::Absent => Ok(NewTime::Absent),
            Self::Word => Ok(NewTime::Word),
            Self::At(unit, base, text) => expire::deadline(text, unit, base, now).map(NewTime::At),
        }
    }
}
