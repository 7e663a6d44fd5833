//! An operator finds and fixes dead letters with `sagactl` over HTTP and nothing else.

use std::{
    collections::BTreeMap,
    process::Stdio,
    time::{Duration, Instant},
};

use clap::Parser as _;
use devstack::{
    ServerSource, ServerStack, SilentProgress, StackPart, StopMode, TestWait, WantedParts,
};
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use sagactl::{cli::CommandLine, dead_letters::api::AdminClient, http_client::http_client};
use shared::{
    clock::Clock,
    dead_letter::{LetterFilter, LetterSummary},
    message::{MessageEnvelope, TraceContext},
};
use sqlx::{Connection as _, PgConnection};
use tokio::{net::TcpStream, process::Command};
use uuid::Uuid;
use xtask::cluster::{self, AuditExpectation, ProcessName};

use crate::{
    raw::{self, Raw},
    stage::{self, Stage, insist, until},
    trace::{
        self,
        collector::{Collector, Recorded},
        tree::Tree,
    },
};

/// The open letters of a service, of a key or of any, as `sagactl` lists them.
pub(crate) async fn letters(
    stage: &Stage,
    member: ProcessName,
    key: impl Into<Option<Uuid>>,
) -> Vec<LetterSummary> {
    let service = AdminClient::at(http_client().unwrap(), &stage.cluster.admin(member));
    let key = key.into().map(|id| id.to_string());
    let filter = LetterFilter { key, ..LetterFilter::default() };
    insist("the letters are listed", async || service.list(&filter, 100).await).await
}

/// Waits until a service has `n` open dead letters, of this key if one is given.
pub(crate) async fn are_dead(
    stage: &Stage,
    member: ProcessName,
    key: impl Into<Option<Uuid>>,
    n: usize,
) {
    let (key, mut patience) = (key.into(), TestWait::until(&format!("{member} has {n} letters")));
    loop {
        let found = letters(stage, member, key).await.len();
        if found == n {
            return;
        }
        patience.look_again(found).await;
    }
}

/// `sagactl dead-letters …` at this service; answers whether it says that all is well.
pub(crate) async fn sagactl(stage: &Stage, member: ProcessName, args: &[&str]) -> bool {
    let admin = stage.cluster.admin(member);
    let begin = ["sagactl", "dead-letters", "--service", &admin];
    // Where it is told to come back later it ends with an error, and is called again.
    let code = insist("sagactl is answered", async || {
        CommandLine::try_parse_from(begin.iter().chain(args)).unwrap().run().await
    });
    format!("{:?}", code.await) == format!("{:?}", std::process::ExitCode::SUCCESS)
}

