//! `[[user]:password@]host[:port]`, which stands behind `redis://`.

/// Where a server is, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// Reads it. What is wrong is told without the password.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (names, place) =
            text.rsplit_once('@').map_or((None, text), |(names, place)| (Some(names), place));
        let (user, password) = match names {
            None => (None, None),
            Some(names) => {
                let (user, password) = names.split_once(':').ok_or("write redis://:PASSWORD@HOST:PORT")?;
                let user = plain(user)?;
                (Some(user).filter(|user| !user.is_empty()), Some(plain(password)?))
            }
        };
        if place.contains('/') {
            return Err("the database is told with --db N, not in the address");
        }
        // The colons of an IPv6 address stand in brackets.
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => {
                (host, Some(port.strip_prefix(':').ok_or("a host and a port have a colon between them")?))
            }
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() {
            return Err("the address names no host");
        }
        let port = port.map_or(Ok(6379), str::parse).map_err(|_| "the port is a number up to 65535")?;
        Ok(Self { user, password, host: host.to_owned(), port })
    }
}

/// With `%40` read as `@`, and so on.
fn plain(text: &str) -> Result<String, &'static str> {
    const WRONG: &str = "in user and password, % stands before two hexadecimal digits";
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte == b'%' {
            let (digits, behind) = rest.split_at_checked(2).ok_or(WRONG)?;
            let digits = str::from_utf8(digits).map_err(|_| WRONG)?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| WRONG)?);
            rest = behind;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| WRONG)
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn addresses_are_read() {
        for (text, user, password, host, port) in [
            ("localhost", None, None, "localhost", 6379),
            ("h:1/", None, None, "h", 1),
            (":p%40:ss@h:7000", None, Some("p@:ss"), "h", 7000),
            ("me:x@[::1]:7000", Some("me"), Some("x"), "::1", 7000),
            ("[::1]", None, None, "::1", 6379),
        ] {
            let expected = Address {
                user: user.map(str::to_owned),
                password: password.map(str::to_owned),
                host: host.to_owned(),
                port,
            };
            assert_eq!(Address::parse(text), Ok(expected), "{text}");
        }
        for text in ["", ":7000", "h:x", "h:70000", "secret@h", ":%4@h", "h:1/2", "[::1]7000"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
