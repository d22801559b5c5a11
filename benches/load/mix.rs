//! What the load generator asks: kinds of requests, their weights, and the keys they name.
//!
//! Knows how requests are written. Does not know connections, or when a request is sent.

use std::fmt;
use std::str::FromStr;

use super::population::{Batch, Deadlines, Population};

/// One kind of request. The numbers are keys per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `INCR key`
    Incr,
    /// `GET key`
    Get,
    /// `SET key number`
    Set,
    /// `PING`
    Ping,
    /// `MGET key …`
    Mget(u32),
    /// `MINCRBY key 1 …`
    Mincrby(u32),
    /// `MSET key number …`, six digits each
    Mset(u32),
    /// What creates the next keys of a population, whatever the order asked for.
    Create(Population, u32),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incr => f.write_str("incr"),
            Self::Get => f.write_str("get"),
            Self::Set => f.write_str("set"),
            Self::Ping => f.write_str("ping"),
            Self::Mget(keys) => write!(f, "mget:{keys}"),
            Self::Mincrby(keys) => write!(f, "mincrby:{keys}"),
            Self::Mset(keys) => write!(f, "mset:{keys}"),
            Self::Create(population, keys) => write!(f, "{}:{keys}", population.text()),
        }
    }
}

/// Kinds with their weights; written `incr=8,get=2` or `mget:100`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mix {
    /// Each kind, and the sum of the weights up to and including it. Strictly growing, not empty.
    ranges: Vec<(Kind, u64)>,
}

impl Mix {
    /// A mix of one kind.
    pub(crate) fn only(kind: Kind) -> Self {
        Self { ranges: vec![(kind, 1)] }
    }

    /// The kind, if it is only one.
    pub(crate) fn single(&self) -> Option<Kind> {
        if let [(kind, _)] = self.ranges[..] { Some(kind) } else { None }
    }

    fn total(&self) -> u64 {
        self.ranges.last().map_or(0, |&(_, upto)| upto)
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = 0;
        for (index, (kind, upto)) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{kind}={}", upto - before)?;
            before = *upto;
        }
        Ok(())
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut ranges = Vec::new();
        let mut sum = 0_u64;
        for part in text.split(',') {
            let (kind, weight) = part.split_once('=').unwrap_or((part, "1"));
            let weight: u64 = weight.parse().map_err(|_| format!("'{weight}' is no weight"))?;
            if !(1..=1_000_000).contains(&weight) {
                return Err(format!("the weight of '{kind}' must be 1 to 1000000"));
            }
            sum += weight;
            ranges.push((parse_kind(kind)?, sum));
        }
        Ok(Self { ranges })
    }
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    let (name, keys) = match text.split_once(':') {
        Some((name, keys)) => {
            let count = keys.parse().ok().filter(|count| (1..=1_000_000).contains(count));
            (name, Some(count.ok_or_else(|| format!("'{keys}' is no number of keys"))?))
        }
        None => (text, None),
    };
    match (name, keys) {
        ("incr", None) => Ok(Kind::Incr),
        ("get", None) => Ok(Kind::Get),
        ("set", None) => Ok(Kind::Set),
        ("ping", None) => Ok(Kind::Ping),
        ("mget", Some(keys)) => Ok(Kind::Mget(keys)),
        ("mincrby", Some(keys)) => Ok(Kind::Mincrby(keys)),
        ("mset", Some(keys)) => Ok(Kind::Mset(keys)),
        (name, Some(keys)) => {
            let population = Population::ALL.into_iter().find(|population| population.text() == name);
            let fits = population.filter(|population| keys <= population.most_per_request());
            fits.map(|population| Kind::Create(population, keys)).ok_or_else(|| unknown(text))
        }
        _ => Err(unknown(text)),
    }
}

fn unknown(text: &str) -> String {
    let several = Population::ALL.into_iter().filter(|population| population.most_per_request() > 1);
    let one = Population::ALL.into_iter().filter(|population| population.most_per_request() == 1);
    let creating: Vec<String> = several
        .map(|population| format!("{}:n", population.text()))
        .chain(one.map(|population| format!("{}:1", population.text())))
        .collect();
    format!(
        "unknown request '{text}': incr, get, set, ping, mget:n, mincrby:n, mset:n; to create keys {}",
        creating.join(", ")
    )
}

