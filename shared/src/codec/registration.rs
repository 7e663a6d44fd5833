//! Registration of our schemas: at the start, and again while the service runs.
//!
//! **Architecture invariant:** read first, write only what differs. If every schema is registered
//! and every subject asks for full compatibility, nothing is written: a read-only registry, or one
//! that this service may only read, is enough.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    AvroCodec, CodecError, CodecSettings, CodecState, RecordKind, unknown_ids::UnknownIds,
    writer_schemas::WriterSchemas,
};
use crate::{
    fault,
    health::HealthComponent,
    lifecycle::{InfallibleResult, RepeatedSteps},
    log_throttle::LogThrottle,
    schema_registry::{self, SchemaRegistry},
};

/// The compatibility of every subject: each version reads, and is read by, all earlier ones.
const COMPATIBILITY: &str = "FULL_TRANSITIVE";
/// While the service runs, it asks the registry this often whether the ids in use are still known:
/// one request per kind of record.
const RENEW_EVERY: Duration = Duration::from_mins(1);

/// Registers and checks all schemas once.
pub(super) async fn register_schemas(
    registry: &SchemaRegistry,
    (settings, health): (&CodecSettings, &HealthComponent),
    writes: &[RecordKind],
    reads: &[RecordKind],
) -> Result<CodecState, CodecError> {
    let schemas = WriterSchemas::new(registry.clone());
    let mut ids = HashMap::new();
    for kind in writes {
        let id = agree(registry, &settings.prefix, *kind).await?;
        ids.insert(kind.id, id);
        schemas.remember(id, *kind, &own(*kind));
    }
    for kind in reads {
        metrics::counter!("schema_ids_unknown_total", "topic" => kind.topic).increment(0);
        let subject = kind.subject(&settings.prefix);
        let failed = |error| CodecError::Registry(subject.clone(), error);
        // A schema that is learnt now need not be asked for when the registry is unavailable.
        if let Some(latest) = registry.latest(&subject).await.map_err(failed)? {
            schemas.remember(latest.id, *kind, &latest.schema);
        }
    }
    Ok(CodecState {
        registry: registry.clone(),
        source: settings.source.clone().into(),
        prefix: settings.prefix.clone(),
        writes: writes.to_vec(),
        reads: reads.iter().map(|kind| (kind.topic, *kind)).collect(),
        ids: RwLock::new(ids),
        writers: schemas,
        sightings: UnknownIds::new(health.clone()),
    })
}

/// The id of a kind's schema, which is registered if it is missing.
async fn agree(
    registry: &SchemaRegistry,
    prefix: &str,
    kind: RecordKind,
) -> Result<u32, CodecError> {
    let subject = kind.subject(prefix);
    let failed = |error| CodecError::Registry(subject.clone(), error);
    let found = registry.compatibility(&subject).await.map_err(failed)?;
    if found != COMPATIBILITY {
        registry.require(&subject, COMPATIBILITY).await.map_err(|source| {
            if matches!(source, schema_registry::RegistryError::Refused { .. }) {
                let (subject, wanted) = (subject.clone(), COMPATIBILITY);
                return CodecError::MayNotConfigure { subject, found, wanted, source };
            }
            failed(source)
        })?;
    }
    let text = (kind.shape)().text();
    if let Some(id) = registry.lookup(&subject, text).await.map_err(failed)? {
        return Ok(id);
    }
    registry.register(&subject, text).await.map_err(|error| {
        if matches!(error, schema_registry::RegistryError::Refused { .. }) {
            return CodecError::MayNotRegister(subject.clone(), error);
        }
        failed(error)
    })
}

fn own(kind: RecordKind) -> schema_registry::RegisteredSchema {
    schema_registry::RegisteredSchema { text: (kind.shape)().text().to_owned(), kind: None }
}

impl AvroCodec {
    /// Checks whether the registry still knows our schemas under the ids in use, and registers the
    /// missing ones anew. Answers how many ids have changed.
    pub async fn renew(&self) -> Result<usize, CodecError> {
        let inner = &self.0;
        let mut changed = 0;
        for kind in &inner.writes {
            let id = agree(&inner.registry, &inner.prefix, *kind).await?;
            let mut ids = inner.ids.write().unwrap_or_else(PoisonError::into_inner);
            let before = ids.insert(kind.id, id);
            drop(ids);
            if before == Some(id) {
                continue;
            }
            changed += 1;
            inner.writers.remember(id, *kind, &own(*kind));
            tracing::warn!(
                topic = kind.topic,
                id,
                before,
                "the schema registry has another id for a schema of this service: it was restored or emptied"
            );
        }
        if changed > 0 {
            inner.writers.forget_refusals();
        }
        Ok(changed)
    }

    /// [Renews](Self::renew) every minute until told to stop. It ignores an unavailable registry:
    /// the part that needs the registry reports that.
    pub(crate) async fn keep_registered(self, stop: CancellationToken) -> InfallibleResult {
        let mut pace = LogThrottle::default();
        let mut steps = RepeatedSteps::until(stop);
        steps.pause(RENEW_EVERY);
        while let Some(renewed) = steps.next(self.renew()).await {
            self.0.sightings.forget_old();
            steps.pause(RENEW_EVERY);
            let Err(error) = renewed else { continue };
            if let Some(unsaid) = pace.note(std::time::Instant::now()) {
                tracing::warn!(
                    error = fault::chain(&error),
                    more_since_last_time = unsaid,
                    "it is not known whether the schema registry still has the schemas of this service"
                );
            }
        }
        Ok(())
    }
}
