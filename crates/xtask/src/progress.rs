//! One line for each step of a long command: what, which of how many, and how long it took.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Writes a line to standard error. A closed standard error is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A step that is under way; on a terminal its line counts the seconds.
pub(crate) struct Step {
    label: String,
    started: Instant,
    ticker: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

impl Step {
    /// Starts step `number` of `total`.
    pub(crate) fn start(number: usize, total: usize, what: &str) -> Self {
        let label = format!("[{number}/{total}] {what}");
        let started = Instant::now();
        let ticker = std::io::stderr().is_terminal().then(|| tick(label.clone(), started));
        if ticker.is_none() {
            say(&format!("{label} ..."));
        }
        Self { label, started, ticker }
    }

    /// Ends the step's line with `outcome` and the seconds it took.
    pub(crate) fn end(mut self, outcome: &str) {
        let on_terminal = self.stop_ticker();
        let line = format!("{} {outcome} in {} s", self.label, self.started.elapsed().as_secs());
        say(&if on_terminal { format!("\r\x1b[K{line}") } else { line });
    }

    fn stop_ticker(&mut self) -> bool {
        let Some((stop, thread)) = self.ticker.take() else { return false };
        drop(stop);
        let _ = thread.join();
        true
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        // A step that failed: its error is printed next and needs a line of its own.
        if self.stop_ticker() {
            say("");
        }
    }
}

fn tick(label: String, started: Instant) -> (mpsc::Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        loop {
            let _ = write!(std::io::stderr(), "\r\x1b[K{label} ... {} s", started.elapsed().as_secs());
            if stopped.recv_timeout(Duration::from_secs(1)) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    });
    (stop, thread)
}
