//! What a person sees: headings, lines, progress. The only place that writes to the terminal.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use devstack::{Part, Progress, State};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// A line on standard output.
#[expect(clippy::print_stdout, reason = "this is where lines are written for people")]
pub fn say(line: impl Display) {
    println!("{line}");
}

/// A line on standard error.
#[expect(clippy::print_stderr, reason = "this is where complaints are written for people")]
pub fn complain(line: impl Display) {
    eprintln!("{line}");
}

/// Lines that change while work goes on; plain lines where there is no terminal. A board is over once
/// something is said below it: what comes after needs a new one.
#[derive(Debug, Default)]
pub struct Board {
    bars: MultiProgress,
    lines: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Board {
    /// A board without lines.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says how `name` stands.
    pub fn set(&self, name: &str, state: &str) {
        self.with(name, |bar| bar.set_message(format!("{name:<22} {state}")));
    }

    /// Says how `name` ended; the line stays.
    pub fn end(&self, name: &str, state: &str) {
        if self.bars.is_hidden() {
            say(format!("  {name:<22} {state}"));
        }
        self.with(name, |bar| {
            bar.set_style(style("  {msg}"));
            bar.finish_with_message(format!("{name:<22} {state}"));
        });
    }

    /// A bar that counts to `n`.
    pub fn count(&self, name: &str, n: u64) -> ProgressBar {
        let bar = self.bars.add(ProgressBar::new(n));
        let template = format!("  {name:<12} {{bar:40}} {{pos}}/{{len}}  {{per_sec}}  {{elapsed}}");
        bar.set_style(style(&template));
        bar
    }

    /// A line of its own, above those that change.
    pub fn note(&self, line: impl Display) {
        self.bars.suspend(|| say(line));
    }

    fn with(&self, name: &str, change: impl FnOnce(&ProgressBar)) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = lines.entry(name.to_owned()).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new_spinner());
            bar.set_style(style("{spinner} {msg}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        change(bar);
    }
}

impl Progress for Board {
    fn state(&self, part: Part, state: &State) {
        match state {
            State::Installing(_) | State::Starting => {
                self.set(&part.to_string(), &state.to_string());
            }
            State::Ready(_) => self.end(&part.to_string(), &state.to_string()),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
