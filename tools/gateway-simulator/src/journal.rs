//! The journal: every executed charge, decline and refund and every attempt, one JSON line each.
//!
//! The journal is the only state that outlives the process. A batch of lines is written in one
//! write. A write survives `kill -9`; it is not synced, so it may not survive a crash of the
//! machine.
//!
//! **Architecture invariant:** a line is whole when its newline is there. A last line without one
//! was never answered, so it is cut off at start; any other broken line stops the start, because a
//! journal with missing records is no evidence.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::api::{ChargeRequest, MoneyOperation, RefundRequest};

/// The layout of the lines, told in the first of them.
pub const FORMAT: u32 = 1;

/// The errors of the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be opened, read or written.
    #[error("the log cannot be read or written")]
    Io(#[from] io::Error),
    /// Another gateway writes to it.
    #[error("the log belongs to another running gateway")]
    Taken,
    /// A line that is whole and makes no sense.
    #[error("line {number} of the log makes no sense")]
    Line {
        number: u64,
        #[source]
        source: serde_json::Error,
    },
    /// The first line does not say that this is such a log.
    #[error("the log does not begin as a gateway's log in format {FORMAT}")]
    Format,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JournalRecord {
    /// The first line: whose log it is.
    Opened(OpenedRecord),
    Charge(ChargedRecord),
    /// A card was declined.
    Decline(DeclinedRecord),
    /// Money was given back.
    Refund(RefundedRecord),
    /// All keys were forgotten: each is free again.
    Forgot(ForgotRecord),
    /// An attempt; written after the records that it executed.
    Attempt(AttemptedRecord),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedRecord {
    pub at_ms: u64,
    /// The layout of the lines.
    pub format: u32,
    /// Part of every id, so that two gateways never give the same one.
    pub gateway: String,
}

/// A charge and the answer that its key gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChargedRecord {
    pub at_ms: u64,
    pub key: String,
    pub request: ChargeRequest,
    /// `ch_…`
    pub id: String,
    /// The charged amount, which differs from the requested one for the card with that fault.
    pub amount: u64,
    pub status: u16,
    pub body: String,
}

/// A decline and the answer that its key gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclinedRecord {
    pub at_ms: u64,
    pub key: String,
    pub request: ChargeRequest,
    pub decline_code: String,
    pub status: u16,
    pub body: String,
}

/// A refund and the answer that its key gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundedRecord {
    pub at_ms: u64,
    pub key: String,
    pub request: RefundRequest,
    /// `re_…`
    pub id: String,
    /// The refunded amount.
    pub amount: u64,
    pub status: u16,
    pub body: String,
}

/// From here on no key is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgotRecord {
    pub at_ms: u64,
}

/// An attempt and how the gateway set out to end it; whether the answer arrived it cannot know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptedRecord {
    pub at_ms: u64,
    /// The requested operation.
    pub operation: MoneyOperation,
    /// The idempotency key, if it was one.
    pub key: Option<String>,
    pub outcome: AttemptOutcome,
    /// The HTTP status; `None` when the connection was dropped.
    pub status: Option<u16>,
    /// Whether this very attempt executed the request.
    pub executed: bool,
    /// Whether the stored answer was given again.
    pub replayed: bool,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// With the answer that belongs to it, good or bad.
    Answered,
    /// With 500 in place of its answer.
    Errored,
    /// With a closed connection.
    Dropped,
    /// With 503, before it was looked at.
    Refused,
}

/// An open journal; one process at a time has it.
#[derive(Debug)]
pub(crate) struct OpenJournal {
    file: File,
}

impl OpenJournal {
    /// Opens the journal, cuts off a torn last line, and tells every line to `replay`.
    pub(crate) fn open(
        path: &Path,
        now_ms: u64,
        mut replay: impl FnMut(JournalRecord),
    ) -> Result<Self, JournalError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::Taken,
            TryLockError::Error(error) => JournalError::Io(error),
        })?;
        let whole_bytes = read_lines(&file, &mut replay)?;
        file.set_len(whole_bytes)?;
        let mut journal = Self { file };
        if whole_bytes == 0 {
            let gateway = format!("{:08x}", fastrand::u32(..));
            let opened =
                JournalRecord::Opened(OpenedRecord { at_ms: now_ms, format: FORMAT, gateway });
            let mut line = Vec::new();
            push_line(&mut line, &opened);
            journal.append(&line)?;
            replay(opened);
        }
        Ok(journal)
    }

    /// A journal that cannot be written.
    #[cfg(test)]
    pub(crate) fn broken() -> Self {
        Self { file: File::open("/dev/null").unwrap() }
    }

    /// Appends whole lines in one write.
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<(), JournalError> {
        self.file.write_all(lines)?;
        Ok(self.file.flush()?)
    }
}

/// Adds a record to a batch.
pub(crate) fn push_line(lines: &mut Vec<u8>, record: &JournalRecord) {
    serde_json::to_writer(&mut *lines, record).expect("a record is always JSON");
    lines.push(b'\n');
}

/// Reads the whole lines of a journal that may be growing: for tests and tools.
pub fn read(path: &Path) -> Result<Vec<JournalRecord>, JournalError> {
    let mut records = Vec::new();
    read_lines(&File::open(path)?, &mut |record| records.push(record))?;
    Ok(records)
}

/// Answers with the length of the whole lines.
fn read_lines(file: &File, each: &mut impl FnMut(JournalRecord)) -> Result<u64, JournalError> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut line, mut number, mut whole_bytes) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        let bytes = reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(whole_bytes);
        }
        number += 1;
        let record = serde_json::from_slice(&line)
            .map_err(|source| JournalError::Line { number, source })?;
        let opens = matches!(&record, JournalRecord::Opened(opened) if opened.format == FORMAT);
        if opens != (number == 1) {
            return Err(JournalError::Format);
        }
        each(record);
        whole_bytes += bytes as u64;
    }
}
