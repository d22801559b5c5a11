//! Files of every kind, and hostile ones.

use std::collections::BTreeMap;

use super::{Input, Malformed, NEWEST, Trouble, parse};
use crate::tools::ToolError;
use crate::tools::import::{Kind, Sink};

const COMPRESSED: &[u8] = include_bytes!("../../../../tests/fixtures/redis-7.0.rdb");
const PLAIN: &[u8] = include_bytes!("../../../../tests/fixtures/redis-7.0-plain.rdb");

/// A deadline, fields and values; a string is the value of a field without a name.
type Shown = (Option<u64>, Vec<(String, String)>);

/// Keeps what it is shown.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kept {
    most: usize,
    keys: BTreeMap<String, Shown>,
    others: Vec<String>,
    key: String,
    long: u64,
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

impl Sink for Kept {
    fn key(&mut self, key: &[u8], kind: Kind, deadline: Option<u64>) -> Result<bool, ToolError> {
        self.key = text(key);
        let wanted = matches!(kind, Kind::String | Kind::Hash);
        if wanted {
            self.keys.insert(self.key.clone(), (deadline, Vec::new()));
        } else {
            self.others.push(format!("{} {kind:?}", self.key));
        }
        Ok(wanted)
    }

    fn most_bytes(&self) -> usize {
        self.most
    }

    fn string(&mut self, value: &[u8]) -> Result<(), ToolError> {
        self.field(b"", value)
    }

    fn field(&mut self, field: &[u8], value: &[u8]) -> Result<(), ToolError> {
        self.keys.get_mut(&self.key).expect("it was told").1.push((text(field), text(value)));
        Ok(())
    }

    fn too_long(&mut self) {
        self.long += 1;
    }

    fn end(&mut self) -> Result<(), ToolError> {
        Ok(())
    }

    fn passed(&mut self, _: u64) {}
}

fn read_most(bytes: &[u8], most: usize) -> Result<Kept, &'static str> {
    let mut kept = Kept { most, ..Kept::default() };
    let mut source = bytes;
    match parse(&mut Input::of(&mut source, bytes.len() as u64), 0, &mut kept) {
        Ok(()) => Ok(kept),
        Err(Trouble::Malformed(Malformed(what))) => Err(what),
        Err(Trouble::Sink(error)) => panic!("{error:?}"),
    }
}

fn read(bytes: &[u8]) -> Result<Kept, &'static str> {
    read_most(bytes, usize::MAX)
}

/// A file of version 4, which has no checksum, with this between its head and its end.
fn file(body: &[&[u8]]) -> Vec<u8> {
    [b"REDIS0004".as_slice(), &body.concat(), &[0xff]].concat()
}

#[test]
fn files_of_redis_7_are_read() {
    let kept = read(COMPRESSED).unwrap();
    assert_eq!(kept.keys.len(), 17);
    assert_eq!(kept.keys["t:string"], (Some(4_102_444_800_123), vec![(String::new(), "5".to_owned())]));
    assert_eq!(kept.keys["h:many"].1.len(), 150);
    assert_eq!(kept.others.len(), 10);
    assert_eq!(kept.others.iter().filter(|other| other.ends_with("Elsewhere")).count(), 2);
    let mut plain = read(PLAIN).unwrap();
    // Each save has an order of its own, and a deadline that passed when it was made.
    let passed = plain.keys.get_mut("t:passed").unwrap();
    assert!(passed.0.is_some());
    passed.0 = kept.keys["t:passed"].0;
    let sorted = |kept: &Kept| {
        let mut keys = kept.keys.clone();
        keys.values_mut().for_each(|(_, fields)| fields.sort());
        keys
    };
    assert_eq!(sorted(&plain), sorted(&kept));
}

#[test]
fn what_is_too_long_is_passed_over() {
    for bytes in [COMPRESSED, PLAIN] {
        let kept = read_most(bytes, 64).unwrap();
        assert_eq!(kept.long, 5, "s:repeated, s:long, two of h:strings, one of h:table");
        assert!(kept.keys["s:long"].1.is_empty());
        assert_eq!(kept.keys["h:strings"].1.len(), 2);
    }
}

#[test]
fn older_forms_of_hashes_are_read() {
    let ziplist = b"\x15\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x01f\x03\xfe\x07\xff";
    let zipmap = b"\x01\x01f\x01\x00v\xff";
    let kept = read(&file(&[
        &[13, 1, b'a', 17],
        ziplist,
        // In seconds.
        &[253, 1, 0, 0, 0, 9, 1, b'b', 7],
        zipmap,
        &[4, 1, b'c', 1, 1, b'f', 0xc0, 0xff],
    ]))
    .unwrap();
    let pair = |value: &str| vec![("f".to_owned(), value.to_owned())];
    assert_eq!(kept.keys["a"], (None, pair("7")));
    assert_eq!(kept.keys["b"], (Some(1000), pair("v")));
    assert_eq!(kept.keys["c"], (None, pair("-1")), "the deadline was the one key's");
}

