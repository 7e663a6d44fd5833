//! Terminal output: headings, lines, progress. The only module that writes to the terminal.
//!
//! Output may hold text from outside, so control characters other than line ends are written as
//! escapes. A text that must stay on its line goes through [`visible`] first.
//!
//! When the reader of the output has closed it (`sagactl … | head -1`), the program ends without an
//! error message, like a program that SIGPIPE ends.

use std::{
    collections::BTreeMap,
    fmt::Display,
    io::{self, IsTerminal as _, Write},
    pin::pin,
    process::ExitCode,
    sync::{LazyLock, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use shared::visible_text::{visible, visible_json, visible_lines};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::text_table;

/// Exit code of a program that SIGPIPE ended: 128 and the signal's number.
const NOBODY_READS: u8 = 141;

/// Continued lines of an error are indented by this many spaces.
const NEXT_LINE: usize = 2;

/// Where the state of a line begins on a board.
const STATE_COLUMN: usize = 25;

/// How often work that goes on says so where no terminal shows it.
const STILL_THERE: Duration = Duration::from_secs(8);

/// Why standard output takes nothing more.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// Cancelled once it does not.
static OVER: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);

/// A line on standard output.
pub fn say(line: impl Display) {
    if let Err(error) = put(io::stdout().lock(), &line.to_string()) {
        LOST.get_or_init(|| error);
        OVER.cancel();
    }
}

/// A line on standard error; on a terminal in lines that fit, broken between words.
pub fn complain(line: impl Display) {
    let columns = Term::stderr().size_checked().map(|(_, columns)| columns.into());
    let text = line.to_string();
    let lines: Vec<String> =
        text.lines().map(|line| text_table::wrapped(line, columns, NEXT_LINE)).collect();
    // Nobody is left to be told that this cannot be told.
    drop(put(io::stderr().lock(), &lines.join("\n")));
}

fn put(mut to: impl Write, line: &str) -> io::Result<()> {
    to.write_all(visible_lines(line).as_bytes())?;
    to.write_all(b"\n")?;
    to.flush()
}

/// A value as one JSON document on standard output.
pub fn say_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value);
    let text = text.context("the answer cannot be written as JSON")?;
    // Line ends within texts are escaped already.
    let lines: Vec<_> = text.lines().map(visible_json).collect();
    say(lines.join("\n"));
    Ok(())
}

/// How wide the terminal is to which standard output goes, if it goes to one.
pub fn columns() -> Option<usize> {
    Term::stdout().size_checked().map(|(_, columns)| columns.into())
}

/// Whether a person sees standard error.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Waits until standard output takes nothing more, which may be never.
pub async fn lost() {
    OVER.cancelled().await;
}

/// How the program of this name ends if its output could not be written.
pub fn finish(program: &str) -> Option<ExitCode> {
    let error = LOST.get()?;
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Some(ExitCode::from(NOBODY_READS));
    }
    complain(format_args!("{program}: standard output cannot be written: {error}"));
    Some(ExitCode::FAILURE)
}

/// Lines that change while work goes on; plain lines where there is no terminal. A board is over
/// once something is said below it: what comes after needs a new one.
#[derive(Debug, Default)]
pub struct ProgressBoard {
    bars: MultiProgress,
    lines: Mutex<BTreeMap<String, ProgressBar>>,
}

