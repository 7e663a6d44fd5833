//! Trace spans: each records an operation with start and end, so that one order is one trace.
//!
//! The messaging runtime works in batches and carries trace context as data ([`TraceParent`]): a
//! span is not entered and left here; it is recorded when it has ended, one per message of a batch.
//!
//! ```text
//! request ─┬─ queue        (waits in the batcher)
//!          └─ transaction ─┬─ outbox   (waits in the table)
//!                          └─ send ────┬─ topic   (waits in the log)
//!                                      └─ process ─┬─ job ── call
//!                                                  └─ outbox, send ── …
//! ```
//!
//! Spans are exported by OTLP over HTTP from a [thread of their own](mod@export). With a collector
//! that is away or slow, spans are lost and counted; an order is never delayed.
//!
//! **Architecture invariant:** a context that is passed on names a recorded span or the caller's
//! span: if nothing is recorded, the context is passed on unchanged.
//!
//! **Architecture invariant:** a message's span ids are computed from the message, not from process
//! or time: a batch that is processed twice, or published twice, records the same span again.

use std::{borrow::Cow, time::SystemTime};

use opentelemetry::{
    InstrumentationScope, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::{clock::Clock, message::TraceParent};

/// A name and what is to be known under it.
pub use opentelemetry::KeyValue;
/// Whether a span calls, is called, or neither.
pub use opentelemetry::trace::SpanKind as Kind;

pub use self::export::SpanError;
pub(crate) use self::export::{SpanSettings, export};
pub(crate) use self::export::{finish, is_on};

mod export;

/// An operation with its start and its end.
#[derive(Clone, Debug)]
pub(crate) struct FinishedSpan {
    /// The span's own context: messages and calls caused by the span name this as their parent.
    pub own: TraceParent,
    /// The context of the parent span.
    pub parent: Option<TraceParent>,
    /// Whether it calls, is called, or neither.
    pub kind: Kind,
    /// The name of the operation; of few kinds, without ids.
    pub name: Cow<'static, str>,
    /// The start of the span, UTC.
    pub began: SystemTime,
    /// The end of the span, UTC.
    pub ended: SystemTime,
    /// What is to be known of it, by OpenTelemetry's names where it has one. Nothing personal.
    pub attributes: Vec<KeyValue>,
    /// The failure that ended the span, if one did.
    pub error: Option<String>,
}

/// Whether spans of this trace are worth being put together.
pub fn wanted(trace: TraceParent) -> bool {
    is_on() && trace.is_sampled()
}

/// The context of work that is done on behalf of `parent`: its own, if it will be recorded.
pub fn under(parent: TraceParent) -> TraceParent {
    if wanted(parent) { parent.child() } else { parent }
}

/// The moment, as spans have it.
pub fn now() -> SystemTime {
    Clock::System.now().into()
}

/// Sends a span on its way, if its trace is recorded. Never waits.
pub(crate) fn record(span: FinishedSpan) {
    if wanted(span.own) {
        export::push(span.into_data());
    }
}

/// Work that is under way, recorded as a span when it ends. Work that is dropped was cut off.
#[derive(Debug)]
pub struct OpenSpan {
    own: TraceParent,
    /// None, if it is not recorded.
    span: Option<FinishedSpan>,
}

impl OpenSpan {
    /// Begins. Without a parent it is the root of a trace of its own.
    pub fn begin(
        kind: Kind,
        parent: Option<TraceParent>,
        name: impl FnOnce() -> Cow<'static, str>,
    ) -> Self {
        let own = parent.map_or_else(TraceParent::start, under);
        let span = wanted(own).then(|| {
            let (name, began) = (name(), now());
            let (attributes, error) = (vec![], None);
            FinishedSpan { own, parent, kind, name, began, ended: began, attributes, error }
        });
        Self { own, span }
    }

    /// Its context, for whatever is done because of it.
    pub fn trace(&self) -> TraceParent {
        self.own
    }

    /// Adds what is to be known of it.
    pub fn note<const N: usize>(&mut self, attributes: impl FnOnce() -> [KeyValue; N]) {
        if let Some(span) = &mut self.span {
            span.attributes.extend(attributes());
        }
    }

    /// Ends the span without a failure.
    pub fn end(self) {
        self.end_with(None);
    }

    /// Ends the span with this result.
    pub fn end_with(mut self, error: Option<String>) {
        if let Some(mut span) = self.span.take() {
            span.ended = now();
            span.error = error;
            record(span);
        }
    }

    /// Drops the span without recording it.
    pub fn forget(mut self) {
        self.span = None;
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            span.ended = now();
            span.error = Some("it was cut off".to_owned());
            record(span);
        }
    }
}

impl FinishedSpan {
    fn into_data(self) -> SpanData {
        let parent = self.parent.map_or(SpanId::INVALID, |parent| SpanId::from(parent.span_id()));
        SpanData {
            span_context: SpanContext::new(
                TraceId::from(self.own.trace_number()),
                SpanId::from(self.own.span_id()),
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: parent,
            parent_span_is_remote: matches!(self.kind, Kind::Server | Kind::Consumer),
            span_kind: self.kind,
            name: self.name,
            start_time: self.began,
            // A clock that was set back makes no span that ends before it began.
            end_time: self.ended.max(self.began),
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: self.error.map_or(Status::Unset, Status::error),
            instrumentation_scope: InstrumentationScope::builder("shared").build(),
        }
    }
}
