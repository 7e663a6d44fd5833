//! The W3C trace context: which trace a message belongs to.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The share of recorded traces among those that start here: as many of 2^64 trace ids.
static SAMPLED_BELOW: AtomicU64 = AtomicU64::new(u64::MAX);

/// `00-<trace id>-<span id>-<flags>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: u128,
    span_id: u64,
    sampled: bool,
}

impl TraceParent {
    /// Starts a new trace with its own id.
    pub fn start() -> Self {
        let trace_id = fastrand::u128(1..);
        let sampled = is_below(trace_id, SAMPLED_BELOW.load(Ordering::Relaxed));
        Self { trace_id, span_id: fastrand::u64(1..), sampled }
    }

    /// From now on this share, from 0 to 1, of the traces that start here is recorded. A process
    /// that joins a trace follows the decision of the trace's head.
    pub(crate) fn record_share(ratio: f64) {
        SAMPLED_BELOW.store(below(ratio), Ordering::Relaxed);
    }

    /// The same trace with another span: passed on by the process that worked on the message.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: fastrand::u64(1..), ..self }
    }

    /// The same trace, and a span that is derived from this one and from the operation on a
    /// message: a repeated operation has the same span.
    #[must_use]
    pub fn derive(self, message_id: Uuid, what: &str) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(self.span_id.to_be_bytes());
        hasher.update(message_id.as_bytes());
        hasher.update(what.as_bytes());
        let first = hasher.finalize().first_chunk().map_or(1, |bytes| u64::from_be_bytes(*bytes));
        Self { span_id: first.max(1), ..self }
    }

    /// Whether the head of the trace decided that it is recorded.
    pub(crate) fn is_sampled(self) -> bool {
        self.sampled
    }

    /// The id of the span, as W3C trace context gives it.
    pub fn span_id(self) -> u64 {
        self.span_id
    }

    /// The trace's id, as a number.
    pub(crate) fn trace_number(self) -> u128 {
        self.trace_id
    }

    /// The trace's id, 32 hexadecimal digits.
    pub fn trace_id(self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// Reads a `traceparent`; none if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let hex = |text: &str, digits: usize| {
            text.len() == digits
                && text.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
        };
        let well_formed = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
        // Later versions may add parts; version 00 may not, and ff is forbidden.
        if !well_formed || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let trace_id = u128::from_str_radix(trace, 16).ok().filter(|n| *n != 0)?;
        let span_id = u64::from_str_radix(span, 16).ok().filter(|n| *n != 0)?;
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        Some(Self { trace_id, span_id, sampled })
    }
}

/// The ratio as a number of trace ids out of 2^64.
fn below(ratio: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share is not exact, and the cast keeps to the limits"
    )]
    let below = (ratio * u64::MAX as f64) as u64;
    below
}

/// Whether a trace is among that many of 2^64: every process decides the same for one id.
fn is_below(trace_id: u128, below: u64) -> bool {
    // The low half, as in other samplers by ratio.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
    let low = trace_id as u64;
    below > 0 && low <= below
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

#[cfg(test)]
mod tests;
