//! Which admin ports are meant.

use anyhow::Context as _;

use super::api::Service;
use crate::{client, fleet::Member, presence};

/// The admin ports of docker-compose.yml, for when no demo runs.
fn usual(member: Member) -> &'static str {
    match member {
        Member::Orders => "http://127.0.0.1:9001",
        Member::Inventory => "http://127.0.0.1:9002",
        Member::Payments => "http://127.0.0.1:9003",
        Member::Notify => "http://127.0.0.1:9004",
        Member::Gateway => "http://127.0.0.1:8005",
    }
}

/// The services of these names or URLs; all of them, if none is named.
pub(super) fn find(asked: &[String]) -> anyhow::Result<Vec<Service>> {
    let http = client::http()?;
    let demo = presence::find();
    let of = |member: Member| Service {
        name: member.program().to_owned(),
        base: demo.get(member.program()).cloned().unwrap_or_else(|| usual(member).to_owned()),
        http: http.clone(),
    };
    if asked.is_empty() {
        return Ok(Member::SERVICES.into_iter().map(of).collect());
    }
    asked
        .iter()
        .map(|it| {
            if it.contains("://") {
                let base = it.trim_end_matches('/').to_owned();
                return Ok(Service { name: base.clone(), base, http: http.clone() });
            }
            let member = named(it).with_context(|| {
                let known = Member::SERVICES.map(Member::program).join(", ");
                format!("'{it}' is none of {known}, nor a URL")
            })?;
            Ok(of(member))
        })
        .collect()
}

/// `payment-service`, `payment` and `payments` are the same.
fn named(name: &str) -> Option<Member> {
    let short = |it: &str| it.trim_end_matches("-service").trim_end_matches('s').to_owned();
    Member::SERVICES.into_iter().find(|it| short(it.program()) == short(name))
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