/// What a person at a terminal is shown by `sagactl dead-letters …`.
async fn at_a_terminal(stage: &Stage, member: ProcessName, args: &str) -> String {
    let (program, admin) =
        (cluster::programs().unwrap().join("sagactl"), stage.cluster.admin(member));
    let words = format!("{} dead-letters --service {admin} {args}", program.display());
    let script = ["-q", "-e", "-c", &words, "/dev/null"];
    let ended = Command::new("script")
        .args(script)
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

/// A message whose outside is in order and whose inside is no Avro.
fn poison(stage: &Stage, topic: &str, order_id: Uuid) -> Raw {
    let clock = Clock::System;
    let envelope = MessageEnvelope {
        id: clock.new_id(),
        event_type: format!("shop.inventory.{topic}.v1").into(),
        source: "/inventory-service".into(),
        subject: order_id.to_string(),
        sequence: 1,
        time: clock.now(),
        trace: Some(TraceContext::start()),
    };
    let header =
        |(name, value): (&str, Option<&[u8]>)| (name.to_owned(), value.map(<[u8]>::to_vec));
    Raw {
        topic: format!("{}{topic}", stage.cluster.prefix()),
        key: Some(order_id.to_string().into_bytes()),
        headers: envelope.to_headers().iter().map(header).collect(),
        payload: Some(b"not avro at all".to_vec()),
    }
}

/// As an operator, redrives the one letter of an order, which is still dead then.
async fn redrive_in_vain(stage: &Stage, member: ProcessName, order_id: Uuid) -> String {
    let (key, letter) = (order_id.to_string(), letters(stage, member, order_id).await.remove(0));
    assert!(sagactl(stage, member, &["list", "--topic", "stock-reserved"]).await);
    assert!(sagactl(stage, member, &["redrive", "--key", &key, "--dry-run"]).await);
    assert!(!sagactl(stage, member, &["redrive", "--key", &key]).await, "it is still dead");
    let tried = letters(stage, member, order_id).await.remove(0);
    assert_eq!((tried.attempts, tried.reason.as_str()), (2, "body"));
    letter.id.to_string()
}

/// Has the order service read what it could not, as a new version of it might: the body is replaced
/// by one that inventory-service published.
async fn repair(stage: &Stage, order_id: Uuid) {
    let topic = format!("{}stock-reserved", stage.cluster.prefix());
    let published = raw::read(&stage.cluster.stack().brokers, &topic).await;
    let is_good = |raw: &&Raw| {
        raw.key == Some(order_id.to_string().into_bytes())
            && raw.payload.as_ref().is_some_and(|body| body[0] == 0)
    };
    let body = published.iter().find(is_good).unwrap().payload.clone();
    let database = stage.cluster.database(ProcessName::Orders).unwrap();
    let mut conn = PgConnection::connect(database).await.unwrap();
    sqlx::query("UPDATE messaging.dead_letter SET payload = $1 WHERE key = $2")
        .bind(body)
        .bind(order_id.to_string().into_bytes())
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
}

/// Poisons an order while inventory-service is away, sees it end all the same, and decides about
/// the letters as an operator.
async fn poison_an_order(stage: &mut Stage) -> Uuid {
    stage.cluster.end(ProcessName::Inventory, Signal::SIGTERM).await.unwrap();
    let order = stage.place("load-0001", "tok_visa").await;
    let brokers = stage.cluster.stack().brokers.clone();
    raw::say(&brokers, vec![poison(stage, "stock-reserved", order.id)]).await;
    // Two services read that topic.
    for member in [ProcessName::Payments, ProcessName::Orders] {
        are_dead(stage, member, order.id, 1).await;
    }
    stage.cluster.restart(ProcessName::Inventory).await.unwrap();
    let order = stage.history(order.id, &["notification-sent"]).await;
    assert_eq!(order.status, "confirmed", "a dead letter keeps nothing back");

    let id = redrive_in_vain(stage, ProcessName::Payments, order.id).await;
    let because = ["discard", &id, "--because", "somebody's test"];
    assert!(sagactl(stage, ProcessName::Payments, &because).await);
    assert!(sagactl(stage, ProcessName::Payments, &["show", &id]).await);
    let id = redrive_in_vain(stage, ProcessName::Orders, order.id).await;
    repair(stage, order.id).await;
    assert!(sagactl(stage, ProcessName::Orders, &["redrive", &id]).await);
    for member in [ProcessName::Payments, ProcessName::Orders] {
        assert!(letters(stage, member, order.id).await.is_empty());
    }
    assert_eq!(stage.status(order.id).await, "confirmed", "late news changes nothing");
    order.id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_order_ends_and_its_letters_are_redriven_or_discarded_later() {
    let collector = Collector::start().await;
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())];
    let mut stage = stage::open_on(devstack::shared().await, &environment).await;
    // Where spans were lost, because the machine stood still, another order tells.
    for n in 1..=ORDERS_MAX {
        let before = trace::lost(&stage).await;
        let order = poison_an_order(&mut stage).await.to_string();
        let is_whole = |tree: &Tree| {
            let redriven = of_poison(&collector, &order, "redrive stock-reserved");
            goes_on(tree) && reasons(&collector, &order).len() == 2 && redriven.len() == 1
        };
        if trace::arrives(&stage, (&collector, &order), before, is_whole).await.is_none() {
            continue;
        }
        let reasons = reasons(&collector, &order);
        assert_eq!(reasons, ["body"; 2], "a code, and no word of the message");
        stage.close(AuditExpectation { dead_letters: 2 * n }).await;
        return;
    }
    panic!("of {ORDERS_MAX} orders, no trace has arrived in whole");
}

/// Orders that may be tried until a trace has arrived in whole.
const ORDERS_MAX: i64 = 5;

/// Whether the trace of an order comes to its end, and nothing of it is missing.
fn goes_on(tree: &Tree) -> bool {
    tree.names().contains("process notification-sent") && tree.orphans().is_empty()
}

