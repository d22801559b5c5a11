//! What the kernel tells about a process: processor time, context switches, memory.
//!
//! Knows the formats under `/proc` (proc(5)); does not know servers or rounds. Reads are cheap enough to be done
//! between two measurements, never during one.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What a process used since it started, over all its threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Time on a processor, user and system, in nanoseconds, to the nanosecond (`schedstat`).
    pub(crate) run_ns: u64,
    /// Clock ticks in user mode (`stat`), usually of 10 ms.
    pub(crate) user_ticks: u64,
    /// Clock ticks in the kernel.
    pub(crate) system_ticks: u64,
    /// Times it gave the processor away because it had to wait.
    pub(crate) voluntary: u64,
    /// Times the processor was taken from it.
    pub(crate) involuntary: u64,
}

impl Usage {
    /// Both together.
    fn and(self, other: Self) -> Self {
        Self {
            run_ns: self.run_ns + other.run_ns,
            user_ticks: self.user_ticks + other.user_ticks,
            system_ticks: self.system_ticks + other.system_ticks,
            voluntary: self.voluntary + other.voluntary,
            involuntary: self.involuntary + other.involuntary,
        }
    }

    /// What was used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            run_ns: self.run_ns.saturating_sub(before.run_ns),
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(before.system_ticks),
            voluntary: self.voluntary.saturating_sub(before.voluntary),
            involuntary: self.involuntary.saturating_sub(before.involuntary),
        }
    }
}

/// What the process used so far, once all its threads sleep.
///
/// The kernel brings a thread's `schedstat` up to date when the thread leaves the processor or at a tick, so that
/// only a sleeping thread's is exact. A server that is asked nothing goes to sleep within microseconds; one that
/// does not within 200 ms is read as it is.
///
/// # Errors
/// If the process is gone.
pub(crate) fn settled_usage(pid: u32) -> io::Result<Usage> {
    let deadline = Instant::now() + Duration::from_millis(200);
    while !asleep(pid)? && Instant::now() < deadline {
        thread::yield_now();
    }
    usage(pid)
}

fn asleep(pid: u32) -> io::Result<bool> {
    let states = each_thread(pid, |thread| {
        let stat = fs::read_to_string(thread.join("stat"))?;
        Ok(after_name(&stat).starts_with('S'))
    })?;
    Ok(states.into_iter().all(|sleeps| sleeps))
}

fn usage(pid: u32) -> io::Result<Usage> {
    let threads = each_thread(pid, |thread| {
        let schedstat = fs::read_to_string(thread.join("schedstat"))?;
        let stat = fs::read_to_string(thread.join("stat"))?;
        let status = fs::read_to_string(thread.join("status"))?;
        Ok(Usage {
            run_ns: field(&schedstat, 0),
            // Fields 14 and 15 of the line, counted from 1; the state is field 3.
            user_ticks: field(after_name(&stat), 11),
            system_ticks: field(after_name(&stat), 12),
            voluntary: labelled(&status, "voluntary_ctxt_switches:").unwrap_or(0),
            involuntary: labelled(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0),
        })
    })?;
    Ok(threads.into_iter().fold(Usage::default(), Usage::and))
}

/// A `stat` line from the state on: the name before it stands in parentheses and may hold anything.
fn after_name(stat: &str) -> &str {
    stat.rsplit_once(") ").map_or("", |(_, rest)| rest)
}

/// Reads something about every thread; threads that end meanwhile are left out.
fn each_thread<R>(pid: u32, read: impl Fn(&Path) -> io::Result<R>) -> io::Result<Vec<R>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        match read(&entry?.path()) {
            Ok(value) => found.push(value),
            // The directory is gone, or the file was open already when the thread went.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => return Err(error),
        }
    }
    if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) }
}

/// Memory of a process that is resident and its own (`RssAnon`), in bytes.
///
/// # Errors
/// If the process is gone.
pub(crate) fn anonymous_bytes(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "RssAnon:")
}