impl ProgressBoard {
    /// A board without lines. Nothing changes on it unless output and errors are a terminal.
    pub fn new() -> Self {
        let board = Self::default();
        if !io::stdout().is_terminal() {
            board.bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        board
    }

    /// Says how `name` stands.
    pub fn set(&self, name: &str, state: &str) {
        let (name, state) = (visible(name), visible(state));
        self.with(&name, |bar| bar.set_message(self.fitting(&name, &state)));
    }

    /// A line that fits the terminal, if there is one.
    fn fitting(&self, name: &str, state: &str) -> String {
        let line = format!("{name:<22} {state}");
        if self.bars.is_hidden() {
            return line;
        }
        let columns = usize::from(Term::stderr().size().1);
        // What stands before the message takes two.
        wrapped(&line, columns.saturating_sub(2), STATE_COLUMN - 2)
            .join(&format!("\n{:STATE_COLUMN$}", ""))
    }

    /// Does the work, and says every few seconds which lines have not ended where no terminal shows
    /// it.
    pub async fn while_shown<T>(&self, work: impl Future<Output = T>) -> T {
        self.while_shown_every(STILL_THERE, say, work).await
    }

    async fn while_shown_every<T>(
        &self,
        pause: Duration,
        say: impl Fn(String),
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        loop {
            match timeout(pause, &mut work).await {
                Ok(done) => return done,
                Err(_elapsed) if self.bars.is_hidden() => self.unended().into_iter().for_each(&say),
                Err(_elapsed) => (),
            }
        }
    }

    /// A line for each part of the work that has not ended.
    fn unended(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let unended = lines.values().filter(|bar| !bar.is_finished());
        unended.map(|bar| format!("  {} …", bar.message())).collect()
    }

    /// Says how `name` ended; the line stays.
    pub fn end(&self, name: &str, state: &str) {
        let (name, state) = (visible(name), visible(state));
        if self.bars.is_hidden() {
            say(format!("  {name:<22} {state}"));
        }
        self.with(&name, |bar| {
            bar.set_style(style("  {msg}"));
            bar.finish_with_message(self.fitting(&name, &state));
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

/// A line in pieces that are no longer than `columns`, of which all but the first will be indented.
/// It is cut before an arrow, else between words, never within one.
fn wrapped(line: &str, columns: usize, indent: usize) -> Vec<&str> {
    let (mut pieces, mut rest, mut room) = (Vec::new(), line, columns);
    while let Some((end, _)) = rest.char_indices().nth(room) {
        let fits = &rest[..end];
        // The first column of a piece is no place to cut: nothing would be left.
        let cut = fits.rfind(" →").or_else(|| fits.rfind(' ')).filter(|cut| *cut > 0);
        let Some(cut) = cut.or_else(|| rest.find(' ')) else { break };
        pieces.push(rest[..cut].trim_end());
        rest = rest[cut..].trim_start();
        room = columns.saturating_sub(indent).max(1);
    }
    pieces.push(rest);
    pieces
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_goes_on_below_and_is_cut_at_arrows() {
        let line = "all is well   confirmed  order-placed → stock-reserved → payment-done";
        assert_eq!(wrapped(line, 200, 14), [line]);
        let pieces = wrapped(line, 45, 14);
        let expected = ["all is well   confirmed  order-placed", "→ stock-reserved → payment-done"];
        assert_eq!(pieces, expected);
        for columns in 1..90 {
            let words: Vec<_> =
                wrapped(line, columns, 14).into_iter().flat_map(str::split_whitespace).collect();
            assert_eq!(words, line.split_whitespace().collect::<Vec<_>>(), "{columns} columns");
        }
    }

    #[tokio::test]
    async fn work_that_goes_on_says_so_again_and_again_where_there_is_no_terminal() {
        let board = ProgressBoard::default();
        board.bars.set_draw_target(ProgressDrawTarget::hidden());
        board.set("Kafka", "starting");
        board.set("Postgres", "starting");
        board.end("Postgres", "ready");
        let (say, mut said) = tokio::sync::mpsc::unbounded_channel();
        let say = |line| say.send(line).unwrap();
        // Without a word it would never end.
        let work = async { [said.recv().await, said.recv().await] };
        let lines = board.while_shown_every(Duration::from_millis(1), say, work).await;
        let line = Some("  Kafka                  starting …".to_owned());
        assert_eq!(lines, [line.clone(), line]);
    }

    #[test]
    fn a_line_holds_nothing_that_a_terminal_would_obey() {
        let mut written = Vec::new();
        put(&mut written, "a\u{1b}]0;title\u{7}\n  b\u{9b}2J\r\u{202e}").unwrap();
        let expected = "a\\x1b]0;title\\x07\n  b\\u{9b}2J\\r\\u{202e}\n";
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }
}
