//! Small hashes as one string of bytes: listpacks (Redis 7.0 and newer), ziplists (2.6 to 6.2) and zipmaps (before).

use super::input::Malformed;

const BROKEN: Malformed = Malformed("a small hash that is broken");

/// A field or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry<'b> {
    Bytes(&'b [u8]),
    Integer(i64),
}

impl<'b> Entry<'b> {
    /// Its bytes, for which there is room in `digits`.
    pub(super) fn bytes<'d>(self, digits: &'d mut itoa::Buffer) -> &'d [u8]
    where
        'b: 'd,
    {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Integer(number) => digits.format(number).as_bytes(),
        }
    }
}

/// What is not yet read.
#[derive(Clone, Copy)]
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, len: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(BROKEN)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1).map(|taken| taken[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N).map(|taken| taken.try_into().expect("as many were taken"))
    }

    /// So many bytes, where the number has 32 bits.
    fn long(&mut self, len: u32) -> Result<Entry<'b>, Malformed> {
        usize::try_from(len).map_err(|_| BROKEN).and_then(|len| self.take(len)).map(Entry::Bytes)
    }

    fn bytes(&mut self, len: usize) -> Result<Entry<'b>, Malformed> {
        self.take(len).map(Entry::Bytes)
    }

    /// A number of `N` bytes with a sign, the lowest first.
    fn integer<const N: usize>(&mut self) -> Result<Entry<'b>, Malformed> {
        let taken: [u8; N] = self.array()?;
        let mut bytes = [0; 8];
        bytes[8 - N..].copy_from_slice(&taken);
        // The sign comes down with it.
        Ok(Entry::Integer(i64::from_le_bytes(bytes) >> (64 - 8 * N)))
    }

    /// Whether the mark of the end comes next, which nothing follows.
    fn ended(&self) -> Result<bool, Malformed> {
        match self.0 {
            [] | [0xff, _, ..] => Err(BROKEN),
            [first, ..] => Ok(*first == 0xff),
        }
    }
}

/// Reads an entry, of which so many stand before it.
type ReadEntry<'b> = fn(&mut Rest<'b>, usize) -> Result<Entry<'b>, Malformed>;

/// Entries, fields and values in turn: up to the mark of the end, or to the first thing that is broken.
pub(super) struct Entries<'b> {
    rest: Rest<'b>,
    read: ReadEntry<'b>,
    count: usize,
    done: bool,
}

impl<'b> Entries<'b> {
    fn of(bytes: &'b [u8], head: usize, read: ReadEntry<'b>) -> Result<Self, Malformed> {
        let mut rest = Rest(bytes);
        rest.take(head)?;
        Ok(Self { rest, read, count: 0, done: false })
    }

    /// Of a listpack (`listpack.c`): behind each stands its length, for the way back.
    pub(super) fn of_listpack(bytes: &'b [u8]) -> Result<Self, Malformed> {
        Self::of(bytes, 6, |rest, _| rest.listpack())
    }

    /// Of a ziplist (`ziplist.c`): before each stands the length of the one before.
    pub(super) fn of_ziplist(bytes: &'b [u8]) -> Result<Self, Malformed> {
        Self::of(bytes, 10, |rest, _| rest.ziplist())
    }

    /// Of a zipmap (`zipmap.c`): with a value comes the number of unused bytes behind it.
    pub(super) fn of_zipmap(bytes: &'b [u8]) -> Result<Self, Malformed> {
        Self::of(bytes, 1, |rest, count| rest.zipmap(count % 2 == 1))
    }
}

impl<'b> Iterator for Entries<'b> {
    type Item = Result<Entry<'b>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let entry = match self.rest.ended() {
            Ok(true) => None,
            Ok(false) => Some((self.read)(&mut self.rest, self.count)),
            Err(broken) => Some(Err(broken)),
        };
        self.count += 1;
        self.done = !matches!(entry, Some(Ok(_)));
        entry
    }
}

