//! Facts about the machine and the moment, without which a figure says nothing. Knows files under `/proc` and `/sys`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::utsname::uname;
use serde::Serialize;

/// Where a run took place.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Facts {
    /// The processor's own name.
    pub(super) processor: String,
    /// Processors that are online.
    pub(super) cores: String,
    /// Under which hypervisor, if any is admitted.
    pub(super) virtualized: bool,
    /// Kernel release and version.
    pub(super) kernel: String,
    /// Frequency governor of processor 0.
    pub(super) governor: String,
    /// What the kernel reads time from.
    pub(super) clocksource: String,
    /// Main memory in MiB.
    pub(super) memory_mib: u64,
    /// Load averages when the run began: somebody else at work spoils figures.
    pub(super) load_average: String,
    /// Which processor served and which asked.
    pub(super) pinning: String,
}

impl Facts {
    /// Reads them.
    pub(super) fn read(server_core: usize, load_core: usize) -> Self {
        let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
        let processor = field(&cpuinfo, "model name").unwrap_or("unknown").to_owned();
        let virtualized = field(&cpuinfo, "flags").is_some_and(|flags| flags.contains("hypervisor"));
        let memory = read("/proc/meminfo").unwrap_or_default();
        let kib = field(&memory, "MemTotal").and_then(|value| value.split(' ').next()?.parse().ok());
        let kernel = uname()
            .map(|name| format!("{} {}", name.release().to_string_lossy(), name.version().to_string_lossy()));
        let or_unknown = |path: &str| read(path).unwrap_or_else(|| "not shown by this machine".to_owned());
        Self {
            processor,
            cores: or_unknown("/sys/devices/system/cpu/online"),
            virtualized,
            kernel: kernel.unwrap_or_default(),
            governor: or_unknown("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            clocksource: or_unknown("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            memory_mib: kib.unwrap_or(0_u64) / 1024,
            load_average: or_unknown("/proc/loadavg"),
            pinning: format!("servers on processor {server_core}, load on processor {load_core}"),
        }
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// The commit that is checked out, short, with `-dirty` where tracked files differ from it.
pub(super) fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "no-commit".to_owned() };
    let clean =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|status| status.is_empty());
    if clean { commit } else { commit + "-dirty" }
}

/// Today, in UTC, as `2031-05-09`.
pub(super) fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date(seconds / 86_400)
}

/// The date of a day since 1970-01-01, by Howard Hinnant's `civil_from_days`: years begin in March, so that the
/// leap day is a year's last.
fn date(days: u64) -> String {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{of_month:02}")
}

/// Makes a directory for a record under `parent`; where `name` is taken, a number is added.
pub(super) fn new_directory(parent: &Path, name: &str) -> io::Result<PathBuf> {
    fs::create_dir_all(parent)?;
    let mut directory = parent.join(name);
    let mut number = 2;
    while let Err(error) = fs::create_dir(&directory) {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return Err(error);
        }
        directory = parent.join(format!("{name}-{number}"));
        number += 1;
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::{Facts, date};

    #[test]
    fn days_are_dates() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (11_016, "2000-02-29"),
            (20_454, "2026-01-01"),
        ] {
            assert_eq!(date(days), expected);
        }
    }

    #[test]
    fn this_machine_has_a_processor_and_a_kernel() {
        let facts = Facts::read(0, 1);
        assert!(facts.memory_mib > 0 && !facts.kernel.is_empty() && !facts.processor.is_empty());
    }
}