/// Random numbers for keys and schedules: Sebastiano Vigna's splitmix64, whose state is a plain counter.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A sequence that depends on `seed` alone.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`. The bias is below `bound / 2^64`: nothing for our bounds.
    #[inline]
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the upper half of a product of two u64 is a u64")
    }

    /// A number in (0, 1], with 53 random bits.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
    }
}

/// Which of the keys a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Any, with the same probability.
    Random,
    /// One after the other, from the first: to create them all.
    Sequential,
}

/// Writes the requests of a run, the same ones for the same seed.
#[derive(Debug)]
pub(crate) struct Source {
    mix: Mix,
    keys: u64,
    order: Order,
    random: Random,
    /// Keys written so far; in sequence also the number of the next.
    named: u64,
    /// Bytes of the keys created so far.
    key_bytes: u64,
    deadlines: Deadlines,
}

/// Every key is this and a decimal number.
const TEMPLATE: &[u8] = b"views:article:";

/// `$<length of the key>` by number of digits: 14 bytes of template and up to 20 digits.
const KEY_HEADERS: [&[u8; 5]; 21] = [
    b"$14\r\n", b"$15\r\n", b"$16\r\n", b"$17\r\n", b"$18\r\n", b"$19\r\n", b"$20\r\n", b"$21\r\n",
    b"$22\r\n", b"$23\r\n", b"$24\r\n", b"$25\r\n", b"$26\r\n", b"$27\r\n", b"$28\r\n", b"$29\r\n",
    b"$30\r\n", b"$31\r\n", b"$32\r\n", b"$33\r\n", b"$34\r\n",
];

const _: () = assert!(TEMPLATE.len() == 14);

impl Source {
    /// Requests over the keys 0 to `keys` - 1.
    pub(crate) fn new(mix: Mix, keys: u64, order: Order, seed: u64) -> Self {
        let (random, deadlines) = (Random::new(seed), Deadlines::default());
        Self { mix, keys: keys.max(1), order, random, named: 0, key_bytes: 0, deadlines }
    }

    /// Deadlines for the sessions to come.
    pub(crate) fn set_deadlines(&mut self, deadlines: Deadlines) {
        self.deadlines = deadlines;
    }

    /// Keys that all requests so far named.
    pub(crate) fn keys_named(&self) -> u64 {
        self.named
    }

    /// Bytes of the keys that all requests so far were to create.
    pub(crate) fn key_bytes(&self) -> u64 {
        self.key_bytes
    }

    /// Appends the next request to `out` and says what its reply must look like.
    #[inline]
    pub(crate) fn write(&mut self, out: &mut Vec<u8>) -> Kind {
        let kind = self.pick();
        match kind {
            Kind::Incr => {
                out.extend_from_slice(b"*2\r\n$4\r\nINCR\r\n");
                self.key(out);
            }
            Kind::Get => {
                out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
                self.key(out);
            }
            Kind::Set => {
                out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
                self.key(out);
                let value = self.random.below(1_000_000);
                let mut digits = itoa::Buffer::new();
                let digits = digits.format(value).as_bytes();
                out.extend_from_slice(b"$");
                put_line(out, digits.len() as u64);
                out.extend_from_slice(digits);
                out.extend_from_slice(b"\r\n");
            }
            Kind::Ping => out.extend_from_slice(b"*1\r\n$4\r\nPING\r\n"),
            Kind::Mget(keys) => {
                out.extend_from_slice(b"*");
                put_line(out, u64::from(keys) + 1);
                out.extend_from_slice(b"$4\r\nMGET\r\n");
                for _ in 0..keys {
                    self.key(out);
                }
            }
            Kind::Mincrby(keys) => {
                out.extend_from_slice(b"*");
                put_line(out, u64::from(keys) * 2 + 1);
                out.extend_from_slice(b"$7\r\nMINCRBY\r\n");
                for _ in 0..keys {
                    self.key(out);
                    out.extend_from_slice(b"$1\r\n1\r\n");
                }
            }
            Kind::Mset(keys) => {
                out.extend_from_slice(b"*");
                put_line(out, u64::from(keys) * 2 + 1);
                out.extend_from_slice(b"$4\r\nMSET\r\n");
                for _ in 0..keys {
                    self.key(out);
                    out.extend_from_slice(b"$6\r\n");
                    put_line(out, 100_000 + self.random.below(900_000));
                }
            }
            Kind::Create(population, count) => {
                let Self { named: created, keys: total, deadlines, .. } = *self;
                let batch = Batch { population, count, created, total, deadlines };
                self.key_bytes += batch.write(&mut self.random, out);
                self.named += u64::from(count);
            }
        }
        kind
    }

