//! What a table should do: a map of keys, and the effects that lead there.

use std::collections::BTreeMap;

use crate::resp::integer;
use crate::table::effect::{Effect, EffectSink, Lsn, Removal};
use crate::table::{AddError, NewDeadline, Used, Value, WindowError, WindowShape, WrongType};

/// A value on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Int(i64),
    Str(Vec<u8>),
    Hash(BTreeMap<Vec<u8>, Self>),
    Throttle(i64),
    /// The newest bucket, and what was counted in those of its window.
    Window(WindowShape, u64, BTreeMap<u64, i64>),
}

impl Held {
    pub(super) fn of(value: Value<'_>) -> Self {
        match value {
            Value::Int(number) => Self::Int(number),
            Value::Str(bytes) => Self::Str(bytes.to_vec()),
            Value::Throttle(time) => Self::Throttle(time),
            Value::Window(window) => {
                let buckets: BTreeMap<u64, i64> = window.entries().collect();
                let newest = *buckets.last_key_value().expect("a window has a bucket").0;
                Self::Window(window.shape(), newest, buckets)
            }
            Value::Hash(fields) => {
                let mut held = BTreeMap::new();
                fields.for_each(&mut |field, value| {
                    assert_eq!(fields.get(field), Some(value));
                    assert!(held.insert(field.to_vec(), Self::of(value.into())).is_none(), "{field:?} twice");
                });
                assert_eq!(held.len(), fields.len());
                Self::Hash(held)
            }
        }
    }

    pub(super) fn parse(bytes: &[u8]) -> Self {
        integer::parse(bytes).map_or_else(|| Self::Str(bytes.to_vec()), Self::Int)
    }

    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Int(number) => Value::Int(*number),
            Self::Str(bytes) => Value::Str(bytes),
            Self::Throttle(time) => Value::Throttle(*time),
            Self::Hash(_) | Self::Window(..) => panic!("it is not set as a whole"),
        }
    }
}

/// An effect on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Set(Vec<u8>, Held, Option<u64>),
    Deadline(Vec<u8>, Option<u64>),
    Remove(Vec<u8>, Removal),
    Field(Vec<u8>, Vec<u8>, Held, Option<u64>),
    RemoveField(Vec<u8>, Vec<u8>),
    Splice(Vec<u8>, usize, Vec<u8>),
    Bucket(Vec<u8>, WindowShape, u64, i64, Option<u64>),
    Token(Option<Vec<u8>>, Vec<u8>, Used),
    Flush,
}

impl Change {
    pub(super) fn effect(&self) -> Effect<'_> {
        match self {
            Self::Set(key, held, deadline) => Effect::Set { key, value: held.value(), deadline: *deadline },
            Self::Deadline(key, deadline) => Effect::Deadline { key, deadline: *deadline },
            Self::Remove(key, cause) => Effect::Remove { key, cause: *cause },
            Self::Field(key, field, held, deadline) => Effect::Field {
                key,
                field,
                value: held.value().scalar().expect("fields hold integers and bytes"),
                deadline: *deadline,
            },
            Self::RemoveField(key, field) => Effect::RemoveField { key, field },
            Self::Splice(key, offset, bytes) => Effect::Splice { key, offset: *offset, bytes },
            Self::Bucket(key, shape, index, sum, deadline) => {
                Effect::Bucket { key, shape: *shape, index: *index, sum: *sum, deadline: *deadline }
            }
            Self::Token(key, token, used) => {
                let Used { fingerprint, value, deadline } = *used;
                Effect::Token { key: key.as_deref(), token, fingerprint, value, deadline }
            }
            Self::Flush => Effect::Flush,
        }
    }
}

/// A sink that keeps everything; a position is the number of effects so far.
#[derive(Debug, Default)]
pub(super) struct Changes(pub(super) Vec<Change>);

impl EffectSink for Changes {
    fn record(&mut self, effect: Effect<'_>) -> Lsn {
        self.0.push(match effect {
            Effect::Set { key, value, deadline } => Change::Set(key.to_vec(), Held::of(value), deadline),
            Effect::Deadline { key, deadline } => Change::Deadline(key.to_vec(), deadline),
            Effect::Remove { key, cause } => Change::Remove(key.to_vec(), cause),
            Effect::Field { key, field, value, deadline } => {
                Change::Field(key.to_vec(), field.to_vec(), Held::of(value.into()), deadline)
            }
            Effect::RemoveField { key, field } => Change::RemoveField(key.to_vec(), field.to_vec()),
            Effect::Flush => Change::Flush,
            Effect::Splice { key, offset, bytes } => Change::Splice(key.to_vec(), offset, bytes.to_vec()),
            Effect::Bucket { key, shape, index, sum, deadline } => {
                Change::Bucket(key.to_vec(), shape, index, sum, deadline)
            }
            Effect::Token { key, token, fingerprint, value, deadline } => {
                Change::Token(key.map(<[u8]>::to_vec), token.to_vec(), Used { fingerprint, value, deadline })
            }
        });
        self.0.len() as Lsn
    }
}

