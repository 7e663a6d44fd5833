//! The addresses that documents name, where the demo that runs has others: a port was taken.

use sagactl::{demo_presence, service_name::ServiceName, system_addresses::SystemAddresses};

/// Each documented address that differs, and the real one.
#[derive(Debug, Default)]
pub(crate) struct MovedAddresses(Vec<(String, String)>);

impl MovedAddresses {
    /// Those of the demo that was started last; none, if no demo runs.
    pub(crate) fn of_newest_demo() -> Self {
        let newest = demo_presence::running().into_iter().next();
        newest.map_or_else(Self::default, |demo| {
            Self::between(&SystemAddresses::compose(), &demo.addresses)
        })
    }

    fn between(documented: &SystemAddresses, real: &SystemAddresses) -> Self {
        let pairs = hosts(documented).into_iter().zip(hosts(real));
        Self(pairs.filter(|(documented, real)| documented != real).collect())
    }

    /// A text with the real addresses in place of those that it names.
    pub(crate) fn put_into(&self, text: &str) -> String {
        let (mut put, mut rest) = (String::with_capacity(text.len()), text);
        // What was put in is not looked at again: it may be what another one is documented as.
        while let Some((at, (documented, real))) = self.first_in(rest) {
            put.push_str(&rest[..at]);
            put.push_str(real);
            rest = &rest[at + documented.len()..];
        }
        put.push_str(rest);
        put
    }

    /// The documented address that a text names first, and where it does.
    fn first_in(&self, text: &str) -> Option<(usize, &(String, String))> {
        let named = self.0.iter().filter_map(|moved| {
            let length = moved.0.len();
            let mut places = text.match_indices(moved.0.as_str()).map(|(at, _)| at);
            // With one more digit it is another port.
            let at = places
                .find(|at| !text[at + length..].starts_with(|next: char| next.is_ascii_digit()))?;
            Some((at, moved))
        });
        named.min_by_key(|(at, _)| *at)
    }
}

/// Host and port of everything that documents name.
fn hosts(addresses: &SystemAddresses) -> Vec<String> {
    let services = ServiceName::ALL.into_iter().flat_map(|service| {
        let parts = addresses.services.get(&service);
        parts.into_iter().flat_map(|parts| [parts.url.as_str(), parts.admin_url.as_str()])
    });
    let others = [addresses.gateway.as_str(), addresses.mail_api.as_str()];
    let host = |url: &str| url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    services.chain(others).map(host).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_the_real_address_where_a_port_was_taken() {
        let documented = SystemAddresses::compose();
        let mut real = SystemAddresses::compose();
        real.mail_api = "http://127.0.0.1:23561".to_owned();
        let text = "curl http://127.0.0.1:8025/api http://127.0.0.1:8001/orders";
        let moved = MovedAddresses::between(&documented, &real);
        assert_eq!(
            moved.put_into(text),
            "curl http://127.0.0.1:23561/api http://127.0.0.1:8001/orders"
        );
        assert_eq!(MovedAddresses::between(&documented, &documented).put_into(text), text);
    }

    #[test]
    fn two_that_have_changed_places_are_each_put_in_once() {
        let documented = SystemAddresses::compose();
        let mut real = SystemAddresses::compose();
        real.mail_api = "http://127.0.0.1:8005".to_owned();
        real.gateway = "http://127.0.0.1:8025".to_owned();
        assert_eq!(
            MovedAddresses::between(&documented, &real)
                .put_into("http://127.0.0.1:8025/api http://127.0.0.1:8005/summary"),
            "http://127.0.0.1:8005/api http://127.0.0.1:8025/summary"
        );
    }

    #[test]
    fn a_port_that_only_begins_like_a_documented_one_is_another() {
        let mut documented = SystemAddresses::compose();
        documented.mail_api = "http://127.0.0.1:800".to_owned();
        let mut real = SystemAddresses::compose();
        real.mail_api = "http://127.0.0.1:9".to_owned();
        assert_eq!(
            MovedAddresses::between(&documented, &real)
                .put_into("127.0.0.1:8001 127.0.0.1:800/api 127.0.0.1:800"),
            "127.0.0.1:8001 127.0.0.1:9/api 127.0.0.1:9"
        );
    }
}
