//! A port in front of a running server that can be closed, so that the server is unreachable.

use std::net::{Ipv4Addr, SocketAddr};

use devstack::PortPair;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A port in front of a server. Dropping it closes the port.
pub(crate) struct PortSwitch {
    behind: String,
    address: SocketAddr,
    open: JoinSet<()>,
    /// Bound, so that no other process listens there while the port is closed.
    _ports: PortPair,
}

impl PortSwitch {
    /// A closed port in front of the server at `behind`, a `host:port`.
    pub(crate) fn shut_before(behind: &str) -> Self {
        let ports = PortPair::claim();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.numbers[0]));
        Self { behind: behind.to_owned(), address, open: JoinSet::new(), _ports: ports }
    }

    /// A port in front of the host of a URL; returns the URL of the port.
    pub(crate) fn before_url(url: &str) -> (Self, String) {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let port_switch = Self::shut_before(host);
        let through = format!("{scheme}://{}/{path}", port_switch.address);
        (port_switch, through)
    }

    /// New connections are accepted from now on.
    pub(crate) async fn open(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let behind = self.behind.clone();
        self.open.spawn(async move {
            let mut guests = JoinSet::new();
            while let Ok((mut guest, _)) = listener.accept().await {
                let behind = behind.clone();
                guests.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(behind).await {
                        drop(copy_bidirectional(&mut guest, &mut server).await);
                    }
                });
            }
        });
    }

    /// New connections are refused, and open ones are closed.
    pub(crate) async fn shut(&mut self) {
        self.open.shutdown().await;
    }
}
