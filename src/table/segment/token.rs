//! Tokens of a segment's keys, and of the server: looked up, used, told again by an effect.

use super::Segment;
use crate::table::effect::Effect;
use crate::table::tokens::{self, Used, VisitToken};
use crate::table::{KeyHash, Moment, Table};

impl Segment {
    /// What a token of a key's name, or of the server, was used for.
    pub fn token(&mut self, key: Option<&[u8]>, token: &[u8], at: &Moment<'_>) -> Option<Used> {
        let store = &mut self.store;
        store.tokens.get(&store.hashing, key, token, at.now_ms)
    }

    /// Remembers a token, whatever it was used for before.
    pub fn use_token(&mut self, key: Option<&[u8]>, token: &[u8], used: Used, at: &mut Moment<'_>) {
        self.store.set_token(key, token, used);
        let Used { fingerprint, value, deadline } = used;
        self.record(at, Effect::Token { key, token, fingerprint, value, deadline });
    }

    /// Does again what [`Effect::Token`] says.
    pub(in crate::table) fn apply_token(&mut self, key: Option<&[u8]>, token: &[u8], used: Used) {
        self.store.set_token(key, token, used);
    }
}

impl Table {
    /// The hash whose segment has a token of the whole server.
    pub fn token_hash(&self, token: &[u8]) -> KeyHash {
        let mut name = Vec::with_capacity(1 + token.len());
        tokens::name(&mut name, None, token);
        self.key(&name).hash
    }

    /// Number of tokens that are remembered, those that are due but not removed yet included.
    pub fn tokens(&self) -> usize {
        self.memory.tokens()
    }

    /// Visits every token, those that are due included. Locks one segment after the other; `visit` must not use the table.
    pub fn for_each_token(&self, visit: &mut VisitToken<'_>) {
        for segment in self.guards() {
            let store = segment.store();
            store.tokens.visit(&store.hashing, 0, u64::MAX, visit);
        }
    }

    /// Does again what [`Effect::Token`] says.
    pub(in crate::table) fn apply_token(&self, key: Option<&[u8]>, token: &[u8], used: Used) {
        let hash = key.map_or_else(|| self.token_hash(token), |bytes| self.key(bytes).hash);
        self.lock(hash).apply_token(key, token, used);
    }
}

#[cfg(test)]
mod tests {
    use crate::table::effect::{Discard, Effect};
    use crate::table::tokens::Used;
    use crate::table::{Moment, Sweep, Table};

    #[test]
    fn tokens_count_and_go() {
        let table = Table::with_seed(1);
        let empty = table.heap_bytes();
        let at = &mut Moment { now_ms: 10, effects: &mut Discard };
        for n in 0..3000_u64 {
            let name = format!("key:{}", n % 100);
            let key = table.key(name.as_bytes());
            let used = Used { fingerprint: n, value: 1, deadline: 20 + n % 2 };
            table.lock(key.hash).use_token(Some(key.bytes), &n.to_le_bytes(), used, at);
        }
        assert_eq!((table.len(), table.tokens()), (0, 3000), "they are no keys");
        assert!(table.heap_bytes() > empty + 3000 * 40);
        assert_eq!(table.next_task(), 20);
        let mut sweep = Sweep::default();
        while table.expire(&mut sweep, 64, &mut Moment { now_ms: 20, effects: &mut Discard }) {}
        assert_eq!((table.tokens(), table.next_task()), (1500, 21));
        table.flush(at);
        assert!(!table.expire(&mut sweep, 64, at));
        assert_eq!((table.tokens(), table.next_task()), (0, u64::MAX));
        for key in [None, Some(b"key:1".as_slice())] {
            let (fingerprint, value, deadline) = (1, 2, 30);
            table.apply(&Effect::Token { key, token: b"t", fingerprint, value, deadline });
            let hash = key.map_or_else(|| table.token_hash(b"t"), |key| table.key(key).hash);
            let found = table.lock(hash).token(key, b"t", &Moment { now_ms: 10, effects: &mut Discard });
            assert_eq!(found, Some(Used { fingerprint, value, deadline }));
        }
    }
}
