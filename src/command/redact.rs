//! Arguments as logs may show them: without passwords, as in Redis.

use crate::resp::args::Args;

/// What stands in the place of a secret.
const REDACTED: &[u8] = b"(redacted)";

/// Directives whose values are secrets, those among them that are Redis' alone.
const SECRET_DIRECTIVES: [&[u8]; 5] =
    [b"requirepass", b"masterauth", b"masteruser", b"tls-key-file-pass", b"tls-client-key-file-pass"];

/// Commands that are told secrets, and all others.
#[derive(Clone, Copy)]
enum Kind {
    Auth,
    Hello,
    ConfigSet,
    SetUser,
    Other,
}

impl Kind {
    fn of(args: &Args<'_>) -> Self {
        let is = |index, name: &[u8]| args.len() > index && args.get(index).eq_ignore_ascii_case(name);
        if is(0, b"auth") {
            Self::Auth
        } else if is(0, b"hello") {
            Self::Hello
        } else if is(0, b"config") && is(1, b"set") {
            Self::ConfigSet
        } else if is(0, b"acl") && is(1, b"setuser") {
            Self::SetUser
        } else {
            Self::Other
        }
    }

    /// How many plain arguments, and then secrets, a request begins with before a word tells what follows.
    fn begins(self) -> (usize, usize) {
        match self {
            // Redis shows what is too much for `AUTH`; that may be a password with blanks in it.
            Self::Auth => (1, usize::MAX),
            Self::Hello | Self::ConfigSet => (2, 0),
            Self::SetUser => (2, usize::MAX),
            Self::Other => (usize::MAX, 0),
        }
    }

    /// How many of them follow a word.
    fn behind(self, word: &[u8]) -> (usize, usize) {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        match self {
            Self::Hello if is(b"auth") => (0, 2),
            Self::Hello if is(b"setname") => (1, 0),
            Self::ConfigSet if SECRET_DIRECTIVES.iter().any(|name| is(name)) => (0, 1),
            Self::ConfigSet => (1, 0),
            Self::Auth | Self::Hello | Self::SetUser | Self::Other => (0, 0),
        }
    }
}

/// The arguments of a request, its name among them, without their secrets.
pub fn redacted<'a>(args: &Args<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let kind = Kind::of(args);
    let (mut plain, mut secrets) = kind.begins();
    args.tail(0).map(move |argument| {
        if plain > 0 {
            plain -= 1;
            argument
        } else if secrets > 0 {
            secrets -= 1;
            REDACTED
        } else {
            (plain, secrets) = kind.behind(argument);
            argument
        }
    })
}

#[cfg(test)]
mod tests {
    use super::redacted;
    use crate::resp::args::{Args, Span};

    fn shown(request: &str) -> String {
        let mut spans = Vec::new();
        for word in request.split(' ') {
            let start = word.as_ptr().addr() - request.as_ptr().addr();
            let [start, len] = [start, word.len()].map(|it| u32::try_from(it).expect("it is short"));
            spans.push(Span { start, len });
        }
        let args = Args::new(request.as_bytes(), &spans, spans.len());
        let words: Vec<_> = redacted(&args).map(String::from_utf8_lossy).collect();
        words.join(" ").replace("(redacted)", "*")
    }

    #[test]
    fn secrets_are_not_shown() {
        for (request, redacted) in [
            ("AUTH p", "AUTH *"),
            ("auth u p", "auth * *"),
            ("AUTH a b c", "AUTH * * *"),
            ("HELLO", "HELLO"),
            ("HELLO 3 AUTH u p SETNAME n", "HELLO 3 AUTH * * SETNAME n"),
            ("HELLO 3 SETNAME auth AUTH u p", "HELLO 3 SETNAME auth AUTH * *"),
            ("HELLO 3 setname n auth u p", "HELLO 3 setname n auth * *"),
            (
                "CONFIG SET timeout 5 RequirePass p maxmemory 0",
                "CONFIG SET timeout 5 RequirePass * maxmemory 0",
            ),
            ("config set timeout requirepass", "config set timeout requirepass"),
            ("CONFIG GET requirepass", "CONFIG GET requirepass"),
            ("ACL SETUSER alice on >secret", "ACL SETUSER * * *"),
            ("SET auth p", "SET auth p"),
            ("CONFIG", "CONFIG"),
        ] {
            assert_eq!(shown(request), redacted);
        }
    }
}
