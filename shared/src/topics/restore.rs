//! Recreates a topic, as it is declared, that was deleted while services run.

use super::{LOOK_AGAIN, LOOKS_MAX, ReplicaCount, TopicError, TopicSpec, admin::TopicAdmin};
use crate::kafka;

/// Creates one topic if it is missing; answers whether it was. An existing one is left unchanged.
/// Waits for the broker for as long as its administration does: the caller sets a limit.
pub(crate) async fn restore(
    settings: &kafka::KafkaSettings,
    topic: TopicSpec,
    replicas: ReplicaCount,
) -> Result<bool, TopicError> {
    let admin = TopicAdmin::new(settings)?;
    let name = settings.topic(topic.name);
    if admin.partitions().await?.contains_key(&name) {
        return Ok(false);
    }
    admin.create(settings, &[topic], replicas).await?;
    for _ in 0..LOOKS_MAX {
        if admin.partitions().await?.contains_key(&name) {
            return Ok(true);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Err(TopicError::Unseen(name))
}
