//! `sagactl audit`, as operators run it: a system at work, a system that was stopped, and a planted
//! violation of each invariant, which turns its own line red.

use std::{collections::BTreeSet, process::Output, time::Duration};

use contract::{PAYMENT_DONE, TOPICS};
use devstack::TestWait;
use nix::sys::signal::Signal;
use rdkafka::{
    Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use sagactl::{
    audit::{AuditTargets, ServiceName, readers},
    http_client::http_client,
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use shared::consumer::RecordHandler as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::process::Command;
use uuid::Uuid;
use xtask::cluster::ProcessName;

use crate::{
    read,
    stage::{self, Stage},
};

/// As long as a machine may stall.
const PATIENCE: Duration = Duration::from_mins(5);

/// The program and its targets.
struct Auditor {
    targets: AuditTargets,
    brokers: String,
    prefix: String,
}

/// The output of one run.
struct Audited {
    code: Option<i32>,
    report: Value,
}

impl Auditor {
    fn of(stage: &Stage) -> Self {
        let broker = stage.cluster.broker();
        let targets = stage.cluster.audit_targets().unwrap();
        Self { targets, brokers: broker.brokers, prefix: broker.prefix }
    }

    /// Runs the program with its targets in its environment.
    async fn output(&self, arguments: &[&str]) -> Output {
        let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("sagactl");
        let mut command = Command::new(program);
        command.arg("audit").args(arguments);
        if !arguments.contains(&"--limit-seconds") {
            command.args(["--limit-seconds", "2"]);
        }
        command.env("KAFKA_BROKERS", &self.brokers).env("KAFKA_TOPIC_PREFIX", &self.prefix);
        for (service, url) in &self.targets.databases {
            command.env(format!("{}_DATABASE_URL", word(*service)), url.expose_secret());
        }
        for (service, url) in &self.targets.admin {
            command.env(format!("{}_ADMIN_URL", word(*service)), url.as_str());
        }
        command.env("GATEWAY_URL", self.targets.gateway.as_ref().unwrap().as_str());
        command.env("MAIL_API_URL", self.targets.mails.as_ref().unwrap().as_str());
        command.output().await.unwrap()
    }

    async fn run(&self, arguments: &[&str]) -> Audited {
        let output = self.output(&[&["--json"], arguments].concat()).await;
        let said = String::from_utf8_lossy(&output.stderr);
        let report = serde_json::from_slice(&output.stdout);
        Audited { code: output.status.code(), report: report.unwrap_or_else(|_| panic!("{said}")) }
    }

    async fn sql(&self, service: ServiceName, statement: &str) {
        let url = self.targets.databases[&service].expose_secret();
        let mut conn = PgConnection::connect(url).await.unwrap();
        let done = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut conn).await;
        assert_eq!(done.unwrap().rows_affected(), 1, "{statement}");
    }
}

/// How the program's settings call a service.
fn word(service: ServiceName) -> &'static str {
    match service {
        ServiceName::Orders => "ORDERS",
        ServiceName::Inventory => "INVENTORY",
        ServiceName::Payments => "PAYMENTS",
        ServiceName::Notify => "NOTIFY",
    }
}

impl Audited {
    fn named(&self, outcome: &str) -> BTreeSet<&str> {
        let results = self.report["invariants"].as_array().unwrap();
        let with = results.iter().filter(|result| result["outcome"] == outcome);
        with.map(|result| result["name"].as_str().unwrap()).collect()
    }

    fn of(&self, name: &str) -> &Value {
        let results = self.report["invariants"].as_array().unwrap();
        results.iter().find(|result| result["name"] == name).unwrap()
    }

    #[track_caller]
    fn assert_violated(&self, names: &[&str]) {
        assert_eq!(self.named("violated"), names.iter().copied().collect(), "{:#}", self.report);
        assert_eq!(self.code, Some(1));
    }
}

