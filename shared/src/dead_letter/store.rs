//! Storing a letter, and its copy for the dead-letter topic.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{DeadLetter, FailureReason, printable};
use crate::{
    clock::Clock,
    fault::{Fault, TransactionCollision},
    message::{IncomingMessage, MessageHeaders, OutgoingMessage},
    outbox,
};

/// Stores the letters and returns their copies for the service's dead-letter topic.
///
/// The caller checks before whether a message has a letter already. If another transaction stored a
/// letter of the same message in between, this is a collision: the caller tries again.
pub async fn keep(
    conn: &mut PgConnection,
    service: &str,
    clock: &Clock,
    letters: &[DeadLetter<'_>],
) -> Result<Vec<OutgoingMessage>, Fault> {
    if letters.is_empty() {
        return Ok(vec![]);
    }
    let ids: Vec<Uuid> = letters.iter().map(|_| clock.new_id()).collect();
    let field = |pick: fn(&DeadLetter<'_>) -> Vec<u8>| letters.iter().map(pick).collect::<Vec<_>>();
    let kept = sqlx::query(
        "INSERT INTO messaging.dead_letter
             (dead_letter_id, topic, partition, \"offset\", timestamp_ms, key, headers, payload,
              reason, detail)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::int4[], $4::int8[], $5::int8[],
                              $6::bytea[], $7::bytea[], $8::bytea[], $9::text[], $10::text[])
         ON CONFLICT DO NOTHING",
    )
    .bind(&ids)
    .bind(letters.iter().map(|letter| letter.incoming.topic.as_str()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.incoming.partition).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.incoming.offset).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.incoming.timestamp_ms).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.incoming.key.as_deref()).collect::<Vec<_>>())
    .bind(field(|letter| letter.incoming.headers.to_bytes()))
    .bind(letters.iter().map(|letter| letter.incoming.payload.as_deref()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| letter.reason.code()).collect::<Vec<_>>())
    .bind(letters.iter().map(|letter| printable(&letter.detail)).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    if kept.rows_affected() != letters.len() as u64 {
        return Err(Fault::transient(TransactionCollision));
    }
    let copies = ids.iter().zip(letters).map(|(id, letter)| {
        let fault =
            LetterHeaders { id: *id, reason: letter.reason, detail: &letter.detail, attempts: 1 };
        copy(service, &fault, letter.incoming)
    });
    Ok(copies.collect())
}

/// A job that is dead.
pub(crate) struct DeadJob<'j> {
    /// The key in the list of dead letters.
    pub(crate) id: Uuid,
    pub(crate) kind: &'static str,
    pub(crate) key: &'j str,
    pub(crate) attempts: i32,
    pub(crate) in_doubt: bool,
    pub(crate) error: &'j str,
}

/// The copy of a dead job. It has no body: the job's data may be a customer's address, and stay in
/// the database of its service.
pub(crate) fn copy_of_job(service: &str, job: &DeadJob<'_>) -> OutgoingMessage {
    let mut headers = MessageHeaders::default();
    headers.push("dead-letter-job", job.kind);
    headers.push("kafka_dlt-exception-message", &printable(job.error));
    headers.push("dead-letter-id", &job.id.to_string());
    headers.push("dead-letter-reason", if job.in_doubt { "in-doubt" } else { "gave-up" });
    headers.push("dead-letter-attempts", &job.attempts.to_string());
    OutgoingMessage {
        id: job.id,
        topic: format!("{service}.dlq").into(),
        key: Some(job.key.as_bytes().to_vec()),
        headers,
        payload: None,
    }
}

/// The extra headers of the copy.
pub(crate) struct LetterHeaders<'d> {
    pub(crate) id: Uuid,
    pub(crate) reason: FailureReason,
    pub(crate) detail: &'d str,
    pub(crate) attempts: i32,
}

/// The copy for people and tools: the original bytes, and headers with names that tools know.
pub(crate) fn copy(
    service: &str,
    died: &LetterHeaders<'_>,
    incoming: &IncomingMessage,
) -> OutgoingMessage {
    // The copy is for reading only. A message of full size would not fit with its reason: then the
    // copy has no body, and the row has all of it.
    let fits = |bytes: usize| bytes < outbox::MESSAGE_BYTES_MAX / 4;
    let mut headers = MessageHeaders::default();
    if fits(incoming.headers.to_bytes().len()) {
        headers = incoming.headers.clone();
    }
    headers.push("kafka_dlt-original-topic", &incoming.topic);
    headers.push("kafka_dlt-original-partition", &incoming.partition.to_string());
    headers.push("kafka_dlt-original-offset", &incoming.offset.to_string());
    if let Some(timestamp_ms) = incoming.timestamp_ms {
        headers.push("kafka_dlt-original-timestamp", &timestamp_ms.to_string());
    }
    headers.push("kafka_dlt-exception-message", &printable(died.detail));
    headers.push("dead-letter-id", &died.id.to_string());
    headers.push("dead-letter-reason", died.reason.code());
    headers.push("dead-letter-attempts", &died.attempts.to_string());
    OutgoingMessage {
        id: died.id,
        topic: format!("{service}.dlq").into(),
        key: incoming.key.clone().filter(|bytes| fits(bytes.len())),
        headers,
        payload: incoming.payload.clone().filter(|bytes| fits(bytes.len())),
    }
}
