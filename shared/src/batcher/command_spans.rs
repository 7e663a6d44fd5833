//! The two spans of a command in the batcher: waiting in the queue, then its transaction.

use std::time::SystemTime;

use crate::{
    message::TraceParent,
    telemetry::spans::{self, FinishedSpan, KeyValue, Kind},
};

/// The spans of one command; none if its trace is not recorded.
#[derive(Debug)]
pub(super) struct CommandSpans(Option<OpenSpans>);

#[derive(Debug)]
struct OpenSpans {
    parent: TraceParent,
    transaction: TraceParent,
    asked: SystemTime,
}

impl CommandSpans {
    /// The command is let in. Everything that follows from it belongs to its transaction.
    pub(super) fn begin(trace: Option<&mut TraceParent>) -> Self {
        let trace = trace.filter(|trace_parent| spans::wanted(**trace_parent));
        Self(trace.map(|trace| {
            let parent = std::mem::replace(trace, trace.child());
            OpenSpans { parent, transaction: *trace, asked: spans::now() }
        }))
    }

    /// Whether the end of the command is recorded.
    pub(super) fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// The command's transaction, begun at that time with that many commands, has ended.
    pub(super) fn end(self, began: SystemTime, commands: usize, error: Option<String>) {
        let Some(OpenSpans { parent, transaction, asked }) = self.0 else { return };
        let span = |own, name: &'static str, (began, ended), attributes, error| FinishedSpan {
            own,
            parent: Some(parent),
            kind: Kind::Internal,
            name: name.into(),
            began,
            ended,
            attributes,
            error,
        };
        let commands =
            KeyValue::new("batcher.commands", i64::try_from(commands).unwrap_or(i64::MAX));
        spans::record(span(parent.child(), "queue", (asked, began), vec![], None));
        let lasted = (began, spans::now());
        spans::record(span(transaction, "transaction", lasted, vec![commands], error));
    }
}
