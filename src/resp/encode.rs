//! Replies, written in RESP2 or RESP3 straight into a connection's outgoing block.
//!
//! The shapes and their fallbacks in RESP2 are those of the protocol's specification
//! (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).

use bytes::Bytes;

use super::codes::code_of;

/// The protocol version that a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2, until the client asks for more.
    #[default]
    Resp2,
    /// RESP3, after `HELLO 3`.
    Resp3,
}

/// Takes outgoing blocks that are full and gives empty ones.
pub trait Spill {
    /// Queues what `block` holds and leaves an empty block with room for more in its place.
    fn spill(&mut self, block: &mut Vec<u8>);

    /// Queues `bytes` as they are, after everything queued so far.
    fn attach(&mut self, bytes: Bytes);

    /// An error of this code is being written.
    fn failed(&mut self, code: &[u8]) {
        let _nobody_counts = code;
    }
}

/// Writes replies. `block` never grows: at its capacity it is spilled.
pub struct Encoder<'a> {
    block: &'a mut Vec<u8>,
    spill: &'a mut dyn Spill,
    protocol: Protocol,
    errors: u32,
}

impl std::fmt::Debug for Encoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// Longest reply that is written piece by piece into a reserved space: type, 20 digits, line end.
const SCALAR: usize = 24;

/// CR and LF, the first one lowest.
const LINE_END: u64 = 0x0A0D;

/// The decimal form of a number of at most six digits and a line end after it, the first digit lowest, and how many digits
/// there are; `None`: it has more, or a sign.
///
/// All at once: halves of four digits, quarters of two, single ones, by multiplication with reciprocals that are exact in
/// these ranges. What counters hold is short, and to write it digit by digit takes more.
#[inline]
fn short(value: i64) -> Option<(u64, u32)> {
    let value = u64::try_from(value).ok().filter(|value| *value < 1_000_000)?;
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = (fours * 10_486) >> 20 & 0x7F_0000_007F;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = (twos * 103) >> 10 & 0x000F_000F_000F_000F;
    let ones = tens | (twos - 10 * tens) << 8;
    // Bits of the bytes before the first digit; the last one is shown whatever it is.
    let before = (ones | 1 << 56).trailing_zeros() & !7;
    let digits = (ones | 0x3030_3030_3030_3030) >> before;
    Some((digits | LINE_END << (64 - before), 8 - before / 8))
}

impl<'a> Encoder<'a> {
    /// An encoder that appends to `block` and spills it when it is full.
    #[inline]
    pub fn new(block: &'a mut Vec<u8>, spill: &'a mut dyn Spill, protocol: Protocol) -> Self {
        Self { block, spill, protocol, errors: 0 }
    }

    /// The protocol version replies are written in.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Errors written so far.
    #[inline]
    pub fn errors(&self) -> u32 {
        self.errors
    }

