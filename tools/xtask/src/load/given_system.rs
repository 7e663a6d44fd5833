//! Where the services and the broker are on which a load is placed: those of a cluster, or of a system that
//! others run.

use anyhow::Context as _;
use sagactl::{service_name::ServiceName, system_addresses::SystemAddresses, which_system};
use shared::kafka::{ConnectionSecurity, KafkaSettings};

use super::LoadOptions;
use crate::cluster::{ProcessName, ServiceCluster};

/// The value of `--at` for a system that is found without being named.
pub const FOUND: &str = "found";

/// Where a load is placed.
#[derive(Clone, Debug)]
pub struct LoadTarget {
    pub orders: String,
    pub inventory: String,
    pub broker: KafkaSettings,
}

impl LoadTarget {
    /// The addresses of a cluster of our own.
    pub fn of(cluster: &ServiceCluster) -> Self {
        Self {
            orders: cluster.url(ProcessName::Orders),
            inventory: cluster.url(ProcessName::Inventory),
            broker: cluster.broker(),
        }
    }

    /// The addresses that the options give; those that they leave out are of the system that is found, if
    /// that is the one which is meant.
    pub fn given(at: &str, options: &LoadOptions) -> anyhow::Result<Self> {
        let given = (&options.inventory, &options.brokers);
        if let ((Some(inventory), Some(brokers)), true) = (given, at != FOUND) {
            let prefix = options.prefix.clone().unwrap_or_default();
            let broker = broker_at(brokers.clone(), prefix);
            return Ok(Self { orders: at.to_owned(), inventory: inventory.clone(), broker });
        }
        Self::among(at, options, &which_system::found().addresses)
    }

    fn among(at: &str, options: &LoadOptions, found: &SystemAddresses) -> anyhow::Result<Self> {
        let url = |service| {
            let parts =
                found.services.get(&service).context("the system that runs is another one")?;
            anyhow::Ok(parts.url.trim_end_matches('/').to_owned())
        };
        let orders = url(ServiceName::Orders)?;
        anyhow::ensure!(
            at == FOUND || at.trim_end_matches('/') == orders,
            "{at} is not the order service of the system that is found ({orders}): \
             name its other addresses with --inventory, --brokers and --prefix"
        );
        let or =
            |given: &Option<String>, found: &str| given.clone().unwrap_or_else(|| found.to_owned());
        Ok(Self {
            inventory: or(&options.inventory, &url(ServiceName::Inventory)?),
            orders,
            broker: broker_at(
                or(&options.brokers, &found.kafka_brokers),
                or(&options.prefix, &found.kafka_topic_prefix),
            ),
        })
    }
}

fn broker_at(brokers: String, prefix: String) -> KafkaSettings {
    KafkaSettings {
        brokers,
        prefix,
        client_id: "xtask".to_owned(),
        security: ConnectionSecurity::default().into(),
        member: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_that_of_the_system_that_is_found_and_never_of_two() {
        let found = SystemAddresses::compose();
        let options = LoadOptions { prefix: Some("p-".to_owned()), ..LoadOptions::default() };
        for at in [FOUND, "http://127.0.0.1:8001/"] {
            let target = LoadTarget::among(at, &options, &found).unwrap();
            assert_eq!(target.orders, "http://127.0.0.1:8001");
            assert_eq!(target.inventory, "http://127.0.0.1:8002");
            assert_eq!(target.broker.topic("t"), "p-t");
            assert_eq!(target.broker.brokers, "127.0.0.1:9092");
        }
        let refused = LoadTarget::among("http://elsewhere", &options, &found).unwrap_err();
        assert!(refused.to_string().contains("--inventory, --brokers and --prefix"), "{refused}");
    }
}
