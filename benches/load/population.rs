//! Sets of keys, and the requests that create them: what memory per counter, and expiry, are measured on.
//!
//! Knows keys, values and how they are written. Does not know connections, or how much of a set is created when.

use super::mix::{Random, put_line};

/// A set of keys of one kind. Values are random numbers below 10^6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Population {
    /// `views:article:<n>`, by `MSET`.
    Articles,
    /// `user:<n>:day:<date>`: keys with two numbers, by `MSET`.
    Days,
    /// 16 letters that say nothing, by `MSET`.
    Words,
    /// `views:article:<n>` with a deadline within a month each, by `SET … EX`.
    Timed,
    /// `row:<n>` with the fields `f1` to `f8`, by `HSET`.
    Rows,
    /// `limit:user:<n>`, by `CL.THROTTLE`, once each.
    Throttles,
    /// `session:<n>` with a deadline at a time that is given, by `SET … PXAT`.
    Sessions,
}

/// Fields of a row.
pub(crate) const FIELDS: u64 = 8;

/// Days that a user has counters for: all in one month, so that each is a date.
const DAYS: u64 = 28;

/// Deadlines lie between an hour and a month ahead, in seconds: none passes while memory is measured.
const AHEAD: std::ops::Range<u64> = 3_600..30 * 86_400;

/// A prime, so that it has no divisor in common with a number that is not its multiple.
const STRIDE: u64 = 2_654_435_761;

impl Population {
    /// All of them.
    pub(crate) const ALL: [Self; 7] =
        [Self::Articles, Self::Days, Self::Words, Self::Timed, Self::Rows, Self::Throttles, Self::Sessions];

    /// As a mix names it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Articles => "articles",
            Self::Days => "days",
            Self::Words => "words",
            Self::Timed => "timed",
            Self::Rows => "rows",
            Self::Throttles => "throttles",
            Self::Sessions => "sessions",
        }
    }

    /// Counters that one key holds.
    pub(crate) fn counters(self) -> u64 {
        match self {
            Self::Rows => FIELDS,
            Self::Articles | Self::Days | Self::Words | Self::Timed | Self::Throttles | Self::Sessions => 1,
        }
    }

    /// Keys that one request can create; where it is one, pipelines make up for it.
    pub(crate) fn most_per_request(self) -> u32 {
        match self {
            Self::Articles | Self::Days | Self::Words => 1_000_000,
            Self::Timed | Self::Rows | Self::Throttles | Self::Sessions => 1,
        }
    }

    /// Appends the key of this id to `key`.
    fn put_key(self, id: u64, key: &mut Vec<u8>) {
        let mut digits = itoa::Buffer::new();
        let mut numbered = |template: &[u8], id: u64| {
            key.extend_from_slice(template);
            key.extend_from_slice(digits.format(id).as_bytes());
        };
        match self {
            Self::Articles | Self::Timed => numbered(b"views:article:", id),
            Self::Days => {
                numbered(b"user:", id / DAYS);
                numbered(b":day:", 20_240_501 + id % DAYS);
            }
            Self::Rows => numbered(b"row:", id),
            Self::Throttles => numbered(b"limit:user:", id),
            Self::Sessions => numbered(b"session:", id),
            // The random bits of an id are different for different ids: their mixing can be undone.
            Self::Words => {
                let bits = Random::new(id).next().to_be_bytes();
                key.extend(bits.iter().flat_map(|byte| [b'a' + (byte >> 4), b'k' + (byte & 15)]));
            }
        }
    }
}

/// Deadlines of sessions, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// The first that is possible.
    pub(crate) from: u64,
    /// How many further ones are, all with the same probability.
    pub(crate) spread: u64,
}

/// Part of a population that one request creates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    /// Of what.
    pub(crate) population: Population,
    /// Keys; no more than one request can create.
    pub(crate) count: u32,
    /// Keys created before it.
    pub(crate) created: u64,
    /// Keys that there will be in the end.
    pub(crate) total: u64,
    /// Of sessions.
    pub(crate) deadlines: Deadlines,
}

impl Batch {
    /// Appends the request to `out`, and returns the bytes of the keys in it.
    pub(crate) fn write(self, random: &mut Random, out: &mut Vec<u8>) -> u64 {
        let Self { population, count, .. } = self;
        debug_assert!(count <= population.most_per_request(), "a mix is refused otherwise");
        let (words, name): (u64, &[u8]) = match population {
            Population::Articles | Population::Days | Population::Words => {
                (1 + 2 * u64::from(count), b"$4\r\nMSET\r\n")
            }
            Population::Timed | Population::Sessions => (5, b"$3\r\nSET\r\n"),
            Population::Rows => (2 + 2 * FIELDS, b"$4\r\nHSET\r\n"),
            Population::Throttles => (5, b"$11\r\nCL.THROTTLE\r\n"),
        };
        out.push(b'*');
        put_line(out, words);
        out.extend_from_slice(name);
        let mut key = Vec::with_capacity(32);
        let mut bytes = 0;
        for created in self.created..self.created + u64::from(count) {
            key.clear();
            population.put_key(shuffled(created, self.total), &mut key);
            bytes += key.len() as u64;
            put_bulk(out, &key);
            self.put_value(random, out);
        }
        bytes
    }

