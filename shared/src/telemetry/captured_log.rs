//! The log lines of a test, kept in memory.

use std::{
    io,
    sync::{Arc, Mutex},
};

/// A log writer that keeps everything. Clones share the same text.
#[derive(Clone, Default)]
pub(crate) struct CapturedLog(Arc<Mutex<Vec<u8>>>);

impl CapturedLog {
    /// Everything that was written so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The only line with this message.
    pub(crate) fn line_with(&self, message: &str) -> String {
        let text = self.text();
        let mut found = text.lines().filter(|line| line.contains(message));
        let line = found.next().unwrap_or_else(|| panic!("{message} is not in {text}"));
        assert_eq!(found.next(), None);
        line.to_owned()
    }
}

impl io::Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