    /// An encoder that writes where this one does. What became of it is told with [`Encoder::catch_up`].
    pub fn lend(&mut self) -> Encoder<'_> {
        Encoder {
            block: &mut *self.block,
            spill: &mut *self.spill,
            protocol: self.protocol,
            errors: self.errors,
        }
    }

    /// Goes on where a lent encoder ended, which had come to this version and number of errors.
    pub fn catch_up(&mut self, protocol: Protocol, errors: u32) {
        (self.protocol, self.errors) = (protocol, errors);
    }

    /// Changes the version, from the next reply on (`HELLO`, `RESET`).
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// `+text`
    #[inline]
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `+OK`
    #[inline]
    pub fn ok(&mut self) {
        self.put(b"+OK\r\n");
    }

    /// `-text`. The text starts with its code (`ERR`, `WRONGTYPE` …). Line ends inside become blanks, those at its end nothing, as in Redis.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        self.error_parts([text.as_ref()]);
    }

    /// One error whose text is these parts in a row, so that a text that quotes an argument needs no allocation.
    pub fn error_parts<'p>(&mut self, parts: impl IntoIterator<Item = &'p [u8]>) {
        self.errors += 1;
        self.put(b"-");
        let mut begins = true;
        // Those at the end are left out.
        let mut line_ends = 0;
        for part in parts {
            // The code is never cut in two.
            if !part.is_empty() && std::mem::take(&mut begins) {
                self.spill.failed(code_of(part));
            }
            for (at, piece) in part.split(|&byte| byte == b'\r' || byte == b'\n').enumerate() {
                line_ends += usize::from(at > 0);
                if !piece.is_empty() {
                    (0..std::mem::take(&mut line_ends)).for_each(|_| self.put(b" "));
                    self.put(piece);
                }
            }
        }
        self.put(b"\r\n");
    }

    /// `:value`
    #[inline]
    pub fn integer(&mut self, value: i64) {
        self.number(b':', value);
    }

    /// A length or count as an integer reply.
    pub fn count(&mut self, value: usize) {
        self.integer(i64::try_from(value).expect("counts of things in memory fit an i64"));
    }

    /// `$len bytes`
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len());
        self.put(bytes);
        self.put(b"\r\n");
    }

    /// The decimal form of `value` as a bulk string: a counter's value as `GET` shows it.
    #[inline]
    pub fn bulk_integer(&mut self, value: i64) {
        let Some((digits, len)) = short(value) else { return self.long_bulk_integer(value) };
        self.room(SCALAR);
        let head = u64::from(b'$') | u64::from(b'0') << 8 | u64::from(len) << 8 | LINE_END << 16;
        self.append(u128::from(head) | u128::from(digits) << 32, 6 + len);
    }

    /// The same for a number of any length; apart, so that the usual needs fewer registers.
    #[cold]
    #[inline(never)]
    fn long_bulk_integer(&mut self, value: i64) {
        let mut digits = itoa::Buffer::new();
        self.bulk(digits.format(value).as_bytes());
    }

    /// A float in its decimal form: `,value` in RESP3, a bulk string in RESP2.
    pub fn double(&mut self, decimal: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(decimal),
            Protocol::Resp3 => self.line(b',', decimal),
        }
    }

    /// Text with a format hint: a verbatim string in RESP3, a bulk string in RESP2.
    pub fn verbatim(&mut self, format: [u8; 3], text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.header(b'=', text.len() + 4);
                self.put(&format);
                self.put(b":");
                self.put(text);
                self.put(b"\r\n");
            }
        }
    }

    /// The absent value: `_` in RESP3, the null bulk string in RESP2.
    #[inline]
    pub fn null(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.put(b"$-1\r\n"),
            Protocol::Resp3 => self.put(b"_\r\n"),
        }
    }

    /// The absent array: `_` in RESP3, the null array in RESP2.
    pub fn null_array(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.put(b"*-1\r\n"),
            Protocol::Resp3 => self.put(b"_\r\n"),
        }
    }

    /// `#t` or `#f` in RESP3, `:1` or `:0` in RESP2.
    pub fn boolean(&mut self, value: bool) {
        match (self.protocol, value) {
            (Protocol::Resp2, true) => self.put(b":1\r\n"),
            (Protocol::Resp2, false) => self.put(b":0\r\n"),
            (Protocol::Resp3, true) => self.put(b"#t\r\n"),
            (Protocol::Resp3, false) => self.put(b"#f\r\n"),
        }
    }

    /// Announces `len` elements, which follow.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// Announces `pairs` keys with their values: a map in RESP3, an array of twice as many in RESP2.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', pairs * 2),
            Protocol::Resp3 => self.header(b'%', pairs),
        }
    }

    /// Announces a set of `len` elements: an array in RESP2.
    pub fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', len),
            Protocol::Resp3 => self.header(b'~', len),
        }
    }

    /// Replies that were encoded before, in this connection's protocol version.
    pub fn encoded(&mut self, bytes: Bytes) {
        if bytes.len() <= self.block.capacity() - self.block.len() {
            self.block.extend_from_slice(&bytes);
        } else {
            self.spill.spill(self.block);
            self.spill.attach(bytes);
        }
    }

    /// A reply that was encoded before.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.put(bytes);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.room(1);
        self.block.push(kind);
        self.put(text);
        self.put(b"\r\n");
    }

    #[inline]
    fn header(&mut self, kind: u8, len: usize) {
        if len < 100 {
            let (tens, ones) = (len as u64 / 10, len as u64 % 10);
            // The first digit is left out where it is none.
            let (digits, count) =
                if tens == 0 { (0x30 + ones, 1) } else { ((0x3030 + tens) | (ones << 8), 2) };
            self.room(SCALAR);
            let line = u64::from(kind) | (digits | LINE_END << (8 * count)) << 8;
            return self.append(line.into(), 3 + count);
        }
        self.number(kind, i64::try_from(len).expect("lengths of things in memory fit an i64"));
    }

    #[inline]
    fn number(&mut self, kind: u8, value: i64) {
        let Some((digits, len)) = short(value) else { return self.long_number(kind, value) };
        self.room(SCALAR);
        self.append(u128::from(kind) | u128::from(digits) << 8, 3 + len);
    }

    /// The same for a number of any length; apart, so that the usual needs fewer registers.
    #[cold]
    #[inline(never)]
    fn long_number(&mut self, kind: u8, value: i64) {
        self.room(SCALAR);
        self.block.push(kind);
        self.block.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.block.extend_from_slice(b"\r\n");
    }

    /// Appends the first `len` of 16 bytes, for which there is room. As many as that are written each time: a copy of a
    /// fixed length is one instruction, of a variable length a call.
    #[inline]
    fn append(&mut self, bytes: u128, len: u32) {
        let end = self.block.len() + len as usize;
        self.block.extend_from_slice(&bytes.to_le_bytes());
        self.block.truncate(end);
    }

    /// Makes sure that `bytes` more fit into the block.
    #[inline]
    fn room(&mut self, bytes: usize) {
        if self.block.capacity() - self.block.len() < bytes {
            self.spill.spill(self.block);
            debug_assert!(self.block.capacity() - self.block.len() >= bytes);
        }
    }

    #[inline]
    fn put(&mut self, mut bytes: &[u8]) {
        loop {
            let room = self.block.capacity() - self.block.len();
            if bytes.len() <= room {
                return self.block.extend_from_slice(bytes);
            }
            let (now, later) = bytes.split_at(room);
            self.block.extend_from_slice(now);
            self.spill.spill(self.block);
            bytes = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Encoder, Protocol, Spill};

    struct Nobody;

    impl Spill for Nobody {
        fn spill(&mut self, _: &mut Vec<u8>) {
            unreachable!("there is room");
        }

        fn attach(&mut self, _: Bytes) {
            unreachable!("nothing is attached");
        }
    }

    /// What is written for a number, after something else.
    fn written(write: impl FnOnce(&mut Encoder<'_>)) -> String {
        let mut block = Vec::with_capacity(64);
        block.extend_from_slice(b"before");
        let mut nobody = Nobody;
        write(&mut Encoder::new(&mut block, &mut nobody, Protocol::Resp2));
        String::from_utf8(block.split_off(b"before".len())).expect("numbers are ASCII")
    }

    fn check(number: i64) {
        assert_eq!(written(|reply| reply.integer(number)), format!(":{number}\r\n"));
        let digits = number.to_string();
        let bulk = format!("${}\r\n{digits}\r\n", digits.len());
        assert_eq!(written(|reply| reply.bulk_integer(number)), bulk);
    }

    #[test]
    fn numbers_around_every_power_of_ten() {
        for power in 0..19 {
            let power = 10_i64.pow(power);
            for number in [power - 1, power, power + 1, 2 * (power / 3), 9 * (power / 10)] {
                check(number);
                check(-number);
            }
        }
        (0..20_000).for_each(check);
        [i64::MIN, i64::MAX].into_iter().for_each(check);
    }

    proptest! {
        #[test]
        fn numbers_of_any_length(number in any::<i64>(), bits in 0..64_u32) {
            let number = number >> bits;
            let expected = format!(":{number}\r\n");
            prop_assert_eq!(written(|reply| reply.integer(number)), expected);
            check(number);
        }
    }
}
