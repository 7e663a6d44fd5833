//! The options that name the services' admin ports.

use std::collections::BTreeMap;

use clap::Args;
use reqwest::Url;

use crate::{service_name::ServiceName, which_system::ServiceAddress};

/// Base URLs of the services' admin ports.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct AdminUrls {
    /// The admin port of order-service.
    #[arg(long = "orders-admin-url", env = "ORDERS_ADMIN_URL")]
    orders: Option<Url>,
    /// The admin port of inventory-service.
    #[arg(long = "inventory-admin-url", env = "INVENTORY_ADMIN_URL")]
    inventory: Option<Url>,
    /// The admin port of payment-service.
    #[arg(long = "payments-admin-url", env = "PAYMENTS_ADMIN_URL")]
    payments: Option<Url>,
    /// The admin port of notify-service.
    #[arg(long = "notify-admin-url", env = "NOTIFY_ADMIN_URL")]
    notify: Option<Url>,
}

impl AdminUrls {
    /// Those that are given.
    pub(crate) fn given(&self) -> BTreeMap<ServiceName, Url> {
        let urls = ServiceName::ALL.into_iter().filter_map(|service| {
            let (_variable, url) = self.of(service);
            Some((service, url.clone()?))
        });
        urls.collect()
    }

    /// The admin port of a service: given, or found.
    pub(crate) fn address(&self, service: ServiceName) -> ServiceAddress {
        let (variable, url) = self.of(service);
        ServiceAddress::admin(service, variable, url.as_ref().map(Url::as_str))
    }

    fn of(&self, service: ServiceName) -> (&'static str, &Option<Url>) {
        match service {
            ServiceName::Orders => ("ORDERS_ADMIN_URL", &self.orders),
            ServiceName::Inventory => ("INVENTORY_ADMIN_URL", &self.inventory),
            ServiceName::Payments => ("PAYMENTS_ADMIN_URL", &self.payments),
            ServiceName::Notify => ("NOTIFY_ADMIN_URL", &self.notify),
        }
    }
}
