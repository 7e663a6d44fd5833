//! Free ports on loopback, claimed for as long as a server may want them.
//!
//! Unless certain ones are preferred, they are chosen below the range from which the system gives ports to clients. A client that
//! knocks again and again at a stopped server's port would else be given that very port some day,
//! talk to itself, and keep the server from coming back.
//!
//! **Architecture invariant:** two stacks never mean the same port. A server's port is claimed by
//! holding the UDP port of the same number, which no server here uses and which the system frees
//! when the process ends; so a stack neither takes the port of another's stopped server, nor
//! takes another's server for its own.

use std::net::{TcpListener, UdpSocket};

/// Where ports are looked for.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
/// How many are tried.
const TRIES: usize = 1_000;

/// Two free ports: no server needs more. Claimed until dropped, even if another process listens.
#[derive(Debug)]
pub struct PortPair {
    pub numbers: [u16; 2],
    _claims: Vec<UdpSocket>,
}

impl PortPair {
    /// Claims two. Something that knows nothing of claims may be quicker to listen there: then the
    /// server ends by saying so, and is started on others.
    pub fn claim() -> Self {
        Self::claim_near([None, None])
    }

    /// Claims these where they are free, and any free one where they are not or none is named.
    pub fn claim_near(preferred: [Option<u16>; 2]) -> Self {
        let mut claims = Vec::new();
        let numbers = preferred.map(|number| {
            let (number, claim) = number.and_then(claimed).or_else(any_claimed)?;
            claims.push(claim);
            Some(number)
        });
        // Zero if there is none: the server will say what it thinks of that.
        Self { numbers: numbers.map(Option::unwrap_or_default), _claims: claims }
    }
}

/// This port, if nobody listens there or has claimed it.
fn claimed(number: u16) -> Option<(u16, UdpSocket)> {
    let address = ("127.0.0.1", number);
    let claim = UdpSocket::bind(address).ok()?;
    TcpListener::bind(address).ok()?;
    Some((number, claim))
}

fn any_claimed() -> Option<(u16, UdpSocket)> {
    (0..TRIES).find_map(|_| claimed(fastrand::u16(RANGE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claimed_ports_are_free_and_no_client_is_given_them() {
        let ports = PortPair::claim();
        assert_ne!(ports.numbers[0], ports.numbers[1]);
        for number in ports.numbers {
            assert!(RANGE.contains(&number));
            assert!(TcpListener::bind(("127.0.0.1", number)).is_ok());
        }
    }

    #[test]
    fn a_preferred_port_is_given_to_the_first_who_asks() {
        let [free, _] = PortPair::claim().numbers;
        let first = PortPair::claim_near([Some(free), None]);
        assert_eq!(first.numbers[0], free);
        let second = PortPair::claim_near([Some(free), None]);
        assert_ne!(second.numbers[0], free);
        assert!(RANGE.contains(&second.numbers[0]));
    }

    #[test]
    fn a_preferred_port_at_which_somebody_listens_is_not_given() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let taken = listener.local_addr().unwrap().port();
        assert_ne!(PortPair::claim_near([None, Some(taken)]).numbers[1], taken);
    }

    #[test]
    fn a_claim_is_held_until_it_is_dropped() {
        let ports = PortPair::claim();
        let [number, _] = ports.numbers;
        assert!(UdpSocket::bind(("127.0.0.1", number)).is_err());
        drop(ports);
        assert!(UdpSocket::bind(("127.0.0.1", number)).is_ok());
    }
}
