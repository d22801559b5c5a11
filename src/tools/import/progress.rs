//! How far an import has come: a bar for whoever watches, a line now and then for a file.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock::Clock;
use crate::tools::Terminal;

/// Milliseconds between two lines, where there is no bar.
const LINE_MS: u64 = 5_000;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Bytes of a file.
    Bytes,
    /// Keys of a server.
    Keys,
}

/// The progress of an import.
pub(super) struct Progress<'t, 'o> {
    total: u64,
    unit: Unit,
    clock: Clock,
    next_ms: u64,
    bar: Option<ProgressBar>,
    terminal: &'t mut Terminal<'o>,
}

impl<'t, 'o> Progress<'t, 'o> {
    /// At its beginning.
    pub(super) fn begin(total: u64, unit: Unit, clock: Clock, terminal: &'t mut Terminal<'o>) -> Self {
        let bar = terminal.watched.then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let template = match unit {
                Unit::Bytes => "[{bar:40}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left, {msg}",
                Unit::Keys => "[{bar:40}] {human_pos} of {human_len} keys, {eta} left",
            };
            bar.with_style(
                ProgressStyle::with_template(template).expect("the template is right").progress_chars("=> "),
            )
        });
        let next_ms = clock.monotonic_ms() + LINE_MS;
        Self { total, unit, clock, next_ms, bar, terminal }
    }

    /// So much of the source is behind, and so many keys were taken.
    pub(super) fn tell(&mut self, position: u64, keys: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(position.min(self.total));
            if self.unit == Unit::Bytes {
                bar.set_message(format!("{keys} keys"));
            }
            return;
        }
        let now_ms = self.clock.monotonic_ms();
        if now_ms >= self.next_ms {
            self.next_ms = now_ms + LINE_MS;
            let percent = position.saturating_mul(100).checked_div(self.total).unwrap_or(100).min(100);
            self.terminal.say(&format!("{percent} %, {keys} keys"));
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Progress, Unit};
    use crate::clock::Clock;
    use crate::tools::Terminal;

    #[test]
    fn a_line_now_and_then() {
        let time_us = Arc::new(AtomicU64::new(0));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut terminal = Terminal { out: &mut out, err: &mut err, watched: false };
        let clock = Clock::virtual_time(Arc::clone(&time_us));
        let mut progress = Progress::begin(200, Unit::Keys, clock, &mut terminal);
        for second in 0..12 {
            time_us.store(second * 1_000_000, Ordering::Relaxed);
            progress.tell(second * 20, second * 10);
        }
        progress.end();
        assert_eq!(String::from_utf8_lossy(&err), "tallyring: 50 %, 50 keys\ntallyring: 100 %, 100 keys\n");
        assert!(out.is_empty());
    }
}
