//! What tracing systems have added to a caller's trace goes along with all that follows from the
//! request.

use std::collections::BTreeSet;

use xtask::cluster::AuditExpectation;

use crate::{
    raw,
    read::topics,
    stage::{self, Stage},
    trace::place_under,
};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const STATE: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";

/// The topics that have a message about the order, and the `tracestate` of each message.
async fn said(stage: &Stage, order: &str) -> Vec<(&'static str, Option<String>)> {
    let mut said = Vec::new();
    for topic in topics() {
        let whole = format!("{}{topic}", stage.cluster.prefix());
        let messages = raw::read(&stage.cluster.stack().brokers, &whole).await;
        let about = |message: &raw::Raw| message.key.as_deref() == Some(order.as_bytes());
        for message in messages.into_iter().filter(about) {
            let parent = message.text("traceparent").unwrap();
            assert!(parent.contains("-0af7651916cd43dd8448eb211c80319c-"), "{topic}: {parent}");
            said.push((topic, message.text("tracestate")));
        }
    }
    said
}

#[tokio::test]
async fn a_callers_tracestate_is_on_every_message_about_the_order() {
    let stage = stage::open().await;
    let whole = [("traceparent", PARENT), ("tracestate", STATE)];
    let order = place_under(&stage, &whole).await;
    // By way of two jobs: the charge, and the mail.
    stage.history(order.parse().unwrap(), &["order-confirmed", "notification-sent"]).await;
    let messages = said(&stage, &order).await;
    for (topic, state) in &messages {
        assert_eq!(state.as_deref(), Some(STATE), "{topic}");
    }
    let topics: BTreeSet<&str> = messages.iter().map(|(topic, _)| *topic).collect();
    let way =
        ["notification-sent", "order-confirmed", "order-placed", "payment-done", "stock-reserved"];
    assert_eq!(topics, way.into());

    let bad = [("traceparent", PARENT), ("tracestate", "Rojo")];
    let order = place_under(&stage, &bad).await;
    stage.history(order.parse().unwrap(), &["order-confirmed", "notification-sent"]).await;
    assert!(said(&stage, &order).await.iter().all(|(_, state)| state.is_none()));
    stage.close(AuditExpectation::default()).await;
}
