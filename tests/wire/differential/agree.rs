//! Whether two replies are the same, as far as they can be: where they tell of time, a little may lie between them, and
//! what has no order may come in any.

use crate::client::reply_end;

/// Seconds and milliseconds by which two servers may be apart.
const SECONDS: i64 = 1;
const MILLISECONDS: i64 = 1000;

/// Commands whose replies tell of time, and by how much they may differ.
pub(crate) const TIMES: &[(&str, i64)] =
    &[("TTL", SECONDS), ("EXPIRETIME", SECONDS), ("PTTL", MILLISECONDS), ("PEXPIRETIME", MILLISECONDS)];

/// Commands whose replies have no order.
const UNORDERED: &[&str] = &["KEYS", "HKEYS", "HVALS"];

/// What one client has asked, as far as later replies depend on it.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Names of the requests that are queued.
    queued: Vec<String>,
}

impl Asked {
    /// Whether the replies to a request agree.
    pub(super) fn agrees(&mut self, words: &[Vec<u8>], ours: &[u8], theirs: &[u8]) -> bool {
        let name = String::from_utf8_lossy(&words[0]).to_ascii_uppercase();
        if theirs == b"+QUEUED\r\n" {
            self.queued.push(name);
            return ours == theirs;
        }
        match &*name {
            "EXEC" => {
                let queued = std::mem::take(&mut self.queued);
                let (Some(ours), Some(theirs)) = (elements(ours), elements(theirs)) else {
                    return ours == theirs;
                };
                ours.len() == theirs.len()
                    && queued.len() == theirs.len()
                    && queued
                        .iter()
                        .zip(ours.iter().zip(&theirs))
                        .all(|(name, (ours, theirs))| same(name, ours, theirs))
            }
            // It greets each in the name of its server.
            "HELLO" => ours.first() == theirs.first(),
            "DISCARD" | "RESET" => {
                self.queued.clear();
                ours == theirs
            }
            _ => same(&name, ours, theirs),
        }
    }
}

fn same(name: &str, ours: &[u8], theirs: &[u8]) -> bool {
    if ours == theirs {
        return true;
    }
    if UNORDERED.contains(&name) {
        let sorted = |reply| {
            let mut elements = elements(reply)?;
            elements.sort_unstable();
            Some(elements)
        };
        return sorted(ours).is_some_and(|ours| Some(ours) == sorted(theirs));
    }
    let Some((_, tolerance)) = TIMES.iter().find(|(time, _)| *time == name) else { return false };
    match (integer(ours), integer(theirs)) {
        // The markers below zero are no times.
        (Some(ours), Some(theirs)) => ours >= 0 && theirs >= 0 && (ours - theirs).abs() <= *tolerance,
        _ => false,
    }
}

fn integer(reply: &[u8]) -> Option<i64> {
    std::str::from_utf8(reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?).ok()?.parse().ok()
}

/// The elements of an array or a set; `None`: it is neither.
fn elements(reply: &[u8]) -> Option<Vec<&[u8]>> {
    if !matches!(reply.first(), Some(b'*' | b'~')) || reply.starts_with(b"*-1") {
        return None;
    }
    let mut at = reply.windows(2).position(|two| two == b"\r\n")? + 2;
    let mut elements = Vec::new();
    while at < reply.len() {
        let end = reply_end(reply, at)?;
        elements.push(&reply[at..end]);
        at = end;
    }
    Some(elements)
}

#[test]
fn times_may_differ_a_little_and_orders_at_all() {
    let ask = |name: &str| vec![name.as_bytes().to_vec()];
    let mut asked = Asked::default();
    assert!(asked.agrees(&ask("pttl"), b":1000\r\n", b":1001\r\n"));
    assert!(!asked.agrees(&ask("PTTL"), b":-1\r\n", b":0\r\n"));
    assert!(!asked.agrees(&ask("GET"), b":1000\r\n", b":1001\r\n"));
    assert!(asked.agrees(&ask("KEYS"), b"*2\r\n$1\r\na\r\n$1\r\nb\r\n", b"*2\r\n$1\r\nb\r\n$1\r\na\r\n"));
    for name in ["TTL", "GET"] {
        assert!(asked.agrees(&ask(name), b"+QUEUED\r\n", b"+QUEUED\r\n"));
    }
    assert!(asked.agrees(&ask("EXEC"), b"*2\r\n:5\r\n$1\r\na\r\n", b"*2\r\n:6\r\n$1\r\na\r\n"));
    assert!(!asked.agrees(&ask("EXEC"), b"*1\r\n:5\r\n", b"*1\r\n:6\r\n"));
}
