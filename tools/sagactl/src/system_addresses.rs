//! The addresses of one whole system: all that any command asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::service_name::ServiceName;

/// Where everything of one system answers. It holds passwords of databases, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemAddresses {
    pub services: BTreeMap<ServiceName, ServiceAddresses>,
    /// The base URL of the payment gateway.
    pub gateway: String,
    /// The base URL of the mail sink's API.
    pub mail_api: String,
    /// Kafka's `host:port`, several with commas.
    pub kafka_brokers: String,
    /// Stands before the name of each topic and group.
    pub kafka_topic_prefix: String,
    /// The registry's base URL, with its path.
    pub schema_registry: String,
}

/// Where one service answers, and its database.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAddresses {
    /// The base URL of its public API.
    pub url: String,
    /// The base URL of its admin port.
    pub admin_url: String,
    /// With user and password; none where the password is not known outside of the containers.
    pub database_url: Option<String>,
}

impl SystemAddresses {
    /// The ports of docker-compose.yml, where nobody has moved them.
    pub fn compose() -> Self {
        let at = |port: u16| format!("http://127.0.0.1:{port}");
        let services = ServiceName::ALL.into_iter().zip(1..).map(|(service, n)| {
            let (url, admin_url) = (at(8000 + n), at(9000 + n));
            (service, ServiceAddresses { url, admin_url, database_url: None })
        });
        Self {
            services: services.collect(),
            gateway: at(8005),
            mail_api: at(8025),
            kafka_brokers: "127.0.0.1:9092".to_owned(),
            kafka_topic_prefix: String::new(),
            schema_registry: format!("{}/apis/ccompat/v7", at(8081)),
        }
    }
}