    #[inline]
    fn pick(&mut self) -> Kind {
        if let Some(kind) = self.mix.single() {
            return kind;
        }
        let ticket = self.random.below(self.mix.total());
        let chosen = self.mix.ranges.iter().find(|&&(_, upto)| ticket < upto);
        chosen.expect("a ticket is below the sum of all weights").0
    }

    #[inline]
    fn key(&mut self, out: &mut Vec<u8>) {
        let number = match self.order {
            Order::Random => self.random.below(self.keys),
            Order::Sequential => self.named % self.keys,
        };
        self.named += 1;
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number).as_bytes();
        out.extend_from_slice(KEY_HEADERS[digits.len()]);
        out.extend_from_slice(TEMPLATE);
        out.extend_from_slice(digits);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends a number and a line's end.
pub(super) fn put_line(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::{Kind, Mix, Order, Random, Source};

    #[test]
    fn mixes_are_read_and_printed() {
        for text in [
            "incr=1",
            "incr=8,get=2",
            "mget:100=1",
            "mincrby:3=2,ping=1,set=5",
            "mset:7=1",
            "words:9=1",
            "rows:1=1",
        ] {
            assert_eq!(text.parse::<Mix>().unwrap().to_string(), text);
        }
        assert_eq!("incr".parse::<Mix>().unwrap(), Mix::only(Kind::Incr));
        for text in [
            "",
            "incr=0",
            "mget",
            "mget:0",
            "get:1",
            "lpush",
            "incr=x",
            "incr,",
            "words",
            "rows:2",
            "nothing:1",
        ] {
            assert!(text.parse::<Mix>().is_err(), "{text}");
        }
    }

    #[test]
    fn requests_are_framed_as_the_protocol_wants() {
        let mut out = Vec::new();
        for (mix, expected) in [
            ("incr", "*2\r\n$4\r\nINCR\r\n$15\r\nviews:article:0\r\n"),
            ("ping", "*1\r\n$4\r\nPING\r\n"),
            ("mget:2", "*3\r\n$4\r\nMGET\r\n$15\r\nviews:article:0\r\n$15\r\nviews:article:1\r\n"),
            ("mincrby:1", "*3\r\n$7\r\nMINCRBY\r\n$15\r\nviews:article:0\r\n$1\r\n1\r\n"),
        ] {
            out.clear();
            Source::new(mix.parse().unwrap(), 1_000_000, Order::Sequential, 1).write(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn a_seed_gives_the_same_requests_in_the_weights_asked_for() {
        let write = |seed| {
            let mut source = Source::new("incr=3,get=1".parse().unwrap(), 1000, Order::Random, seed);
            let mut out = Vec::new();
            let incr = (0..4000).filter(|_| source.write(&mut out) == Kind::Incr).count();
            (out, incr)
        };
        assert_eq!(write(7), write(7));
        assert_ne!(write(7).0, write(8).0);
        assert!((2850..3150).contains(&write(7).1), "3 in 4 of 4000: {}", write(7).1);
    }

    #[test]
    fn random_numbers_stay_in_their_bounds_and_fill_them() {
        let mut random = Random::new(1);
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[usize::try_from(random.below(10)).unwrap()] += 1;
            let unit = random.unit();
            assert!(unit > 0.0 && unit <= 1.0);
        }
        assert!(seen.iter().all(|count| (850..1150).contains(count)), "{seen:?}");
    }
}
