//! Selects the admin ports that a command calls.

use anyhow::Context as _;

use super::api::AdminClient;
use crate::{client, cluster::ProcessName, demo_presence};

/// The admin ports of docker-compose.yml, for when no demo runs.
fn usual(member: ProcessName) -> &'static str {
    match member {
        ProcessName::Orders => "http://127.0.0.1:9001",
        ProcessName::Inventory => "http://127.0.0.1:9002",
        ProcessName::Payments => "http://127.0.0.1:9003",
        ProcessName::Notify => "http://127.0.0.1:9004",
        ProcessName::Gateway => "http://127.0.0.1:8005",
    }
}

/// The services of these names or URLs; all of them, if none is named.
pub(super) fn find(asked: &[String]) -> anyhow::Result<Vec<AdminClient>> {
    let http = client::http()?;
    let demo = demo_presence::find();
    let of = |member: ProcessName| AdminClient {
        name: member.program().to_owned(),
        base: demo.get(member.program()).cloned().unwrap_or_else(|| usual(member).to_owned()),
        http: http.clone(),
    };
    if asked.is_empty() {
        return Ok(ProcessName::SERVICES.into_iter().map(of).collect());
    }
    asked
        .iter()
        .map(|it| {
            if it.contains("://") {
                let base = it.trim_end_matches('/').to_owned();
                return Ok(AdminClient { name: base.clone(), base, http: http.clone() });
            }
            let member = named(it).with_context(|| {
                let known = ProcessName::SERVICES.map(ProcessName::program).join(", ");
                format!("'{it}' is none of {known}, nor a URL")
            })?;
            Ok(of(member))
        })
        .collect()
}

/// `payment-service`, `payment` and `payments` are the same.
fn named(name: &str) -> Option<ProcessName> {
    let short = |text: &str| text.trim_end_matches("-service").trim_end_matches('s').to_owned();
    ProcessName::SERVICES.into_iter().find(|process| short(process.program()) == short(name))
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