impl<'b> Rest<'b> {
    fn listpack(&mut self) -> Result<Entry<'b>, Malformed> {
        let rest = self;
        let before = rest.0.len();
        let first = rest.byte()?;
        let entry = match first {
            0..=0x7f => Entry::Integer(first.into()),
            0x80..=0xbf => rest.bytes(usize::from(first & 0x3f))?,
            0xc0..=0xdf => {
                let number = i64::from(first & 0x1f) << 8 | i64::from(rest.byte()?);
                Entry::Integer(if number < 1 << 12 { number } else { number - (1 << 13) })
            }
            0xe0..=0xef => {
                let len = usize::from(first & 0x0f) << 8 | usize::from(rest.byte()?);
                rest.bytes(len)?
            }
            0xf0 => {
                let len = u32::from_le_bytes(rest.array()?);
                rest.long(len)?
            }
            0xf1 => rest.integer::<2>()?,
            0xf2 => rest.integer::<3>()?,
            0xf3 => rest.integer::<4>()?,
            0xf4 => rest.integer::<8>()?,
            _ => return Err(BROKEN),
        };
        // Its length, seven bits a byte.
        rest.take(match before - rest.0.len() {
            0..=0x7f => 1,
            0x80..=0x3fff => 2,
            0x4000..=0x1f_ffff => 3,
            0x20_0000..=0xfff_ffff => 4,
            _ => 5,
        })?;
        Ok(entry)
    }

    fn ziplist(&mut self) -> Result<Entry<'b>, Malformed> {
        let rest = self;
        if rest.byte()? == 0xfe {
            rest.take(4)?;
        }
        let first = rest.byte()?;
        match first {
            0..=0x3f => rest.bytes(usize::from(first)),
            0x40..=0x7f => {
                let len = usize::from(first & 0x3f) << 8 | usize::from(rest.byte()?);
                rest.bytes(len)
            }
            0x80 => {
                let len = u32::from_be_bytes(rest.array()?);
                rest.long(len)
            }
            0xc0 => rest.integer::<2>(),
            0xd0 => rest.integer::<4>(),
            0xe0 => rest.integer::<8>(),
            0xf0 => rest.integer::<3>(),
            0xfe => rest.integer::<1>(),
            0xf1..=0xfd => Ok(Entry::Integer(i64::from(first & 0x0f) - 1)),
            _ => Err(BROKEN),
        }
    }

    fn zipmap(&mut self, is_value: bool) -> Result<Entry<'b>, Malformed> {
        let first = self.byte()?;
        let len = match first {
            0xfe => u32::from_le_bytes(self.array()?),
            0xff => return Err(BROKEN),
            _ => first.into(),
        };
        let unused = if is_value { self.byte()? } else { 0 };
        let entry = self.long(len)?;
        self.take(unused.into())?;
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::{BROKEN, Entries, Entry};

    fn all(entries: Entries<'_>) -> Vec<Result<String, super::Malformed>> {
        let text =
            |entry: Entry<'_>| String::from_utf8_lossy(entry.bytes(&mut itoa::Buffer::new())).into_owned();
        entries.map(|entry| entry.map(text)).collect()
    }

    fn texts(entries: Entries<'_>) -> Vec<String> {
        all(entries).into_iter().map(|entry| entry.expect("it is whole")).collect()
    }

    #[test]
    fn a_zipmap_has_unused_bytes_behind_values() {
        let bytes = b"\x02\x03foo\x03\x00bar\x05hello\x05\x02world..\xff";
        assert_eq!(texts(Entries::of_zipmap(bytes).unwrap()), ["foo", "bar", "hello", "world"]);
        let long = [&b"\x01\xfe\x2c\x01\x00\x00"[..], &[b'f'; 300], b"\x01\x00v\xff"].concat();
        assert_eq!(texts(Entries::of_zipmap(&long).unwrap())[0].len(), 300);
    }

    #[test]
    fn a_ziplist_has_numbers_of_six_widths() {
        let mut bytes = vec![0; 10];
        for entry in [
            &b"\x00\x03abc"[..],
            b"\x05\x40\x02de",
            b"\xfe\x00\x00\x00\x00\x80\x00\x00\x00\x01f",
            b"\x00\xc0\xff\xff",
            b"\x00\xd0\xfe\xff\xff\xff",
            b"\x00\xe0\x00\x00\x00\x00\x00\x00\x00\x80",
            b"\x00\xf0\x00\x00\x80",
            b"\x00\xfe\x80",
            b"\x00\xf1",
            b"\x00\xfd",
            b"\xff",
        ] {
            bytes.extend_from_slice(entry);
        }
        let expected = ["abc", "de", "f", "-1", "-2", "-9223372036854775808", "-8388608", "-128", "0", "12"];
        assert_eq!(texts(Entries::of_ziplist(&bytes).unwrap()), expected);
    }

    #[test]
    fn a_listpack_has_numbers_of_six_widths() {
        let mut bytes = vec![0; 6];
        for entry in [
            &b"\x7f\x01"[..],
            b"\x82ab\x03",
            b"\xdf\xff\x02",
            b"\xcf\xff\x02",
            b"\xe0\x01c\x03",
            b"\xf0\x01\x00\x00\x00d\x06",
            b"\xf1\x00\x80\x03",
            b"\xf2\xff\xff\x7f\x04",
            b"\xf3\xff\xff\xff\x7f\x05",
            b"\xf4\xff\xff\xff\xff\xff\xff\xff\x7f\x09",
            b"\xff",
        ] {
            bytes.extend_from_slice(entry);
        }
        let expected =
            ["127", "ab", "-1", "4095", "c", "d", "-32768", "8388607", "2147483647", "9223372036854775807"];
        assert_eq!(texts(Entries::of_listpack(&bytes).unwrap()), expected);
    }

    #[test]
    fn what_is_broken_ends_it() {
        assert!(Entries::of_listpack(b"12345").is_err());
        for bytes in [&b"123456"[..], b"123456\xff\xff", b"123456\x82a", b"123456\xf5", b"123456\x00"] {
            let last = all(Entries::of_listpack(bytes).unwrap()).pop();
            assert_eq!(last, Some(Err(BROKEN)), "{bytes:?}");
        }
    }
}
