//! Where a reply ends. Knows the forms of both versions of the protocol and no command.

/// Bytes of the complete reply at the start of `bytes`. `None`: it is not complete.
pub fn whole(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut awaited = 1_usize;
    while awaited > 0 {
        let line = line(&bytes[at..])?;
        at += line.len() + 2;
        awaited -= 1;
        match line.first()? {
            b'*' | b'~' | b'>' => awaited += number(line).unwrap_or(0),
            b'%' => awaited += 2 * number(line).unwrap_or(0),
            b'$' | b'=' => {
                // Without a number that is one: the null of RESP2, which has no bytes.
                if let Some(len) = number(line) {
                    at += len + 2;
                }
            }
            _ => {}
        }
        if at > bytes.len() {
            return None;
        }
    }
    Some(at)
}

/// The line at the start of `bytes`, without its end.
pub fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some(&bytes[..end])
}

fn number(line: &[u8]) -> Option<usize> {
    std::str::from_utf8(&line[1..]).ok()?.parse().ok()
}
