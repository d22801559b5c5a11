//! Reading decimal integers: the deltas and values of requests.

use std::hint::black_box;

use tallyring::resp::integer::parse;

use crate::timing::Bench;

/// Integers per call.
const COUNT: u32 = 64;

/// Runs the cases.
pub(crate) fn run(bench: &mut Bench) {
    for (name, step) in [("1 digit", 0_i64), ("4 to 6 digits", 9_973), ("18 digits", 9_973_000_000_000_000)] {
        let texts: Vec<String> = (1..=i64::from(COUNT)).map(|index| (1 + index * step).to_string()).collect();
        bench.case(&format!("integer::parse, {name}"), COUNT, || {
            let mut sum = 0_i64;
            for text in &texts {
                let value = parse(black_box(text.as_bytes())).expect("what is printed is canonical");
                sum = sum.wrapping_add(value);
            }
            sum
        });
    }
}