/// An order whose customer was told of its end.
async fn ended(stage: &Stage, card: &str) -> Uuid {
    let order = stage.place("load-0001", card).await;
    stage.history(order.id, &["notification-sent"]).await;
    order.id
}

/// An order that waits for its payment is open and not wrong; that its service does not read is said.
async fn assert_open_orders_are_no_violation(stage: &mut Stage, auditor: &Auditor) {
    stage.cluster.end(ProcessName::Payments, Signal::SIGTERM).await.unwrap();
    let order = stage.place("load-0002", "tok_visa").await;
    stage.history(order.id, &["stock-reserved"]).await;
    let mut without = auditor.targets.clone();
    without.admin.clear();
    let auditor = Auditor {
        targets: without,
        brokers: auditor.brokers.clone(),
        prefix: auditor.prefix.clone(),
    };
    let audited = auditor.run(&["--partial"]).await;
    audited.assert_violated(&["topics are read"]);
    assert_eq!(audited.of("orders ended")["open"], 1, "{:#}", audited.report);
    let unread = audited.of("topics are read")["examples"][0].as_str().unwrap();
    assert!(unread.starts_with("payment-service: "), "{unread}");
    let at_rest = auditor.run(&["--partial", "--at-rest"]).await;
    assert!(at_rest.named("violated").contains("orders ended"), "{:#}", at_rest.report);
    stage.cluster.restart(ProcessName::Payments).await.unwrap();
    stage.history(order.id, &["notification-sent"]).await;
}

/// Removes everything that is on a topic.
async fn empty(stage: &Stage, topic: &str) {
    let mut list = TopicPartitionList::new();
    let declared = TOPICS.iter().find(|declared| declared.name == topic).unwrap();
    let broker = stage.cluster.broker();
    for partition in 0..declared.partitions {
        list.add_partition_offset(&broker.topic(topic), partition, Offset::End).unwrap();
    }
    let admin: AdminClient<DefaultClientContext> = broker.client().create().unwrap();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    admin.delete_records(&list, &options).await.unwrap();
}

/// Deletes an order's mail from the sink.
async fn delete_mail(auditor: &Auditor, order: Uuid) {
    let http = http_client().unwrap();
    let url = auditor.targets.mails.as_ref().unwrap().join("api/v1/messages").unwrap();
    let mut patience = TestWait::until("the mail is found");
    let mut start = 0;
    let id = loop {
        let asked = [("limit", 200), ("start", start)];
        let page: Value =
            http.get(url.clone()).query(&asked).send().await.unwrap().json().await.unwrap();
        let mails = page["messages"].as_array().unwrap();
        let ours =
            |mail: &&Value| mail["MessageID"].as_str().unwrap().starts_with(&order.to_string());
        if let Some(mail) = mails.iter().find(ours) {
            break mail["ID"].clone();
        }
        // Other tests send mails to the same sink.
        start = if mails.is_empty() { 0 } else { start + mails.len() };
        patience.look_again(start).await;
    };
    let deleted = http.delete(url).json(&json!({ "IDs": [id] })).send().await.unwrap();
    assert!(deleted.status().is_success());
}

/// Charges a card for an order that nobody has placed.
async fn charge_for_nobody(auditor: &Auditor) {
    let url = auditor.targets.gateway.as_ref().unwrap().join("charges").unwrap();
    let body = json!({
        "amount": 1000, "currency": "EUR", "source": "tok_visa",
        "metadata": { "order_id": "00000000-0000-4000-8000-000000000001" },
    });
    let asked = http_client().unwrap().post(url).header("Idempotency-Key", "nobody");
    assert!(asked.json(&body).send().await.unwrap().status().is_success());
}

/// Stops the services, once they have read everything.
async fn stop_services(stage: &mut Stage) {
    stage.all_end().await;
    for member in ProcessName::SERVICES {
        read::to_the_end(&stage.cluster, member).await;
    }
    for member in ProcessName::SERVICES {
        assert_eq!(stage.cluster.end(member, Signal::SIGTERM).await.unwrap(), Some(0), "{member}");
    }
}

