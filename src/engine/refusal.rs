//! Why the kernel gives no ring, in words for the operator: from the call that failed and what `/proc` says about this
//! process. Changes nothing.

use std::fs;
use std::io;

use nix::sys::resource::{Resource, getrlimit};

/// What was asked of the kernel when it refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A ring.
    Setup,
    /// Blocks, restrictions, the ring's start.
    Register,
    /// That entries be worked off.
    Enter,
    /// One of the entries.
    #[cfg(feature = "uring")]
    Entry,
}

impl Call {
    fn name(self) -> &'static str {
        match self {
            Self::Setup => "io_uring_setup",
            Self::Register => "io_uring_register",
            Self::Enter => "io_uring_enter",
            #[cfg(feature = "uring")]
            Self::Entry => "a receive on the ring",
        }
    }
}

/// A refusal.
#[derive(Debug)]
pub(super) struct Obstacle {
    pub(super) call: Call,
    pub(super) error: io::Error,
}

impl Obstacle {
    /// For `map_err`.
    pub(super) fn of(call: Call) -> impl Fn(io::Error) -> Self {
        move |error| Self { call, error }
    }
}

/// What failed, what most likely keeps it from working, and what to do about it. `since`: the first kernel that would
/// do.
pub(super) fn explain(obstacle: &Obstacle, since: &str) -> String {
    words(obstacle, since, &Facts::read())
}

/// What this process may do, as far as it shows.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// `kernel.io_uring_disabled`; older kernels than 6.6 have none.
    disabled: Option<u32>,
    /// `kernel.io_uring_group`, -1 = nobody.
    group: Option<i64>,
    /// The groups of the process.
    groups: Vec<i64>,
    /// Whether a seccomp filter stands between the process and the kernel.
    filtered: Option<bool>,
    /// Effective capabilities.
    capabilities: u64,
    /// `RLIMIT_MEMLOCK` in bytes.
    memlock: Option<u64>,
}

const CAP_IPC_LOCK: u64 = 1 << 14;
const CAP_SYS_ADMIN: u64 = 1 << 21;

impl Facts {
    fn read() -> Self {
        let number = |path| fs::read_to_string(path).ok();
        let status = number("/proc/self/status").unwrap_or_default();
        Self {
            disabled: number("/proc/sys/kernel/io_uring_disabled").and_then(|text| text.trim().parse().ok()),
            group: number("/proc/sys/kernel/io_uring_group").and_then(|text| text.trim().parse().ok()),
            memlock: getrlimit(Resource::RLIMIT_MEMLOCK).ok().map(|(soft, _)| soft),
            ..Self::of_status(&status)
        }
    }

    /// From the lines of `/proc/self/status` (proc_pid_status(5)).
    fn of_status(status: &str) -> Self {
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let numbers = |name| line(name).unwrap_or_default().split_whitespace();
        Self {
            groups: numbers("Gid:").chain(numbers("Groups:")).filter_map(|id| id.parse().ok()).collect(),
            filtered: line("Seccomp:").map(|mode| mode != "0"),
            capabilities: line("CapEff:")
                .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                .unwrap_or(0),
            ..Self::default()
        }
    }

    /// Why `kernel.io_uring_disabled` forbids a ring, if it does.
    fn sysctl(&self) -> Option<String> {
        match self.disabled? {
            0 => None,
            1 if self.capabilities & CAP_SYS_ADMIN != 0 => None,
            1 if self.group.is_some_and(|group| self.groups.contains(&group)) => None,
            1 => {
                let group = match self.group {
                    Some(group) if group >= 0 => format!(" and to group {group} (kernel.io_uring_group)"),
                    _ => String::new(),
                };
                Some(format!(
                    "sysctl kernel.io_uring_disabled is 1, which leaves io_uring to CAP_SYS_ADMIN{group} (remedy: set \
                     it to 0, or kernel.io_uring_group to a group of the server)"
                ))
            }
            value => Some(format!(
                "sysctl kernel.io_uring_disabled is {value}, which forbids io_uring to everybody (remedy: set it to 0)"
            )),
        }
    }
}

/// What a profile must let through.
const PROFILE: &str = "(remedy: a profile that also allows io_uring_setup, io_uring_enter and io_uring_register, which \
                       Docker's default does not)";

