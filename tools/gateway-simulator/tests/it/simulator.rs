//! A gateway of the test's own, its client and its log.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Once,
    time::Duration,
};

use gateway_simulator::journal::{self, AttemptedRecord, JournalRecord};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::{Client, Response, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{MissedTickBehavior, interval, timeout},
};

/// A guard around what has to end, on a machine that may stand still.
const DEADLINE: Duration = Duration::from_mins(5);

/// Looks in vain until a wait fails, each after a pause: two minutes at least, and as much longer
/// as the looks themselves take. Time in which nothing could be looked at does not count.
const LOOKS_MAX: u32 = 6_000;
const PAUSE: Duration = Duration::from_millis(20);

/// A running gateway; killed with the test.
pub(crate) struct Simulator {
    child: Child,
    url: String,
    client: Client,
    folder: TempDir,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    async fn of(response: Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self { status, headers, bytes: response.bytes().await?.to_vec() })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(crate) fn is_replay(&self) -> bool {
        self.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
    }

    /// The code of an error, to be compared with.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// A charge of ten euros.
pub(crate) fn charge(source: &str, order_id: &str) -> Value {
    json!({ "amount": 1000, "currency": "EUR", "source": source, "metadata": { "order_id": order_id } })
}

/// Waits until `check` says something.
pub(crate) async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let mut pause = interval(PAUSE);
    pause.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _look in 0..LOOKS_MAX {
        pause.tick().await;
        if let Some(found) = check().await {
            return found;
        }
    }
    panic!("in vain: {what}")
}

/// The remaining bytes of a connection that the gateway closes or resets.
pub(crate) async fn rest_of(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    let ended = timeout(DEADLINE, stream.read_to_end(&mut received)).await;
    drop(ended.expect("the gateway ends the connection"));
    received
}

pub(crate) fn client() -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| rustls::crypto::ring::default_provider().install_default().unwrap());
    Client::builder().timeout(DEADLINE).build().unwrap()
}

/// A gateway's command line.
pub(crate) fn command(log: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway-simulator"));
    command.args(["--listen", "127.0.0.1:0", "--log"]).arg(log);
    command
}

/// The exit code of a gateway that does not come up.
pub(crate) async fn refuses_to_start(log: &Path) -> Option<i32> {
    let mut command = command(log);
    let output = command.kill_on_drop(true).output();
    timeout(DEADLINE, output).await.expect("the gateway ends by itself").unwrap().status.code()
}

async fn spawn(mut command: Command) -> (Child, String) {
    command.env("RUST_BACKTRACE", "0");
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    timeout(DEADLINE, out.read_line(&mut line)).await.unwrap().unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    (child, url)
}

impl Simulator {
    pub(crate) async fn start() -> Self {
        Self::start_as(command).await
    }

    /// Starts with a command line of the test's own.
    pub(crate) async fn start_as(command: impl FnOnce(&Path) -> Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (child, url) = spawn(command(&folder.path().join("gateway.jsonl"))).await;
        Self { child, url, client: client(), folder }
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("gateway.jsonl")
    }

    pub(crate) fn records(&self) -> Vec<JournalRecord> {
        journal::read(&self.log()).unwrap()
    }

    /// The attempts in the log.
    pub(crate) fn attempts(&self) -> Vec<AttemptedRecord> {
        let attempt = |record| {
            if let JournalRecord::Attempt(attempt) = record { Some(attempt) } else { None }
        };
        self.records().into_iter().filter_map(attempt).collect()
    }

    /// How many charges the log holds.
    pub(crate) fn charges_in_log(&self) -> usize {
        self.records().iter().filter(|record| matches!(record, JournalRecord::Charge(_))).count()
    }

    /// kill -9, then a new process on the same log.
    pub(crate) async fn crash_and_restart(&mut self) {
        self.crash().await;
        (self.child, self.url) = spawn(command(&self.log())).await;
    }

    pub(crate) async fn crash(&mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        timeout(DEADLINE, self.child.wait()).await.unwrap().unwrap()
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        key: &str,
        body: &Value,
    ) -> reqwest::Result<Answer> {
        let url = format!("{}{path}", self.url);
        let request = self.client.post(url).header("Idempotency-Key", key).json(body);
        Answer::of(request.send().await?).await
    }

    /// `POST /charges`, answered.
    pub(crate) async fn charge(&self, key: &str, body: &Value) -> Answer {
        self.post("/charges", key, body).await.unwrap()
    }

    /// `POST /refunds`, answered.
    pub(crate) async fn refund(&self, key: &str, body: &Value) -> Answer {
        self.post("/refunds", key, body).await.unwrap()
    }

    pub(crate) async fn post_without_key(&self, path: &str, body: &Value) -> Answer {
        let request = self.client.post(format!("{}{path}", self.url)).json(body);
        Answer::of(request.send().await.unwrap()).await.unwrap()
    }

    pub(crate) async fn try_get(&self, path: &str) -> reqwest::Result<Answer> {
        Answer::of(self.client.get(format!("{}{path}", self.url)).send().await?).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_get(path).await.unwrap()
    }

    pub(crate) async fn summary(&self) -> Value {
        self.get("/summary").await.json()
    }

    pub(crate) async fn put_faults(&self, faults: &Value) -> Answer {
        let request = self.client.put(format!("{}/faults", self.url)).json(faults);
        Answer::of(request.send().await.unwrap()).await.unwrap()
    }

    /// Switches faults that are well-formed.
    pub(crate) async fn switch(&self, faults: &Value) {
        assert_eq!(self.put_faults(faults).await.status, 200);
    }

    pub(crate) async fn forget_keys(&self) {
        let request = self.client.delete(format!("{}/keys", self.url));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    pub(crate) async fn reset_faults(&self) {
        let request = self.client.delete(format!("{}/faults", self.url));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    pub(crate) fn address(&self) -> String {
        self.url.strip_prefix("http://").unwrap().to_owned()
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }

    /// Sends a charge by hand, so that the test decides when its client goes away.
    pub(crate) async fn send_charge(&self, key: &str, body: &Value) -> TcpStream {
        let (mut stream, body) = (self.connect().await, body.to_string());
        let head = format!(
            "POST /charges HTTP/1.1\r\nhost: gateway\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n",
            body.len(),
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        stream
    }

    /// Waits until the given number of keys is held.
    pub(crate) async fn until_in_progress(&self, count: usize) {
        let check = async || (self.summary().await["in_progress"] == count).then_some(());
        until("keys in progress", check).await;
    }

    /// Waits until the gateway has taken the one slow charge, which may have ended since.
    pub(crate) async fn until_taken(&self) {
        let check = async || {
            let held = self.summary().await["in_progress"] == 1;
            (held || self.charges_in_log() == 1).then_some(())
        };
        until("a slow charge", check).await;
    }
}
