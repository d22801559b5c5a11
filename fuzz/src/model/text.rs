//! Numbers from arguments and replies as bytes, in both versions of the protocol. Knows no command.

/// Not an integer, or out of range.
pub(super) const NOT_INTEGER: &str = "ERR value is not an integer or out of range";

/// A number as Redis' `string2ll` reads it: printing it gives the text back.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

/// An argument as a C string: up to the first NUL, and at most `most` bytes.
pub(super) fn c_string(text: &[u8], most: usize) -> &[u8] {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    &text[..text.len().min(most)]
}

/// The error for a name that is no command's.
pub(super) fn unknown_command(request: &[Vec<u8>]) -> Vec<u8> {
    let mut quoted = Vec::new();
    for argument in &request[1..] {
        if quoted.len() >= 128 {
            break;
        }
        let room = 128 - quoted.len();
        quoted.extend([b"'", c_string(argument, room), b"' "].concat());
    }
    let head: [&[u8]; 4] =
        [b"ERR unknown command '", c_string(&request[0], 128), b"', with args beginning with: ", &quoted];
    let mut reply = Reply::new(2);
    reply.error(head.concat());
    reply.0
}

/// The error for a wrong number of arguments.
pub(super) fn wrong_arity(name: &str) -> Vec<u8> {
    let mut reply = Reply::new(2);
    reply.wrong_arity(name);
    reply.0
}

/// A reply on its way.
pub(super) struct Reply(pub(super) Vec<u8>, u8);

impl Reply {
    pub(super) fn new(protocol: u8) -> Self {
        Self(Vec::new(), protocol)
    }

    fn line(&mut self, kind: char, text: impl AsRef<[u8]>) {
        self.0.extend_from_slice(kind.to_string().as_bytes());
        self.0.extend_from_slice(text.as_ref());
        self.0.extend_from_slice(b"\r\n");
    }

    pub(super) fn simple(&mut self, text: &str) {
        self.line('+', text);
    }

    /// Line ends in an error become blanks, those at its end nothing.
    pub(super) fn error(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        let end = text.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
        let text = text[..end].iter().map(|byte| if b"\r\n".contains(byte) { b' ' } else { *byte });
        self.line('-', text.collect::<Vec<u8>>());
    }

    pub(super) fn wrong_arity(&mut self, name: &str) {
        self.error(format!("ERR wrong number of arguments for '{name}' command"));
    }

    pub(super) fn invalid_time(&mut self, name: &str) {
        self.error(format!("ERR invalid expire time in '{name}' command"));
    }

    pub(super) fn integer(&mut self, number: i64) {
        self.line(':', number.to_string());
    }

    pub(super) fn truth(&mut self, truth: bool) {
        self.integer(i64::from(truth));
    }

    pub(super) fn count(&mut self, count: usize) {
        self.line(':', count.to_string());
    }

    pub(super) fn array(&mut self, len: usize) {
        self.line('*', len.to_string());
    }

    pub(super) fn bulk(&mut self, bytes: &[u8]) {
        self.line('$', bytes.len().to_string());
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
    }

    pub(super) fn null(&mut self) {
        self.0.extend_from_slice(if self.1 == 3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    pub(super) fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }
}