/// Tokens by the key that they belong to, if any, and their bytes.
pub(super) type TokenMap = BTreeMap<(Option<Vec<u8>>, Vec<u8>), Used>;

pub(super) type Keys = BTreeMap<Vec<u8>, (Held, Option<u64>)>;

/// What a segment or a table should hold, and the effects that should have led there.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) keys: Keys,
    pub(super) tokens: TokenMap,
    pub(super) changes: Vec<Change>,
    pub(super) expired: u64,
}

impl Model {
    pub(super) fn look(&mut self, key: &[u8], now: u64) -> Option<&mut (Held, Option<u64>)> {
        if self.keys.get(key).is_some_and(|(_, deadline)| deadline.is_some_and(|at| at <= now)) {
            self.keys.remove(key);
            self.expired += 1;
            self.changes.push(Change::Remove(key.to_vec(), Removal::Expired));
        }
        self.keys.get_mut(key)
    }

    pub(super) fn put(&mut self, key: &[u8], held: Held, deadline: Option<u64>) {
        self.changes.push(Change::Set(key.to_vec(), held.clone(), deadline));
        self.keys.insert(key.to_vec(), (held, deadline));
    }

    pub(super) fn add(&mut self, key: &[u8], delta: i64, now: u64) -> Result<i64, AddError> {
        let (held, deadline) = self.look(key, now).cloned().unwrap_or((Held::Int(0), None));
        let number = match held {
            Held::Int(number) => number,
            Held::Str(_) => return Err(AddError::NotInteger),
            Held::Hash(_) | Held::Throttle(_) | Held::Window(..) => return Err(AddError::WrongType),
        };
        let sum = number.checked_add(delta).ok_or(AddError::Overflow)?;
        self.put(key, Held::Int(sum), deadline);
        Ok(sum)
    }

    pub(super) fn set(&mut self, key: &[u8], value: &[u8], deadline: NewDeadline, now: u64) {
        let before = self.look(key, now).and_then(|(_, deadline)| *deadline);
        let deadline = match deadline {
            NewDeadline::Clear => None,
            NewDeadline::Keep => before,
            NewDeadline::At(deadline) => Some(deadline),
        };
        self.put(key, Held::parse(value), deadline);
    }

    pub(super) fn set_deadline(&mut self, key: &[u8], deadline: Option<u64>, now: u64) -> bool {
        let Some((_, held)) = self.look(key, now) else { return false };
        if deadline.is_some_and(|deadline| deadline <= now) {
            return self.remove(key, now);
        }
        if *held != deadline {
            *held = deadline;
            self.changes.push(Change::Deadline(key.to_vec(), deadline));
        }
        true
    }

    pub(super) fn remove(&mut self, key: &[u8], now: u64) -> bool {
        let found = self.look(key, now).is_some();
        if found {
            self.keys.remove(key);
            self.changes.push(Change::Remove(key.to_vec(), Removal::Command));
        }
        found
    }

    /// The fields of a hash, made where there is no key.
    pub(super) fn hash(&mut self, key: &[u8], now: u64) -> Result<&mut BTreeMap<Vec<u8>, Held>, WrongType> {
        self.look(key, now);
        let (held, _) = self.keys.entry(key.to_vec()).or_insert((Held::Hash(BTreeMap::new()), None));
        if let Held::Hash(fields) = held { Ok(fields) } else { Err(WrongType) }
    }

    pub(super) fn set_field(
        &mut self,
        key: &[u8],
        field: &[u8],
        value: &[u8],
        now: u64,
    ) -> Result<bool, WrongType> {
        let held = Held::parse(value);
        let new = self.hash(key, now)?.insert(field.to_vec(), held.clone()).is_none();
        self.changes.push(Change::Field(key.to_vec(), field.to_vec(), held, self.keys[key].1));
        Ok(new)
    }

