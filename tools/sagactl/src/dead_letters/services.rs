//! Selects the admin ports that a command calls.

use anyhow::Context as _;

use super::api::AdminClient;
use crate::{audit::ServiceName, demo_presence, http_client::http_client};

/// The admin ports of docker-compose.yml, for when no demo runs.
fn usual(service: ServiceName) -> &'static str {
    match service {
        ServiceName::Orders => "http://127.0.0.1:9001",
        ServiceName::Inventory => "http://127.0.0.1:9002",
        ServiceName::Payments => "http://127.0.0.1:9003",
        ServiceName::Notify => "http://127.0.0.1:9004",
    }
}

/// The services of these names or URLs; all of them, if none is named.
pub(super) fn find(asked: &[String]) -> anyhow::Result<Vec<AdminClient>> {
    let http = http_client()?;
    let demo = demo_presence::find();
    let of = |service: ServiceName| AdminClient {
        name: service.name().to_owned(),
        base: demo.get(service.name()).cloned().unwrap_or_else(|| usual(service).to_owned()),
        http: http.clone(),
    };
    if asked.is_empty() {
        return Ok(ServiceName::ALL.into_iter().map(of).collect());
    }
    asked
        .iter()
        .map(|asked| {
            if asked.contains("://") {
                let base = asked.trim_end_matches('/').to_owned();
                return Ok(AdminClient { name: base.clone(), base, http: http.clone() });
            }
            let service = named(asked).with_context(|| {
                let known = ServiceName::ALL.map(ServiceName::name).join(", ");
                format!("'{asked}' is none of {known}, nor a URL")
            })?;
            Ok(of(service))
        })
        .collect()
}

/// `payment-service`, `payment` and `payments` are the same.
fn named(name: &str) -> Option<ServiceName> {
    let short = |text: &str| text.trim_end_matches("-service").trim_end_matches('s').to_owned();
    ServiceName::ALL.into_iter().find(|service| short(service.name()) == short(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_goes_by_its_name_in_short_and_by_its_url() {
        for (name, expected) in [
            ("order-service", "order-service"),
            ("orders", "order-service"),
            ("payment", "payment-service"),
            ("http://example.org:9/", "http://example.org:9"),
        ] {
            assert_eq!(find(&[name.to_owned()]).unwrap()[0].name, expected);
        }
        assert_eq!(find(&[]).unwrap().len(), 4);
        let unknown = find(&["billing".to_owned()]).unwrap_err().to_string();
        assert!(unknown.starts_with("'billing' is none of order-service"), "{unknown}");
    }
}
