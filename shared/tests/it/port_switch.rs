//! A door before a server, which can be shut and opened: the server lives, and cannot be reached.

use std::net::{Ipv4Addr, SocketAddr};

use devstack::PortPair;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A door before a server. Dropping it shuts it.
pub(crate) struct PortSwitch {
    behind: String,
    address: SocketAddr,
    open: JoinSet<()>,
    /// Held, so that nobody else listens there while the door is shut.
    _ports: PortPair,
}

impl PortSwitch {
    /// A shut door before the server at `behind`, a `host:port`.
    pub(crate) fn shut_before(behind: &str) -> Self {
        let ports = PortPair::claim();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.numbers[0]));
        Self { behind: behind.to_owned(), address, open: JoinSet::new(), _ports: ports }
    }

    /// A door before the host of a URL; gives the URL that leads through it.
    pub(crate) fn before_url(url: &str) -> (Self, String) {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let door = Self::shut_before(host);
        let through = format!("{scheme}://{}/{path}", door.address);
        (door, through)
    }

    /// Whoever knocks from now on is let through.
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

    /// Nobody is let in, and whoever is inside is put out.
    pub(crate) async fn shut(&mut self) {
        self.open.shutdown().await;
    }
}
