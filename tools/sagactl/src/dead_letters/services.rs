//! Selects the admin ports that a command calls.

use anyhow::Context as _;

use super::api::AdminClient;
use crate::{
    admin_urls::AdminUrls, http_client::http_client, service_client::ServiceClient,
    service_name::ServiceName,
};

/// The services of these names or URLs; all of them, if none is named.
pub(super) fn find(asked: &[String], urls: &AdminUrls) -> anyhow::Result<Vec<AdminClient>> {
    let http = http_client()?;
    let of = |service: ServiceName| {
        AdminClient::new(ServiceClient::with(http.clone(), urls.address(service)))
    };
    if asked.is_empty() {
        return Ok(ServiceName::ALL.into_iter().map(of).collect());
    }
    asked
        .iter()
        .map(|asked| {
            if asked.contains("://") {
                return Ok(AdminClient::at(http.clone(), asked));
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
        let find = |asked: &[String]| find(asked, &AdminUrls::default());
        for (name, expected) in [
            ("order-service", "order-service"),
            ("orders", "order-service"),
            ("payment", "payment-service"),
            ("http://example.org:9/", "http://example.org:9"),
        ] {
            assert_eq!(find(&[name.to_owned()]).unwrap()[0].name(), expected);
        }
        assert_eq!(find(&[]).unwrap().len(), 4);
        let unknown = find(&["billing".to_owned()]).unwrap_err().to_string();
        assert!(unknown.starts_with("'billing' is none of order-service"), "{unknown}");
    }
}
