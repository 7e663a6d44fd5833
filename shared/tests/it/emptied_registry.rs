//! A registry that was emptied under services that run, and counts its ids anew: who runs registers
//! again, in whatever order, and nobody keeps believing what an id stood for in between.

use devstack::{Halt, Part, Parts, Silent, Source, Stack};
use shared::{
    codec::{Codec, Kind, Settings, Unreadable},
    contract::{OrderCancelled, OrderConfirmed},
    message::Message,
    registry::Registry,
};

use crate::{
    codec::{arrived, confirmed, connect, read, reason, says},
    registry::answered,
};

const CONFIRMED: fn() -> Kind = Kind::of::<OrderConfirmed>;
const CANCELLED: fn() -> Kind = Kind::of::<OrderCancelled>;

/// The registry of tests keeps its schemas in its memory.
async fn empty(stack: &Stack) {
    stack.stop_part(Part::Registry, Halt::Kill).await.unwrap();
    stack.start_part(Part::Registry).await.unwrap();
}

fn say(codec: &Codec) -> Message {
    arrived(codec.message(says(), &confirmed()).unwrap())
}

fn id(message: &Message) -> u32 {
    let payload = message.incoming.payload.as_ref().unwrap();
    u32::from_be_bytes(payload[1..5].try_into().unwrap())
}

async fn renew(codec: &Codec) -> usize {
    let mut patience = devstack::Patience::until("the registry answers");
    loop {
        match codec.renew().await {
            Ok(changed) => return changed,
            Err(error) => patience.look_again(error).await,
        }
    }
}

async fn is_confirmed(codec: &Codec, message: &Message) {
    assert_eq!(read::<OrderConfirmed>(codec, message).await.unwrap(), confirmed());
}

#[tokio::test]
async fn who_runs_while_the_registry_is_emptied_registers_again_and_believes_the_new_ids() {
    let parts = Parts::of(&[Part::Registry]).forgetful();
    let stack = Stack::start(Source::Native, parts, &Silent).await.unwrap();
    let settings = Settings {
        source: "/test".to_owned(),
        registry_url: stack.urls().registry.clone(),
        prefix: devstack::unique_prefix(),
    };
    let orders = connect(&settings, &[CONFIRMED()], &[]).await.unwrap();
    let running = connect(&settings, &[CANCELLED()], &[CONFIRMED()]).await.unwrap();
    let old = say(&orders);
    is_confirmed(&running, &old).await;

    // In another order: the old id is now that of another record.
    empty(&stack).await;
    let restarted = connect(&settings, &[CANCELLED()], &[CONFIRMED()]).await.unwrap();
    let why = reason(read::<OrderConfirmed>(&restarted, &old).await.unwrap_err());
    let other = "describes shop.orders.OrderCancelled";
    let Unreadable::Renumbered { why } = why else { panic!("{why}") };
    assert!(why.contains(other), "{why}");
    is_confirmed(&restarted.for_redrive(), &old).await;
    is_confirmed(&running, &old).await;
    assert_eq!(renew(&orders).await, 1, "an empty registry is filled again");
    assert_eq!(renew(&running).await, 1);
    let new = say(&orders);
    assert_ne!(id(&new), id(&old));
    for codec in [&running, &restarted] {
        is_confirmed(codec, &new).await;
    }

    // Once more, in the first order: what was found to be another record's is ours again.
    empty(&stack).await;
    assert_eq!(renew(&orders).await, 1);
    assert_eq!(renew(&restarted).await, 1);
    let newest = say(&orders);
    assert_eq!(id(&newest), id(&old));
    is_confirmed(&restarted, &newest).await;
    let registry = Registry::new(&settings.registry_url).unwrap();
    let kept = answered(async || registry.schema(id(&newest)).await).await.unwrap();
    assert!(kept.text.contains("OrderConfirmed"), "{}", kept.text);
    stack.stop().await;
}
