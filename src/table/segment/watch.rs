//! Keys that transactions watch, and what tells their watchers of changes.
//!
//! A watcher is one flag, however many keys it watches. It is set while the changed key's segment is locked, and read
//! while the segments of all its keys are, so that it tells of every change before and of none after.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Segment;
use crate::table::effect::Effect;
use crate::table::{Key, KeyHash, Moment};

/// Learns of changes to keys.
#[derive(Clone, Debug, Default)]
pub struct Watcher(Arc<AtomicBool>);

impl Watcher {
    /// Whether one of its keys was changed since it was watched. To be asked while their segments are locked.
    pub fn is_touched(&self) -> bool {
        // Relaxed, here and below: the segments' locks order it.
        self.0.load(Ordering::Relaxed)
    }

    fn touch(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The watched keys of one segment: nothing at all while there are none.
#[derive(Debug, Default)]
pub(super) struct Watched(Option<Box<Keys>>);

/// Who watches what. Boxed, so that a segment has a pointer for it while nobody does.
#[derive(Debug, Default)]
struct Keys {
    watchers: HashMap<Box<[u8]>, Watchers>,
}

/// Who watches one key.
#[derive(Debug)]
struct Watchers {
    hash: KeyHash,
    watchers: Vec<Watcher>,
}

impl Watchers {
    fn touch(&self) {
        self.watchers.iter().for_each(Watcher::touch);
    }
}

impl Watched {
    /// Whether no key is watched.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// A key has changed.
    #[inline]
    pub(super) fn touch(&self, key: &[u8]) {
        if let Some(watchers) = self.0.as_ref().and_then(|keys| keys.watchers.get(key)) {
            watchers.touch();
        }
    }

    fn insert(&mut self, key: Key<'_>, watcher: &Watcher) {
        let keys = &mut self.0.get_or_insert_default().watchers;
        let unwatched = || Watchers { hash: key.hash, watchers: Vec::new() };
        keys.entry(key.bytes.into()).or_insert_with(unwatched).watchers.push(watcher.clone());
    }

    fn remove(&mut self, key: &[u8], watcher: &Watcher) {
        let Some(Keys { watchers: keys }) = self.0.as_deref_mut() else { return };
        if let Some(Watchers { watchers, .. }) = keys.get_mut(key) {
            watchers.retain(|other| !other.is(watcher));
            if watchers.is_empty() {
                keys.remove(key);
            }
        }
        if keys.is_empty() {
            self.0 = None;
        }
    }
}

impl Segment {
    /// From now on `watcher` learns of what changes at `key`. A key that is over goes away first: that is not a change.
    pub fn watch(&mut self, key: Key<'_>, watcher: &Watcher, at: &mut Moment<'_>) {
        self.get(key, at);
        self.watched.insert(key, watcher);
    }

    /// `watcher` learns no more of `key`.
    pub fn unwatch(&mut self, key: &[u8], watcher: &Watcher) {
        self.watched.remove(key, watcher);
    }

    /// Tells the watchers of the key that an effect is about.
    #[cold]
    pub(super) fn touch(&self, effect: &Effect<'_>) {
        if let Some(key) = effect.changed_key() {
            self.watched.touch(key);
        }
    }

    /// Tells the watchers of every key that exists: all are about to go.
    pub(super) fn touch_all(&self) {
        for (key, watchers) in self.watched.0.iter().flat_map(|keys| keys.watchers.iter()) {
            let key = Key { bytes: key, hash: watchers.hash };
            if self.store.find(key).is_some() {
                watchers.touch();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Watcher;
    use crate::table::effect::Discard;
    use crate::table::{Moment, NewDeadline, Table};

    const AT: u64 = 1_000;

    #[test]
    fn every_change_is_told_and_nothing_else() {
        let table = Table::with_seed(1);
        let mut at = Moment { now_ms: AT, effects: &mut Discard };
        let (key, other) = (table.key(b"key"), table.key(b"other"));
        let touched = |at: &mut Moment<'_>, change: &dyn Fn(&mut Moment<'_>)| {
            let watcher = Watcher::default();
            table.lock(key.hash).set(key, b"5", NewDeadline::At(AT + 10), at);
            table.lock(key.hash).watch(key, &watcher, at);
            change(at);
            let mut segment = table.lock(key.hash);
            segment.unwatch(key.bytes, &watcher);
            assert!(segment.watched.is_empty(), "nothing is left of it");
            watcher.is_touched()
        };
        assert!(touched(&mut at, &|at| assert_eq!(table.lock(key.hash).add(key, 1, at), Ok(6))));
        assert!(touched(&mut at, &|at| table.lock(key.hash).set(key, b"5", NewDeadline::Keep, at)));
        assert!(touched(&mut at, &|at| assert!(table.lock(key.hash).remove(key, at))));
        assert!(touched(&mut at, &|at| assert!(table.lock(key.hash).set_deadline(key, None, at))));
        assert!(touched(&mut at, &|at| assert!(table.lock(key.hash).set_deadline(key, Some(AT + 10), at))));
        assert!(touched(&mut at, &|at| table.flush(at)));
        assert!(!touched(&mut at, &|at| assert!(table.lock(key.hash).get(key, at).is_some())));
        assert!(!touched(&mut at, &|at| table.lock(other.hash).set(other, b"5", NewDeadline::Clear, at)));
        assert!(!touched(&mut at, &|at| assert!(table.lock(other.hash).remove(other, at))));
        assert!(touched(&mut at, &|at| {
            let mut later = Moment { now_ms: AT + 10, effects: &mut *at.effects };
            assert!(table.lock(key.hash).get(key, &mut later).is_none());
        }));
    }

    #[test]
    fn a_flush_touches_only_keys_that_exist() {
        let table = Table::with_seed(1);
        let mut at = Moment { now_ms: AT, effects: &mut Discard };
        let (key, missing) = (table.key(b"key"), table.key(b"missing"));
        table.lock(key.hash).set(key, b"5", NewDeadline::Clear, &mut at);
        let (first, second, third) = (Watcher::default(), Watcher::default(), Watcher::default());
        table.lock(key.hash).watch(key, &first, &mut at);
        table.lock(key.hash).watch(key, &second, &mut at);
        table.lock(missing.hash).watch(missing, &third, &mut at);
        table.lock(key.hash).unwatch(key.bytes, &second);
        table.flush(&mut at);
        assert_eq!([&first, &second, &third].map(Watcher::is_touched), [true, false, false]);
    }
}
