//! The bar with the time left; plain lines where nobody sees a bar.

use indicatif::{ProgressBar, ProgressStyle};

/// How far a run is.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// For so many seconds of work.
    pub(super) fn new(seconds: f64) -> Self {
        let bar = ProgressBar::new(millis(seconds));
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {eta} left  {msg}");
        bar.set_style(style.expect("the template is well formed"));
        Self(bar)
    }

    /// What is being done, in place of what was said before.
    pub(super) fn say(&self, text: &str) {
        self.0.set_message(text.to_owned());
    }

    /// A line that stays.
    pub(super) fn tell(&self, line: &str) {
        if self.0.is_hidden() { eprintln!("{line}") } else { self.0.println(line) }
    }

    /// So many seconds of work are done.
    pub(super) fn advance(&self, seconds: f64) {
        self.0.inc(millis(seconds));
    }

    /// All of it is.
    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

fn millis(seconds: f64) -> u64 {
    let millis = std::time::Duration::from_secs_f64(seconds).as_millis();
    u64::try_from(millis).expect("a run takes less than 584 million years")
}
