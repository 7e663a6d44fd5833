//! Free ports on loopback.
//!
//! They are chosen below the range from which the system gives ports to clients. A client that
//! knocks again and again at a stopped server's port would else be given that very port some day,
//! talk to itself, and keep the server from coming back.

use std::net::TcpListener;

/// Where ports are looked for.
const RANGE: std::ops::Range<u16> = 20_000..32_000;
/// How often one is tried.
const TRIES: usize = 1_000;

/// As many free ports as asked for. Another process may be quicker to take one: then the server
/// says so, and it is started with others.
pub(crate) fn free<const COUNT: usize>() -> [u16; COUNT] {
    // All are held until the last is found, so that no two are the same.
    let mut held = Vec::new();
    for _ in 0..TRIES {
        if held.len() == COUNT {
            break;
        }
        held.extend(TcpListener::bind(("127.0.0.1", fastrand::u16(RANGE))));
    }
    let mut ports = held.iter().filter_map(|it| it.local_addr().ok()).map(|it| it.port());
    std::array::from_fn(|_| ports.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_different_and_no_clients_get_them() {
        let ports = free::<8>();
        let held: Vec<_> = ports.map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap()).into();
        assert_eq!(held.len(), 8);
        assert!(ports.iter().all(|port| RANGE.contains(port)));
    }
}
