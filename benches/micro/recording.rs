//! What it costs to know how long a command took: the counter, the histogram, the meter of a command.

use std::hint::black_box;

use tallyring::clock::Clock;
use tallyring::metrics::histogram::Recorder;
use tallyring::metrics::meters::{Batch, Meters};

use crate::timing::Bench;

/// Commands of a case: a deep pipeline.
const COUNT: u32 = 64;

/// Runs the cases.
pub(crate) fn run(bench: &mut Bench) {
    let clock = Clock::system();
    bench.case("record::the vDSO's clock", COUNT, || {
        (0..COUNT).map(|_| black_box(clock.unix_us())).sum::<u64>()
    });
    bench.case("record::the counter", COUNT, || (0..COUNT).map(|_| black_box(clock.ticks())).sum::<u64>());
    let recorder = Recorder::default();
    bench.case("record::a histogram", COUNT, || {
        for value in 0..COUNT {
            recorder.record(black_box(100 + 37 * u64::from(value)), 1);
        }
    });
    let (meters, mut batch) = (Meters::new(2), Batch::new());
    for (name, keeps) in [("record::a command, all of it", true), ("record::a command, no histogram", false)]
    {
        bench.case(name, COUNT, || {
            let mut border = clock.ticks();
            for _ in 0..COUNT {
                let now = clock.ticks();
                let nanos = clock.nanos_between(border, now);
                border = now;
                batch.add(&meters, black_box(1), Some(nanos), false, keeps);
            }
            batch.count(&meters, keeps);
            border
        });
    }
}
