//! Times small pieces of code: batches of equal size, medians over many, printed as one line per case.
//!
//! Knows clocks and numbers. The median of batches is what a quiet machine shows: an interrupted batch is far off
//! and does not move it.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Batches per case.
const BATCHES: usize = 41;

/// How long one batch should take: long against the clock's own 25 ns, short against a scheduler's slice.
const BATCH: Duration = Duration::from_millis(5);

/// Runs cases and prints their figures.
#[derive(Debug)]
pub(crate) struct Bench {
    filter: Option<String>,
    effort: Effort,
}

/// What is done with a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// It is timed.
    Measured,
    /// It runs once.
    Once,
    /// It runs so often, for somebody who counts instructions; its name is the whole filter.
    Counted(u32),
}

impl Bench {
    /// Runs only cases whose name contains `filter`.
    pub(crate) fn new(filter: Option<String>, effort: Effort) -> Self {
        Self { filter, effort }
    }

    /// Whether a case of this name will run: whether what it works on has to be made.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| match self.effort {
            Effort::Counted(_) => name == filter,
            Effort::Measured | Effort::Once => name.contains(filter.as_str()),
        })
    }

    /// How many things to make for a case that is about `count` of them: no more than a thousand where nothing is
    /// measured.
    pub(crate) fn scaled(&self, count: u32) -> u32 {
        if self.effort == Effort::Measured { count } else { count.min(1_000) }
    }

    /// Prints a line about the last case, if it was measured.
    pub(crate) fn note(&self, line: &str) {
        if self.effort == Effort::Measured {
            println!("{line}");
        }
    }

    /// Times `work`, of which one call does `units` of what the name says, and prints nanoseconds per unit.
    pub(crate) fn case<R>(&mut self, name: &str, units: u32, mut work: impl FnMut() -> R) {
        if !self.wants(name) {
            return;
        }
        match self.effort {
            Effort::Measured => {}
            Effort::Once => {
                black_box(work());
                println!("{name}: runs");
                return;
            }
            Effort::Counted(calls) => {
                println!("units {units}");
                // Once before: what the first call has to make for itself is not counted.
                black_box(work());
                counted_calls(calls, &mut work);
                return;
            }
        }
        let calls = calibrate(&mut work);
        let mut nanoseconds: Vec<f64> = (0..BATCHES)
            .map(|_| time(calls, &mut work).as_secs_f64() * 1e9 / (f64::from(calls) * f64::from(units)))
            .collect();
        nanoseconds.sort_unstable_by(f64::total_cmp);
        let at = |part: usize| nanoseconds[(BATCHES - 1) * part / 4];
        println!("{name}: {:.2} ns (quartiles {:.2} to {:.2})", at(2), at(1), at(3));
    }
}

/// What instructions are counted in, by this name.
#[inline(never)]
fn counted_calls<R>(calls: u32, work: &mut impl FnMut() -> R) {
    for _ in 0..calls {
        black_box(work());
    }
}

/// Calls that take about one batch's time; doubling also warms caches and predictors.
fn calibrate<R>(work: &mut impl FnMut() -> R) -> u32 {
    let mut calls = 1;
    while time(calls, work) < BATCH && calls < 1 << 30 {
        calls *= 2;
    }
    calls
}

fn time<R>(calls: u32, work: &mut impl FnMut() -> R) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(work());
    }
    start.elapsed()
}
