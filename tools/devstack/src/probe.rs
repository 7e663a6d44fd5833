//! Readiness probes: requests that a server answers only when it is ready.

use std::{str::FromStr as _, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::StackError;

/// How long a server is asked in vain without a sign that it is on its way. A registry was seen to
/// need more than a minute until it answers, on a machine with twelve jobs a core.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);
/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(3);
/// The pause between questions.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The request of a probe, and its address.
#[derive(Clone, Debug)]
pub(crate) enum ServerProbe {
    /// Would a topic be made? Then there is a controller, and a broker that it knows.
    /// With these settings of the client beside its address.
    Kafka { brokers: String, client: Vec<(&'static str, String)> },
    /// Whether a superuser's connection works.
    Postgres { url: String },
    /// Whether a page answers with success.
    Http { address: String, path: &'static str },
}

impl ServerProbe {
    /// Asks until the server answers. `signs` says what can be seen of it: a change is a sign that
    /// it is on its way, an error ends the wait, because there is nothing to wait for. False after
    /// too long without a sign.
    pub(crate) async fn answered<S, L>(
        &self,
        mut signs: impl FnMut() -> L,
    ) -> Result<bool, StackError>
    where
        S: PartialEq,
        L: Future<Output = Result<S, StackError>>,
    {
        let mut asker = ProbeClients::default();
        let (mut seen, mut in_vain) = (signs().await?, Duration::ZERO);
        while in_vain < PATIENCE {
            let began = Instant::now();
            if timeout(ANSWER, asker.ask(self)).await.unwrap_or(false) {
                return Ok(true);
            }
            sleep(ASK_AGAIN).await;
            // A machine that stands still makes a question long, which is no fault of the server's.
            in_vain += began.elapsed().min(ANSWER + ASK_AGAIN);
            let now = signs().await?;
            if now != seen {
                (seen, in_vain) = (now, Duration::ZERO);
            }
        }
        Ok(false)
    }
}

/// Keeps the Kafka client between questions: each has threads of its own.
#[derive(Default)]
struct ProbeClients {
    admin: Option<AdminClient<DefaultClientContext>>,
}

impl ProbeClients {
    async fn ask(&mut self, probe: &ServerProbe) -> bool {
        match probe {
            ServerProbe::Kafka { brokers, client } => {
                self.kafka(brokers, client).await.unwrap_or(false)
            }
            ServerProbe::Postgres { url } => postgres(url).await.is_ok(),
            ServerProbe::Http { address, path } => http(address, path).await.unwrap_or(false),
        }
    }

    async fn kafka(&mut self, brokers: &str, client: &[(&str, String)]) -> Option<bool> {
        // The client complains in the log of what cannot be reached, so look first.
        TcpStream::connect(brokers).await.ok()?;
        let admin = match &mut self.admin {
            Some(admin) => admin,
            none => none.insert(admin(brokers, client)?),
        };
        let topic = NewTopic::new("devstack-probe", 1, TopicReplication::Fixed(1));
        let options = AdminOptions::new().validate_only(true).request_timeout(Some(ANSWER));
        let answers = admin.create_topics([&topic], &options).await.ok()?;
        Some(answers.iter().all(Result::is_ok))
    }
}

fn admin(brokers: &str, client: &[(&str, String)]) -> Option<AdminClient<DefaultClientContext>> {
    // As every client here: OpenSSL does not clean up under the hands of its threads.
    openssl_sys::init();
    let mut config: ClientConfig =
        client.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    config
        .set("bootstrap.servers", brokers)
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200")
        .create()
        .ok()
}

async fn postgres(url: &str) -> Result<(), sqlx::Error> {
    // What a pooler refuses.
    let options = PgConnectOptions::from_str(url)?.extra_float_digits(None);
    let mut connection = PgConnection::connect_with(&options).await?;
    sqlx::query("SELECT 1").execute(&mut connection).await?;
    connection.close().await
}

/// Whether the answer to a GET is a success. Written by hand, so that waiting needs no HTTP client.
async fn http(address: &str, path: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    Ok(status.starts_with(b"HTTP/1.") && status.ends_with(b" 200"))
}
