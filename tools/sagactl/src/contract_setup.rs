//! `sagactl contract`: creates topics and registers schemas before the services start.
//!
//! Each service does the same at its own start. If the command runs first, a schema that is not
//! compatible with an earlier version is found before any service is replaced, and all topics exist
//! from the beginning.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;
use contract::{
    NotificationFailed, NotificationSent, OrderCancelled, OrderConfirmed, OrderPlaced, PaymentDone,
    PaymentFailed, PaymentRefunded, ProductChanged, StockRejected, StockReleased, StockReserved,
    TOPICS,
};
use shared::{
    codec::{AvroCodec, CodecSettings, RecordKind},
    config::{BrokerSettings, CheckSettings as _},
    health::ProcessHealth,
    topics,
};
use tokio_util::sync::CancellationToken;

use crate::screen::say;

/// Where the broker and the registry are; in the services' own words.
#[derive(Debug, Args)]
pub struct ContractOptions {
    /// Address and security settings of the broker.
    #[command(flatten)]
    broker: BrokerSettings,
    /// URL of the schema registry, with its path.
    #[arg(
        long,
        env = "SCHEMA_REGISTRY_URL",
        default_value = "http://127.0.0.1:8081/apis/ccompat/v7"
    )]
    schema_registry_url: String,
    /// Fails when broker and registry have not completed it after this many seconds.
    #[arg(long, default_value_t = 120)]
    limit_seconds: u64,
}

/// Creates what is missing, checks what is there, ends.
pub async fn run(options: ContractOptions) -> anyhow::Result<ExitCode> {
    options.broker.check()?;
    let limit = Duration::from_secs(options.limit_seconds);
    let (health, stop) = (ProcessHealth::default(), CancellationToken::new());
    let making = async {
        let broker = options.broker.settings("sagactl")?;
        let component = health.component("topics");
        let replicas = options.broker.replicas();
        topics::ensure(&broker, &TOPICS, replicas, &component, &stop).await?;
        let words = CodecSettings {
            // Nothing is said here.
            source: String::new(),
            registry_url: options.schema_registry_url,
            prefix: broker.prefix,
        };
        let component = health.component("schemas");
        AvroCodec::connect(&words, &kinds(), &[], &component, &stop).await?;
        anyhow::Ok(())
    };
    let made = tokio::time::timeout(limit, making).await;
    made.with_context(|| format!("not done after {limit:?}: {:?}", health.report()))??;
    say(format_args!("{} topics and {} schemas are as declared", TOPICS.len(), kinds().len()));
    Ok(ExitCode::SUCCESS)
}

/// Every kind of record.
fn kinds() -> [RecordKind; 12] {
    [
        RecordKind::of::<OrderPlaced>(),
        RecordKind::of::<OrderConfirmed>(),
        RecordKind::of::<OrderCancelled>(),
        RecordKind::of::<StockReserved>(),
        RecordKind::of::<StockRejected>(),
        RecordKind::of::<StockReleased>(),
        RecordKind::of::<ProductChanged>(),
        RecordKind::of::<PaymentDone>(),
        RecordKind::of::<PaymentFailed>(),
        RecordKind::of::<PaymentRefunded>(),
        RecordKind::of::<NotificationSent>(),
        RecordKind::of::<NotificationFailed>(),
    ]
}

#[cfg(test)]
mod tests {
    use contract::TOPICS;

    use super::*;

    #[test]
    fn every_topic_of_events_has_its_kind() {
        let dead_letters = TOPICS.iter().filter_map(|spec| spec.name.strip_suffix(".dlq")).count();
        assert_eq!(kinds().len(), TOPICS.len() - dead_letters);
    }
}
