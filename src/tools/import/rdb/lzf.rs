//! Expands what LZF has compressed (Marc Lehmann's `lzf_d.c`, as in Redis).
//!
//! ```text
//! 000LLLLL                        L + 1 bytes follow as they are
//! LLLooooo oooooooo               L + 2 bytes, from o + 1 before the end of what there is
//! 111ooooo LLLLLLLL oooooooo      L + 9 bytes, likewise
//! ```

/// Appends what `compressed` stands for to `out`. `None`: it is broken, or has not the length `whole`.
pub(super) fn expand(compressed: &[u8], whole: usize, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let end = start.checked_add(whole)?;
    let mut rest = compressed;
    while let Some((&control, behind)) = rest.split_first() {
        let control = usize::from(control);
        rest = behind;
        if control < 32 {
            let (literal, behind) = rest.split_at_checked(control + 1)?;
            out.extend_from_slice(literal);
            rest = behind;
        } else {
            let mut len = (control >> 5) + 2;
            if control >> 5 == 7 {
                let (&more, behind) = rest.split_first()?;
                len += usize::from(more);
                rest = behind;
            }
            let (&low, behind) = rest.split_first()?;
            rest = behind;
            let back = ((control & 0x1f) << 8 | usize::from(low)) + 1;
            let from = out.len().checked_sub(back).filter(|from| *from >= start)?;
            // What is repeated may be what was just written.
            for at in from..from + len {
                out.push(out[at]);
            }
        }
        if out.len() > end {
            return None;
        }
    }
    (out.len() == end).then_some(())
}

#[cfg(test)]
mod tests {
    use super::expand;

    fn expanded(compressed: &[u8], whole: usize) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        expand(compressed, whole, &mut out).map(|()| out[6..].to_vec())
    }

    #[test]
    fn what_repeats_is_repeated() {
        assert_eq!(expanded(&[1, b'a', b'b'], 2).unwrap(), b"ab");
        assert_eq!(expanded(&[0, b'a', 0x20, 0], 4).unwrap(), b"aaaa");
        assert_eq!(expanded(&[0, b'a', 0xe0, 91, 0], 101).unwrap(), [b'a'; 101]);
    }

    #[test]
    fn broken_bytes_are_none() {
        for (bytes, whole) in
            [(&[1, b'a'][..], 2), (&[0x20, 0], 3), (&[0, b'a', 0x20, 1], 4), (&[0, b'a'], 2), (&[0xe0], 9)]
        {
            assert_eq!(expanded(bytes, whole), None);
        }
        assert_eq!(expanded(&[], 0).unwrap(), b"");
    }
}
