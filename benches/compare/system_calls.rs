//! Counts a server's system calls from outside: perf where the kernel's trace points are open, else strace.
//!
//! Always on a run of its own: counting costs processor time, strace several times what it watches.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::contender::on_path;
use super::launch;

/// How long a counter may take to attach.
const ATTACH: Duration = Duration::from_secs(5);

/// The way calls are counted on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Counter {
    /// `perf stat -e raw_syscalls:sys_enter`
    Perf(PathBuf),
    /// `strace -c -f`
    Strace(PathBuf),
}

impl Counter {
    /// Looks which way works here, by counting the calls of a program that does nothing else.
    pub(super) fn find(core: usize) -> Option<Self> {
        let ways = [on_path("perf").map(Self::Perf), on_path("strace").map(Self::Strace)];
        ways.into_iter().flatten().find(|way| {
            let writer = std::process::Command::new("yes").stdout(Stdio::null()).spawn();
            let Ok(writer) = writer.map(Ended) else { return false };
            way.attach(writer.0.id(), core).and_then(Counting::calls).is_ok_and(|calls| calls > 0)
        })
    }

    /// Its name, for the record.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Perf(_) => "perf stat -e raw_syscalls:sys_enter",
            Self::Strace(_) => "strace -c -f",
        }
    }

    /// Starts counting the calls of all threads of a process, and returns once it counts.
    ///
    /// # Errors
    /// If the counter ends instead of attaching, or does not attach in time.
    pub(super) fn attach(&self, pid: u32, core: usize) -> Result<Counting, String> {
        let target = pid.to_string();
        let (program, arguments) = match self {
            Self::Perf(program) => {
                (program, vec!["stat", "-x;", "-e", "raw_syscalls:sys_enter", "-p", &target])
            }
            Self::Strace(program) => (program, vec!["-c", "-f", "-p", &target]),
        };
        let child = launch::on_cores(&[core], program)
            .and_then(|mut command| {
                command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null());
                command.stderr(Stdio::piped()).spawn()
            })
            .map_err(|error| format!("{} does not start: {error}", self.name()))?;
        let mut counting = Counting { way: self.clone(), child: Ended(child) };
        let deadline = Instant::now() + ATTACH;
        while !counting.is_attached(pid) {
            let ended = counting.child.0.try_wait().map_err(|error| error.to_string())?.is_some();
            if ended || Instant::now() > deadline {
                return Err(format!("{} does not attach: {}", self.name(), counting.said()));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(counting)
    }
}

/// A counter at work.
#[derive(Debug)]
pub(super) struct Counting {
    way: Counter,
    child: Ended,
}

impl Counting {
    fn is_attached(&self, pid: u32) -> bool {
        match self.way {
            // perf enables its events microseconds after it opened the last; the load starts much later.
            Counter::Perf(_) => {
                let files = fs::read_dir(format!("/proc/{}/fd", self.child.0.id()));
                let event = |path: PathBuf| {
                    fs::read_link(path).is_ok_and(|link| link == Path::new("anon_inode:[perf_event]"))
                };
                files.is_ok_and(|mut files| files.any(|file| file.is_ok_and(|file| event(file.path()))))
            }
            Counter::Strace(_) => {
                let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
            }
        }
    }

    /// Stops counting and returns the number of calls.
    ///
    /// # Errors
    /// If the counter did not count.
    pub(super) fn calls(mut self) -> Result<u64, String> {
        let pid = i32::try_from(self.child.0.id()).expect("pids fit an i32");
        kill(Pid::from_raw(pid), Signal::SIGINT).map_err(|errno| errno.to_string())?;
        let said = self.said();
        let count = match self.way {
            Counter::Perf(_) => perf_count(&said),
            Counter::Strace(_) => strace_count(&said),
        };
        count.ok_or_else(|| format!("{} counted nothing: {said}", self.way.name()))
    }

    /// Everything it prints until its end.
    fn said(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = self.child.0.stderr.as_mut() {
            // What it managed to say is all there is.
            let _ = stderr.read_to_string(&mut text);
        }
        text.trim().to_owned()
    }
}

/// A child that does not outlive its owner.
#[derive(Debug)]
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Both fail only if it has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first field of the line `1234;;raw_syscalls:sys_enter;…`.
fn perf_count(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains("raw_syscalls:sys_enter"))?;
    line.split(';').next()?.parse().ok()
}

/// The calls in the line `100.00 0.000000 0 109 14 total`, the fourth field.
fn strace_count(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.trim_end().ends_with(" total"))?;
    line.split_ascii_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{perf_count, strace_count};

    #[test]
    fn counts_are_read_from_what_the_tools_print() {
        assert_eq!(perf_count("109;;raw_syscalls:sys_enter;99;100.00;;"), Some(109));
        assert_eq!(perf_count("<not supported>;;raw_syscalls:sys_enter;0;100.00;;"), None);
        let table = "strace: Process 1 attached\n\
            % time     seconds  usecs/call     calls    errors syscall\n\
            100.00    0.000000           0       109        14 total\n";
        assert_eq!(strace_count(table), Some(109));
        assert_eq!(strace_count("strace: attach: ptrace: Operation not permitted"), None);
    }
}
