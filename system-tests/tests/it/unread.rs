//! Programs whose output is not read: their log goes to a closed pipe, to a full disk, or to a
//! reader that has stopped; or the reader of `sagactl`'s output closes it early.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use axum::{Router, routing::get};
use devstack::{TestWait, until};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sagactl::http_client::http_client;
use serde_json::{Value, json};
use shared::visible_text::{visible, visible_lines};
use tokio::process::{Child, Command};
use xtask::cluster::ProcessName;

use crate::{
    letters::{are_dead, letters},
    raw::{self, Raw},
    stage,
};

/// What a program's output goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    /// A pipe whose other end is closed: `| head -1`.
    Closed,
    /// A full disk: `> /dev/full`.
    Full,
    /// A pipe whose other end is open, and nobody reads.
    Unread,
}

impl Output {
    fn stdio(self) -> Stdio {
        match self {
            Self::Closed | Self::Unread => Stdio::piped(),
            Self::Full => File::options().write(true).open("/dev/full").unwrap().into(),
        }
    }
}

/// Programs lie beside this test's folder.
fn program(name: &str) -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join(name)
}

/// Starts it with both of its outputs so.
fn start(mut command: Command, output: Output) -> Child {
    command.stdin(Stdio::null()).stdout(output.stdio()).stderr(output.stdio()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    if output == Output::Closed {
        drop((child.stdout.take(), child.stderr.take()));
    }
    child
}

/// An address that is free at the moment: what listens there cannot say where.
async fn free() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// A member that waits for a database which never comes, and says so at every level there is; and
/// where it answers whether it is alive.
async fn member(member: ProcessName, output: Output, folder: &Path) -> (Child, SocketAddr) {
    let address = free().await;
    let mut command = Command::new(program(member.program()));
    if member == ProcessName::Gateway {
        command.arg("--listen").arg(address.to_string());
        command.arg("--log").arg(folder.join("journal"));
        return (start(command, output), address);
    }
    command.env_clear().env("DATABASE_URL", "postgres://me@127.0.0.1:1/nothing");
    command.env("HTTP_LISTEN", "127.0.0.1:0").env("ADMIN_LISTEN", address.to_string());
    command.env("LOG_FILTER", "trace");
    (start(command, output), address)
}

async fn ask(address: SocketAddr, path: &str) -> Option<String> {
    let answer = http_client().unwrap().get(format!("http://{address}{path}")).send().await.ok()?;
    answer.text().await.ok()
}

/// More than a pipe holds, however little each question logs.
const QUESTIONS: usize = 2_000;

async fn lives_and_ends_well(who: ProcessName, output: Output, folder: &Path) {
    let (mut child, address) = member(who, output, folder).await;
    until("it answers", async || ask(address, "/livez").await.is_some()).await;
    if output == Output::Unread && who != ProcessName::Gateway {
        let http = http_client().unwrap();
        for _ in 0..QUESTIONS {
            http.get(format!("http://{address}/livez")).send().await.unwrap();
        }
    } else if who != ProcessName::Gateway {
        until("lost lines are counted", async || {
            let page = ask(address, "/metrics").await.unwrap();
            let lost =
                page.lines().find(|line| line.starts_with("log_lines_lost_total{why=\"failed\"}"));
            lost.is_some_and(|text| !text.ends_with(" 0"))
        })
        .await;
    }
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    assert_eq!(ended(&mut child).await, Some(0), "{who} {output:?}");
}

async fn ended(child: &mut Child) -> Option<i32> {
    let mut patience = TestWait::until("it ends");
    loop {
        tokio::select! {
            status = child.wait() => return status.unwrap().code(),
            () = patience.look_again("it runs") => {}
        }
    }
}

#[tokio::test]
async fn every_program_works_on_and_ends_well_where_nobody_takes_its_log() {
    let folder = tempfile::tempdir().unwrap();
    for output in [Output::Closed, Output::Full, Output::Unread] {
        for who in ProcessName::ALL {
            lives_and_ends_well(who, output, folder.path()).await;
        }
    }
}

/// What a terminal would obey, in every text that a stranger has a say in.
const OUTSIDE: &str = "a\u{1b}]0;title\u{7}\u{9b}2J\r\nforged\u{7f}\u{202e}";

/// Answers like a service whose every text is a stranger's.
async fn strangers_service() -> SocketAddr {
    let time = "2026-01-02T03:04:05Z";
    let letter = json!({
        "id": uuid::Uuid::nil(), "source": "message", "topic": OUTSIDE, "key": OUTSIDE,
        "reason": OUTSIDE, "detail": OUTSIDE, "attempts": 2, "failed_at": time,
        "last_failed_at": time, "settled": OUTSIDE,
    });
    let whole = json!({
        "id": uuid::Uuid::nil(), "open": true, "letter": letter,
        "message": {
            "partition": 0, "offset": 0, "body_bytes": 0, "body_hex": "",
            "headers": [{ "name": OUTSIDE, "value": OUTSIDE }],
        },
        "decisions": [{
            "letter_id": uuid::Uuid::nil(), "topic": OUTSIDE, "key": OUTSIDE, "action": OUTSIDE,
            "outcome": OUTSIDE, "by": OUTSIDE, "reason": OUTSIDE, "at": time,
        }],
    });
    let reasons = json!({
        "letters": 1,
        "items": [{ "source": "job", "topic": OUTSIDE, "reason": OUTSIDE, "letters": 1 }],
    });
    let money = json!({ "minor": 1, "currency": OUTSIDE });
    let payment = json!({
        "order_id": uuid::Uuid::nil(), "stage": OUTSIDE, "amount": money, "payment_method": OUTSIDE,
        "charge": { "id": OUTSIDE, "amount": money }, "refund_id": OUTSIDE, "review": OUTSIDE,
        "failure": { "reason": OUTSIDE, "code": OUTSIDE }, "created_at": time, "updated_at": time,
    });
    let order = json!({
        "id": uuid::Uuid::nil(), "status": "confirmed", "reason": OUTSIDE, "total": 1,
        "currency": OUTSIDE, "placed_at": OUTSIDE, "due_at": OUTSIDE,
        "lines": [{ "sku": OUTSIDE, "quantity": 1 }],
        "history": [{ "at": OUTSIDE, "what": OUTSIDE, "detail": OUTSIDE }],
    });
    let refusal = json!({ "title": OUTSIDE, "detail": OUTSIDE });
    let page = |item: &Value| json!({ "items": [item], "next_cursor": null });
    let json = |value: Value| get(async move || axum::Json(value));
    let refused = async move || (axum::http::StatusCode::CONFLICT, axum::Json(refusal));
    let routes = Router::new()
        .route("/dead-letters", json(page(&letter)))
        .route("/dead-letters/reasons", json(reasons))
        .route("/dead-letters/{id}", json(whole))
        .route("/dead-letters/{id}/redrive", axum::routing::post(refused.clone()))
        .route("/payments", json(page(&payment)))
        .route("/payments/{id}", json(payment))
        .route("/payments/{id}/review", axum::routing::post(refused.clone()))
        .route("/orders", json(page(&order)).post(refused.clone()))
        .route("/orders/{id}", json(order))
        .route("/orders/{id}/cancel", axum::routing::post(refused));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// Each command of `sagactl` that shows what a service says.
const SHOWING: &[&str] = &[
    "dead-letters --service {} list",
    "dead-letters --service {} show 00000000-0000-0000-0000-000000000000",
    "dead-letters --service {} redrive --dry-run",
    "dead-letters --service {} redrive",
    "payments --url {} --admin-url {} list",
    "payments --url {} --admin-url {} show 00000000-0000-0000-0000-000000000000",
    "payments --url {} --admin-url {} review 00000000-0000-0000-0000-000000000000 refund",
    "orders --url {} list",
    "orders --url {} show 00000000-0000-0000-0000-000000000000",
    "orders --url {} watch 00000000-0000-0000-0000-000000000000",
    "orders --url {} place",
    "orders --url {} cancel 00000000-0000-0000-0000-000000000000",
];

/// Those of them that are refused: nothing of them is on standard output.
const REFUSED: [&str; 3] = ["review", "place", "cancel"];

/// Each command that says the same as JSON.
const LISTING: [&str; 7] = [
    "orders --url {} --json list",
    "orders --url {} --json show 00000000-0000-0000-0000-000000000000",
    "orders --url {} --json watch 00000000-0000-0000-0000-000000000000",
    "payments --url {} --json list",
    "payments --url {} --json show 00000000-0000-0000-0000-000000000000",
    "dead-letters --service {} list --json",
    "dead-letters --service {} show --json 00000000-0000-0000-0000-000000000000",
];

fn sagactl(words: &str, address: SocketAddr) -> Command {
    let words = words.replace("{}", &format!("http://{address}"));
    let mut command = Command::new(program("sagactl"));
    command.args(words.split(' '));
    command
}

#[tokio::test]
async fn no_command_sends_a_strangers_characters_to_the_terminal() {
    let address = strangers_service().await;
    for words in SHOWING {
        let shown = sagactl(words, address).output().await.unwrap();
        let text = String::from_utf8([shown.stdout, shown.stderr].concat()).unwrap();
        assert!(text.contains(&*visible(OUTSIDE)), "{words}: {text}");
        assert_eq!(visible_lines(&text), text, "{words}");
        assert!(!text.lines().any(|text| text.starts_with("forged")), "{words}: {text}");
    }
}

#[tokio::test]
async fn a_strangers_message_is_logged_listed_and_shown_without_what_a_terminal_would_obey() {
    let stage = stage::open().await;
    let message = Raw {
        topic: format!("{}stock-released", stage.cluster.prefix()),
        key: Some(OUTSIDE.into()),
        headers: ["ce_id", "ce_type", OUTSIDE]
            .map(|text| (text.to_owned(), Some(OUTSIDE.into())))
            .into(),
        payload: Some(b"\x07x".to_vec()),
    };
    raw::say(&stage.cluster.stack().brokers, vec![message]).await;
    are_dead(&stage, ProcessName::Orders, None, 1).await;
    let id = letters(&stage, ProcessName::Orders, None).await[0].id;
    let admin = stage.cluster.admin(ProcessName::Orders);
    for words in ["list", &format!("show {id}"), "redrive --dry-run", "redrive"] {
        let mut command = Command::new(program("sagactl"));
        command.args(["dead-letters", "--service", &admin]).args(words.split(' '));
        let shown = command.output().await.unwrap();
        let text = String::from_utf8([shown.stdout, shown.stderr].concat()).unwrap();
        assert_eq!(visible_lines(&text), text, "{words}");
        assert!(!text.lines().any(|line| line.starts_with("forged")), "{words}: {text}");
        assert!(words.starts_with("redrive") || text.contains(&*visible(OUTSIDE)), "{text}");
    }
    let log = stage.cluster.log(ProcessName::Orders);
    assert_eq!(visible_lines(&log), log);
    assert_eq!(stage.cluster.stop().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_command_whose_output_nobody_reads_any_longer_ends_quietly() {
    let address = strangers_service().await;
    let shown =
        SHOWING.iter().filter(|words| !REFUSED.iter().any(|refused| words.contains(refused)));
    for words in shown.chain(&LISTING).chain(&["completions zsh"]) {
        let mut command = sagactl(words, address);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().await.unwrap();
        let complaint = String::from_utf8(ended.stderr).unwrap();
        // As a shell says it of a program that SIGPIPE ended.
        assert_eq!((ended.status.code(), complaint.as_str()), (Some(141), ""), "{words}");
    }
}

#[tokio::test]
async fn help_that_nobody_reads_any_longer_ends_quietly() {
    for words in
        ["sagactl --help", "sagactl orders place --help", "xtask --help", "devstack --help"]
    {
        let mut words = words.split(' ');
        let mut command = Command::new(program(words.next().unwrap()));
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().await.unwrap();
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
    }
}

#[tokio::test]
async fn a_listing_as_json_is_one_document_with_every_text_as_it_was_and_nothing_a_terminal_obeys()
{
    let address = strangers_service().await;
    for words in LISTING {
        let listed = sagactl(words, address).output().await.unwrap();
        assert!(listed.status.success(), "{words}: {listed:?}");
        let text = String::from_utf8(listed.stdout).unwrap();
        assert_eq!(visible_lines(&text), text, "{words}");
        let document: Value = serde_json::from_str(&text).unwrap();
        assert!(holds(&document, OUTSIDE), "{words}: {document:#}");
        assert!(!words.contains("list") || document["more"] == false, "{words}: {document:#}");
    }
}

/// Whether a text is anywhere in a document, as it is.
fn holds(document: &Value, text: &str) -> bool {
    match document {
        Value::String(found) => found == text,
        Value::Array(items) => items.iter().any(|item| holds(item, text)),
        Value::Object(parts) => parts.values().any(|part| holds(part, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[tokio::test]
async fn a_command_whose_output_cannot_be_written_says_so() {
    let address = strangers_service().await;
    let mut command = sagactl(SHOWING[0], address);
    command.stdin(Stdio::null()).stdout(Output::Full.stdio()).stderr(Stdio::piped());
    let child = command.kill_on_drop(true).spawn().unwrap();
    let ended = child.wait_with_output().await.unwrap();
    let complaint = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("standard output cannot be written"), "{complaint}");
}
