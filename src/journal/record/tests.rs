//! Every effect comes back as it was; damaged bytes give an error or another effect, never a panic.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use super::{decode, encode, encoded_len};
use crate::limits::VALUE_BYTES;
use crate::table::effect::{Effect, Removal};
use crate::table::{Scalar, Value, WindowShape};

/// Bytes that effects borrow.
type Texts = (Vec<u8>, Vec<u8>, Vec<u8>);

fn texts() -> impl Strategy<Value = Texts> {
    (vec(any::<u8>(), 0..200), vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..300))
}

/// What of an effect is no bytes: which one, its sort of value, three numbers and the deadline.
type Numbers = (u8, u8, i64, u64, u64, Option<u64>);

fn numbers() -> impl Strategy<Value = Numbers> {
    let integer = prop_oneof![any::<i64>(), -200..200_i64, Just(i64::MIN), Just(i64::MAX)];
    (0..9_u8, 0..3_u8, integer, any::<u64>(), any::<u64>(), option::of(any::<u64>()))
}

fn effect<'t>((key, field, text): &'t Texts, numbers: Numbers) -> Effect<'t> {
    let (kind, sort, integer, first, second, deadline) = numbers;
    let value = match sort {
        0 => Value::Int(integer),
        1 => Value::Str(text),
        _ => Value::Throttle(integer),
    };
    match kind {
        0 => Effect::Set { key, value, deadline },
        1 => Effect::Deadline { key, deadline },
        2 => {
            let cause = [Removal::Command, Removal::Expired, Removal::Evicted][usize::from(sort)];
            Effect::Remove { key, cause }
        }
        3 => {
            let value = value.scalar().unwrap_or(Scalar::Int(integer));
            Effect::Field { key, field, value, deadline }
        }
        4 => Effect::RemoveField { key, field },
        5 => {
            let offset = usize::try_from(first).expect("64 bits") % (VALUE_BYTES - text.len() + 1);
            Effect::Splice { key, offset, bytes: text }
        }
        6 => {
            let buckets = u16::try_from(second % 1024 + 1).expect("it is that small");
            let shape = WindowShape { length_ms: first.max(1), buckets };
            Effect::Bucket { key, shape, index: second, sum: integer, deadline }
        }
        7 => {
            let key = (sort > 0).then_some(&key[..]);
            Effect::Token { key, token: field, fingerprint: first, value: integer, deadline: second }
        }
        _ => Effect::Flush,
    }
}

proptest::proptest! {
    #[test]
    fn effects_come_back(texts in texts(), numbers in numbers(), behind in vec(any::<u8>(), 0..9)) {
        let effect = effect(&texts, numbers);
        let mut bytes = vec![7];
        encode(&effect, &mut bytes);
        assert_eq!(bytes.len(), 1 + encoded_len(&effect));
        bytes.extend_from_slice(&behind);
        assert_eq!(decode(&bytes[1..]), Ok((effect, &behind[..])));
    }

    #[test]
    fn a_part_of_a_record_is_none(texts in texts(), numbers in numbers(), cut in any::<usize>()) {
        let effect = effect(&texts, numbers);
        let mut bytes = Vec::new();
        encode(&effect, &mut bytes);
        assert!(decode(&bytes[..cut % bytes.len()]).is_err());
    }

    #[test]
    fn flipped_bits_do_not_panic(texts in texts(), numbers in numbers(), flips in vec(any::<usize>(), 1..8)) {
        let mut bytes = Vec::new();
        encode(&effect(&texts, numbers), &mut bytes);
        for flip in flips {
            let at = flip % (bytes.len() * 8);
            bytes[at / 8] ^= 1 << (at % 8);
        }
        if let Ok((effect, rest)) = decode(&bytes) {
            assert!(encoded_len(&effect) <= bytes.len() - rest.len());
        }
    }

    #[test]
    fn any_bytes_do_not_panic(bytes in vec(any::<u8>(), 0..64)) {
        let mut rest = &bytes[..];
        while let Ok((_, behind)) = decode(rest) {
            assert!(behind.len() < rest.len(), "a record has bytes");
            rest = behind;
        }
    }
}

#[test]
fn a_counter_takes_few_bytes() {
    let effect = Effect::Set { key: b"user:123:hits", value: Value::Int(-3), deadline: None };
    let mut bytes = Vec::new();
    encode(&effect, &mut bytes);
    assert_eq!(bytes, b"\x01\x0duser:123:hits\x05");
    let effect = Effect::Set { key: b"k", value: Value::Str(b"text"), deadline: Some(300) };
    bytes.clear();
    encode(&effect, &mut bytes);
    assert_eq!(bytes, b"\x31\x01k\x04text\xac\x02");
}

#[test]
fn zeros_are_no_record() {
    assert!(decode(&[0; 16]).is_err() && decode(b"").is_err());
    // A length beyond the bytes, and a number of more than 64 bits.
    assert!(decode(b"\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01k").is_err());
    assert!(decode(b"\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02k").is_err());
}

/// A few bytes must not make whoever applies them take all memory there is.
#[test]
fn a_splice_reaches_no_further_than_a_string_may() {
    for (offset, fits) in [(VALUE_BYTES - 3, true), (VALUE_BYTES - 2, false), (usize::MAX, false)] {
        let mut record = Vec::new();
        encode(&Effect::Splice { key: b"k", offset, bytes: b"abc" }, &mut record);
        assert_eq!(decode(&record).is_ok(), fits, "{offset}");
    }
}
