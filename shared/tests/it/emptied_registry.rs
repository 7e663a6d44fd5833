//! A registry that is emptied while services run, and counts its ids anew: running services
//! register again, in any order, and none keeps using the old meaning of an id.

use devstack::{ServerSource, ServerStack, SilentProgress, StackPart, StopMode, WantedParts};
use shared::{
    codec::{AvroCodec, CodecSettings, RecordKind, UnreadableBody},
    message::Message,
    schema_registry::SchemaRegistry,
};

use crate::{
    codec::{arrived, connect, meta, read, reason, started},
    records::{LoanEnded, LoanStarted},
    registry::answered,
};

const STARTED: fn() -> RecordKind = RecordKind::of::<LoanStarted>;
const ENDED: fn() -> RecordKind = RecordKind::of::<LoanEnded>;

/// The registry of the tests keeps its schemas in memory.
async fn empty(stack: &ServerStack) {
    stack.stop_part(StackPart::Registry, StopMode::Kill).await.unwrap();
    stack.start_part(StackPart::Registry).await.unwrap();
}

fn say(codec: &AvroCodec) -> Message {
    arrived(codec.message(meta(), &started()).unwrap())
}

fn id(message: &Message) -> u32 {
    let payload = message.incoming.payload.as_ref().unwrap();
    u32::from_be_bytes(payload[1..5].try_into().unwrap())
}

async fn renew(codec: &AvroCodec) -> usize {
    let mut patience = devstack::TestWait::until("the registry answers");
    loop {
        match codec.renew().await {
            Ok(changed) => return changed,
            Err(error) => patience.look_again(error).await,
        }
    }
}

async fn is_read(codec: &AvroCodec, message: &Message) {
    assert_eq!(read::<LoanStarted>(codec, message).await.unwrap(), started());
}

#[tokio::test]
async fn who_runs_while_the_registry_is_emptied_registers_again_and_believes_the_new_ids() {
    let parts = WantedParts::of(&[StackPart::Registry]).forgetful();
    let stack = ServerStack::start(ServerSource::Native, parts, &SilentProgress).await.unwrap();
    let settings = CodecSettings {
        source: "/test".to_owned(),
        registry_url: stack.urls().registry.clone(),
        prefix: devstack::unique_prefix(),
    };
    let loans = connect(&settings, &[STARTED()], &[]).await.unwrap();
    let running = connect(&settings, &[ENDED()], &[STARTED()]).await.unwrap();
    let old = say(&loans);
    is_read(&running, &old).await;

    // In another order: the old id now belongs to another record.
    empty(&stack).await;
    let restarted = connect(&settings, &[ENDED()], &[STARTED()]).await.unwrap();
    let why = reason(read::<LoanStarted>(&restarted, &old).await.unwrap_err());
    let other = "describes library.loans.LoanEnded";
    let UnreadableBody::Renumbered { why } = why else { panic!("{why}") };
    assert!(why.contains(other), "{why}");
    is_read(&restarted.for_redrive(), &old).await;
    is_read(&running, &old).await;
    assert_eq!(renew(&loans).await, 1, "an empty registry is filled again");
    assert_eq!(renew(&running).await, 1);
    let new = say(&loans);
    assert_ne!(id(&new), id(&old));
    for codec in [&running, &restarted] {
        is_read(codec, &new).await;
    }

    // Again in the first order: the id of another record is ours again.
    empty(&stack).await;
    assert_eq!(renew(&loans).await, 1);
    assert_eq!(renew(&restarted).await, 1);
    let newest = say(&loans);
    assert_eq!(id(&newest), id(&old));
    is_read(&restarted, &newest).await;
    let registry = SchemaRegistry::new(&settings.registry_url).unwrap();
    let kept = answered(async || registry.schema(id(&newest)).await).await.unwrap();
    assert!(kept.text.contains("LoanStarted"), "{}", kept.text);
    stack.stop().await;
}
