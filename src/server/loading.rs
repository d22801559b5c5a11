//! What is shown while data is read at the start: a bar on a terminal, otherwise a line now and then. Knows no file.

use std::io::{IsTerminal as _, Write as _, stderr};

use crate::clock::Clock;

/// Milliseconds between two lines of the log.
const LINE_MS: u64 = 2_000;

/// Milliseconds between two drawings of the bar.
const BAR_MS: u64 = 100;

/// Places of the bar.
const PLACES: u64 = 30;

/// Shows how far reading has come.
#[derive(Debug)]
pub(super) struct Progress<'c> {
    clock: &'c Clock,
    what: &'static str,
    terminal: bool,
    began_ms: u64,
    due_ms: u64,
    drawn: bool,
}

impl<'c> Progress<'c> {
    /// Of something that begins now.
    pub(super) fn begin(clock: &'c Clock, what: &'static str) -> Self {
        let began_ms = clock.monotonic_ms();
        let terminal = stderr().is_terminal();
        // What is over in a moment is not worth a line.
        let due_ms = began_ms + if terminal { BAR_MS } else { LINE_MS };
        Self { clock, what, terminal, began_ms, due_ms, drawn: false }
    }

    /// So many bytes of so many were read.
    pub(super) fn at(&mut self, done: u64, all: u64) {
        let now_ms = self.clock.monotonic_ms();
        if now_ms < self.due_ms {
            return;
        }
        let percent = done * 100 / all.max(1);
        let rate = done / 1000 / (now_ms - self.began_ms).max(1);
        if self.terminal {
            self.due_ms = now_ms + BAR_MS;
            self.draw(percent, rate);
        } else {
            self.due_ms = now_ms + LINE_MS;
            log::info!("loading the {}: {percent} % of {} MB, {rate} MB/s", self.what, all / 1_000_000);
        }
    }

    fn draw(&mut self, percent: u64, rate: u64) {
        let full = usize::try_from(percent.min(100) * PLACES / 100).unwrap_or(0);
        let (full, empty) = ("#".repeat(full), ".".repeat(usize::try_from(PLACES).unwrap_or(0) - full));
        // Whoever closed the terminal does without.
        let _ = write!(stderr(), "\r{} [{full}{empty}] {percent:3} % {rate} MB/s ", self.what);
        self.drawn = true;
    }

    /// Milliseconds since the beginning, which is also the end.
    pub(super) fn end(self) -> u64 {
        if self.drawn {
            let _ = write!(stderr(), "\r\x1b[K");
        }
        self.clock.monotonic_ms() - self.began_ms
    }
}