#[test]
fn what_has_no_place_is_passed_over() {
    let module: &[u8] = &[
        7, 1, b'm', 0x81, 0, 0, 0, 0, 0, 0, 0, 9, 2, 5, 3, 1, 2, 3, 4, 4, 1, 2, 3, 4, 5, 6, 7, 8, 5, 1, b'x',
        0,
    ];
    let aux: &[u8] = &[247, 9, 2, 1, 5, 1, b'x', 0];
    let fields: &[u8] = &[24, 1, b'h', 1, 0, 0, 0, 0, 0, 0, 0, 1, 5, 1, b'f', 1, b'v'];
    let fields_packed: &[u8] = &[25, 1, b'p', 1, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3];
    let scores: &[u8] =
        &[3, 1, b'z', 4, 1, b'a', 253, 1, b'b', 254, 1, b'c', 255, 1, b'd', 3, b'1', b'.', b'5'];
    let quicklist: &[u8] = &[18, 1, b'l', 2, 1, 1, b'x', 2, 1, b'y'];
    // One node, its entries; one group with an entry that a consumer has, who was active at some time.
    let mut stream = vec![21, 1, b's', 1, 1, b'i', 1, b'n', 1, 5, 6, 5, 6, 0, 0, 1, 1, 1, b'g', 5, 6, 1, 1];
    stream.extend([0; 24]);
    stream.extend([1, 1, 1, b'c']);
    stream.extend([0; 16]);
    stream.push(1);
    stream.extend([0; 16]);
    let kept = read(&file(&[
        aux,
        module,
        fields,
        fields_packed,
        scores,
        quicklist,
        &stream,
        &[0, 1, b'k', 1, b'v'],
    ]));
    let kept = kept.unwrap();
    assert_eq!((kept.keys.len(), kept.others.len()), (1, 6), "{kept:?}");
}

#[test]
fn every_truncation_is_refused() {
    for bytes in [COMPRESSED, PLAIN] {
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err(), "the first {len} bytes");
        }
        assert!(read(&[bytes, b"x"].concat()).unwrap_err().contains("follows"));
    }
}

/// A generator of numbers (Marsaglia's xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("it is below a usize")
    }
}

#[test]
fn flipped_bits_are_found_by_the_checksum() {
    for seed in 1..=400 {
        let (mut chance, mut bytes) = (Chance(seed), COMPRESSED.to_vec());
        let end = bytes.len() - 8;
        // The version may become one that has no checksum.
        let at = 9 + chance.below(end - 9);
        bytes[at] ^= 1 << chance.below(8);
        assert!(read(&bytes).is_err(), "seed {seed}, byte {at}");
    }
}

#[test]
fn damage_without_a_checksum_is_survived() {
    for seed in 1..=2000 {
        let mut chance = Chance(seed);
        let mut bytes = if seed % 2 == 0 { COMPRESSED.to_vec() } else { PLAIN.to_vec() };
        // Version 4 has none, so that the bytes behind the first damage are read too.
        bytes[8] = b'4';
        bytes[5..8].fill(b'0');
        for _ in 0..1 + chance.below(8) {
            let at = 9 + chance.below(bytes.len() - 9);
            match chance.below(3) {
                0 => bytes[at] ^= 1 << chance.below(8),
                1 => bytes[at] = [0, 0x80, 0x81, 0xc3, 0xff, 0xfe][chance.below(6)],
                _ => bytes.truncate(at.max(10)),
            }
        }
        // Only that it comes back: with an error, or with what the damage has made of it.
        let _ = read(&bytes);
    }
}

#[test]
fn declared_lengths_take_no_memory() {
    let huge = [0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    for body in [
        [&[0, 1, b'k'][..], &huge].concat(),
        [&[4, 1, b'k'][..], &huge].concat(),
        [&[1, 1, b'k'][..], &huge].concat(),
        [&[0][..], &huge].concat(),
        [&[0, 1, b'k', 0xc3][..], &huge, &huge].concat(),
        [&[0, 1, b'k', 0xc3, 2][..], &huge, b"\x00a"].concat(),
        [&[16, 1, b'k', 0xc3, 2][..], &huge, b"\x00a"].concat(),
        [&[15, 1, b'k'][..], &huge].concat(),
    ] {
        assert!(read(&file(&[&body])).is_err(), "{body:?}");
    }
}

#[test]
fn other_files_are_named() {
    assert_eq!(read(b"*1\r\n$4\r\nPING\r\n").unwrap_err(), "it is no RDB file of Redis");
    let newer = format!("REDIS{:04}", NEWEST + 1);
    assert!(read(newer.as_bytes()).unwrap_err().contains("newer"));
    assert!(read(b"REDIS00x1").is_err());
    let zero = read(b"REDIS0000\xff").unwrap_err();
    assert!(!zero.is_empty());
    assert_eq!(read(&file(&[])).unwrap(), Kept { most: usize::MAX, ..Kept::default() });
}

/// Reading a length within a length within a length needs a piece of the stack for each, of which there is no end.
#[test]
fn a_compressed_length_is_refused() {
    let nested = vec![0xc3; 4_000_000];
    assert_eq!(read(&file(&[b"\x00", &nested])), Err("a string where a length belongs"));
    assert_eq!(read(&file(&[&[254], &nested])), Err("a string where a length belongs"));
}