/// A row that is changed, what turns red, and how it is changed back.
async fn assert_rows(auditor: &Auditor, order: Uuid) {
    let placed = format!(
        "UPDATE orders SET stage = 'pending', confirmed_at = NULL, due_at = now() - interval '1 d'
         WHERE order_id = '{order}'"
    );
    let placed_back = format!(
        "UPDATE orders SET stage = 'confirmed', confirmed_at = now() WHERE order_id = '{order}'"
    );
    let charged = |by: &str| {
        format!("UPDATE payments SET charged_minor = charged_minor {by} WHERE order_id = '{order}'")
    };
    let notice = |stage: &str, at: &str, id: &str| {
        format!(
            "UPDATE notices SET stage = '{stage}', at = {at}, message_id = {id}
             WHERE order_id = '{order}' AND kind = 'confirmed'"
        )
    };
    let sold = |sign: &str| {
        format!(
            "UPDATE products SET sold = sold {sign} 1, stocked = stocked {sign} 1
             WHERE sku = 'load-0001'"
        )
    };
    let outbox = "INSERT INTO messaging.outbox (message_id, topic, headers, created_at)
                  VALUES (gen_random_uuid(), 'planted', '', now() - interval '1 h')";
    let letter = "INSERT INTO messaging.dead_letter
                      (dead_letter_id, topic, partition, \"offset\", headers, reason, detail)
                  VALUES (gen_random_uuid(), 'planted', 0, 0, '', 'planted', '')";
    let job = "INSERT INTO messaging.job (kind, key, payload, due_at)
               VALUES ('planted', '', '{}', now() - interval '1 h')";
    let delete = |table: &str, column: &str| {
        format!("DELETE FROM messaging.{table} WHERE {column} = 'planted'")
    };
    for (service, plant, back, red) in [
        (ServiceName::Inventory, sold("+"), sold("-"), "stock adds up"),
        (ServiceName::Orders, placed, placed_back, "orders ended"),
        (ServiceName::Payments, charged("+ 1"), charged("- 1"), "payments match orders"),
        (
            ServiceName::Notify,
            notice("skipped", "NULL", "NULL"),
            notice("sent", "now()", "'planted'"),
            "customers are notified",
        ),
        (ServiceName::Orders, outbox.to_owned(), delete("outbox", "topic"), "outboxes are empty"),
        (
            ServiceName::Payments,
            letter.to_owned(),
            delete("dead_letter", "topic"),
            "dead letters are decided",
        ),
        (ServiceName::Notify, job.to_owned(), delete("job", "kind"), "jobs are done"),
    ] {
        auditor.sql(service, &plant).await;
        let audited = auditor.run(&["--partial"]).await;
        auditor.sql(service, &back).await;
        // A mail of an order that was not to have one is a mail too many.
        let also = (red == "customers are notified").then_some("mails are delivered");
        audited.assert_violated(&also.into_iter().chain([red]).collect::<Vec<_>>());
    }
}

/// An order that looks wrong while its rows are read, and is right when they are read again, is no
/// violation.
async fn assert_a_suspect_is_read_again(auditor: &Auditor, order: Uuid) {
    let charged = |by: &str| {
        format!("UPDATE payments SET charged_minor = charged_minor {by} WHERE order_id = '{order}'")
    };
    auditor.sql(ServiceName::Payments, &charged("+ 1")).await;
    let url = auditor.targets.databases[&ServiceName::Payments].expose_secret();
    let mut conn = PgConnection::connect(url).await.unwrap();
    let righting = async {
        // Only the second look asks why a message may be missing.
        let again = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND query LIKE 'WITH wanted AS%'";
        let mut patience = TestWait::until("the suspect is read again");
        while sqlx::query_scalar::<_, i64>(again).fetch_one(&mut conn).await.unwrap() == 0 {
            patience.look_again("not yet").await;
        }
        auditor.sql(ServiceName::Payments, &charged("- 1")).await;
    };
    let patient = ["--partial", "--limit-seconds", "300"];
    let (audited, ()) = tokio::join!(auditor.run(&patient), righting);
    assert_eq!(audited.code, Some(0), "{:#}", audited.report);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_names_each_violation_of_a_system_that_runs_or_was_stopped() {
    let mut stage = stage::open().await;
    let auditor = Auditor::of(&stage);
    let [lost, told, kept] = [
        ended(&stage, "tok_visa").await,
        ended(&stage, "tok_visa").await,
        ended(&stage, "tok_visa").await,
    ];
    ended(&stage, "tok_chargeDeclined").await;
    stage.all_end().await;
    let running = auditor.run(&[]).await;
    assert_eq!(running.code, Some(0), "{:#}", running.report);
    assert_eq!(running.named("kept").len(), 13, "{:#}", running.report);
    assert_eq!(running.report["orders"], json!({ "confirmed": 3, "cancelled": 1 }));
    assert_open_orders_are_no_violation(&mut stage, &auditor).await;

    stop_services(&mut stage).await;
    // What needs a service that answers cannot be checked; asked to do without, the rest is enough.
    let unreachable = auditor.run(&["--partial"]).await;
    assert_eq!(unreachable.code, Some(3), "{:#}", unreachable.report);
    assert_eq!(unreachable.named("not-checked"), BTreeSet::from(["counters are zero"]));
    let mut auditor = auditor;
    auditor.targets.admin.clear();
    assert_eq!(auditor.run(&[]).await.code, Some(3));
    let stopped = auditor.run(&["--partial", "--at-rest"]).await;
    assert_eq!(stopped.code, Some(0), "{:#}", stopped.report);

    assert_a_suspect_is_read_again(&auditor, kept).await;
    assert_rows(&auditor, kept).await;
    let history = "messages reached the order history";
    auditor
        .sql(
            ServiceName::Orders,
            &format!(
                "DELETE FROM order_history WHERE order_id = '{lost}' AND what = 'payment-done'"
            ),
        )
        .await;
    auditor.run(&["--partial"]).await.assert_violated(&[history]);
    empty(&stage, PAYMENT_DONE).await;
    let topics = "topics are complete and in order";
    let mut patience = TestWait::until("the message is gone");
    let audited = loop {
        let audited = auditor.run(&["--partial"]).await;
        if audited.named("violated").contains(topics) {
            break audited;
        }
        patience.look_again(audited.report).await;
    };
    audited.assert_violated(&[history, topics]);
    let lines = audited.of(topics)["examples"].to_string();
    assert!(lines.contains(&lost.to_string()), "{lines}");
    delete_mail(&auditor, told).await;
    let mails = "mails are delivered";
    auditor.run(&["--partial"]).await.assert_violated(&[history, topics, mails]);
    charge_for_nobody(&auditor).await;
    let charges = "gateway charges match orders";
    auditor.run(&["--partial"]).await.assert_violated(&[history, topics, mails, charges]);
    assert_eq!(stage.cluster.stop().await.unwrap(), Vec::<String>::new());
}

#[test]
fn the_audit_knows_which_services_read_each_topic() {
    let reads = [
        (ServiceName::Orders, order_service::consumer::EventHandler::reads()),
        (ServiceName::Inventory, inventory_service::consumer::EventHandler::reads()),
        (ServiceName::Payments, payment_service::consumer::EventHandler::reads()),
        (ServiceName::Notify, notify_service::consumer::EventHandler::reads()),
    ];
    for topic in TOPICS.iter().map(|spec| spec.name).filter(|name| !name.contains('.')) {
        let found: BTreeSet<ServiceName> = reads
            .iter()
            .filter(|(_, kinds)| kinds.iter().any(|kind| kind.topic() == topic))
            .map(|(service, _)| *service)
            .collect();
        let known: BTreeSet<ServiceName> = readers(topic).iter().copied().collect();
        assert_eq!(known, found, "{topic}");
    }
}
