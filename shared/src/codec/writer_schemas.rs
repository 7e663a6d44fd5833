//! The cache of writers' schemas: each fetched once per id and judged once per kind of record.
//!
//! All ids that a batch needs are requested at once, several at a time, so that a flood of unknown
//! ids costs a few pauses and not one per id.
//!
//! **Architecture invariant:** the cache is bounded, and unusable ids never push out usable ones. A
//! usable schema stays; that an id is unknown, or of no use, may change with the registry and is
//! kept for a limited time only.
//!
//! **Architecture invariant:** the requests for a batch end within [`LEARN_LIMIT`]. An id that the
//! registry does not know costs three requests at most, and all ids of a batch two pauses together.

use std::{
    any::TypeId,
    collections::{BTreeMap, BTreeSet, HashMap},
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use apache_avro::{Schema, schema_compatibility::SchemaCompatibility};
use futures_util::future::join_all;

use crate::{
    fault::{self, Fault},
    schema_registry::{self, SchemaRegistry},
};

use super::{
    DatumReader, Record, RecordKind, RecordShape, UnreadableBody, datum::DatumReading, logical,
    schema_guard,
};

/// The most schemas of other writers that are kept. More are not in use at one time.
const KNOWN_MAX: usize = 1_024;
/// The most unusable ids that are kept: more than a batch has messages, twice.
const REFUSED_MAX: usize = 4_096;
/// An id that the registry does not know is not requested again for this long. Longer than
/// [`LEARN_LIMIT`], so that a batch finds its answers.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// A schema that is not usable is not judged again for this long.
const REFUSED_FOR: Duration = Duration::from_mins(5);
/// Unknown ids are requested again after these waits, all together: in a registry of several nodes,
/// the node that answers may learn of a schema a moment late.
const UNKNOWN_WAITS: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(400)];
/// Requests that are open at the registry at the same time.
const ASKED_AT_ONCE: usize = 16;
/// For one batch, no request begins later than this.
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// All requests for one batch may take this long: one request may be open for 5 s.
pub(crate) const LEARN_LIMIT: Duration = Duration::from_secs(10);

/// An id and a kind of record.
type ReaderKey = (u32, TypeId);

/// The known schemas of other writers.
#[derive(Debug)]
pub(super) struct WriterSchemas {
    registry: SchemaRegistry,
    known: RwLock<HashMap<ReaderKey, DatumReading>>,
    refused: Mutex<HashMap<ReaderKey, (UnreadableBody, Instant)>>,
    /// One batch of requests at a time: callers that wait find the answers.
    asking: tokio::sync::Mutex<()>,
}

