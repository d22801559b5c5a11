//! What the Go service asked of its heap while it parsed, as real allocations of the same sizes.
//!
//! A model of sizes and lifetimes, not of Go's speed. A connection's buffered reader is made once and not counted.
//! Sizes are those of Go's size classes; objects below 16 bytes without pointers share blocks, which is counted as
//! steps of 8. Garbage is given back at once, where Go keeps it until a collection: peaks are what even a perfect
//! collector could not avoid. `go/parse.go` holds the models against real Go.

use std::hint::black_box;

/// Bytes of a buffered reader's buffer (`bufio.defaultBufSize`).
pub(crate) const READER_BYTES: usize = 4096;

/// The least room in front of a read, and the capacity to begin with (`bytes.MinRead`).
const MIN_READ: usize = 512;

/// Which Go: it learned to keep more on the stack, and `ReadAll` learned to grow otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Go {
    /// The service's, of 2014. `ReadAll` fills a `bytes.Buffer`, which wants 512 free bytes before *each* read, also
    /// before the one that finds the end; if there are fewer, it takes twice the capacity and 512 more. So 3 bytes
    /// take 512, then 1,536.
    Of2014,
    /// Since 1.16: `ReadAll` appends, and grows only once its 512 bytes are full.
    Since116,
}

/// A piece of heap of so many bytes.
pub(crate) fn piece(bytes: usize) -> Vec<u8> {
    black_box(Vec::with_capacity(bytes))
}

/// A small object without pointers.
pub(crate) fn tiny(bytes: usize) -> Vec<u8> {
    piece(bytes.next_multiple_of(8))
}

/// A line by `ReadString('\n')`, and the number in it by `fmt.Sscanf(line, "$%d\r", &number)`.
pub(crate) fn scanned(line: &[u8], go: Go) -> usize {
    // The string; in 2014 a copy of the line's bytes that became one.
    let (mut string, copied) = (tiny(line.len()), (go == Go::Of2014).then(|| tiny(line.len())));
    string.extend_from_slice(line);
    // The string's header as a reader, the `readRune` around that, the number.
    let scanner = [piece(16), piece(48), tiny(8)];
    // In 2014 also the slice of one interface that the arguments are, and the digits as a string.
    let more = (go == Go::Of2014).then(|| [piece(16), tiny(8)]);
    let number = super::parsers::number(&string);
    black_box((copied, scanner, more));
    number
}

/// `ReadAll(io.LimitReader(reader, length))` over `body`. The result keeps its whole capacity alive.
pub(crate) fn read_all(body: &[u8], go: Go) -> Vec<u8> {
    let limited = match go {
        Go::Of2014 => piece(32),
        Go::Since116 => piece(24),
    };
    // `bytes.Buffer` with its 64 bytes for short contents, the error that the deferred function sets, and that
    // function: all three moved to the heap by the compilers of the time.
    let buffer = (go == Go::Of2014).then(|| [piece(112), piece(16), piece(16)]);
    let mut kept = piece(MIN_READ);
    let mut rest = body;
    loop {
        let (capacity, free) = (kept.capacity(), kept.capacity() - kept.len());
        let larger = match go {
            Go::Of2014 => (free < MIN_READ).then_some(2 * capacity + MIN_READ),
            Go::Since116 => (free == 0).then(|| size_class(capacity + (capacity + 3 * 256) / 4)),
        };
        if let Some(capacity) = larger {
            let mut larger = piece(capacity);
            larger.extend_from_slice(&kept);
            kept = larger;
        }
        if rest.is_empty() {
            // This read said that the end is reached.
            black_box((limited, buffer));
            return kept;
        }
        let (now, later) = rest.split_at(rest.len().min(kept.capacity() - kept.len()));
        kept.extend_from_slice(now);
        rest = later;
    }
}

/// Bytes that Go's allocator gives to a request of at least 512 (`runtime/sizeclasses.go`).
fn size_class(bytes: usize) -> usize {
    const CLASSES: [usize; 35] = [
        512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200, 3456,
        4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384,
        18432,
    ];
    let class = CLASSES.into_iter().find(|&class| class >= bytes);
    class.unwrap_or_else(|| bytes.next_multiple_of(8192))
}

#[cfg(test)]
mod tests {
    use super::{Go, read_all};

    #[test]
    fn read_all_grows_as_go_does() {
        let capacity = |length: usize, go| {
            let body = vec![7; length];
            let read = read_all(&body, go);
            assert_eq!(read, body);
            read.capacity()
        };
        assert_eq!(capacity(3, Go::Of2014), 1536);
        assert_eq!(capacity(1025, Go::Of2014), 3584);
        for (length, expected) in [(3, 512), (511, 512), (512, 896), (896, 1408), (1408, 2048), (2048, 3072)]
        {
            assert_eq!(capacity(length, Go::Since116), expected);
        }
    }
}
