//! Free ports on loopback, claimed for as long as a server may want them.
//!
//! They are chosen below the range from which the system gives ports to clients. A client that
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
        let mut claims = Vec::new();
        for _ in 0..TRIES {
            if claims.len() == 2 {
                break;
            }
            let address = ("127.0.0.1", fastrand::u16(RANGE));
            if let (Ok(claim), Ok(_)) = (UdpSocket::bind(address), TcpListener::bind(address)) {
                claims.push(claim);
            }
        }
        let mut numbers = claims
            .iter()
            .filter_map(|udp_socket| udp_socket.local_addr().ok())
            .map(|address| address.port());
        // Zero if there is none: the server will say what it thinks of that.
        let numbers = std::array::from_fn(|_| numbers.next().unwrap_or(0));
        Self { numbers, _claims: claims }
    }
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
    fn a_claim_is_held_until_it_is_dropped() {
        let ports = PortPair::claim();
        let [number, _] = ports.numbers;
        assert!(UdpSocket::bind(("127.0.0.1", number)).is_err());
        drop(ports);
        assert!(UdpSocket::bind(("127.0.0.1", number)).is_ok());
    }
}
