//! What a client's keys hold after each of its requests. Knows requests and values, and no server.

use std::collections::BTreeMap;

use crate::client::request;

/// Random numbers from a seed (`splitmix64`, <https://prng.di.unimi.it/splitmix64.c>).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number from `from` to `to`, less one.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from)
    }
}

/// What a key holds. Long values are told by the seed that they are made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number(i64),
    /// Bytes.
    Text {
        seed: u64,
        len: usize,
    },
    /// Counters by their numbers.
    Counters(BTreeMap<u64, i64>),
    /// Fields with long values.
    Large {
        seed: u64,
        fields: usize,
    },
}

/// Bytes of each value in a large hash.
const FIELD_BYTES: usize = 1000;

/// Bytes that a seed stands for.
pub(crate) fn text(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let word = random.next().to_le_bytes();
    (0..len).map(|at| b'a' + (word[at % 8] ^ at.to_le_bytes()[1]) % 26).collect()
}

/// The fields of a large hash.
pub(crate) fn large(seed: u64, fields: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let field = |at: usize| (format!("f{at}").into_bytes(), text(seed ^ at as u64, FIELD_BYTES));
    (0..fields).map(field).collect()
}

/// A change of one client's keys, or of its share in the keys of all. Names are short: the client's number comes before.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Add(&'static str, i64),
    AddField(u64, i64),
    Set(&'static str, Value),
    Delete(&'static str),
    Move(&'static str, &'static str),
    Copy(&'static str, &'static str),
    /// Adds to a counter of all clients, of which nothing else tells that it happened.
    Loose(i64),
    /// Together, or not at all.
    Group(Vec<Self>),
}

/// Keys that hold numbers.
pub(crate) const NUMBERS: [&str; 4] = ["n0", "n1", "n2", "n3"];
/// The key with counters as fields.
pub(crate) const HASH: &str = "h";
/// Keys that hold long values.
pub(crate) const TEXTS: [&str; 2] = ["s0", "s1"];
/// Keys that hold large hashes.
pub(crate) const LARGE: [&str; 2] = ["l0", "l1"];
/// The key that is added to with tokens only.
pub(crate) const ONCE: &str = "once";
/// The key that counts the groups with a key of all clients in them.
pub(crate) const GROUPS: &str = "groups";
/// What those groups added to it.
pub(crate) const SHARE: &str = "share";
/// The key of all clients that [`SHARE`]s are of.
pub(crate) const SHARED: &str = "shared";
/// The key of all clients that is added to without a trace.
pub(crate) const LOOSE: &str = "loose";

/// What a client's keys hold.
pub(crate) type State = BTreeMap<&'static str, Value>;

fn number<'s>(state: &'s mut State, key: &'static str) -> &'s mut i64 {
    match state.entry(key).or_insert(Value::Number(0)) {
        Value::Number(number) => number,
        other => panic!("{key} holds {other:?}"),
    }
}

impl Change {
    pub(crate) fn apply(&self, state: &mut State) {
        match self {
            Self::Add(key, delta) => *number(state, key) += delta,
            Self::AddField(field, delta) => {
                match state.entry(HASH).or_insert_with(|| Value::Counters(BTreeMap::new())) {
                    Value::Counters(counters) => *counters.entry(*field).or_insert(0) += delta,
                    other => panic!("{HASH} holds {other:?}"),
                }
            }
            Self::Set(key, value) => {
                state.insert(key, value.clone());
            }
            Self::Delete(key) => {
                state.remove(key);
            }
            Self::Move(from, to) => {
                let value = state.remove(from).expect("only what is there is renamed");
                state.insert(to, value);
            }
            Self::Copy(from, to) => {
                let value = state.get(from).expect("only what is there is copied").clone();
                state.insert(to, value);
            }
            Self::Loose(_) => {}
            Self::Group(changes) => changes.iter().for_each(|change| change.apply(state)),
        }
    }

    /// What it adds to [`LOOSE`].
    pub(crate) fn loose(&self) -> i64 {
        if let Self::Loose(delta) = self { *delta } else { 0 }
    }
}

/// A request with an outcome.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) change: Change,
    /// The token and delta of one that may be sent again.
    pub(crate) token: Option<(String, i64)>,
    /// Replies that come before the one that counts.
    pub(crate) before: usize,
    /// That reply, where it is known.
    pub(crate) reply: Option<Vec<u8>>,
}

