//! Bytes as redis-cli shows them: in quotes, with escapes for what is no printable ASCII.

/// Appends `bytes` as redis-cli has it (`sdscatrepr`).
pub(super) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            7 => out.extend_from_slice(b"\\a"),
            8 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_are_shown_as_redis_cli_shows_them() {
        let mut out = Vec::new();
        super::put(&mut out, b"a \"b\"\\ \n\r\t\x07\x08\x00\xff\x7f");
        assert_eq!(out, br#""a \"b\"\\ \n\r\t\a\b\x00\xff\x7f""#);
    }
}
