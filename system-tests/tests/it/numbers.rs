//! The counters that must stay 0 do not stay 0 when what they count happens.

use sagactl::{
    audit::counters::{self, Counted},
    fleet::Member,
};
use shared::clock::Clock;

use crate::{
    raw,
    stage::{self, until},
};

#[tokio::test]
async fn a_repeat_a_fall_and_a_loss_are_counted_by_whoever_reads_them() {
    let stage = stage::open().await;
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["notification-sent"]).await;
    until("nothing was counted", async || {
        counters::read(&stage.fleet).await.unwrap() == Counted::default()
    })
    .await;

    let brokers = &stage.fleet.stack().brokers;
    let topic = format!("{}notification-sent", stage.fleet.prefix());
    let said = raw::read(brokers, &topic).await.remove(0);
    let as_another = |sequence: &str| {
        let id = Clock::System.new_id().to_string();
        said.clone().with("ce_id", &id).with("ce_sequence", sequence)
    };
    let strange = vec![said.clone(), as_another("1"), as_another("3")];
    raw::say(brokers, strange).await;
    let expected = Counted { repeats: 1, falls: 1, losses: 1 };
    until("each is counted", async || counters::read(&stage.fleet).await.unwrap() == expected)
        .await;
    let ready = reqwest::get(format!("{}/readyz?verbose", stage.fleet.admin(Member::Orders))).await;
    assert!(ready.unwrap().status().is_success(), "a number that should be 0 keeps nobody out");
    assert_eq!(stage.fleet.stop().await.unwrap(), Vec::<String>::new());
}