/// Makes requests of one client.
#[derive(Debug)]
pub(crate) struct Maker {
    pub(crate) client: usize,
    pub(crate) random: Random,
    /// Where the next request finds its keys.
    pub(crate) state: State,
    tokens: u64,
}

impl Maker {
    pub(crate) fn new(client: usize, seed: u64) -> Self {
        Self { client, random: Random(seed), state: State::new(), tokens: 0 }
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("c{}:{name}", self.client)
    }

    fn pick(&mut self, keys: &[&'static str]) -> &'static str {
        let at = usize::try_from(self.random.between(0, keys.len() as u64)).expect("a few");
        keys[at]
    }

    fn delta(&mut self) -> i64 {
        i64::try_from(self.random.between(1, 1 << 40)).expect("41 bits")
    }

    /// Adds a request to `out`.
    pub(crate) fn make(&mut self, out: &mut Vec<u8>) -> Step {
        let step = match self.random.between(0, 100) {
            0..30 => self.add(out),
            30..40 => self.add_several(out),
            40..55 => self.add_field(out),
            55..70 => self.transact(out),
            70..80 => self.add_once(out),
            80..86 => self.add_loose(out),
            86..91 => self.set(out),
            91..95 => self.delete(out),
            _ => self.large(out),
        };
        step.change.apply(&mut self.state);
        step
    }

    fn after(&self, change: &Change) -> State {
        let mut state = self.state.clone();
        change.apply(&mut state);
        state
    }

    fn add(&mut self, out: &mut Vec<u8>) -> Step {
        let (key, mut delta) = (self.pick(&NUMBERS), self.delta());
        if self.random.between(0, 3) == 0 {
            delta = -delta;
        }
        let change = Change::Add(key, delta);
        let reply = format!(":{}\r\n", number(&mut self.after(&change), key)).into_bytes();
        out.extend(request(&["INCRBY", &self.key(key), &delta.to_string()]));
        Step { change, token: None, before: 0, reply: Some(reply) }
    }

    /// A `MINCRBY` that does not stream is a group.
    fn add_several(&mut self, out: &mut Vec<u8>) -> Step {
        let (first, second) = (self.delta(), self.delta());
        let (a, b) = (self.pick(&NUMBERS), self.pick(&NUMBERS));
        out.extend(request(&[
            "MINCRBY",
            &self.key(a),
            &first.to_string(),
            &self.key(b),
            &second.to_string(),
        ]));
        let sum = *number(&mut self.after(&Change::Add(a, first)), a);
        let change = Change::Group(vec![Change::Add(a, first), Change::Add(b, second)]);
        let after = *number(&mut self.after(&change), b);
        Step {
            change,
            token: None,
            before: 0,
            reply: Some(format!("*2\r\n:{sum}\r\n:{after}\r\n").into_bytes()),
        }
    }

    fn add_field(&mut self, out: &mut Vec<u8>) -> Step {
        let (field, delta) = (self.random.between(0, 40), self.delta());
        out.extend(request(&["HINCRBY", &self.key(HASH), &format!("f{field}"), &delta.to_string()]));
        Step { change: Change::AddField(field, delta), token: None, before: 0, reply: None }
    }

    fn transact(&mut self, out: &mut Vec<u8>) -> Step {
        let (first, second, share) = (self.delta(), self.delta(), self.delta());
        let (a, b) = (self.pick(&NUMBERS), self.pick(&NUMBERS));
        out.extend(request(&["MULTI"]));
        out.extend(request(&["INCRBY", &self.key(a), &first.to_string()]));
        out.extend(request(&["INCR", &self.key(GROUPS)]));
        out.extend(request(&["INCRBY", SHARED, &share.to_string()]));
        out.extend(request(&["INCRBY", &self.key(b), &second.to_string()]));
        out.extend(request(&["EXEC"]));
        let change = Change::Group(vec![
            Change::Add(a, first),
            Change::Add(GROUPS, 1),
            Change::Add(SHARE, share),
            Change::Add(b, second),
        ]);
        Step { change, token: None, before: 5, reply: None }
    }

    fn add_once(&mut self, out: &mut Vec<u8>) -> Step {
        let delta = self.delta();
        self.tokens += 1;
        let token = format!("t{}-{}", self.client, self.tokens);
        out.extend(once(&self.key(ONCE), delta, &token));
        Step { change: Change::Add(ONCE, delta), token: Some((token, delta)), before: 0, reply: None }
    }

    fn add_loose(&mut self, out: &mut Vec<u8>) -> Step {
        let delta = self.delta();
        out.extend(request(&["INCRBY", LOOSE, &delta.to_string()]));
        Step { change: Change::Loose(delta), token: None, before: 0, reply: None }
    }

    /// Values of all lengths, from inside a frame of the ring to beside the ring.
    fn len(&mut self) -> usize {
        let most = [100, 20_000, 70_000, 300_000];
        let at = usize::try_from(self.random.between(0, 40) / 10).expect("a few");
        let at = if at == 3 && self.random.between(0, 2) == 0 { 1 } else { at };
        usize::try_from(self.random.between(1, most[at])).expect("not long")
    }

    fn set(&mut self, out: &mut Vec<u8>) -> Step {
        let (key, seed, len) = (self.pick(&TEXTS), self.random.next(), self.len());
        out.extend(request(&[b"SET".to_vec(), self.key(key).into_bytes(), text(seed, len)]));
        let change = Change::Set(key, Value::Text { seed, len });
        Step { change, token: None, before: 0, reply: Some(b"+OK\r\n".to_vec()) }
    }

    fn delete(&mut self, out: &mut Vec<u8>) -> Step {
        let key = self.pick(&[NUMBERS[0], NUMBERS[1], TEXTS[0], LARGE[0], HASH]);
        out.extend(request(&["DEL", &self.key(key)]));
        let reply = format!(":{}\r\n", u8::from(self.state.contains_key(key))).into_bytes();
        Step { change: Change::Delete(key), token: None, before: 0, reply: Some(reply) }
    }

    /// Makes a large hash in an empty place, or renames or copies what is there.
    fn large(&mut self, out: &mut Vec<u8>) -> Step {
        let [a, b] = LARGE;
        let (from, to) = if self.state.contains_key(a) { (a, b) } else { (b, a) };
        if !self.state.contains_key(from) {
            let (seed, fields) = (self.random.next(), self.len() / FIELD_BYTES + 1);
            let mut words = vec![b"HSET".to_vec(), self.key(from).into_bytes()];
            words.extend(large(seed, fields).into_iter().flat_map(|(field, value)| [field, value]));
            out.extend(request(&words));
            let change = Change::Set(from, Value::Large { seed, fields });
            return Step { change, token: None, before: 0, reply: Some(format!(":{fields}\r\n").into()) };
        }
        let (from_key, to_key) = (self.key(from), self.key(to));
        if self.random.between(0, 2) == 0 {
            out.extend(request(&["RENAME", &from_key, &to_key]));
            return Step {
                change: Change::Move(from, to),
                token: None,
                before: 0,
                reply: Some(b"+OK\r\n".to_vec()),
            };
        }
        out.extend(request(&["COPY", &from_key, &to_key, "REPLACE"]));
        Step { change: Change::Copy(from, to), token: None, before: 0, reply: Some(b":1\r\n".to_vec()) }
    }
}

/// A request that adds once.
pub(crate) fn once(key: &str, delta: i64, token: &str) -> Vec<u8> {
    request(&["INCRONCE", key, &delta.to_string(), token])
}