impl WriterSchemas {
    pub(super) fn new(registry: SchemaRegistry) -> Self {
        Self {
            registry,
            known: RwLock::default(),
            refused: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The way to read data of schema `id` as `R`.
    pub(super) async fn reader<R: Record>(&self, id: u32) -> Result<DatumReader<R>, Fault> {
        let kind = RecordKind::of::<R>();
        if let Some(reading) = self.recall(id, kind) {
            return Ok(DatumReader::new(reading));
        }
        self.learn(&[(id, kind)]).await?;
        let unasked = || Fault::transient("the schema registry was not asked in time");
        self.recall(id, kind).map(DatumReader::new).ok_or_else(unasked)
    }

    /// Requests the unknown ones of these ids. Ids that cannot be requested within the limit are a
    /// transient fault; answers up to then are kept.
    pub(super) async fn learn(&self, wanted: &[(u32, RecordKind)]) -> Result<(), Fault> {
        if self.missing(wanted).is_empty() {
            return Ok(());
        }
        let asking = async {
            let _turn = self.asking.lock().await;
            self.ask(self.missing(wanted)).await
        };
        match tokio::time::timeout(LEARN_LIMIT, asking).await {
            Ok(asked) => asked.map_err(Fault::transient),
            Err(_elapsed) => Err(Fault::transient(format!(
                "the schema registry did not answer for all schemas of a batch within \
                 {LEARN_LIMIT:?}"
            ))),
        }
    }

    fn missing(&self, wanted: &[(u32, RecordKind)]) -> BTreeMap<u32, Vec<RecordKind>> {
        let mut missing: BTreeMap<u32, Vec<RecordKind>> = BTreeMap::new();
        for (id, kind) in wanted.iter().filter(|(id, kind)| self.recall(*id, *kind).is_none()) {
            let kinds = missing.entry(*id).or_default();
            if !kinds.iter().any(|known| known.id == kind.id) {
                kinds.push(*kind);
            }
        }
        missing
    }

    /// Requests each id until the registry has answered; keeps each answer as it comes. The first
    /// failure is returned when all were requested. Ids that the registry did not know within the
    /// time limit count as unknown.
    async fn ask(
        &self,
        mut missing: BTreeMap<u32, Vec<RecordKind>>,
    ) -> Result<(), schema_registry::RegistryError> {
        let (began, mut failure, mut unknown) = (Instant::now(), None, BTreeSet::new());
        'rounds: for wait in UNKNOWN_WAITS {
            if missing.is_empty() {
                break;
            }
            tokio::time::sleep(wait).await;
            let ids: Vec<u32> = missing.keys().copied().collect();
            for some in ids.chunks(ASKED_AT_ONCE) {
                if began.elapsed() > ASK_LIMIT {
                    break 'rounds;
                }
                let answers = join_all(some.iter().map(|id| self.registry.schema(*id))).await;
                for (id, answer) in some.iter().zip(answers) {
                    if matches!(answer, Err(schema_registry::RegistryError::UnknownSchema)) {
                        unknown.insert(*id);
                        continue;
                    }
                    let kinds = missing.remove(id).unwrap_or_default();
                    match answer {
                        Ok(schema) => {
                            for kind in kinds {
                                self.remember(*id, kind, &schema);
                            }
                        }
                        Err(error) => failure = failure.or(Some(error)),
                    }
                }
            }
        }
        for (id, kinds) in missing.into_iter().filter(|(id, _)| unknown.contains(id)) {
            for kind in kinds {
                self.refuse((id, kind.id), UnreadableBody::UnknownId(id));
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// Judges the schema and keeps the result.
    pub(super) fn remember(
        &self,
        id: u32,
        kind: RecordKind,
        schema: &schema_registry::RegisteredSchema,
    ) -> DatumReading {
        match judge(id, (kind.shape)(), schema) {
            Ok(reading) => {
                let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                if known.len() >= KNOWN_MAX {
                    known.clear();
                }
                known.insert((id, kind.id), reading.clone());
                reading
            }
            Err(why) => {
                tracing::warn!(id, topic = kind.topic, reason = %why, "a schema is not used");
                self.refuse((id, kind.id), why.clone());
                DatumReading::Refused(why)
            }
        }
    }

    fn recall(&self, id: u32, kind: RecordKind) -> Option<DatumReading> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let reading = known.get(&(id, kind.id)).cloned();
        drop(known);
        reading.or_else(|| {
            let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            let (why, since) = refused.get(&(id, kind.id))?;
            (since.elapsed() < kept_for(why)).then(|| DatumReading::Refused(why.clone()))
        })
    }

    pub(super) fn refuse(&self, key: ReaderKey, why: UnreadableBody) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= REFUSED_MAX {
            refused.retain(|_, (why, since)| since.elapsed() < kept_for(why));
        }
        if refused.len() >= REFUSED_MAX {
            let mut since: Vec<Instant> = refused.values().map(|(_, since)| *since).collect();
            let (_, middle, _) = since.select_nth_unstable(REFUSED_MAX / 2);
            let middle = *middle;
            refused.retain(|_, (_, since)| *since > middle);
        }
        refused.insert(key, (why, Instant::now()));
    }

    /// The registry has other ids now: ids that it did not know are requested again.
    pub(super) fn forget_refusals(&self) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The number of entries in the cache.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).len();
        known + self.refused.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn kept_for(why: &UnreadableBody) -> Duration {
    if matches!(why, UnreadableBody::UnknownId(_)) { UNKNOWN_FOR } else { REFUSED_FOR }
}

/// Decides how data of this schema are read as records of that shape.
pub(super) fn judge(
    id: u32,
    shape: &RecordShape,
    schema: &schema_registry::RegisteredSchema,
) -> Result<DatumReading, UnreadableBody> {
    let refused = |reason: String| UnreadableBody::Schema { id, reason };
    if let Some(kind) = schema.kind.as_deref().filter(|text| *text != "AVRO") {
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
        return Err(UnreadableBody::OtherRecord { id, found, wanted });
    }
    if let Some(hazard) = schema_guard::hazard(&writer) {
        return Err(refused(hazard.to_owned()));
    }
    // Before the layout: two schemas of the same layout may mean different things.
    if let Some(conflict) = logical::conflict(&writer, shape.schema()) {
        return Err(refused(conflict));
    }
    if shape.is_laid_out_as(&writer) {
        return Ok(DatumReading::Same);
    }
    SchemaCompatibility::can_read(&writer, shape.schema())
        .map_err(|error| refused(format!("ours cannot read it: {error}")))?;
    Ok(DatumReading::Resolved(Arc::new(writer)))
}