/// The same counted page by page (`smaps_rollup`): slower, and exact where the kernel's running total lags behind by
/// some pages per processor.
///
/// # Errors
/// If the process is gone.
pub(crate) fn mapped_anonymous_bytes(pid: u32) -> io::Result<u64> {
    labelled_bytes(&format!("/proc/{pid}/smaps_rollup"), "Anonymous:")
}

/// All memory that a process has for its data, in bytes: its own, what it shares with nobody though it could, huge pages
/// and what was swapped out. Pages of files are not in it: they are the program. Counted page by page.
///
/// # Errors
/// If the process is gone.
pub(crate) fn data_bytes(pid: u32) -> io::Result<u64> {
    const PARTS: [&str; 5] = ["Anonymous:", "Pss_Shmem:", "Private_Hugetlb:", "Shared_Hugetlb:", "SwapPss:"];
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    Ok(PARTS.iter().filter_map(|label| labelled(&rollup, label)).sum::<u64>() * 1024)
}

/// The parts of [`data_bytes`] that the kernel keeps totals of (`status`): quick enough to be read under load, and off by
/// some pages per processor.
///
/// # Errors
/// If the process is gone.
pub(crate) fn resident_data_bytes(pid: u32) -> io::Result<u64> {
    const PARTS: [&str; 4] = ["RssAnon:", "RssShmem:", "HugetlbPages:", "VmSwap:"];
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(PARTS.iter().filter_map(|label| labelled(&status, label)).sum::<u64>() * 1024)
}

/// Memory of a process that is resident, in bytes, pages of files included.
///
/// # Errors
/// If the process is gone.
pub(crate) fn rss_bytes(pid: u32) -> io::Result<u64> {
    status_bytes(pid, "VmRSS:")
}

fn status_bytes(pid: u32, label: &str) -> io::Result<u64> {
    labelled_bytes(&format!("/proc/{pid}/status"), label)
}

fn labelled_bytes(file: &str, label: &str) -> io::Result<u64> {
    let kib = labelled(&fs::read_to_string(file)?, label);
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other(format!("no {label} in {file}")))
}

fn field(line: &str, index: usize) -> u64 {
    line.split_ascii_whitespace().nth(index).and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// The first number on the line that starts with `label`.
fn labelled(text: &str, label: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(label))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::{
        after_name, anonymous_bytes, data_bytes, labelled, mapped_anonymous_bytes, rss_bytes, usage,
    };

    #[test]
    fn a_busy_process_shows_what_it_used() {
        let mut busy = Command::new("yes").stdout(Stdio::null()).spawn().unwrap();
        let pid = busy.id();
        let before = usage(pid).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut used = 0;
        while used == 0 && Instant::now() < deadline {
            used = usage(pid).unwrap().since(before).run_ns;
        }
        let memory = [rss_bytes(pid), anonymous_bytes(pid), mapped_anonymous_bytes(pid), data_bytes(pid)];
        let memory = memory.map(Result::unwrap);
        // Ended before anything is judged: a test that fails leaves no process behind.
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(used > 0, "a process that never waits uses its processor");
        assert!(memory.iter().all(|&bytes| bytes > 0), "a running process has pages: {memory:?}");
        assert!(usage(pid).is_err(), "it is gone");
    }

    #[test]
    fn labels_are_found_at_the_start_of_a_line_only() {
        let status = "nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t3\nRssAnon:\t  12 kB\n";
        assert_eq!(labelled(status, "voluntary_ctxt_switches:"), Some(3));
        assert_eq!(labelled(status, "RssAnon:"), Some(12));
        assert_eq!(labelled(status, "RssFile:"), None);
    }

    #[test]
    fn a_name_with_parentheses_does_not_hide_the_state() {
        assert_eq!(after_name("12 (a) (b) S 1 12"), "S 1 12");
    }
}
