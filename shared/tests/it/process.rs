//! Whole processes: this test binary, started again in a role that runs, fails or hangs.

use std::{
    convert::Infallible,
    process::{ExitCode, Stdio},
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rdkafka::producer::BaseProducer;
use shared::{
    kafka::{self, ConnectionSecurity, TlsSettings},
    lifecycle::{self, ProcessLifecycle, StopStage},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use tokio_util::sync::CancellationToken;

use crate::kit::PATIENCE;

/// The role of the started process.
const ROLE: &str = "SHARED_TEST_ROLE";

/// The line that it prints once its parts have started.
const STARTED: &str = "the parts have started";

/// Not a test of its own: the other tests start it. Without a role it does nothing.
#[test]
fn a_process_plays_its_role() {
    let Some(role) = std::env::var_os(ROLE) else { return };
    let role = role.into_string().unwrap();
    let grace = if role == "hangs" { Duration::from_millis(200) } else { PATIENCE };
    let code = lifecycle::process(grace, async |life| set_up(&role, &life).await);
    // Not by returning: the test harness has its own exit code.
    std::process::exit(i32::from(code != ExitCode::SUCCESS));
}

async fn set_up(role: &str, life: &ProcessLifecycle) -> Result<(), std::io::Error> {
    life.start(StopStage::Work, "patient", async |stop: CancellationToken| {
        stop.cancelled().await;
        Ok::<_, Infallible>(())
    });
    match role {
        "lives" => (),
        "dies" => life.start(StopStage::Work, "dies", async |_stop: CancellationToken| {
            Err(std::io::Error::other("it dies"))
        }),
        "hangs" => life.start(StopStage::Work, "hangs", async |_stop| -> Result<(), Infallible> {
            // A thread of the runtime, blocked in a call that cannot be cancelled.
            loop {
                thread::park();
            }
        }),
        "deaf" => life.start(StopStage::Work, "deaf", async |_stop: CancellationToken| {
            std::future::pending::<Result<(), Infallible>>().await
        }),
        "encrypts" => encrypt(),
        "cannot" => return Err(std::io::Error::other("it cannot start")),
        "waits" => {
            say_started();
            std::future::pending::<()>().await;
        }
        other => panic!("no such role: {other}"),
    }
    say_started();
    Ok(())
}

/// Threads that run a client's encryption until the very end of the process.
fn encrypt() {
    let settings = kafka::KafkaSettings {
        brokers: "127.0.0.1:1".to_owned(),
        prefix: String::new(),
        client_id: "encrypts".to_owned(),
        security: ConnectionSecurity { tls: Some(TlsSettings::default()), login: None }.into(),
        member: None,
    };
    let begun = Arc::new(Barrier::new(5));
    for _ in 0..4 {
        let (settings, begun) = (settings.clone(), Arc::clone(&begun));
        let make = move || settings.client().create::<BaseProducer>().unwrap();
        thread::spawn(move || {
            make();
            begun.wait();
            loop {
                make();
            }
        });
    }
    begun.wait();
}

#[expect(clippy::print_stdout, reason = "the starting test reads it")]
fn say_started() {
    println!("{STARTED}");
}

/// A process in a role, whose parts have started.
async fn started(role: &str) -> Child {
    let mut child = spawn(role);
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let seen = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.ends_with(STARTED) {
                return true;
            }
        }
        false
    };
    assert!(tokio::time::timeout(PATIENCE, seen).await.unwrap(), "{role} did not start");
    child
}

fn spawn(role: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::a_process_plays_its_role", "--nocapture"])
        .env(ROLE, role)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    kill(Pid::from_raw(pid), signal).unwrap();
}

async fn code(mut child: Child) -> i32 {
    // Shorter than the grace of the hanging roles: an end that waits for the grace is noticed.
    let ended = tokio::time::timeout(PATIENCE / 2, child.wait()).await;
    ended.unwrap().unwrap().code().unwrap()
}

#[tokio::test]
async fn a_process_that_is_told_to_stop_exits_with_success() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let child = started("lives").await;
        send(&child, signal);
        assert_eq!(code(child).await, 0, "{signal}");
    }
}

#[tokio::test]
async fn a_process_whose_part_dies_exits_with_failure() {
    assert_eq!(code(spawn("dies")).await, 1);
}

#[tokio::test]
async fn a_process_that_cannot_start_exits_with_failure() {
    assert_eq!(code(spawn("cannot")).await, 1);
}

#[tokio::test]
async fn a_process_that_waits_for_its_dependencies_can_be_told_to_stop() {
    let child = started("waits").await;
    send(&child, Signal::SIGTERM);
    assert_eq!(code(child).await, 0);
}

#[tokio::test]
async fn a_process_that_hangs_ends_after_its_grace() {
    let child = started("hangs").await;
    send(&child, Signal::SIGTERM);
    assert_eq!(code(child).await, 1);
}

#[tokio::test]
async fn a_second_signal_ends_a_process_at_once() {
    let child = started("deaf").await;
    send(&child, Signal::SIGTERM);
    // The first signal is being handled: its grace is longer than this test's time limit.
    send(&child, Signal::SIGINT);
    assert_eq!(code(child).await, 1);
}

#[tokio::test]
async fn a_process_exits_with_success_while_its_clients_are_encrypting() {
    for _ in 0..32 {
        let child = started("encrypts").await;
        send(&child, Signal::SIGTERM);
        assert_eq!(code(child).await, 0);
    }
}
