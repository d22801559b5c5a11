//! The slow log: what took longer than the operator wants, the newest first. Knows texts and numbers, no command.
//!
//! All workers share one. It is locked when something was slow or somebody looks, and never on a fast request's way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::limits::SLOW_LOG_BYTES;

/// Arguments that an entry keeps, as in Redis; the last one then says how many more there were.
const ARGUMENTS: usize = 32;

/// Bytes that an entry keeps of each argument, as in Redis.
const ARGUMENT_BYTES: usize = 128;

/// A request that was slow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Never given twice, and growing.
    pub id: u64,
    /// Unix time in seconds at which it was over.
    pub unix_s: u64,
    /// How long it took.
    pub duration_us: u64,
    /// What it was, see [`cut`].
    pub arguments: Vec<Box<[u8]>>,
    /// Address and port of its client.
    pub peer: String,
    /// The name that its client gave itself, empty without one.
    pub name: Box<[u8]>,
}

impl Entry {
    /// Memory it takes, near enough for a bound.
    fn bytes(&self) -> usize {
        let arguments: usize = self.arguments.iter().map(|it| size_of_val(it) + it.len()).sum();
        size_of::<Self>() + arguments + self.peer.len() + self.name.len()
    }
}

/// What an entry keeps of `count` arguments: the first ones, of long ones the beginning, and how much more there was, in
/// Redis' words.
pub fn cut<'a>(arguments: impl Iterator<Item = &'a [u8]>, count: usize) -> Vec<Box<[u8]>> {
    let whole = if count > ARGUMENTS { ARGUMENTS - 1 } else { count };
    let mut kept: Vec<Box<[u8]>> = arguments.take(whole).map(shortened).collect();
    if count > whole {
        kept.push(format!("... ({} more arguments)", count - whole).into_bytes().into());
    }
    kept
}

fn shortened(argument: &[u8]) -> Box<[u8]> {
    let Some((head, rest)) = argument.split_at_checked(ARGUMENT_BYTES).filter(|(_, rest)| !rest.is_empty())
    else {
        return argument.into();
    };
    let tail = format!("... ({} more bytes)", rest.len());
    [head, tail.as_bytes()].concat().into()
}

/// The entries.
#[derive(Debug, Default)]
pub struct SlowLog {
    log: Mutex<Log>,
}

/// `entries.len() <= most`, and `bytes` is what they take together: at most [`SLOW_LOG_BYTES`].
#[derive(Debug, Default)]
struct Log {
    /// The newest first.
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    most: usize,
    next_id: u64,
}

impl Log {
    /// Lets the oldest go until the bounds are kept.
    fn trim(&mut self) {
        while self.entries.len() > self.most || self.bytes > SLOW_LOG_BYTES {
            let Some(oldest) = self.entries.pop_back() else { break };
            self.bytes -= oldest.bytes();
        }
    }
}

impl SlowLog {
    /// A log that keeps at most so many entries.
    pub fn new(most: usize) -> Self {
        Self { log: Mutex::new(Log { most, ..Log::default() }) }
    }

    /// Keeps at most so many entries from now on.
    pub fn keep(&self, most: usize) {
        let mut log = self.log();
        log.most = most;
        log.trim();
    }

    /// Adds an entry, which gets the next number.
    pub fn add(&self, entry: Entry) {
        let mut log = self.log();
        let entry = Entry { id: log.next_id, ..entry };
        log.next_id += 1;
        log.bytes += entry.bytes();
        log.entries.push_front(Arc::new(entry));
        log.trim();
    }

    /// The newest entries, at most so many.
    pub fn newest(&self, count: usize) -> Vec<Arc<Entry>> {
        self.log().entries.iter().take(count).cloned().collect()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.log().entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all entries. Numbers go on.
    pub fn clear(&self) {
        let mut log = self.log();
        log.entries.clear();
        log.bytes = 0;
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, SlowLog, cut};
    use crate::limits::SLOW_LOG_BYTES;

    fn kept(arguments: &[&str]) -> Vec<String> {
        let kept = cut(arguments.iter().map(|it| it.as_bytes()), arguments.len());
        kept.iter().map(|it| String::from_utf8_lossy(it).into_owned()).collect()
    }

    #[test]
    fn thirty_two_arguments_are_kept_and_no_more() {
        let arguments: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        assert_eq!(kept(&arguments[..32]), arguments[..32]);
        let of_33 = kept(&arguments[..33]);
        assert_eq!(
            (of_33.len(), of_33[30].as_str(), of_33[31].as_str()),
            (32, "30", "... (2 more arguments)")
        );
        assert_eq!(kept(&arguments)[31], "... (9 more arguments)");
    }

    #[test]
    fn of_an_argument_128_bytes_are_kept() {
        let (fits, long) = ("a".repeat(128), "a".repeat(131));
        assert_eq!(kept(&[&fits, ""]), [fits.as_str(), ""]);
        assert_eq!(kept(&[&long]), [fits + "... (3 more bytes)"]);
    }

    #[test]
    fn the_oldest_go_first() {
        let log = SlowLog::new(2);
        (0..3).for_each(|duration_us| log.add(Entry { duration_us, ..Entry::default() }));
        let shown = |log: &SlowLog| -> Vec<(u64, u64)> {
            log.newest(10).iter().map(|entry| (entry.id, entry.duration_us)).collect()
        };
        assert_eq!(shown(&log), [(2, 2), (1, 1)]);
        assert_eq!(log.newest(1).len(), 1);
        log.keep(1);
        assert_eq!(shown(&log), [(2, 2)]);
        log.clear();
        assert!(log.is_empty());
        log.add(Entry::default());
        assert_eq!(shown(&log), [(3, 0)], "numbers go on");
        log.keep(0);
        log.add(Entry::default());
        assert!(log.is_empty(), "nothing is kept where nothing may be");
    }

    #[test]
    fn its_bytes_are_bounded_whatever_its_length() {
        let log = SlowLog::new(usize::MAX);
        let entry = Entry { name: vec![b'n'; 1 << 20].into(), ..Entry::default() };
        (0..100).for_each(|_| log.add(entry.clone()));
        assert!((50..64).contains(&log.len()) && log.log().bytes <= SLOW_LOG_BYTES, "{}", log.len());
        log.clear();
        assert_eq!(log.log().bytes, 0);
    }
}
