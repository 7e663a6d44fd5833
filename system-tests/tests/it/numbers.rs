//! Each counter that must stay 0 rises when the counted event happens.

use devstack::TestWait;
use shared::{clock::Clock, sequence};
use xtask::cluster::ProcessName;

use crate::{raw, read, stage};

#[tokio::test]
async fn a_repeat_and_a_message_out_of_order_are_counted_by_their_reader() {
    let mut stage = stage::open().await;
    let order = stage.place("load-0001", "tok_visa").await;
    stage.history(order.id, &["notification-sent"]).await;
    // A member that stalled reads some messages again; the other counter stays 0 even so.
    read::to_the_end(&stage.cluster, ProcessName::Orders).await;
    let counted = async || {
        let of = async |name| stage.cluster.counter(ProcessName::Orders, name).await.unwrap();
        (of(sequence::REPEATS).await, of(sequence::FALLS).await)
    };
    let (before, falls) = counted().await;
    assert_eq!(falls, 0);

    let brokers = &stage.cluster.stack().brokers;
    let topic = format!("{}notification-sent", stage.cluster.prefix());
    let said = raw::read(brokers, &topic).await.remove(0);
    let as_another = |sequence: &str| {
        let id = Clock::System.new_id().to_string();
        said.clone().with("ce_id", &id).with("ce_sequence", sequence)
    };
    raw::say(brokers, vec![said.clone(), as_another("3"), as_another("2")]).await;
    let mut patience = TestWait::until("each is counted");
    loop {
        let (repeats, falls) = counted().await;
        assert!(falls <= 1, "{falls} messages out of order");
        if repeats > before && falls == 1 {
            break;
        }
        patience.look_again((repeats, falls)).await;
    }
    // A counter that should be 0 does not make a service unready.
    stage.cluster.ready(ProcessName::Orders).await.unwrap();
    assert_eq!(stage.cluster.stop().await.unwrap(), Vec::<String>::new());
}