    /// What stands behind a key.
    fn put_value(self, random: &mut Random, out: &mut Vec<u8>) {
        let mut value = || random.below(1_000_000);
        match self.population {
            Population::Articles | Population::Days | Population::Words => put_number(out, value()),
            Population::Timed => {
                put_number(out, value());
                out.extend_from_slice(b"$2\r\nEX\r\n");
                put_number(out, AHEAD.start + random.below(AHEAD.end - AHEAD.start));
            }
            Population::Sessions => {
                put_number(out, value());
                out.extend_from_slice(b"$4\r\nPXAT\r\n");
                put_number(out, self.deadlines.from + random.below(self.deadlines.spread + 1));
            }
            Population::Rows => {
                for field in b'1'..=b'8' {
                    put_bulk(out, &[b'f', field]);
                    put_number(out, value());
                }
            }
            // 15 more at once, 30 a day: the one that is taken here comes back after 48 minutes.
            Population::Throttles => out.extend_from_slice(b"$2\r\n15\r\n$2\r\n30\r\n$5\r\n86400\r\n"),
        }
    }
}

/// The ids below `total`, each once, in an order in which no two neighbours follow each other.
fn shuffled(index: u64, total: u64) -> u64 {
    let place = u128::from(index) * u128::from(STRIDE) % u128::from(total.max(1));
    u64::try_from(place).expect("a remainder is below its divisor, a u64")
}

fn put_number(out: &mut Vec<u8>, number: u64) {
    put_bulk(out, itoa::Buffer::new().format(number).as_bytes());
}

fn put_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'$');
    put_line(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Batch, Deadlines, Population, Random, shuffled};

    fn written(population: Population, count: u32, created: u64) -> (String, u64) {
        let deadlines = Deadlines { from: 1_700_000_000_000, spread: 0 };
        let mut out = Vec::new();
        let batch = Batch { population, count, created, total: 1000, deadlines };
        let bytes = batch.write(&mut Random::new(1), &mut out);
        (String::from_utf8(out).unwrap(), bytes)
    }

    #[test]
    fn requests_have_as_many_words_as_they_declare() {
        for population in Population::ALL {
            for count in 1..=population.most_per_request().min(3) {
                let (text, _) = written(population, count, 5);
                let declared: usize = text[1..].split_once("\r\n").unwrap().0.parse().unwrap();
                let mut lines = text.split("\r\n").skip(1);
                for _ in 0..declared {
                    let length: usize = lines.next().unwrap().strip_prefix('$').unwrap().parse().unwrap();
                    assert_eq!(lines.next().unwrap().len(), length, "{text}");
                }
                assert_eq!(lines.collect::<Vec<_>>(), [""], "{text}");
            }
        }
    }

    #[test]
    fn keys_look_as_the_targets_say() {
        // Key 1 of 1000 is the id 761.
        for (population, start) in [
            (Population::Articles, "*3\r\n$4\r\nMSET\r\n$17\r\nviews:article:761\r\n$"),
            (Population::Days, "*3\r\n$4\r\nMSET\r\n$20\r\nuser:27:day:20240506\r\n$"),
            (Population::Words, "*3\r\n$4\r\nMSET\r\n$16\r\n"),
            (Population::Timed, "*5\r\n$3\r\nSET\r\n$17\r\nviews:article:761\r\n$"),
            (Population::Rows, "*18\r\n$4\r\nHSET\r\n$7\r\nrow:761\r\n$2\r\nf1\r\n$"),
            (
                Population::Throttles,
                "*5\r\n$11\r\nCL.THROTTLE\r\n$14\r\nlimit:user:761\r\n$2\r\n15\r\n$2\r\n30\r\n",
            ),
            (Population::Sessions, "*5\r\n$3\r\nSET\r\n$11\r\nsession:761\r\n$"),
        ] {
            let (text, _) = written(population, 1, 1);
            assert!(text.starts_with(start), "{text}");
        }
        let (sessions, bytes) = written(Population::Sessions, 1, 1);
        assert!(sessions.ends_with("$4\r\nPXAT\r\n$13\r\n1700000000000\r\n"), "{sessions}");
        assert_eq!(bytes, 11);
        let (words, bytes) = written(Population::Words, 3, 0);
        assert_eq!((words.matches("$16\r\n").count(), bytes), (3, 48));
    }

    #[test]
    fn every_id_comes_once_and_none_behind_its_neighbour() {
        for total in [1, 2, 100, 20_000] {
            let ids: Vec<u64> = (0..total).map(|index| shuffled(index, total)).collect();
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len() as u64, total);
            assert!(total < 3 || ids.windows(2).all(|pair| pair[0].abs_diff(pair[1]) > 1), "{total}");
        }
    }

    #[test]
    fn no_two_words_are_the_same_and_none_has_a_digit() {
        let words: BTreeSet<Vec<u8>> = (0..10_000)
            .map(|id| {
                let mut word = Vec::new();
                Population::Words.put_key(id, &mut word);
                word
            })
            .collect();
        assert_eq!(words.len(), 10_000);
        assert!(words.iter().flatten().all(u8::is_ascii_lowercase));
    }
}
