//! Log output: a separate thread writes the lines, so that no caller waits for a slow log reader.
//!
//! A log that cannot be written (its reader is gone, its disk is full) or that is read more slowly
//! than it is written must not stop the work: such lines are lost and counted in
//! `log_lines_lost_total`. Lines that wait are limited to [`WAITING_MAX`] bytes.
//!
//! One event is one line: terminal control characters are [escaped](crate::visible_text) in all fields.
//!
//! **Architecture invariant:** code that logs never waits for the log, and never fails because of
//! it.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Write},
    os::fd::AsFd as _,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

use super::LogFormat;
use crate::visible_text::{visible, visible_json};

/// Bytes of lines that may wait; what comes then is lost.
const WAITING_MAX: usize = 4 * 1024 * 1024;

/// When the process ends, lines that wait may be written for so long.
const FINISH_LIMIT: Duration = Duration::from_millis(500);

/// A reader that takes nothing at the moment (of a log that does not block) is tried again then.
const BUSY: Duration = Duration::from_millis(10);

/// Lines that were not written, by reason.
pub(super) const LOST: &str = "log_lines_lost_total";
/// The queue of waiting lines was full.
pub(super) const FULL: &str = "full";
/// The log refused the lines.
pub(super) const FAILED: &str = "failed";

/// The log of this process.
static LOG: OnceLock<LogWriter> = OnceLock::new();

/// A log. Clones are one and the same.
#[derive(Clone, Debug)]
pub(super) struct LogWriter {
    queue: Arc<LogQueue>,
    look: LogLayout,
}

/// Whether lines are JSON, and whether they are coloured.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogLayout {
    pub(super) format: LogFormat,
    /// Whether there are escape sequences in them that are our own.
    pub(super) colours: bool,
}

#[derive(Debug)]
struct LogQueue {
    state: Mutex<LogState>,
    filled: Condvar,
    idle: Condvar,
    waiting_max: usize,
}

#[derive(Debug, Default)]
struct LogState {
    waiting: Vec<u8>,
    writing: bool,
}

/// The log of this process, which goes to standard output.
pub(super) fn stdout(look: LogLayout) -> io::Result<LogWriter> {
    // Past the buffer of the standard library, which keeps what it could not write.
    let sink = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let log = LogWriter::to(sink, look, WAITING_MAX)?;
    Ok(LOG.get_or_init(|| log).clone())
}

/// Waits until all lines are written, within a limit. To be called before the process ends.
pub(crate) fn finish() {
    if let Some(log) = LOG.get() {
        log.finish(FINISH_LIMIT);
    }
}

impl LogWriter {
    fn to(
        sink: impl Write + Send + 'static,
        look: LogLayout,
        waiting_max: usize,
    ) -> io::Result<Self> {
        let (state, filled, idle) = (Mutex::default(), Condvar::new(), Condvar::new());
        let queue = Arc::new(LogQueue { state, filled, idle, waiting_max });
        let of_writer = Arc::clone(&queue);
        thread::Builder::new().name("log".to_owned()).spawn(move || of_writer.write_to(sink))?;
        Ok(Self { queue, look })
    }

    fn finish(&self, limit: Duration) {
        let queue = &self.queue;
        let busy = |state: &mut LogState| state.writing || !state.waiting.is_empty();
        drop(queue.idle.wait_timeout_while(queue.lock(), limit, busy));
    }
}

impl LogQueue {
    fn lock(&self) -> MutexGuard<'_, LogState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.waiting.len() + line.len() > self.waiting_max {
            drop(state);
            return lost(FULL, 1);
        }
        state.waiting.extend_from_slice(line);
        drop(state);
        self.filled.notify_one();
    }

    /// Writes what comes, for ever.
    fn write_to(&self, mut sink: impl Write) {
        loop {
            let mut state = self.lock();
            state.writing = false;
            while state.waiting.is_empty() {
                self.idle.notify_all();
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.writing = true;
            let lines = std::mem::take(&mut state.waiting);
            drop(state);
            let left = write(&mut sink, &lines);
            if !left.is_empty() {
                lost(FAILED, left.split_inclusive(|number| *number == b'\n').count() as u64);
            }
        }
    }
}

/// Writes as much as it can. Answers what is left.
fn write<'b>(sink: &mut impl Write, mut bytes: &'b [u8]) -> &'b [u8] {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => break,
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(BUSY),
            Err(_unwritten) => break,
        }
    }
    bytes
}

fn lost(why: &'static str, lines: u64) {
    metrics::counter!(LOST, "why" => why).increment(lines);
}

impl<'l> MakeWriter<'l> for LogWriter {
    type Writer = &'l Self;

    fn make_writer(&'l self) -> &'l Self {
        self
    }
}

/// Each call is one event: that is how they are written.
impl Write for &LogWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = self.look.line(text.trim_end_matches('\n'));
        self.queue.push(&[line.as_bytes(), b"\n"].concat());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl LogLayout {
    fn line(self, text: &str) -> Cow<'_, str> {
        match self.format {
            LogFormat::Json => visible_json(text),
            LogFormat::Pretty if self.colours => Cow::Owned(coloured(text)),
            LogFormat::Pretty => visible(text),
        }
    }
}

/// Everything can be seen, but for what only sets a colour.
fn coloured(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut pieces = text.split("\u{1b}[");
    shown.push_str(&visible(pieces.next().unwrap_or_default()));
    for piece in pieces {
        let numbers = piece.bytes().take_while(|n| n.is_ascii_digit() || *n == b';').count();
        if piece[numbers..].starts_with('m') {
            shown.push_str("\u{1b}[");
        } else {
            shown.push_str("\\x1b[");
        }
        shown.push_str(&visible(piece));
    }
    shown
}

#[cfg(test)]
mod tests;
