//! The schemas that others write with: fetched once per id, judged once per kind of record.
//!
//! **Architecture invariant:** what is kept is bounded. What an id stands for never changes and is
//! kept; that an id stands for nothing may change and is kept for a short while only.

use std::{
    any::TypeId,
    collections::HashMap,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use apache_avro::{Schema, schema_compatibility::SchemaCompatibility};

use crate::{
    contract::Record,
    fault::{self, Fault},
    registry::{self, Registry},
};

use super::{Datum, Kind, Shape, Unreadable, datum::Reading, foreign};

/// How many schemas of others are kept. More are not in use at one time.
const KNOWN_MAX: usize = 1_024;
/// For so long an id that the registry does not know is not asked for again.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// An id that the registry does not know is asked for again after these waits: behind a registry
/// of several nodes, the one that is asked may hear of a schema a moment late.
const UNKNOWN_WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// What is known of the schemas that others write with.
#[derive(Debug)]
pub(super) struct Writers {
    registry: Registry,
    known: RwLock<HashMap<(u32, TypeId), Reading>>,
    unknown: Mutex<HashMap<u32, Instant>>,
    /// One question at a time: those who wait find the answer.
    asking: tokio::sync::Mutex<()>,
}

impl Writers {
    pub(super) fn new(registry: Registry) -> Self {
        Self {
            registry,
            known: RwLock::default(),
            unknown: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// How to read what was written with schema `id` as `R`.
    pub(super) async fn reader<R: Record>(&self, id: u32) -> Result<Datum<R>, Fault> {
        let kind = Kind::of::<R>();
        if let Some(reading) = self.recall(id, kind) {
            return Ok(Datum::new(reading));
        }
        let _turn = self.asking.lock().await;
        if let Some(reading) = self.recall(id, kind) {
            return Ok(Datum::new(reading));
        }
        let reading = if let Some(schema) = self.fetch(id).await.map_err(Fault::transient)? {
            self.remember(id, kind, &schema)
        } else {
            self.forget_for_a_while(id);
            Reading::Refused(Unreadable::UnknownId(id))
        };
        Ok(Datum::new(reading))
    }

    /// Judges the schema and keeps the judgement.
    pub(super) fn remember(&self, id: u32, kind: Kind, schema: &registry::Schema) -> Reading {
        let reading = judge(id, (kind.shape)(), schema).unwrap_or_else(Reading::Refused);
        if let Reading::Refused(why) = &reading {
            tracing::warn!(id, topic = kind.topic, reason = %why, "a schema is not used");
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert((id, kind.id), reading.clone());
        reading
    }

    fn recall(&self, id: u32, kind: Kind) -> Option<Reading> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let reading = known.get(&(id, kind.id)).cloned();
        drop(known);
        reading.or_else(|| {
            let unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
            let since = unknown.get(&id).filter(|it| it.elapsed() < UNKNOWN_FOR);
            since.map(|_| Reading::Refused(Unreadable::UnknownId(id)))
        })
    }

    pub(super) fn forget_for_a_while(&self, id: u32) {
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() >= KNOWN_MAX {
            unknown.clear();
        }
        unknown.insert(id, Instant::now());
    }

    /// How much is kept.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).len();
        known + self.unknown.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    async fn fetch(&self, id: u32) -> Result<Option<registry::Schema>, registry::Error> {
        let mut waits = UNKNOWN_WAITS.iter();
        loop {
            match self.registry.schema(id).await {
                Ok(schema) => return Ok(Some(schema)),
                Err(registry::Error::UnknownSchema) => {}
                Err(error) => return Err(error),
            }
            let Some(wait) = waits.next() else { return Ok(None) };
            tokio::time::sleep(*wait).await;
        }
    }
}

/// Decides how data of this schema are read as records of that shape.
fn judge(id: u32, shape: &Shape, schema: &registry::Schema) -> Result<Reading, Unreadable> {
    let refused = |reason: String| Unreadable::Schema { id, reason };
    if let Some(kind) = schema.kind.as_deref().filter(|it| *it != "AVRO") {
        return Err(refused(format!("it is one of {kind}")));
    }
    let parsed = panic::catch_unwind(AssertUnwindSafe(|| Schema::parse_str(&schema.text)));
    let writer = match parsed {
        Ok(Ok(writer)) => writer,
        Ok(Err(error)) => return Err(refused(fault::chain(&error))),
        Err(_panic) => return Err(refused("the parser panics".to_owned())),
    };
    let found = writer.name().map(ToString::to_string).unwrap_or_default();
    if found != shape.name() {
        let wanted = shape.name().to_owned();
        return Err(Unreadable::OtherRecord { id, found, wanted });
    }
    if let Some(hazard) = foreign::hazard(&writer) {
        return Err(refused(hazard.to_owned()));
    }
    if shape.is_laid_out_as(&writer) {
        return Ok(Reading::Same);
    }
    SchemaCompatibility::can_read(&writer, shape.schema())
        .map_err(|error| refused(format!("ours cannot read it: {error}")))?;
    Ok(Reading::Resolved(Arc::new(writer)))
}