/// The spans of this name about an order's poison, each once: they are in a trace of their own.
/// What was read twice is recorded twice, under one id.
fn of_poison(collector: &Collector, order: &str, name: &str) -> BTreeMap<Vec<u8>, Recorded> {
    let is_mine = |span: &Recorded| {
        span.attribute("messaging.kafka.message.key").as_deref() == Some(order)
            && span.name() == name
    };
    let mine = collector.recorded().into_iter().filter(is_mine);
    mine.map(|span| (span.span.span_id.clone(), span)).collect()
}

/// Why an order's poison was refused, by each service that read it.
fn reasons(collector: &Collector, order: &str) -> Vec<String> {
    let processed = of_poison(collector, order, "process stock-reserved").into_values();
    let failures = processed.filter_map(|span| span.span.status);
    let failures = failures.filter(|status| status.code == StatusCode::Error as i32);
    failures.map(|status| status.message).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_that_were_given_up_are_sent_once_the_mail_server_is_back_and_an_operator_says_so() {
    let parts = WantedParts::all().forgetful();
    let stack = ServerStack::start(ServerSource::Native, parts, &SilentProgress).await.unwrap();
    let settings = [("MAIL_RETRY", "first=10ms,factor=1,cap=10ms,attempts=2")];
    let stage = stage::open_on(&stack, &settings).await;
    stack.stop_part(StackPart::Mail, StopMode::Kill).await.unwrap();
    let order = stage.place("load-0001", "tok_visa").await;
    let order = stage.history(order.id, &["notification-failed"]).await;
    assert_eq!(order.status, "confirmed", "no mail ever changes an order");
    are_dead(&stage, ProcessName::Notify, None, 1).await;
    let dead = letters(&stage, ProcessName::Notify, None).await;
    let letter = &dead[0];
    assert_eq!((letter.source.as_str(), letter.attempts), ("job", 2));
    assert!(letter.key.as_deref().unwrap().contains(&order.id.to_string()), "{letter:?}");

    stack.start_part(StackPart::Mail).await.unwrap();
    // The mail server says that it is ready a moment before it takes mails.
    until("mails are taken", async || TcpStream::connect(&stack.urls().smtp).await.is_ok()).await;
    // A mail server that stands still costs both attempts; then the operator says so again.
    let mut patience = TestWait::until("the mail is sent");
    loop {
        assert!(sagactl(&stage, ProcessName::Notify, &["redrive"]).await);
        let order = insist("the order is shown", async || stage.orders.get(order.id).await).await;
        if order.history.iter().any(|entry| entry.what == "notification-sent") {
            break;
        }
        patience.look_again(order).await;
    }
    stage.close(AuditExpectation::default()).await;
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_letters_are_decided_as_asked_for_no_faster_than_asked_for_and_the_next_run_goes_on()
 {
    let (stage, member) = (stage::open().await, ProcessName::Orders);
    let brokers = stage.cluster.stack().brokers.clone();
    let poisons = [(); 3].map(|()| poison(&stage, "stock-rejected", Clock::System.new_id()));
    raw::say(&brokers, poisons.into()).await;
    let attempts = async || {
        let letters = letters(&stage, member, None).await;
        letters.iter().map(|letter| letter.attempts).collect::<Vec<_>>()
    };
    until("the poison is dead", async || attempts().await == [1, 1, 1]).await;

    assert!(sagactl(&stage, member, &["redrive", "--reason", "envelope"]).await);
    assert_eq!(attempts().await, [1, 1, 1], "none has that reason");
    assert!(!sagactl(&stage, member, &["redrive", "--reason", "body", "--max", "2"]).await);
    assert_eq!(attempts().await, [2, 2, 1], "the oldest two");
    let discard = ["discard", "--topic", "stock-rejected", "--because", "a test's"];
    let one = [&discard[..], &["--max", "1"]].concat();
    assert!(sagactl(&stage, member, &one).await);
    assert_eq!(attempts().await, [2, 1]);
    // Between two decisions lies half a second, however fast the machine is.
    let began = Instant::now();
    let rest = "discard --topic stock-rejected --because tests --rate 2";
    let shown = at_a_terminal(&stage, member, rest).await;
    assert!([" 1/2 ", " 2/2 "].iter().all(|text| shown.contains(text)), "a bar counts: {shown:?}");
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
    assert!(attempts().await.is_empty());
    stage.close(AuditExpectation { dead_letters: 3 }).await;
}