    pub(super) fn add_field(
        &mut self,
        key: &[u8],
        field: &[u8],
        delta: i64,
        now: u64,
    ) -> Result<i64, AddError> {
        let missing = self.look(key, now).is_none();
        let fields = self.hash(key, now).map_err(|WrongType| AddError::WrongType)?;
        let sum = match fields.get(field) {
            None => Ok(delta),
            Some(Held::Int(number)) => number.checked_add(delta).ok_or(AddError::Overflow),
            Some(_) => Err(AddError::NotInteger),
        };
        let Ok(sum) = sum else {
            assert!(!missing);
            return sum;
        };
        fields.insert(field.to_vec(), Held::Int(sum));
        self.changes.push(Change::Field(key.to_vec(), field.to_vec(), Held::Int(sum), self.keys[key].1));
        Ok(sum)
    }

    pub(super) fn remove_field(&mut self, key: &[u8], field: &[u8], now: u64) -> Result<bool, WrongType> {
        if self.look(key, now).is_none() {
            return Ok(false);
        }
        let fields = self.hash(key, now)?;
        if fields.remove(field).is_none() {
            return Ok(false);
        }
        if fields.is_empty() {
            self.keys.remove(key);
        }
        self.changes.push(Change::RemoveField(key.to_vec(), field.to_vec()));
        Ok(true)
    }

    pub(super) fn put_throttle(&mut self, key: &[u8], time: i64, deadline: u64, now: u64) {
        self.look(key, now);
        self.put(key, Held::Throttle(time), Some(deadline));
    }

    /// Writes `part` at an offset of a string, and gives the whole of it; `None`: it is no string.
    pub(super) fn splice(&mut self, key: &[u8], offset: usize, part: &[u8], now: u64) -> Option<Vec<u8>> {
        let (held, deadline) = self.look(key, now).cloned().unwrap_or((Held::Str(Vec::new()), None));
        let mut whole = match held {
            Held::Int(number) => number.to_string().into_bytes(),
            Held::Str(bytes) => bytes,
            Held::Hash(_) | Held::Throttle(_) | Held::Window(..) => return None,
        };
        whole.resize(whole.len().max(offset + part.len()), 0);
        whole[offset..][..part.len()].copy_from_slice(part);
        self.keys.insert(key.to_vec(), (Held::parse(&whole), deadline));
        self.changes.push(Change::Splice(key.to_vec(), offset, part.to_vec()));
        Some(whole)
    }

    pub(super) fn add_window(
        &mut self,
        key: &[u8],
        shape: WindowShape,
        delta: i64,
        now: u64,
    ) -> Result<i64, WindowError> {
        let bucket = shape.bucket_at(now);
        let (newest, mut buckets) = match self.look(key, now).cloned() {
            None => (bucket, BTreeMap::new()),
            Some((Held::Window(made, newest, buckets), _)) if made == shape => (newest.max(bucket), buckets),
            Some((Held::Window(made, ..), _)) => return Err(WindowError::Shape(made)),
            Some(_) => return Err(WindowError::WrongType),
        };
        buckets.retain(|&number, _| number + u64::from(shape.buckets) > newest);
        let here = buckets.entry(newest).or_insert(0);
        *here = here.checked_add(delta).ok_or(WindowError::Overflow)?;
        let here = *here;
        let total: i128 = buckets.values().map(|&sum| i128::from(sum)).sum();
        let total = i64::try_from(total).map_err(|_| WindowError::Overflow)?;
        let deadline = Some(now + shape.length_ms);
        self.keys.insert(key.to_vec(), (Held::Window(shape, newest, buckets), deadline));
        self.changes.push(Change::Bucket(key.to_vec(), shape, newest, here, deadline));
        Ok(total)
    }

    pub(super) fn token(&self, key: Option<&[u8]>, token: &[u8], now: u64) -> Option<Used> {
        let used = self.tokens.get(&(key.map(<[u8]>::to_vec), token.to_vec()))?;
        (used.deadline > now).then_some(*used)
    }

    pub(super) fn use_token(&mut self, key: Option<&[u8]>, token: &[u8], used: Used) {
        self.tokens.insert((key.map(<[u8]>::to_vec), token.to_vec()), used);
        self.changes.push(Change::Token(key.map(<[u8]>::to_vec), token.to_vec(), used));
    }

    pub(super) fn flush(&mut self) {
        self.tokens.clear();
        self.keys.clear();
        self.changes.push(Change::Flush);
    }
}
