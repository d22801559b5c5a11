//! Listening sockets: TCP over IPv4 and IPv6, and the Unix socket with its mode.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrLike, SockaddrStorage, UnixAddr, bind,
    listen as nix_listen, setsockopt, socket, sockopt,
};
use nix::sys::stat::{Mode, umask};

use super::ServerError;
use crate::config::Config;

/// What the server listens on.
#[derive(Debug)]
pub(super) struct Listeners {
    names: Vec<String>,
    /// The Unix socket's file, to be removed at the end.
    file: Option<PathBuf>,
}

impl Listeners {
    /// All addresses, for the start-up line.
    pub(super) fn names(&self) -> String {
        self.names.join(", ")
    }

    /// Removes the Unix socket's file.
    pub(super) fn remove_files(&self) {
        if let Some(path) = &self.file
            && let Err(error) = std::fs::remove_file(path)
        {
            log::warn!("cannot remove {}: {error}", path.display());
        }
    }
}

/// Opens every socket that the configuration names. `Err` says which one could not be opened and why.
pub(super) fn listen(config: &Config) -> Result<(Listeners, Vec<OwnedFd>), ServerError> {
    let mut listeners = Listeners { names: Vec::new(), file: None };
    let mut sockets = Vec::new();
    for (directive, port, mark) in [("port", config.port, ""), ("tls-port", config.tls.port, " (TLS)")] {
        for wanted in config.bind.iter().filter(|_| port != 0) {
            let address = SocketAddr::new(wanted.ip, port);
            match tcp(address, config) {
                Ok(socket) => {
                    sockets.push(socket);
                    listeners.names.push(format!("{address}{mark}"));
                }
                Err(errno) if wanted.optional && is_missing(errno) => {
                    log::info!("not listening on {address}: this machine has no such address");
                }
                Err(errno) => return Err(refused_for(directive, "bind", &address.to_string(), errno)),
            }
        }
    }
    if let Some(path) = &config.unixsocket {
        sockets.push(unix(path, config)?);
        listeners.names.push(path.display().to_string());
        listeners.file = Some(path.clone());
    }
    if sockets.is_empty() {
        return Err(ServerError::new(
            "nothing to listen on: port and tls-port are 0 and no unixsocket is given",
        ));
    }
    Ok((listeners, sockets))
}

/// Opens the sockets of the admin interface. A port that nobody asked for may be another server's; then there is none.
pub(super) fn listen_for_admin(config: &Config) -> Result<Vec<TcpListener>, ServerError> {
    let mut sockets = Vec::new();
    if config.admin_port.number == 0 {
        return Ok(sockets);
    }
    for wanted in &config.admin_bind {
        let address = SocketAddr::new(wanted.ip, config.admin_port.number);
        match tcp(address, config) {
            Ok(socket) => sockets.push(TcpListener::from(socket)),
            Err(errno) if wanted.optional && is_missing(errno) => {}
            Err(Errno::EADDRINUSE) if config.admin_port.optional => {
                log::warn!(
                    "no admin interface on {address}: another server has that port (remedy: give this one an \
                     admin-port of its own; 0 = none)"
                );
            }
            Err(errno) => return Err(refused_for("admin-port", "admin-bind", &address.to_string(), errno)),
        }
    }
    Ok(sockets)
}

/// Whether this machine has no such address.
fn is_missing(errno: Errno) -> bool {
    matches!(errno, Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT)
}

fn refused(name: &str, errno: Errno) -> ServerError {
    refused_for("port", "bind", name, errno)
}

/// Why an address that these directives name cannot be listened on.
fn refused_for(port: &str, bind: &str, name: &str, errno: Errno) -> ServerError {
    let remedy = match errno {
        Errno::EADDRINUSE => format!(" (another server uses it; stop that one or choose another --{port})"),
        Errno::EACCES => " (ports below 1024 need CAP_NET_BIND_SERVICE)".to_owned(),
        Errno::EADDRNOTAVAIL => format!(" (this machine has no such address; see `{bind}`)"),
        _ => String::new(),
    };
    ServerError::new(format!("cannot listen on {name}: {errno}{remedy}"))
}

/// No `SO_REUSEPORT`: one socket serves all workers, and a second server on the same port is refused.
fn tcp(address: SocketAddr, config: &Config) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let listener = socket(family, SockType::Stream, flags, None)?;
    // Accepted sockets inherit the options that are set here.
    setsockopt(&listener, sockopt::ReuseAddr, &true)?;
    setsockopt(&listener, sockopt::TcpNoDelay, &true)?;
    if address.is_ipv6() {
        setsockopt(&listener, sockopt::Ipv6V6Only, &true)?;
    }
    if config.tcp_keepalive > 0 {
        let seconds = config.tcp_keepalive;
        setsockopt(&listener, sockopt::KeepAlive, &true)?;
        // As in Redis: probes begin after the interval, then three at a third of it.
        setsockopt(&listener, sockopt::TcpKeepIdle, &seconds)?;
        setsockopt(&listener, sockopt::TcpKeepInterval, &(seconds / 3).max(1))?;
        setsockopt(&listener, sockopt::TcpKeepCount, &3)?;
    }
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))?;
    start(&listener, config)?;
    Ok(listener)
}

fn unix(path: &Path, config: &Config) -> Result<OwnedFd, ServerError> {
    let failed = |errno: Errno| refused(&path.display().to_string(), errno);
    remove_stale(path)?;
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let listener = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(failed)?;
    let address = UnixAddr::new(path).map_err(failed)?;
    debug_assert!(address.len() > 0);
    // The file is created with its mode: there is no moment at which it can be reached with another one. The
    // mask is the process', which has no other thread yet.
    let before =
        (config.unixsocketperm != 0).then(|| umask(Mode::from_bits_truncate(!config.unixsocketperm & 0o777)));
    let bound = bind(listener.as_raw_fd(), &address);
    if let Some(before) = before {
        umask(before);
    }
    bound.map_err(failed)?;
    start(&listener, config).map_err(failed)?;
    Ok(listener)
}

/// Removes the file of a server that is gone. A server that answers, or a file that is no socket, stays.
fn remove_stale(path: &Path) -> Result<(), ServerError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    let name = path.display();
    if !metadata.file_type().is_socket() {
        return Err(ServerError::new(format!("cannot listen on {name}: it exists and is no socket")));
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(ServerError::new(format!("cannot listen on {name}: another server listens on it")));
    }
    std::fs::remove_file(path)
        .map_err(|error| ServerError::new(format!("cannot remove the old socket {name}: {error}")))
}

fn start(listener: &OwnedFd, config: &Config) -> Result<(), Errno> {
    nix_listen(listener, Backlog::new(config.tcp_backlog).unwrap_or(Backlog::MAXCONN))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::listen_for_admin;
    use crate::config::{AdminPort, Config};

    #[test]
    fn a_port_that_nobody_asked_for_may_be_taken() {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let number = other.local_addr().unwrap().port();
        let mut config = Config::default();
        config.admin_bind.truncate(1);
        config.admin_port = AdminPort { number, optional: true };
        assert!(listen_for_admin(&config).unwrap().is_empty());
        config.admin_port.optional = false;
        let refused = listen_for_admin(&config).unwrap_err().to_string();
        assert!(refused.contains("--admin-port"), "{refused}");
        drop(other);
        assert_eq!(listen_for_admin(&config).unwrap().len(), 1);
        config.admin_port = AdminPort::NONE;
        assert!(listen_for_admin(&config).unwrap().is_empty());
    }
}
