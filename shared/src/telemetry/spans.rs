//! Spans: what was done from when to when, so that an order's whole way is one tree.
//!
//! The roads work in batches and carry the context of a trace as data ([`TraceParent`]): a span is
//! not entered and left here, it is recorded once it has ended, one for each message of a batch.
//!
//! ```text
//! request ─┬─ intake       (waits for its turn)
//!          └─ transaction ─┬─ outbox   (waits in the table)
//!                          └─ send ────┬─ topic   (waits in the log)
//!                                      └─ process ─┬─ job ── call
//!                                                  └─ outbox, send ── …
//! ```
//!
//! They leave by OTLP over HTTP from a [thread of their own](mod@export). A collector that is away or
//! slow costs spans, which are counted, and never holds an order back.
//!
//! **Architecture invariant:** what is passed on names a span that is recorded, or the caller's: where
//! nothing is recorded, a context goes through unchanged.
//!
//! **Architecture invariant:** a message's spans have ids that follow from the message, not from who
//! works on it when: a batch that is taken in twice, or published twice, records the same span again.

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

pub use self::export::{SpanError, SpanSettings, export};
pub(crate) use self::export::{finish, is_on};

mod export;

/// What was done from when to when.
#[derive(Clone, Debug)]
pub struct FinishedSpan {
    /// Its own context: what is said and done because of it names this as its parent.
    pub own: TraceParent,
    /// Whose consequence it is.
    pub parent: Option<TraceParent>,
    /// Whether it calls, is called, or neither.
    pub kind: Kind,
    /// What is done; of few kinds, without ids.
    pub name: Cow<'static, str>,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What is to be known of it, by OpenTelemetry's names where it has one. Nothing personal.
    pub attributes: Vec<KeyValue>,
    /// How it failed.
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
pub fn record(span: FinishedSpan) {
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

    /// It ends well.
    pub fn end(self) {
        self.end_with(None);
    }

    /// It ends like this.
    pub fn end_with(mut self, error: Option<String>) {
        if let Some(mut span) = self.span.take() {
            span.ended = now();
            span.error = error;
            record(span);
        }
    }

    /// It is nothing that anybody wants to see.
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
        let parent = self.parent.map_or(SpanId::INVALID, |it| SpanId::from(it.span_id()));
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