fn words(obstacle: &Obstacle, since: &str, facts: &Facts) -> String {
    let Obstacle { call, error } = obstacle;
    let name = call.name();
    let likely = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            // The sysctl is looked at when a ring is set up, and never again.
            let sysctl = if *call == Call::Setup { facts.sysctl() } else { None };
            match (sysctl, facts.filtered) {
                (Some(sysctl), _) => sysctl,
                (None, Some(true)) => format!("a seccomp profile forbids {name} {PROFILE}"),
                (None, Some(false)) => {
                    "neither seccomp nor sysctl kernel.io_uring_disabled forbids it, so a security module does (remedy: \
                     see what SELinux or AppArmor logged)"
                        .to_owned()
                }
                (None, None) => format!(
                    "a seccomp profile forbids it {PROFILE}, or sysctl kernel.io_uring_disabled does (remedy: set it \
                     to 0)"
                ),
            }
        }
        Some(libc::ENOSYS) if facts.filtered != Some(false) => {
            format!("a seccomp profile hides {name} {PROFILE}, or the kernel has no io_uring")
        }
        Some(libc::ENOSYS) => {
            "the kernel has no io_uring (remedy: one built with CONFIG_IO_URING)".to_owned()
        }
        Some(libc::ENOMEM) if facts.capabilities & CAP_IPC_LOCK != 0 => "memory is short".to_owned(),
        Some(libc::ENOMEM) => {
            let limit = match facts.memlock {
                Some(bytes) => format!(", RLIMIT_MEMLOCK is {} KiB", bytes / 1024),
                None => String::new(),
            };
            format!(
                "memory that may be locked is short{limit} (remedy: raise `ulimit -l` or LimitMEMLOCK= to 8 MiB and 2 \
                 MiB more per worker, 6 MiB with engine tokio-uring)"
            )
        }
        Some(libc::EINVAL) => format!("the kernel is older than {since} (remedy: upgrade it)"),
        _ => "the cause is not one we know".to_owned(),
    };
    format!("cannot set up io_uring: {name}: {error}: {likely}")
}

#[cfg(test)]
mod tests {
    use super::{CAP_SYS_ADMIN, Call, Facts, Obstacle, words};
    use std::io;

    fn said(call: Call, errno: i32, facts: &Facts) -> String {
        words(&Obstacle { call, error: io::Error::from_raw_os_error(errno) }, "5.19", facts)
    }

    #[track_caller]
    fn names(text: &str, cause: &str, others: &[&str]) {
        assert!(text.contains(cause), "{cause} is the cause: {text}");
        for other in others {
            assert!(!text.contains(other), "{other} is not: {text}");
        }
    }

    #[test]
    fn a_sysctl_that_forbids_is_named_with_its_value() {
        let facts = Facts { disabled: Some(2), filtered: Some(true), ..Facts::default() };
        names(&said(Call::Setup, libc::EPERM, &facts), "kernel.io_uring_disabled is 2", &["seccomp"]);
        // A ring was granted, so it is not the sysctl that forbids the next call.
        let text = said(Call::Register, libc::EPERM, &facts);
        names(&text, "a seccomp profile forbids io_uring_register", &["io_uring_disabled"]);
    }

    #[test]
    fn a_sysctl_for_a_group_is_named_to_outsiders() {
        let outside = Facts { disabled: Some(1), group: Some(7), filtered: Some(true), ..Facts::default() };
        let text = said(Call::Setup, libc::EPERM, &outside);
        names(&text, "kernel.io_uring_disabled is 1", &["seccomp"]);
        assert!(text.contains("group 7"), "{text}");
        let nobody = Facts { group: Some(-1), ..outside.clone() };
        names(&said(Call::Setup, libc::EPERM, &nobody), "kernel.io_uring_disabled is 1", &["group -1"]);
        let member = Facts { groups: vec![3, 7], ..outside.clone() };
        let admin = Facts { capabilities: CAP_SYS_ADMIN, ..outside };
        for allowed in [member, admin] {
            names(&said(Call::Setup, libc::EPERM, &allowed), "a seccomp profile", &["io_uring_disabled is"]);
        }
    }

    #[test]
    fn what_is_left_is_named() {
        let open =
            Facts { disabled: Some(0), filtered: Some(false), memlock: Some(65_536), ..Facts::default() };
        names(&said(Call::Setup, libc::EPERM, &open), "a security module", &[]);
        let unknown = Facts::default();
        let text = said(Call::Setup, libc::EPERM, &unknown);
        assert!(text.contains("seccomp") && text.contains("kernel.io_uring_disabled"), "both may be: {text}");
        names(&said(Call::Setup, libc::ENOSYS, &open), "CONFIG_IO_URING", &["seccomp"]);
        names(&said(Call::Setup, libc::ENOSYS, &unknown), "a seccomp profile hides io_uring_setup", &[]);
        names(&said(Call::Setup, libc::ENOMEM, &open), "RLIMIT_MEMLOCK is 64 KiB", &["older"]);
        names(&said(Call::Setup, libc::EINVAL, &open), "older than 5.19", &["seccomp"]);
    }

    #[test]
    fn the_status_of_a_process_is_understood() {
        let facts = Facts::of_status(
            "Name:\tx\nGid:\t100\t100\t100\t100\nGroups:\t4 24 \nCapEff:\t0000000000204000\nSeccomp:\t2\nSeccomp_filters:\t1\n",
        );
        assert_eq!(facts.groups, [100, 100, 100, 100, 4, 24]);
        assert_eq!((facts.filtered, facts.capabilities), (Some(true), 0x20_4000));
        assert_eq!(Facts::of_status("").filtered, None, "nothing is known where nothing can be read");
        assert!(Facts::read().filtered.is_some(), "this process has a status");
    }
}
