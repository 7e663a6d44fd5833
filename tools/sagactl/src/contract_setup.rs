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
    health::ProcessHealth,
    kafka::KafkaSettings,
    topics,
};
use tokio_util::sync::CancellationToken;

use crate::{
    broker_choice::BrokerChoice,
    screen::say,
    service_client::ServiceClient,
    system_addresses::SystemAddresses,
    which_system::{self, ServiceAddress},
};

/// Where the broker and the registry are: the same settings as those of the services.
#[derive(Debug, Args)]
pub struct ContractOptions {
    /// Address and security settings of the broker.
    #[command(flatten)]
    broker: BrokerChoice,
    /// URL of the schema registry, with its path (default: where neither this nor the broker is given,
    /// the running demo's; else that at 127.0.0.1:8081/apis/ccompat/v7).
    #[arg(long, env = "SCHEMA_REGISTRY_URL")]
    schema_registry_url: Option<String>,
    /// Fails when broker and registry have not completed it after this many seconds.
    #[arg(long, default_value_t = 120)]
    limit_seconds: u64,
}

impl ContractOptions {
    /// The broker and the registry, never of two systems.
    async fn addresses(&self) -> anyhow::Result<(KafkaSettings, String)> {
        if self.broker.is_given() || self.schema_registry_url.is_some() {
            let usual = || SystemAddresses::compose().schema_registry;
            let registry = self.schema_registry_url.clone().unwrap_or_else(usual);
            return Ok((self.broker.settings()?, registry));
        }
        let found = which_system::found();
        let (url, source) = (&found.addresses.schema_registry, found.source("SCHEMA_REGISTRY_URL"));
        // A system that was found runs already; one that is named may be on its way.
        let registry = ServiceAddress::of("the schema registry", url, source);
        ServiceClient::new(registry)?.reach("subjects").await?;
        Ok((self.broker.settings_of(found)?, found.addresses.schema_registry.clone()))
    }
}

/// Creates what is missing, checks what is there, ends.
pub async fn run(options: ContractOptions) -> anyhow::Result<ExitCode> {
    let (broker, registry_url) = options.addresses().await?;
    let limit = Duration::from_secs(options.limit_seconds);
    let (health, stop) = (ProcessHealth::default(), CancellationToken::new());
    let making = async {
        let component = health.component("topics");
        let replicas = options.broker.replicas();
        topics::ensure(&broker, &TOPICS, replicas, &component, &stop).await?;
        let settings = CodecSettings {
            // No message is sent here.
            source: String::new(),
            registry_url,
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
