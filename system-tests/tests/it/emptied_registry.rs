//! The schema registry loses all that it keeps while orders are in flight, and gives other ids when it
//! is back. Each service says so, an operator's redrive reads what lies in the topics, every order ends.

use std::collections::BTreeSet;

use devstack::{ServerSource, ServerStack, SilentProgress, StackPart, StopMode, WantedParts};
use nix::sys::signal::Signal;
use sagactl::http_client::http_client;
use serde_json::json;
use uuid::Uuid;
use xtask::cluster::{AuditExpectation, ProcessName};

use crate::{
    letters::{are_dead, letters, sagactl},
    stage::{self, Stage, answered, insist, until},
};

/// More than the services have schemas.
const STRANGERS: usize = 40;

/// Somebody else's schemas: they take the first ids of an empty registry.
async fn register_strangers(stack: &ServerStack) {
    let http = http_client().unwrap();
    for n in 0..STRANGERS {
        let schema = json!({ "type": "record", "name": format!("Stranger{n}"), "fields": [] });
        let url = format!("{}/subjects/stranger-{n}/versions", stack.urls().registry);
        let body = json!({ "schema": schema.to_string() });
        answered(http.post(url).json(&body)).await.error_for_status().unwrap();
    }
}

/// The registry of tests keeps its schemas in its memory.
async fn empty(stack: &ServerStack) {
    stack.stop_part(StackPart::Registry, StopMode::Kill).await.unwrap();
    stack.start_part(StackPart::Registry).await.unwrap();
}

/// What the registry has schemas for.
async fn subjects(stack: &ServerStack) -> BTreeSet<String> {
    let url = format!("{}/subjects", stack.urls().registry);
    answered(http_client().unwrap().get(url)).await.json().await.unwrap()
}

/// Waits until a query at a service's database answers with yes.
async fn holds(stage: &Stage, member: ProcessName, query: &'static str) {
    let pool = sqlx::PgPool::connect(stage.cluster.database(member).unwrap()).await.unwrap();
    let ask = async || sqlx::query_scalar::<_, bool>(query).fetch_one(&pool).await;
    until(query, async || insist("the database answers", &ask).await).await;
    pool.close().await;
}

async fn end(stage: &mut Stage, members: &[ProcessName]) {
    for member in members {
        assert_eq!(stage.cluster.end(*member, Signal::SIGTERM).await.unwrap(), Some(0));
    }
}

/// Places an order and ends all services while it is on its way: placed, or its stock reserved.
async fn leave_in_flight(stage: &mut Stage, is_reserved: bool) -> Uuid {
    end(stage, &[ProcessName::Inventory, ProcessName::Payments, ProcessName::Notify]).await;
    let order = stage.place("load-0001", "tok_visa").await;
    holds(stage, ProcessName::Orders, "SELECT NOT EXISTS (SELECT FROM messaging.outbox)").await;
    end(stage, &[ProcessName::Orders]).await;
    if is_reserved {
        stage.cluster.restart(ProcessName::Inventory).await.unwrap();
        let reserved = "SELECT EXISTS (SELECT FROM products WHERE reserved > 0)
                        AND NOT EXISTS (SELECT FROM messaging.outbox)";
        holds(stage, ProcessName::Inventory, reserved).await;
        end(stage, &[ProcessName::Inventory]).await;
    }
    order.id
}

/// A service has `n` dead letters, says why, is ready, and processes them when an operator redrives them.
async fn says_so_and_redrives(stage: &mut Stage, member: ProcessName, n: usize, why: &str) {
    are_dead(stage, member, None, n).await;
    for letter in letters(stage, member, None).await {
        assert_eq!(letter.reason, "body");
        let has = |text: &str| letter.detail.contains(text);
        assert!(has(why) && has("a redrive reads it so"), "{member}: {}", letter.detail);
        let series = format!("schema_ids_unknown_total{{topic=\"{}\"}} 1", letter.topic);
        let numbers = stage.numbers(member).await;
        assert!(numbers.lines().any(|line| line == series), "{member}: no {series}");
    }
    let (is_ready, says) = stage.cluster.health(member).await.unwrap().unwrap();
    assert!(is_ready && says.contains("docs/runbooks/SchemaIdsUnknown.md"), "{member}: {says}");
    assert!(sagactl(stage, member, &["redrive", "--reason", "body"]).await, "{member}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_says_that_the_registry_came_back_with_other_ids_and_redrives_by_type() {
    use ProcessName::{Inventory, Notify, Orders, Payments};
    let parts = WantedParts::all().forgetful();
    let stack = ServerStack::start(ServerSource::Native, parts, &SilentProgress).await.unwrap();
    // The services' first ids are beyond all that they have afterwards.
    register_strangers(&stack).await;
    let mut stage = stage::open_on(&stack, &[]).await;
    let unknown = ("which the registry does not know", vec![Inventory, Payments, Notify]);
    let strangers = ("describes Stranger", vec![Orders, Payments, Payments, Notify]);
    for (round, (why, dead)) in [unknown, strangers].into_iter().enumerate() {
        let is_second = round == 1;
        let order = leave_in_flight(&mut stage, is_second).await;
        empty(&stack).await;
        assert_eq!(subjects(&stack).await, BTreeSet::new());
        if is_second {
            register_strangers(&stack).await;
        }
        for member in ProcessName::SERVICES {
            stage.cluster.restart(member).await.unwrap();
        }
        for member in ProcessName::SERVICES {
            let n = dead.iter().filter(|process| **process == member).count();
            if n > 0 {
                says_so_and_redrives(&mut stage, member, n, why).await;
            }
        }
        let order = stage.history(order, &["notification-sent"]).await;
        assert_eq!(order.status, "confirmed");
    }
    // Each minute, services that run look whether the registry still has what they say.
    let mut all = subjects(&stack).await;
    all.retain(|text| text.starts_with(stage.cluster.prefix()));
    empty(&stack).await;
    until("services that run register again", async || subjects(&stack).await == all).await;
    stage.close(AuditExpectation { dead_letters: 7 }).await;
    stack.stop().await;
}
