//! Where the members of a cluster answer: at ports that are free, or at those that the documents name.

use std::net::{Ipv4Addr, SocketAddr};

use devstack::PortPair;

use super::ProcessName;

/// How the ports of a cluster are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortChoice {
    /// Any that are free: several clusters run side by side.
    #[default]
    Free,
    /// Those of docker-compose.yml, which the documents name, where they are free.
    Documented,
}

/// Where one member answers. A port that was claimed stays so while its member is away, so that it
/// is found free when the member comes back.
#[derive(Debug)]
pub struct ProcessAddress {
    pub(super) http: SocketAddr,
    pub(super) admin: SocketAddr,
    _ports: Option<PortPair>,
}

/// A member that answers at another port than the one that the documents name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedProcess {
    pub member: ProcessName,
    /// The port that was taken.
    pub taken: u16,
    /// Where the member answers instead.
    pub address: SocketAddr,
}

impl ProcessAddress {
    /// The address of a process that was started elsewhere.
    pub fn given(http: SocketAddr, admin: SocketAddr) -> Self {
        Self { http, admin, _ports: None }
    }

    pub(super) fn claim() -> Self {
        Self::on(PortPair::claim())
    }

    /// The address of a member.
    pub(super) fn chosen(member: ProcessName, ports: PortChoice) -> Self {
        Self::on(match ports {
            PortChoice::Free => PortPair::claim(),
            PortChoice::Documented => PortPair::claim_near(member.documented_ports()),
        })
    }

    fn on(ports: PortPair) -> Self {
        let [http, admin] = ports.numbers.map(|n| (Ipv4Addr::LOCALHOST, n).into());
        Self { http, admin, _ports: Some(ports) }
    }

    /// Where this is not what the documents say of the member.
    pub(super) fn moved(&self, member: ProcessName) -> impl Iterator<Item = MovedProcess> {
        let pairs = member.documented_ports().into_iter().zip([self.http, self.admin]);
        pairs.filter_map(move |(documented, address)| {
            let taken = documented.filter(|port| *port != address.port())?;
            Some(MovedProcess { member, taken, address })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_elsewhere_is_told_with_the_port_that_was_taken() {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let place = ProcessAddress::given(at(8001), at(29_001));
        let moved: Vec<_> = place.moved(ProcessName::Orders).collect();
        let expected =
            MovedProcess { member: ProcessName::Orders, taken: 9001, address: at(29_001) };
        assert_eq!(moved, [expected]);
        // It has no admin port of its own.
        assert_eq!(ProcessAddress::given(at(8005), at(1)).moved(ProcessName::Gateway).count(), 0);
    }
}
