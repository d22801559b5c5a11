//! Numbers in an order that no prefetcher of a processor guesses, the same in every run.

/// The numbers below `count`, each once.
pub(crate) fn shuffled(count: u32) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count).collect();
    let mut state = 0x7a11_0000_0003_u64;
    for last in (1..numbers.len()).rev() {
        // xorshift64, Marsaglia 2003; the bias of the remainder does not matter here.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let chosen = usize::try_from(state % (last as u64 + 1)).expect("at most an index");
        numbers.swap(last, chosen);
    }
    numbers
}
