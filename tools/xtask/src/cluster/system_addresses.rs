//! The addresses of a cluster, as the operators' command line asks for them.

use sagactl::{
    service_name::ServiceName,
    system_addresses::{ServiceAddresses, SystemAddresses},
};

use super::{ProcessName, ServiceCluster};

impl ServiceCluster {
    /// Everything that a command of `sagactl` may ask for.
    pub fn addresses(&self) -> SystemAddresses {
        let services = ServiceName::ALL.into_iter().map(|service| {
            let member = ProcessName::of(service);
            let parts = ServiceAddresses {
                url: self.url(member),
                admin_url: self.admin(member),
                database_url: self.database(member).map(str::to_owned),
            };
            (service, parts)
        });
        let broker = self.broker();
        SystemAddresses {
            services: services.collect(),
            gateway: self.url(ProcessName::Gateway),
            mail_api: self.urls.mail_api.clone(),
            kafka_brokers: broker.brokers,
            kafka_topic_prefix: broker.prefix,
            schema_registry: self.urls.registry.clone(),
        }
    }
}
