use std::sync::mpsc;

use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::Value;

use super::*;
use crate::telemetry::as_json;

/// As long as a machine may stand still.
const PATIENCE: Duration = Duration::from_mins(5);

const PLAIN: LogLayout = LogLayout { format: LogFormat::Pretty, colours: false };

/// How the next write is to end: with this error, or well.
type End = Option<io::ErrorKind>;

/// A reader that lets one write through for each word that it is given, and keeps what it read.
struct Reader {
    go_on: mpsc::Receiver<End>,
    read: Arc<Mutex<Vec<u8>>>,
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(error) = self.go_on.recv().unwrap_or(Some(io::ErrorKind::BrokenPipe)) {
            return Err(error.into());
        }
        self.read.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A log with such a reader, what it is told, and what it has read.
fn read(waiting_max: usize) -> (LogWriter, mpsc::Sender<End>, Arc<Mutex<Vec<u8>>>) {
    let (tell, go_on) = mpsc::channel();
    let read = Arc::<Mutex<Vec<u8>>>::default();
    let reader = Reader { go_on, read: Arc::clone(&read) };
    (LogWriter::to(reader, PLAIN, waiting_max).unwrap(), tell, read)
}

fn text(read: &Mutex<Vec<u8>>) -> String {
    String::from_utf8(read.lock().unwrap().clone()).unwrap()
}

#[test]
fn a_reader_that_reads_nothing_holds_nobody_back_and_costs_lines_that_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let (log, tell, read) = read(100);
    metrics::with_local_recorder(&recorder, || {
        for _ in 0..1_000 {
            // Ten bytes each.
            (&log).write_all(b"some line\n").unwrap();
        }
    });
    for _ in 0..2 {
        tell.send(None).unwrap();
    }
    drop(tell);
    log.finish(PATIENCE);
    let written = text(&read).lines().count();
    // What waits, and what was being written when the rest came.
    assert!((10..=20).contains(&written), "{written}");
    let page = recorder.handle().render();
    let lost = format!("log_lines_lost_total{{why=\"full\"}} {}", 1_000 - written);
    assert!(page.contains(&lost), "{lost} is not in {page}");
}

#[test]
fn a_log_that_fails_costs_its_lines_and_is_tried_again() {
    let (log, tell, read) = read(WAITING_MAX);
    for (line, answer) in [
        ("the disk is full", Some(io::ErrorKind::StorageFull)),
        ("there is room again", None),
        ("nobody reads", Some(io::ErrorKind::BrokenPipe)),
    ] {
        (&log).write_all(line.as_bytes()).unwrap();
        tell.send(answer).unwrap();
        log.finish(PATIENCE);
    }
    assert_eq!(text(&read), "there is room again\n");
}

#[test]
fn what_was_not_written_is_counted_by_its_lines() {
    for (error, left) in
        [(io::ErrorKind::BrokenPipe, "two\nthree\n"), (io::ErrorKind::StorageFull, "two\nthree\n")]
    {
        struct Stops(io::ErrorKind, bool);
        impl Write for Stops {
            fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.1, true) { Err(self.0.into()) } else { Ok(4) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert_eq!(write(&mut Stops(error, false), b"one\ntwo\nthree\n"), left.as_bytes());
    }
}

/// What is logged of text from outside, in a message, a field, by `Display` and by `Debug`.
fn logged(look: LogLayout, outside: &str) -> String {
    let (tell, go_on) = mpsc::channel();
    let read = Arc::<Mutex<Vec<u8>>>::default();
    let reader = Reader { go_on, read: Arc::clone(&read) };
    let log = LogWriter::to(reader, look, WAITING_MAX).unwrap();
    let lines = tracing_subscriber::fmt().with_ansi(look.colours).with_writer(log.clone());
    let log_it = || {
        let span = tracing::info_span!("request", route = outside);
        let _entered = span.enter();
        let error = io::Error::other(outside.to_owned());
        tracing::info!(
            outside,
            shown = %outside,
            debug = ?outside,
            error = &error as &dyn std::error::Error,
            "outside: {outside}"
        );
    };
    match look.format {
        LogFormat::Json => tracing::subscriber::with_default(as_json(lines).finish(), log_it),
        LogFormat::Pretty => tracing::subscriber::with_default(lines.finish(), log_it),
    }
    tell.send(None).unwrap();
    log.finish(PATIENCE);
    text(&read)
}

const OUTSIDE: &str = "\u{1b}]0;title\u{7}\u{9b}2J\u{7f}a\r\n2026 ERROR forged\u{202e}";

#[test]
fn text_from_outside_cannot_reach_the_terminal_or_forge_a_line() {
    for colours in [false, true] {
        let line = logged(LogLayout { format: LogFormat::Pretty, colours }, OUTSIDE);
        let line = line.strip_suffix('\n').unwrap();
        let ours = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[3m", "\u{1b}[32m"];
        let rest = ours.iter().fold(line.to_owned(), |line, ours| line.replace(ours, ""));
        assert_eq!(visible(&rest), rest);
        assert!(line.contains("\\x1b]0;title\\x07"), "{line}");
    }
}

#[test]
fn a_line_of_json_is_one_line_and_says_what_was_said() {
    let line = logged(LogLayout { format: LogFormat::Json, colours: false }, OUTSIDE);
    let line = line.strip_suffix('\n').unwrap();
    assert_eq!(visible(line), line);
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["outside"], OUTSIDE);
    assert_eq!(line["shown"], OUTSIDE);
}

#[test]
fn only_colours_are_left_in_a_coloured_line() {
    assert_eq!(
        coloured("\u{1b}[32m INFO\u{1b}[0m a\u{1b}[2Jb\u{1b}[1;5"),
        "\u{1b}[32m INFO\u{1b}[0m a\\x1b[2Jb\\x1b[1;5"
    );
}
