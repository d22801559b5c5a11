//! What the kernel says of this process: memory and processor time.

use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::TimeValLike;

/// Memory and processor time of this process, 0 where the kernel does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Bytes resident.
    pub resident: u64,
    /// Most bytes resident so far.
    pub peak: u64,
    /// Bytes resident that belong to nothing on disk: heap, stacks, rings' memory.
    pub anonymous: u64,
    /// Seconds in user mode.
    pub user_s: f64,
    /// Seconds in the kernel.
    pub system_s: f64,
    /// Bytes of the machine's memory.
    pub machine: u64,
    /// Bytes of address space.
    pub addressed: u64,
    /// Threads.
    pub threads: u64,
}

impl Process {
    /// Reads `/proc` and `getrusage(2)`; some 50 µs.
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        #[expect(clippy::cast_precision_loss, reason = "seconds for display")]
        let seconds = |micros: Option<i64>| micros.unwrap_or(0) as f64 / 1e6;
        Self {
            resident: kilobytes(&status, "VmRSS:"),
            peak: kilobytes(&status, "VmHWM:"),
            anonymous: kilobytes(&status, "RssAnon:"),
            user_s: seconds(usage.as_ref().map(|usage| usage.user_time().num_microseconds())),
            system_s: seconds(usage.as_ref().map(|usage| usage.system_time().num_microseconds())),
            machine: kilobytes(&memory, "MemTotal:"),
            addressed: kilobytes(&status, "VmSize:"),
            threads: number(&status, "Threads:").unwrap_or(0),
        }
    }
}

/// Open files of this process and the most there may be, 0 where the kernel does not say. Takes as long as there are many:
/// some 100 ns each.
pub fn files() -> (u64, u64) {
    let open = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    (open, most)
}

/// The value in bytes of a line `name:   123 kB`.
fn kilobytes(text: &str, name: &str) -> u64 {
    number(text, name).map_or(0, |value| value * 1024)
}

/// The number in a line `name:   123`.
fn number(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    value?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Process, files, kilobytes};

    #[test]
    fn the_process_is_measured() {
        let process = Process::read();
        assert!(process.resident >= process.anonymous && process.peak >= process.resident, "{process:?}");
        assert!(process.addressed >= process.resident && process.threads > 0, "{process:?}");
        assert!(process.anonymous > 0 && process.machine > process.resident, "{process:?}");
    }

    #[test]
    fn files_are_counted() {
        let (before, most) = files();
        let _file = std::fs::File::open("/proc/self/status").unwrap();
        let (after, _) = files();
        // Other tests open and close files meanwhile.
        assert!(before > 0 && after > 0 && after <= most);
    }

    #[test]
    fn lines_are_found_by_their_names() {
        assert_eq!(kilobytes("VmHWM:\t  12 kB\nVmRSS:\t   8 kB\n", "VmRSS:"), 8192);
        assert_eq!(kilobytes("VmRSS: x kB", "VmRSS:"), 0);
        assert_eq!(kilobytes("", "VmRSS:"), 0);
    }
}
