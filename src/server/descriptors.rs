//! Files that may be open, and the kernel's table of them: as many as `maxclients` needs. Knows no connection.

use std::io::stdin;
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::command::ConfigError;
use crate::config::Config;
use crate::limits;

/// Descriptors that the server needs besides those of its clients.
const OWN: u64 = 32 + limits::ADMIN_CONNECTIONS as u64;

/// Raises the limit of open files to what `maxclients` needs, or lowers `maxclients` to what the limit allows.
pub(super) fn prepare(config: &mut Config) {
    let wanted = u64::from(config.maxclients) + OWN;
    let Ok(reached) = raise(wanted) else { return };
    if reached < wanted {
        let clients = clients(reached);
        log::warn!(
            "maxclients is {clients} instead of {}: only {reached} files may be open (remedy: raise `ulimit -n` or \
             LimitNOFILE= to {wanted})",
            config.maxclients
        );
        config.maxclients = clients;
    }
    reserve(reached.min(wanted));
}

/// The same while the server runs, where `maxclients` becomes greater than it was.
///
/// # Errors
/// More clients than files may be open: as in Redis, it stays as it was.
pub(super) fn extend(changed: &Config) -> Result<(), ConfigError> {
    let wanted = u64::from(changed.maxclients) + OWN;
    let Ok(reached) = raise(wanted) else { return Ok(()) };
    if reached < wanted {
        let reason = format!(
            "The operating system is not able to handle the specified number of clients, try with {}",
            clients(reached)
        );
        return Err(ConfigError::Invalid("maxclients".to_owned(), reason));
    }
    reserve(wanted);
    Ok(())
}

fn clients(files: u64) -> u32 {
    u32::try_from(files.saturating_sub(OWN)).unwrap_or(u32::MAX).max(1)
}

/// Raises the limit of open files as far as it goes; how many may be open then.
fn raise(wanted: u64) -> Result<u64, Errno> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted || setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).is_ok() {
        return Ok(soft.max(wanted));
    }
    Ok(if setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft })
}

/// Makes the kernel's table of this process large enough for so many files: 8 bytes each.
///
/// It doubles by itself whenever it is full, and the thread that happens to accept then waits until every processor has
/// passed through the scheduler (`synchronize_rcu` in `expand_fdtable`, fs/file.c): 10 to 20 ms in which its clients
/// hear nothing, each time that a crowd doubles. With one thread, and so at the start, it does not wait.
fn reserve(files: u64) {
    let Ok(highest) = RawFd::try_from(files.saturating_sub(1)) else { return };
    // Of any file: this one is always open, if only as /dev/null.
    match fcntl(stdin(), FcntlArg::F_DUPFD_CLOEXEC(highest)) {
        // Whatever closing says, it is closed (close(2)).
        Ok(duplicate) => drop(nix::unistd::close(duplicate)),
        Err(errno) => log::debug!(
            errno = errno as i32;
            "the table of open files will grow when it is full: no descriptor {highest}: {errno}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{OWN, clients, raise, reserve};

    /// Places of the kernel's table of this process.
    fn places() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        line.trim().parse().unwrap()
    }

    #[test]
    fn the_table_is_as_large_as_what_is_reserved_and_nothing_stays_open() {
        let files = raise(900).unwrap().min(900);
        let highest = format!("/proc/self/fd/{}", files - 1);
        assert!(!fs::exists(&highest).unwrap());
        reserve(files);
        assert!(places() >= files, "{} of {files}", places());
        assert!(!fs::exists(&highest).unwrap());
        // Beyond what may be open: nothing comes of it, and nothing is said.
        reserve(u64::MAX);
    }

    #[test]
    fn what_is_not_for_clients_is_taken_off_and_one_may_always_come() {
        assert_eq!(clients(OWN + 7), 7);
        assert_eq!(clients(3), 1);
        assert_eq!(clients(u64::MAX), u32::MAX);
    }
}
