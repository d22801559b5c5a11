//! The role that becomes another program: pins itself to processors, ties its life to the harness, and executes.
//!
//! A step of its own so that nothing has to run between fork and exec. What it sets survives the exec.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process;

use clap::{Arg, ArgMatches, value_parser};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

/// Arguments of `launch`.
pub(super) fn command() -> clap::Command {
    clap::Command::new("launch")
        .about("executes a program on some processors; it is killed when the harness ends")
        .arg(
            Arg::new("cores")
                .long("cores")
                .value_delimiter(',')
                .value_parser(value_parser!(usize))
                .required(true),
        )
        .arg(Arg::new("parent").long("parent").value_parser(value_parser!(i32)).required(true))
        .arg(Arg::new("program").num_args(1..).last(true).required(true))
}

/// A command that runs `program` on the processors `cores` and dies with this process. Spawn it from the thread that
/// lives longest: the kernel watches the thread, not the process.
pub(super) fn on_cores(cores: &[usize], program: &Path) -> io::Result<process::Command> {
    let mut command = process::Command::new(std::env::current_exe()?);
    command.arg("launch").args(["--cores", &listed(cores), "--parent", &process::id().to_string(), "--"]);
    command.arg(program);
    Ok(command)
}

/// Processors as the command line lists them.
fn listed(cores: &[usize]) -> String {
    cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// Becomes the program; returns only when that fails.
pub(super) fn run(matches: &ArgMatches) -> io::Error {
    let cores: Vec<usize> =
        matches.get_many("cores").expect("the processors are required").copied().collect();
    let parent = *matches.get_one::<i32>("parent").expect("the parent is required");
    let mut program = matches.get_many::<String>("program").expect("the program is required");
    let name = program.next().expect("at least one word is required");
    if let Err(error) = prepare(&cores, Pid::from_raw(parent)) {
        return io::Error::other(format!("cannot pin {name} to processor {}: {error}", listed(&cores)));
    }
    let error = process::Command::new(name).args(program).exec();
    io::Error::other(format!("cannot execute {name}: {error}"))
}

fn prepare(cores: &[usize], parent: Pid) -> nix::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        // The harness died before the kernel was told to watch it.
        return Err(nix::errno::Errno::ESRCH);
    }
    let mut set = CpuSet::new();
    cores.iter().try_for_each(|&core| set.set(core))?;
    sched_setaffinity(Pid::from_raw(0), &set)?;
    raise_descriptors()
}

/// As many descriptors as this user may have: 9,000 idle connections need as many on either side.
fn raise_descriptors() -> nix::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)
}
