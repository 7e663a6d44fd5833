//! The gateway simulator as a process of its own: the independent witness of every charge.

use std::{path::PathBuf, process::Stdio};

use devstack::PortPair;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::kit::PATIENCE;

/// A running gateway; killed with the test.
pub(crate) struct Simulator {
    pub(crate) url: String,
    child: Child,
    client: Client,
    folder: TempDir,
    /// Held, so that nobody listens there while the gateway is gone.
    _ports: PortPair,
}

/// The program lies beside this test's folder, because both are built for the workspace.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.ancestors().nth(2).unwrap().join("gateway-simulator");
    assert!(program.exists(), "build with --workspace: there is no {}", program.display());
    program
}

/// Starts the program; answers its URL.
async fn launch(address: &str, folder: &TempDir) -> (Child, String) {
    let mut child = Command::new(program())
        .args(["--listen", address, "--log"])
        .arg(folder.path().join("gateway.jsonl"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    timeout(PATIENCE, out.read_line(&mut line)).await.unwrap().unwrap();
    let url = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    (child, url)
}

impl Simulator {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = PortPair::claim();
        let (child, url) = launch(&format!("127.0.0.1:{}", ports.numbers[0]), &folder).await;
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { url, child, client, folder, _ports: ports }
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Restarts the gateway at the same address, with its log.
    pub(crate) async fn start_again(&mut self) {
        let address = self.url.strip_prefix("http://").unwrap().split('/').next().unwrap();
        self.child = launch(address, &self.folder).await.0;
    }

    /// Restarts the gateway at the same address, without its log.
    pub(crate) async fn start_without_memory(&mut self) {
        std::fs::remove_file(self.folder.path().join("gateway.jsonl")).unwrap();
        self.start_again().await;
    }

    /// Makes the gateway forget all keys, as a gateway does after a day.
    pub(crate) async fn forget_keys(&self) {
        let request = self.client.delete(format!("{}/keys", self.url));
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// Gives a charge back as somebody else would.
    pub(crate) async fn refund(&self, charge: &str) -> String {
        let request = self.client.post(format!("{}/refunds", self.url));
        let body = json!({ "charge": charge });
        let request = request.header("Idempotency-Key", "by-hand").json(&body);
        let response = request.send().await.unwrap().error_for_status().unwrap();
        let refund: Value = response.json().await.unwrap();
        refund["id"].as_str().unwrap().to_owned()
    }

    /// Breaks what is given, and nothing else.
    pub(crate) async fn faults(&self, faults: &Value) {
        let request = self.client.put(format!("{}/faults", self.url)).json(faults);
        request.send().await.unwrap().error_for_status().unwrap();
    }

    pub(crate) async fn heal(&self) {
        self.faults(&json!({})).await;
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.client.get(format!("{}/{path}", self.url)).send().await.unwrap();
        response.error_for_status().unwrap().json().await.unwrap()
    }

    /// Charges, refunds and attempts by its own count.
    pub(crate) async fn counts(&self) -> Counts {
        let summary = self.get("summary").await;
        let count = |name: &str| summary[name].as_u64().unwrap();
        assert_eq!(summary["duplicates"]["count"], 0, "nobody is charged twice");
        Counts {
            charges: count("charges"),
            refunds: count("refunds"),
            attempts: count("attempts"),
            net_minor: summary["net_amount"]["EUR"].as_i64().unwrap_or(0),
        }
    }

    /// Charges as somebody else would; answers the status.
    pub(crate) async fn charge(&self, key: &str, amount: i64) -> u16 {
        let body = json!({ "amount": amount, "currency": "EUR", "source": "tok_visa",
            "metadata": { "order_id": "somebody-else" } });
        let request = self.client.post(format!("{}/charges", self.url));
        request.header("Idempotency-Key", key).json(&body).send().await.unwrap().status().as_u16()
    }
}

/// The counts of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) charges: u64,
    pub(crate) refunds: u64,
    pub(crate) attempts: u64,
    pub(crate) net_minor: i64,
}
