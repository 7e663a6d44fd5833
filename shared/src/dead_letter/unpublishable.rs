//! Our own records that the broker never accepts: from the outbox to the dead letters, and back.
//!
//! Such a letter has no place in a log: its partition is -1, and its offset is its former
//! `outbox_id`. Later messages of its key were published meanwhile: redriven, it comes after them.
//!
//! **Architecture invariant:** a record is in the outbox or among the dead letters, never in both
//! or in neither: one transaction moves it, and checks the relay's epoch as settling does.

use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;

use super::{
    Actor, DeadLetter, FailureReason, Resolution, ResolutionError,
    decisions::{self, DecisionOutcome, LetterAction},
    resolve::{self, LetterEnd},
    store::keep,
};
use crate::{
    clock::Clock,
    db,
    fault::Fault,
    message::{IncomingMessage, MessageHeaders, OutgoingMessage},
    outbox::{self, OutboxRow},
};

/// The partition number of an unpublished message.
const NO_PARTITION: i32 = -1;

/// The extra headers on a copy of a dead letter.
const OF_A_COPY: [&str; 2] = ["kafka_dlt-", "dead-letter-"];

/// The most bytes of a header on a copy without its body.
const HEADER_BYTES_MAX: usize = 256;

/// Moves a record from the outbox to the dead letters, with a copy for the dead-letter topic;
/// answers whether `epoch` is still current.
pub(crate) async fn bury(
    conn: &mut PgConnection,
    epoch: i64,
    (service, kept): (&str, &OutboxRow),
    detail: &str,
) -> Result<bool, Fault> {
    let mut tx = conn.begin().await?;
    if !outbox::settle(&mut tx, epoch, &[kept.outbox_id]).await? {
        return Ok(false);
    }
    let message = &kept.message;
    let incoming = IncomingMessage {
        topic: message.topic.to_string(),
        partition: NO_PARTITION,
        offset: kept.outbox_id,
        timestamp_ms: None,
        key: message.key.clone(),
        headers: message.headers.clone(),
        payload: message.payload.clone(),
    };
    let letter = DeadLetter {
        incoming: &incoming,
        reason: FailureReason::Unpublishable,
        detail: detail.to_owned(),
    };
    let copies = keep(&mut tx, service, &Clock::System, &[letter]).await?;
    sqlx::query("UPDATE messaging.dead_letter SET message_id = $1 WHERE dead_letter_id = ANY ($2)")
        .bind(message.id)
        .bind(copies.iter().map(|copy| copy.id).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
    outbox::append(&mut tx, &copies).await?;
    tx.commit().await?;
    Ok(true)
}

/// Puts the record back into the outbox unchanged; the relay publishes it within its poll interval.
pub(super) async fn put_back(
    pool: &PgPool,
    id: Uuid,
    by: &Actor,
) -> Result<Resolution, ResolutionError> {
    let mut tx = db::begin(pool).await?;
    if resolve::hold(&mut tx, id).await?.is_none() {
        return Ok(Resolution::NotOpen);
    }
    decisions::record(&mut tx, id, (LetterAction::Redrive, DecisionOutcome::PutBack), by).await?;
    sqlx::query(
        "INSERT INTO messaging.outbox (message_id, topic, key, headers, payload)
         SELECT message_id, topic, key, headers, payload
         FROM messaging.dead_letter WHERE dead_letter_id = $1",
    )
    .bind(id)
    .execute(&mut *tx)
    .await?;
    resolve::settle(&mut tx, id, LetterEnd::Redriven).await?;
    tx.commit().await?;
    Ok(Resolution::PutBack)
}

/// Closes the letter: the record is not published.
pub(super) async fn discard(
    pool: &PgPool,
    id: Uuid,
    by: &Actor,
) -> Result<Resolution, ResolutionError> {
    let mut tx = db::begin(pool).await?;
    if resolve::hold(&mut tx, id).await?.is_none() {
        return Ok(Resolution::NotOpen);
    }
    decisions::record(&mut tx, id, (LetterAction::Discard, DecisionOutcome::Discarded), by).await?;
    resolve::settle(&mut tx, id, LetterEnd::Discarded).await?;
    tx.commit().await?;
    Ok(Resolution::Settled)
}

/// The smallest copy of a dead letter: no key, no body, no headers of the message itself. The row
/// of the letter has all of it.
pub(crate) fn without_body(copy: &OutgoingMessage) -> OutgoingMessage {
    let mut headers = MessageHeaders::default();
    for (name, value) in copy.headers.iter() {
        let value = value.map(|bytes| &bytes[..bytes.len().min(HEADER_BYTES_MAX)]);
        if OF_A_COPY.iter().any(|prefix| name.starts_with(prefix)) {
            headers.push_raw(name, value);
        }
    }
    headers.push("dead-letter-copy", "without its body: the topic takes no record of its size");
    OutgoingMessage { key: None, headers, payload: None, ..copy.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_without_its_body_says_what_it_is_a_copy_of() {
        let mut headers = MessageHeaders::default();
        headers.push("ce_id", "an id");
        headers.push("x-large", &"x".repeat(100_000));
        headers.push("kafka_dlt-exception-message", &"y".repeat(1_000));
        headers.push("dead-letter-id", "a name");
        let copy = OutgoingMessage {
            id: Uuid::nil(),
            topic: "a-service.dlq".into(),
            key: Some(vec![0; 50_000]),
            headers,
            payload: Some(vec![0; 50_000]),
        };
        let small = without_body(&copy);
        assert_eq!((small.id, &small.topic), (copy.id, &copy.topic));
        assert_eq!((&small.key, &small.payload), (&None, &None));
        assert_eq!(small.headers.text("dead-letter-id").unwrap(), Some("a name"));
        assert_eq!(small.headers.text("ce_id").unwrap(), None);
        assert!(small.headers.text("dead-letter-copy").unwrap().is_some());
        assert!(small.headers.to_bytes().len() < 1_000);
    }
}
