//! The counters that must stay 0 do not stay 0 when what they count happens.

use devstack::Patience;
use sagactl::{
    audit::counters::{self, Counted},
    fleet::Member,
};
use shared::clock::Clock;

use crate::{raw, read, stage};

#[tokio::test]
async fn a_repeat_a_fall_and_a_loss_are_counted_by_whoever_reads_them() {
    let mut stage = stage::open().await;
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["notification-sent"]).await;
    // A member that stalled reads some messages again; the other counters stay 0 even so.
    read::to_the_end(&stage.fleet, Member::Orders).await;
    let before = counters::read(&stage.fleet).await.unwrap();
    assert_eq!(before, Counted { repeats: before.repeats, ..Counted::default() });

    let brokers = &stage.fleet.stack().brokers;
    let topic = format!("{}notification-sent", stage.fleet.prefix());
    let said = raw::read(brokers, &topic).await.remove(0);
    let as_another = |sequence: &str| {
        let id = Clock::System.new_id().to_string();
        said.clone().with("ce_id", &id).with("ce_sequence", sequence)
    };
    let strange = vec![said.clone(), as_another("1"), as_another("3")];
    raw::say(brokers, strange).await;
    let mut patience = Patience::until("each is counted");
    loop {
        let Counted { repeats, falls, losses } = counters::read(&stage.fleet).await.unwrap();
        assert!(falls <= 1 && losses <= 1, "{falls} falls, {losses} losses");
        if repeats > before.repeats && falls == 1 && losses == 1 {
            break;
        }
        patience.look_again((repeats, falls, losses)).await;
    }
    // A number that should be 0 keeps nobody out.
    stage.fleet.ready(Member::Orders).await.unwrap();
    assert_eq!(stage.fleet.stop().await.unwrap(), Vec::<String>::new());
}
