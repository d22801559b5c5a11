//! Who may read figures: by address, by token, by the name that a browser believes to speak to.
//!
//! A web page somewhere may have the name of its own host resolve to this machine and then read what a browser here is
//! answered (DNS rebinding). The browser then sends that name, so that without a token only addresses and `localhost`
//! are answered.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HOST};

use crate::config::Password;

/// Who may read figures.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// What they must give, if anything.
    pub token: Password,
    /// Without a token, only clients of this machine.
    pub local_only: bool,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// It needs a token, or another one.
    Token,
    /// It comes from another machine.
    Address,
    /// It is for another host.
    Host,
}

impl Access {
    /// Whether a request with these headers from there may read figures.
    pub(super) fn check(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<(), Denial> {
        let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
        match self.token.matches(bearer(given)) {
            Some(true) => return Ok(()),
            Some(false) => return Err(Denial::Token),
            None => {}
        }
        if self.local_only && !is_loopback(peer.ip()) {
            return Err(Denial::Address);
        }
        // HTTP/1.0 may come without.
        match headers.get(HOST).map(|host| host.to_str()) {
            None => Ok(()),
            Some(Ok(host)) if is_unforgeable(host) => Ok(()),
            Some(_) => Err(Denial::Host),
        }
    }
}

/// The token in the value of `Authorization`; empty if it is something else.
fn bearer(value: &[u8]) -> &[u8] {
    match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
        Some(_) | None => &[],
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Whether nobody can have this name resolve to an address of his choice: it is an address, or this machine by definition.
fn is_unforgeable(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let name = match host.strip_prefix('[') {
        Some(rest) => return rest.strip_suffix(']').is_some_and(|ip| ip.parse::<IpAddr>().is_ok()),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::{Access, Denial, bearer, is_unforgeable};
    use crate::config::Password;
    use hyper::HeaderMap;
    use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
    use std::net::SocketAddr;

    fn check(
        access: &Access,
        peer: &str,
        host: Option<&str>,
        authorization: Option<&str>,
    ) -> Result<(), Denial> {
        let mut headers = HeaderMap::new();
        for (name, value) in [(HOST, host), (AUTHORIZATION, authorization)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        access.check(format!("{peer}:5000").parse::<SocketAddr>().unwrap(), &headers)
    }

    #[test]
    fn only_names_that_nobody_can_give_away_are_answered() {
        for host in
            ["127.0.0.1:9121", "127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:9121", "[::1]", "10.1.2.3"]
        {
            assert!(is_unforgeable(host), "{host}");
        }
        for host in
            ["evil.example:9121", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1", "[x]"]
        {
            assert!(!is_unforgeable(host), "{host}");
        }
    }

    #[test]
    fn without_a_token_this_machine_is_answered() {
        let access = Access { token: Password::default(), local_only: true };
        assert_eq!(check(&access, "127.0.0.1", Some("localhost:9121"), None), Ok(()));
        assert_eq!(check(&access, "[::1]", None, None), Ok(()));
        assert_eq!(check(&access, "[::ffff:127.0.0.1]", None, None), Ok(()));
        assert_eq!(check(&access, "127.0.0.1", Some("evil.example"), None), Err(Denial::Host));
        assert_eq!(check(&access, "10.0.0.1", Some("10.0.0.2"), None), Err(Denial::Address));
        let open = Access { token: Password::default(), local_only: false };
        assert_eq!(check(&open, "10.0.0.1", Some("10.0.0.2"), None), Ok(()));
    }

    #[test]
    fn a_token_is_enough_and_needed() {
        let access = Access { token: Password::token("s3cret").unwrap(), local_only: true };
        for right in ["Bearer s3cret", "bearer s3cret", "Bearer  s3cret "] {
            assert_eq!(check(&access, "10.0.0.1", Some("metrics.example"), Some(right)), Ok(()), "{right}");
        }
        for wrong in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer s3cre"),
            Some("Bearer s3crets3cret"),
            Some("Basic s3cret"),
        ] {
            assert_eq!(check(&access, "127.0.0.1", None, wrong), Err(Denial::Token), "{wrong:?}");
        }
        assert!(!format!("{access:?}").contains("s3cret"));
    }

    #[test]
    fn other_schemes_give_no_token() {
        assert_eq!(bearer(b"Basic x"), b"");
        assert_eq!(bearer(b"Bearer \xff"), b"\xff");
    }
}
