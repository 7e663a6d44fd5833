//! `sagactl` as an operator types it: no address is given, and the demo that runs is found.

use std::{
    fs::{self, File},
    process::{Output, Stdio},
};

use devstack::TestWait;
use nix::sys::signal::Signal;
use sagactl::{
    demo_presence::{DemoPresence, folder_below},
    system_addresses::SystemAddresses,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use uuid::Uuid;
use xtask::cluster::{self, AuditExpectation, ProcessName};

use crate::stage::{self, Stage};

/// An operator on a machine with nothing but this folder for temporary files.
struct Operator(TempDir);

impl Operator {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// `sagactl …`, and how it ended.
    async fn types(&self, words: &str) -> Output {
        let mut command = Command::new(cluster::programs().unwrap().join("sagactl"));
        command.args(words.split(' ')).env_clear().env("TMPDIR", self.0.path());
        command.stdin(Stdio::null()).output().await.unwrap()
    }

    /// What it says, if it ends with this code.
    async fn reads(&self, words: &str, code: i32) -> String {
        let Output { status, stdout, stderr } = self.types(words).await;
        let (said, complaint) = (text(stdout), text(stderr));
        assert_eq!(status.code(), Some(code), "{words}: {said}\n{complaint}");
        said
    }

    /// The one document that it says.
    async fn parses(&self, words: &str) -> Value {
        serde_json::from_str(&self.reads(words, 0).await).unwrap()
    }

    /// Why it failed, if it ends with this code and says nothing else.
    async fn is_refused(&self, words: &str, code: i32) -> String {
        let Output { status, stdout, stderr } = self.types(words).await;
        assert_eq!((status.code(), text(stdout).as_str()), (Some(code), ""), "{words}");
        let complaint = text(stderr);
        assert!(!complaint.contains("panicked") && !complaint.contains("backtrace"), "{complaint}");
        complaint
    }

    /// `sagactl …`, which goes on; what it says and complains of are kept in this file.
    fn begins(&self, words: &str, into: &str) -> Child {
        let file = File::create(self.0.path().join(into)).unwrap();
        let mut command = Command::new(cluster::programs().unwrap().join("sagactl"));
        command.args(words.split(' ')).env_clear().env("TMPDIR", self.0.path());
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        command.kill_on_drop(true).spawn().unwrap()
    }

    /// Waits until a command that goes on has said this.
    async fn has_said(&self, into: &str, expected: &str) {
        let mut patience = TestWait::until(&format!("sagactl says {expected:?}"));
        loop {
            let said = fs::read_to_string(self.0.path().join(into)).unwrap();
            if said.contains(expected) {
                return;
            }
            patience.look_again(said).await;
        }
    }

    /// Leaves the file of a demo that was killed: it names this process, and is the newest.
    fn finds_a_killed_demo(&self) {
        let folder = folder_below(self.0.path());
        let addresses = SystemAddresses::compose();
        let killed = json!({
            "pid": std::process::id(), "started_at": "2100-01-01T00:00:00Z", "addresses": addresses,
        });
        fs::write(folder.join("1-killed.json"), killed.to_string()).unwrap();
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// The order that a command has placed.
async fn placed(operator: &Operator, options: &str) -> Uuid {
    let order = operator.parses(&format!("orders --json place {options}")).await;
    order["id"].as_str().unwrap().parse().unwrap()
}

async fn assert_orders_end(operator: &Operator) {
    let said = operator.reads("orders place --line coffee-beans=2 --wait", 0).await;
    for expected in ["is accepted, ", "  order-placed", "  payment-done", " is confirmed, "] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let said = operator.reads("orders place --payment-method tok_chargeDeclined --wait", 3).await;
    assert!(said.contains(" is cancelled: payment-declined, "), "{said}");
    let said = operator.reads("orders place --key the-same --sku espresso-machine", 0).await;
    let next = said.lines().find_map(|line| line.strip_prefix("sagactl ")).unwrap();
    let again = operator.reads("orders place --key the-same --sku espresso-machine", 0).await;
    assert!(again.contains(next), "the same key is the same order: {said} {again}");
    assert!(operator.reads(next, 0).await.contains(" is confirmed, "));
}

/// An order that cannot end is waited for no longer than asked for, and cancelled.
async fn assert_a_pending_order_is_cancelled(operator: &Operator) {
    let id = placed(operator, "--email ben@example.org").await;
    let watch = format!("orders watch {id} --limit-seconds 1");
    let said = operator.reads(&watch, 4).await;
    assert!(said.contains(&format!("order {id} is pending, ")), "{said}");
    let pending = operator.parses("orders list --status pending --json").await;
    assert_eq!(pending["items"][0]["id"], json!(id), "{pending:#}");
    let said = operator.reads(&format!("orders cancel {id}"), 0).await;
    assert!(said.contains(&format!("order {id} is cancelled: requested")), "{said}");
    operator.reads(&watch, 3).await;
}

/// An order that is followed is not lost sight of while order-service is away.
async fn assert_a_restart_is_outlasted(operator: &Operator, stage: &mut Stage) {
    let id = placed(operator, "--email eve@example.org").await;
    let watch = format!("orders watch {id} --limit-seconds 600");
    let mut watching = operator.begins(&watch, "watch");
    operator.has_said("watch", "  order-placed").await;
    stage.cluster.end(ProcessName::Orders, Signal::SIGKILL).await.unwrap();
    operator.has_said("watch", "; it is asked again").await;
    stage.cluster.restart(ProcessName::Orders).await.unwrap();
    operator.reads(&format!("orders cancel {id}"), 0).await;
    assert_eq!(watching.wait().await.unwrap().code(), Some(3));
    operator.has_said("watch", &format!("order {id} is cancelled: requested")).await;
}

async fn assert_listings(operator: &Operator) {
    let all = operator.parses("orders list --json").await;
    assert_eq!((all["items"].as_array().unwrap().len(), &all["more"]), (5, &json!(false)));
    let one = operator.parses("orders list --limit 1 --status confirmed --json").await;
    assert_eq!((one["items"].as_array().unwrap().len(), &one["more"]), (1, &json!(true)));
    assert_eq!(one["items"][0]["lines"][0]["sku"], "espresso-machine");
    let table = operator.reads("orders list", 0).await;
    assert_eq!(table.lines().count(), 6, "{table}");
    assert!(!table.contains('\u{1b}'), "no terminal, no control sequence: {table:?}");
    let payments = operator.parses("payments list --stage failed --json").await;
    assert_eq!(payments["items"][0]["failure"]["reason"], "declined", "{payments:#}");
    let letters = operator.parses("dead-letters list --json").await;
    assert_eq!(letters, json!({ "items": [], "reasons": [], "more": false }));
    let audited = operator.parses("audit --json").await;
    assert_eq!(audited["outcome"], "kept", "{audited:#}");
    assert_eq!(audited["orders"], json!({ "confirmed": 2, "cancelled": 3 }));
    assert!(operator.reads("contract", 0).await.contains("schemas are as declared"));
}

async fn assert_errors_name_the_next_step(operator: &Operator) {
    let nobody = Uuid::nil();
    for (words, code, expected) in [
        (format!("orders watch {nobody}"), 1, "there is no order 0"),
        (format!("orders watch {nobody}"), 1, "`sagactl orders list` lists the newest"),
        (format!("orders cancel {nobody}"), 1, "there is no order 0"),
        (format!("payments show {nobody}"), 1, "`sagactl payments list` lists the newest"),
        (format!("dead-letters show {nobody}"), 1, "`sagactl dead-letters list` shows"),
        ("orders watch 17".to_owned(), 2, "an order's id is a UUID"),
        ("orders place --quantity 0".to_owned(), 1, "\n  /lines/0/quantity: "),
        ("orders place --sku no-such".to_owned(), 1, "\n  /lines/0/sku: "),
        ("orders --url http://127.0.0.1:1 list".to_owned(), 1, "is ORDERS_URL right?"),
    ] {
        let complaint = operator.is_refused(&words, code).await;
        assert!(complaint.contains(expected), "{words}: {complaint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_places_follows_lists_and_cancels_orders_of_the_demo_that_is_found() {
    let mut stage = stage::open().await;
    let operator = Operator::new();
    let folder = folder_below(operator.0.path());
    let presence = DemoPresence::announce_in(&folder, stage.cluster.addresses()).unwrap();
    operator.finds_a_killed_demo();
    assert_orders_end(&operator).await;
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "the killed demo's file is removed");

    stage.cluster.end(ProcessName::Payments, Signal::SIGTERM).await.unwrap();
    assert_a_pending_order_is_cancelled(&operator).await;
    assert_a_restart_is_outlasted(&operator, &mut stage).await;
    stage.cluster.restart(ProcessName::Payments).await.unwrap();
    stage.all_end().await;
    assert_listings(&operator).await;
    assert_errors_name_the_next_step(&operator).await;
    drop(presence);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left of a demo that ended");
    stage.close(AuditExpectation::default()).await;
}

#[tokio::test]
async fn which_of_several_demos_is_meant_is_said_where_nobody_watches_too() {
    let operator = Operator::new();
    let folder = folder_below(operator.0.path());
    let addresses = || {
        let mut addresses = SystemAddresses::compose();
        for parts in addresses.services.values_mut() {
            parts.url = "http://127.0.0.1:1".to_owned();
        }
        addresses
    };
    let older = DemoPresence::announce_in(&folder, addresses()).unwrap();
    let own = std::process::id();
    let complaint = operator.is_refused("orders list", 1).await;
    let expected = format!("order-service of the demo of process {own} does not answer");
    assert!(complaint.contains(&expected), "{complaint}");
    assert!(!complaint.contains("other demos run"), "{complaint}");
    let _newer = DemoPresence::announce_in(&folder, addresses()).unwrap();
    let complaint = operator.is_refused("orders list", 1).await;
    let both = complaint.starts_with("Using the demo of process ");
    assert!(both && complaint.contains("other demos run"), "{complaint}");
    drop(older);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[tokio::test]
async fn a_shell_takes_its_completions() {
    let operator = Operator::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = operator.reads(&format!("completions {shell}"), 0).await;
        assert!(script.contains("dead-letters") && script.contains("limit-seconds"), "{shell}");
    }
    let script = operator.reads("completions bash", 0).await;
    let completing = format!(
        "{script}\nCOMP_WORDS=(sagactl orders w) COMP_CWORD=2\n\
         _sagactl sagactl w orders\necho \"${{COMPREPLY[@]}}\""
    );
    let bash = Command::new("bash").args(["-c", &completing]).output().await.unwrap();
    assert_eq!(text(bash.stdout).trim(), "watch", "{}", text(bash.stderr));
}
