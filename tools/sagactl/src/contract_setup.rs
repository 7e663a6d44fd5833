//! `sagactl contract`: creates topics and registers schemas before the services start.
//!
//! Each service does the same at its own start. If the command runs first, a schema that is not
//! compatible with an earlier version is found before any service is replaced, and all topics exist
//! from the beginning.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;
use contract::{TOPICS, record_kinds};
use shared::{
    codec::{AvroCodec, CodecSettings},
    config::{BrokerSettings, CheckSettings as _},
    health::ProcessHealth,
    topics,
};
use tokio_util::sync::CancellationToken;

use crate::screen::say;

/// Where the broker and the registry are: the same settings as those of the services.
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
        let settings = CodecSettings {
            // No message is sent here.
            source: String::new(),
            registry_url: options.schema_registry_url,
            prefix: broker.prefix,
        };
        let component = health.component("schemas");
        AvroCodec::connect(&settings, &record_kinds(), &[], &component, &stop).await?;
        anyhow::Ok(())
    };
    let made = tokio::time::timeout(limit, making).await;
    made.with_context(|| format!("not done after {limit:?}: {:?}", health.report()))??;
    say(format_args!(
        "{} topics and {} schemas are as declared",
        TOPICS.len(),
        record_kinds().len()
    ));
    Ok(ExitCode::SUCCESS)
}
