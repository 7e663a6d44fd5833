//! Our messages whose schema id this registry does not assign to their schema: its ids were reset.
//!
//! A registry that lost its data counts ids anew. Messages in the log keep their old ids, which are
//! then unknown, or belong to another record. Read by its id such a message is a dead letter;
//! trying our own schema shows that its body is valid. It is never processed that way
//! automatically: bytes fit more schemas than one. An operator's redrive does it, since a person
//! has looked (`docs/runbooks/SchemaIdsUnknown.md`).
//!
//! **Architecture invariant:** another schema than that of the id counts only if it describes the
//! record of the message's `ce_type`, every byte is used and every value is one of its type.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    AvroCodec, CodecState, DatumReader, Record, RecordKind, RecordShape, UnreadableBody,
    writer_schemas,
};
use crate::{fault::Fault, health::HealthComponent, log_throttle::LogThrottle};

/// Versions of a subject that a redrive tries, the newest first.
const VERSIONS_MAX: usize = 20;

/// The remark in the health ends when no such message was read for this long.
const REMARK_FOR: Duration = Duration::from_mins(10);

const REMARK: &str = "messages of ours carry schema ids that the schema registry does not know as \
                      theirs: see docs/runbooks/SchemaIdsUnknown.md";

/// Statistics of such messages.
#[derive(Debug)]
pub(super) struct UnknownIds {
    health: HealthComponent,
    state: Mutex<SightingState>,
}

#[derive(Debug, Default)]
struct SightingState {
    pace: LogThrottle,
    last: Option<Instant>,
}

impl UnknownIds {
    pub(super) fn new(health: HealthComponent) -> Self {
        Self { health, state: Mutex::default() }
    }

    fn note(&self, topic: &'static str, why: &UnreadableBody) {
        metrics::counter!("schema_ids_unknown_total", "topic" => topic).increment(1);
        let now = Instant::now();
        let due = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.last = Some(now);
            state.pace.note(now)
        };
        self.health.ready_though(REMARK);
        if let Some(unsaid) = due {
            tracing::warn!(
                topic,
                reason = %why,
                more_since_last_time = unsaid,
                "the schema registry does not know the schema id of a message of ours"
            );
        }
    }

    /// Removes the remark from the health when it is too old.
    pub(super) fn forget_old(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|instant| instant.elapsed() > REMARK_FOR) {
            *state = SightingState::default();
            drop(state);
            self.health.ready();
        }
    }
}

impl CodecState {
    /// The error for an unreadable body; records it if our own schema can read that body.
    pub(super) fn unread<R: Record>(&self, datum: &[u8], why: UnreadableBody) -> Fault {
        let is_readable = why.is_of_the_id() && DatumReader::<R>::same().read(datum).is_ok();
        if !is_readable {
            return Fault::poison(why);
        }
        self.sightings.note(R::TOPIC, &why);
        Fault::poison(UnreadableBody::Renumbered { why: why.to_string() })
    }
}

impl AvroCodec {
    /// The same codec for an operator's redrive: a body whose schema id stands for nothing, or for
    /// another record, is read by the schemas of its `ce_type` ([`AvroCodec::read_by`] says which).
    #[must_use]
    pub fn for_redrive(&self) -> Self {
        Self(Arc::clone(&self.0), Some(Arc::default()))
    }

    /// The schema with which the last body was read, if not that of its schema id.
    pub fn read_by(&self) -> Option<String> {
        let read_by = self.1.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        read_by.clone()
    }

    /// Reads a body by our own schema, or by another version of its subject.
    pub(super) async fn read_by_type<R: Record>(
        &self,
        datum: &[u8],
        why: UnreadableBody,
    ) -> Result<R, Fault> {
        if let Ok(record) = DatumReader::<R>::same().read(datum) {
            self.note_read_by(&why, &format!("with our own schema of {}", R::TYPE));
            return Ok(record);
        }
        let (registry, subject) = (&self.0.registry, RecordKind::of::<R>().subject(&self.0.prefix));
        let mut versions = registry.versions(&subject).await.map_err(Fault::transient)?;
        versions.sort_unstable();
        for version in versions.into_iter().rev().take(VERSIONS_MAX) {
            let kept = registry.version(&subject, version).await.map_err(Fault::transient)?;
            let Ok(reading) = writer_schemas::judge(kept.id, RecordShape::of::<R>(), &kept.schema)
            else {
                continue;
            };
            if let Ok(record) = DatumReader::<R>::new(reading).read(datum) {
                self.note_read_by(&why, &format!("with version {version} of {subject}"));
                return Ok(record);
            }
        }
        Err(Fault::poison(why))
    }

    fn note_read_by(&self, why: &UnreadableBody, how: &str) {
        let Some(read_by) = &self.1 else { return };
        *read_by.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(format!("read {how}: {why}"));
    }
}
