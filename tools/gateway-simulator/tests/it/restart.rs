//! The guarantees of the log: kill -9, torn lines, holes, a full disk.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

use gateway_simulator::journal::JournalRecord;
use serde_json::json;
use tokio::process::Command;

use crate::simulator::{Simulator, charge, refuses_to_start};

const BINARY: &str = env!("CARGO_BIN_EXE_gateway-simulator");

#[tokio::test]
async fn keys_and_answers_survive_kill_9() {
    let mut gateway = Simulator::start().await;
    let cards = ["tok_visa", "tok_wrongAmount", "tok_insufficientFunds"];
    let mut answers = Vec::new();
    for card in cards {
        answers.push(gateway.charge(card, &charge(card, "order-1")).await);
    }
    let refund = json!({ "charge": answers[0].json()["id"], "amount": 10 });
    let refunded = gateway.refund("r", &refund).await;
    let summary = gateway.summary().await;
    let list = gateway.get("/charges").await.json();

    gateway.crash_and_restart().await;
    assert_eq!(gateway.summary().await, summary);
    assert_eq!(gateway.get("/charges").await.json(), list);
    for (card, before) in cards.iter().zip(&answers) {
        let after = gateway.charge(card, &charge(card, "order-1")).await;
        assert!(after.is_replay());
        assert_eq!((after.status, &after.bytes), (before.status, &before.bytes));
        assert_eq!(gateway.charge(card, &charge(card, "order-2")).await.status, 400);
    }
    assert_eq!(gateway.refund("r", &refund).await.bytes, refunded.bytes);
    let too_much =
        gateway.refund("r2", &json!({ "charge": refund["charge"], "amount": 991 })).await;
    assert_eq!(too_much.code(), "amount_too_large");
    // New ids go on where the old ones ended.
    let new = gateway.charge("new", &charge("tok_visa", "order-3")).await.json()["id"].clone();
    assert!(answers.iter().all(|answer| answer.json()["id"] != new));
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off() {
    let mut gateway = Simulator::start().await;
    let first = gateway.charge("k1", &charge("tok_visa", "order-1")).await;
    gateway.crash().await;
    let whole = fs::read(gateway.log()).unwrap();
    let mut log = OpenOptions::new().append(true).open(gateway.log()).unwrap();
    log.write_all(br#"{"kind":"charge","at_ms":1,"key":"k2","requ"#).unwrap();

    gateway.crash_and_restart().await;
    assert_eq!(fs::read(gateway.log()).unwrap(), whole);
    let again = gateway.charge("k1", &charge("tok_visa", "order-1")).await;
    assert_eq!((again.is_replay(), &again.bytes), (true, &first.bytes));
    let second = gateway.charge("k2", &charge("tok_visa", "order-2")).await;
    assert_eq!((second.status, second.is_replay()), (200, false));
    gateway.crash_and_restart().await;
    assert_eq!(gateway.charge("k2", &charge("tok_visa", "order-2")).await.bytes, second.bytes);
}

#[tokio::test]
async fn a_log_with_a_hole_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("gateway.jsonl");
    for content in [
        "{\"kind\":\"opened\"\n",
        "not a log\n",
        "{\"kind\":\"opened\",\"at_ms\":1,\"format\":2,\"gateway\":\"0\"}\n",
    ] {
        fs::write(&log, content).unwrap();
        assert_eq!(refuses_to_start(&log).await, Some(1), "{content}");
        assert_eq!(fs::read_to_string(&log).unwrap(), content);
    }
}

#[tokio::test]
async fn two_gateways_do_not_share_a_log() {
    let gateway = Simulator::start().await;
    assert_eq!(refuses_to_start(&gateway.log()).await, Some(1));
    assert_eq!(gateway.charge("k", &charge("tok_visa", "order-1")).await.status, 200);
}

#[tokio::test]
async fn a_held_call_dies_with_the_process_and_its_key_is_free() {
    let mut gateway = Simulator::start().await;
    gateway.switch(&json!({ "slow_ms": 600_000 })).await;
    let _caller = gateway.send_charge("k", &charge("tok_slow", "order-1")).await;
    gateway.until_in_progress(1).await;
    gateway.crash_and_restart().await;
    gateway.switch(&json!({ "slow_ms": 0 })).await;
    let answer = gateway.charge("k", &charge("tok_slow", "order-1")).await;
    assert_eq!((answer.status, answer.is_replay()), (200, false));
    assert_eq!(gateway.charges_in_log(), 1);
}

/// A gateway whose log may not grow beyond some kilobytes: a write fails in the middle of a line.
fn with_a_full_disk(log: &Path) -> Command {
    let mut shell = Command::new("sh");
    let script = r#"trap '' XFSZ; ulimit -f 8; exec "$0" --listen 127.0.0.1:0 --log "$1""#;
    shell.args(["-c", script, BINARY]).arg(log);
    shell
}

#[tokio::test]
async fn nothing_is_answered_that_could_not_be_written() {
    let mut gateway = Simulator::start_as(with_a_full_disk).await;
    let mut answered = Vec::new();
    for number in 0..1_000 {
        let body = charge("tok_visa", "order-1");
        let Ok(answer) = gateway.post("/charges", &format!("k{number}"), &body).await else {
            break;
        };
        assert_eq!(answer.status, 200);
        answered.push(answer.json()["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(gateway.exit().await.code(), Some(1));
    let id =
        |record| if let JournalRecord::Charge(charged) = record { Some(charged.id) } else { None };
    let written: Vec<_> = gateway.records().into_iter().filter_map(id).collect();
    assert!(!answered.is_empty());
    assert!(
        answered.iter().all(|id| written.contains(id)),
        "answered {answered:?}, written {written:?}"
    );

    // With free space again, the gateway goes on from the whole lines.
    gateway.crash_and_restart().await;
    assert_eq!(gateway.summary().await["charges"], written.len());
}

#[tokio::test]
async fn forgotten_keys_are_free_and_stay_so_over_a_restart() {
    let mut gateway = Simulator::start().await;
    let body = charge("tok_visa", "order-1");
    let first = gateway.charge("k", &body).await;
    gateway.forget_keys().await;
    gateway.crash_and_restart().await;
    let second = gateway.charge("k", &body).await;
    assert_eq!((second.status, second.is_replay()), (200, false));
    assert_ne!(second.json()["id"], first.json()["id"]);
    assert!(gateway.charge("k", &body).await.is_replay());
    let listed = gateway.get("/charges?order_id=order-1").await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 2, "what was charged stays on the list");
}
