//! A proxy before the broker, that can go silent: connections stay open and new ones are let in, but
//! nothing passes, as behind a network that drops every packet.
//!
//! A client is told by the broker where the broker is. The proxy puts its own port into those answers,
//! so that the client stays with it.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// The proxy. Dropping it ends it.
pub(crate) struct KafkaProxy {
    /// What a client is told instead of the broker's address.
    pub(crate) brokers: String,
    silent: watch::Sender<bool>,
    _serving: JoinSet<()>,
}

/// An address as it stands in the broker's answers, and what is to stand there.
#[derive(Clone)]
struct Rename {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl KafkaProxy {
    /// A proxy before the broker at this address, which is the only one and is advertised by it.
    pub(crate) async fn before(brokers: &str) -> Self {
        let broker: SocketAddr = brokers.parse().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let own = listener.local_addr().unwrap();
        let rename = Rename { from: advertised(broker), to: advertised(own) };
        let (silent, told) = watch::channel(false);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut open = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                open.spawn(pass(client, broker, rename.clone(), told.clone()));
                while open.try_join_next().is_some() {}
            }
        });
        Self { brokers: own.to_string(), silent, _serving: serving }
    }

    /// From now on nothing passes.
    pub(crate) fn go_silent(&self) {
        self.silent.send_replace(true);
    }

    /// From now on everything passes, first what was sent in the meantime.
    pub(crate) fn pass_again(&self) {
        self.silent.send_replace(false);
    }
}

/// The end of a host's name as a string of Kafka's protocol, and the port as the number behind it.
fn advertised(at: SocketAddr) -> Vec<u8> {
    let mut bytes = at.ip().to_string().into_bytes();
    bytes.extend(u32::from(at.port()).to_be_bytes());
    bytes
}

async fn pass(
    client: TcpStream,
    broker: SocketAddr,
    rename: Rename,
    silent: watch::Receiver<bool>,
) {
    let Ok(broker) = TcpStream::connect(broker).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    // Either end closes: both do.
    tokio::select! {
        _ = requests(from_client, to_broker, silent.clone()) => (),
        _ = answers(from_broker, to_client, rename, silent) => (),
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut silent: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 || silent.wait_for(|flag| !flag).await.is_err() {
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
    }
}

/// An answer is its length, and that many bytes.
async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    rename: Rename,
    mut silent: watch::Receiver<bool>,
) -> io::Result<()> {
    loop {
        let length = from.read_u32().await?;
        let mut answer = vec![0; usize::try_from(length).unwrap()];
        from.read_exact(&mut answer).await?;
        rename.apply(&mut answer);
        if silent.wait_for(|flag| !flag).await.is_err() {
            return Ok(());
        }
        to.write_u32(length).await?;
        to.write_all(&answer).await?;
    }
}

impl Rename {
    fn apply(&self, answer: &mut [u8]) {
        let length = self.from.len();
        for at in 0..(answer.len() + 1).saturating_sub(length) {
            if answer[at..].starts_with(&self.from) {
                answer[at..at + length].copy_from_slice(&self.to);
            }
        }
    }
}
