//! Whether two replies are the same, as far as they can be: where they tell of time, a little may lie between them, and
//! what has no order may come in any.

use crate::client::reply_end;

/// Seconds and milliseconds by which two servers may be apart.
const SECONDS: i64 = 1;
const MILLISECONDS: i64 = 1000;

/// Commands whose replies tell of time, and by how much they may differ.
pub(crate) const TIMES: &[(&str, i64)] =
    &[("TTL", SECONDS), ("EXPIRETIME", SECONDS), ("PTTL", MILLISECONDS), ("PEXPIRETIME", MILLISECONDS)];

/// Commands whose replies have no order, and how many elements belong together.
const UNORDERED: &[(&str, usize)] =
    &[("KEYS", 1), ("HKEYS", 1), ("HVALS", 1), ("HGETALL", 2), ("HRANDFIELD", 1)];

/// Commands that reply with a cursor and elements without an order, and how many of those belong together.
const SCANS: &[(&str, usize)] = &[("SCAN", 1), ("HSCAN", 2)];

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
    // Which field it is is left to chance.
    let field = |reply: &[u8]| reply.starts_with(b"$") && !reply.starts_with(b"$-");
    if name == "HRANDFIELD" && field(ours) && field(theirs) {
        return true;
    }
    if let Some((_, together)) = UNORDERED.iter().find(|(unordered, _)| *unordered == name) {
        return same_elements(ours, theirs, *together);
    }
    if let Some((_, together)) = SCANS.iter().find(|(scan, _)| *scan == name) {
        return match (elements(ours).as_deref(), elements(theirs).as_deref()) {
            (Some([our_cursor, ours]), Some([their_cursor, theirs])) => {
                our_cursor == their_cursor && same_elements(ours, theirs, *together)
            }
            _ => false,
        };
    }
    let Some((_, tolerance)) = TIMES.iter().find(|(time, _)| *time == name) else { return false };
    match (integer(ours), integer(theirs)) {
        // The markers below zero are no times.
        (Some(ours), Some(theirs)) => ours >= 0 && theirs >= 0 && (ours - theirs).abs() <= *tolerance,
        _ => false,
    }
}

/// Whether two arrays have the same elements in whatever order, so many of them at a time.
fn same_elements(ours: &[u8], theirs: &[u8], together: usize) -> bool {
    let sorted = |reply| {
        let elements = elements(reply)?;
        let mut groups: Vec<Vec<&[u8]>> = elements.chunks(together).map(<[_]>::to_vec).collect();
        groups.sort_unstable();
        Some(groups)
    };
    sorted(ours).is_some_and(|ours| Some(ours) == sorted(theirs))
}

fn integer(reply: &[u8]) -> Option<i64> {
    std::str::from_utf8(reply.strip_prefix(b":")?.strip_suffix(b"\r\n")?).ok()?.parse().ok()
}

/// The elements of an array, a set or a map; `None`: it is none of them.
fn elements(reply: &[u8]) -> Option<Vec<&[u8]>> {
    if !matches!(reply.first(), Some(b'*' | b'~' | b'%')) || reply.starts_with(b"*-1") {
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
    let [ours, theirs] = [b"*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n", b"*4\r\n:3\r\n:4\r\n:1\r\n:2\r\n"];
    assert!(asked.agrees(&ask("HGETALL"), ours, theirs));
    assert!(!asked.agrees(&ask("HGETALL"), ours, b"*4\r\n:1\r\n:4\r\n:3\r\n:2\r\n"));
    let scanned = |elements: &[u8]| [b"*2\r\n$1\r\n0\r\n", elements].concat();
    assert!(asked.agrees(&ask("HSCAN"), &scanned(ours), &scanned(theirs)));
    assert!(!asked.agrees(&ask("HSCAN"), &scanned(ours), b"*2\r\n$1\r\n5\r\n*0\r\n"));
    for name in ["TTL", "GET"] {
        assert!(asked.agrees(&ask(name), b"+QUEUED\r\n", b"+QUEUED\r\n"));
    }
    assert!(asked.agrees(&ask("EXEC"), b"*2\r\n:5\r\n$1\r\na\r\n", b"*2\r\n:6\r\n$1\r\na\r\n"));
    assert!(!asked.agrees(&ask("EXEC"), b"*1\r\n:5\r\n", b"*1\r\n:6\r\n"));
}
