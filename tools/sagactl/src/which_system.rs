//! Which system a command asks, where no address says so.
//!
//! Each address is, in this order: the option or variable of its own; that of the demo that runs on
//! this machine, the newest if several do; the fixed port of docker-compose.yml. What was found
//! without being named is said on standard error, once.
//!
//! Whether anything answers shows when it is asked: [`ServiceAddress::next_step`] says what to do
//! then.

use std::{fmt, sync::OnceLock};

use time::macros::format_description;

use crate::{
    demo_presence::{self, RunningDemo},
    screen,
    service_name::ServiceName,
    system_addresses::{ServiceAddresses, SystemAddresses},
};

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSource {
    /// An option, or this variable.
    Named(&'static str),
    /// The caller of this library, which has a way of its own to be told.
    Given,
    /// The demo that is this process.
    Demo(u32),
    /// The fixed ports of docker-compose.yml; this variable says otherwise.
    Compose(&'static str),
}

/// A system that was found without being named.
pub struct FoundSystem {
    pub addresses: SystemAddresses,
    /// The process of the demo; none for the compose stack.
    pub demo: Option<u32>,
}

/// The address of a service, and where it comes from.
#[derive(Clone, Debug)]
pub struct ServiceAddress {
    /// The name of the service, or its address if that alone is known.
    pub name: String,
    /// The base URL, without a slash at its end.
    pub url: String,
    pub source: AddressSource,
}

/// The system that is meant where no address is given; the same for the whole process.
pub fn found() -> &'static FoundSystem {
    static FOUND: OnceLock<FoundSystem> = OnceLock::new();
    FOUND.get_or_init(|| {
        let demos = demo_presence::running();
        let several = demos.len() > 1;
        if several || screen::is_watched() {
            screen::complain(said(&demos));
        }
        FoundSystem::among(demos)
    })
}

/// Which system is meant, in one line.
fn said(demos: &[RunningDemo]) -> String {
    let Some((newest, others)) = demos.split_first() else {
        return "No demo runs: using the ports of docker-compose.yml.".to_owned();
    };
    let since = format_description!("[hour]:[minute]:[second]");
    let since = newest.started_at.format(since).unwrap_or_default();
    let demo = format!("the demo of process {}, started at {since} UTC", newest.pid);
    if others.is_empty() {
        return format!("Using {demo}.");
    }
    let others: Vec<String> = others.iter().map(|demo| demo.pid.to_string()).collect();
    format!("Using {demo}; other demos run, too: {}.", others.join(", "))
}

impl FoundSystem {
    fn among(demos: Vec<RunningDemo>) -> Self {
        match demos.into_iter().next() {
            Some(demo) => Self { addresses: demo.addresses, demo: Some(demo.pid) },
            None => Self { addresses: SystemAddresses::compose(), demo: None },
        }
    }

    /// Where an address of this system comes from, which this variable could have named.
    pub fn source(&self, variable: &'static str) -> AddressSource {
        self.demo.map_or(AddressSource::Compose(variable), AddressSource::Demo)
    }

    /// An address of this system that this variable could have named.
    fn address(
        &self,
        service: ServiceName,
        variable: &'static str,
        part: impl Fn(&ServiceAddresses) -> &str,
    ) -> ServiceAddress {
        let source = self.source(variable);
        // A file of a demo without this service leaves an address at which nobody answers.
        let url = self.addresses.services.get(&service).map(part).unwrap_or_default();
        ServiceAddress::of(service.name(), url, source)
    }
}

impl ServiceAddress {
    /// What answers at this URL, by this name.
    pub fn of(name: impl Into<String>, url: impl AsRef<str>, source: AddressSource) -> Self {
        let url = url.as_ref().trim_end_matches('/').to_owned();
        Self { name: name.into(), url, source }
    }

    /// The public API of a service: the URL that `variable` names, or else that of the system that
    /// is found.
    pub fn public(service: ServiceName, variable: &'static str, given: Option<&str>) -> Self {
        Self::given(service, variable, given)
            .unwrap_or_else(|| found().address(service, variable, |parts| &parts.url))
    }

    /// The admin port of a service, in the same way.
    pub fn admin(service: ServiceName, variable: &'static str, given: Option<&str>) -> Self {
        Self::given(service, variable, given)
            .unwrap_or_else(|| found().address(service, variable, |parts| &parts.admin_url))
    }

    fn given(service: ServiceName, variable: &'static str, given: Option<&str>) -> Option<Self> {
        Some(Self::of(service.name(), given?, AddressSource::Named(variable)))
    }

    /// What to do if nobody answers there.
    pub fn next_step(&self) -> String {
        let Self { name, url, source } = self;
        match source {
            AddressSource::Named(variable) => {
                format!("{name} does not answer at {url}: does it run, and is {variable} right?")
            }
            AddressSource::Given => {
                format!("{name} does not answer at {url}: does it run, and is the address right?")
            }
            AddressSource::Demo(pid) => format!(
                "{name} of the demo of process {pid} does not answer at {url}: see what the demo says of it"
            ),
            AddressSource::Compose(variable) => nothing_runs(url, variable),
        }
    }
}

/// Nothing was found, and nothing answers.
pub fn nothing_runs(at: impl fmt::Display, variable: &str) -> String {
    format!(
        "no demo or compose stack answers at {at}: start one with `cargo demo` or \
         `docker compose up --wait`, or set {variable}"
    )
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn demo(pid: u32) -> RunningDemo {
        let mut addresses = SystemAddresses::compose();
        for parts in addresses.services.values_mut() {
            parts.url = format!("http://demo-{pid}:1");
        }
        RunningDemo { pid, started_at: datetime!(2026-01-02 03:04:05 UTC), addresses }
    }

    #[test]
    fn the_newest_demo_is_asked_and_else_the_ports_of_the_compose_file() {
        let url = |demos: Vec<RunningDemo>| {
            FoundSystem::among(demos).address(ServiceName::Payments, "X", |parts| &parts.url).url
        };
        assert_eq!(url(vec![demo(7), demo(6)]), "http://demo-7:1");
        assert_eq!(url(vec![]), "http://127.0.0.1:8003");
    }

    #[test]
    fn an_address_that_is_given_comes_before_everything_that_could_be_found() {
        let given = ServiceAddress::public(ServiceName::Orders, "ORDERS_URL", Some("http://x/"));
        assert_eq!(
            (given.url.as_str(), given.source),
            ("http://x", AddressSource::Named("ORDERS_URL"))
        );
    }

    #[test]
    fn which_system_is_asked_is_said_in_one_line() {
        assert_eq!(said(&[]), "No demo runs: using the ports of docker-compose.yml.");
        assert_eq!(said(&[demo(7)]), "Using the demo of process 7, started at 03:04:05 UTC.");
        assert_eq!(
            said(&[demo(7), demo(6), demo(5)]),
            "Using the demo of process 7, started at 03:04:05 UTC; other demos run, too: 6, 5."
        );
    }

    #[test]
    fn what_to_do_where_nobody_answers_depends_on_where_the_address_comes_from() {
        let step = |source| ServiceAddress::of("order-service", "http://x", source).next_step();
        for (source, expected) in [
            (AddressSource::Compose("ORDERS_URL"), "or set ORDERS_URL"),
            (AddressSource::Demo(7), "of the demo of process 7"),
            (AddressSource::Named("ORDERS_URL"), "is ORDERS_URL right?"),
        ] {
            assert!(step(source).contains(expected), "{}", step(source));
        }
        assert!(
            step(AddressSource::Compose("X"))
                .contains("`cargo demo` or `docker compose up --wait`")
        );
    }
}
