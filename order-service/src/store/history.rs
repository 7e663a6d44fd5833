//! The history of each order, for display.

use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use self::facts::printable;
pub use self::facts::{EventFacts, ShortLine};

mod facts;

/// An entry in an order's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The id of the message.
    pub message_id: Uuid,
    /// The service that published the message.
    pub source: String,
    /// Its sequence number among the messages of that service about this order.
    pub sequence: i64,
    /// The kind of the event: its topic name.
    pub what: &'static str,
    /// What is particular about it.
    pub facts: EventFacts,
    pub happened_at: OffsetDateTime,
}

/// Stores entries. An entry whose message is stored already stays unchanged.
///
/// To be called while the orders are locked.
pub async fn note(
    conn: &mut PgConnection,
    entries: &[(Uuid, HistoryEntry)],
) -> Result<(), sqlx::Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let each = || entries.iter().map(|(_, entry)| entry);
    sqlx::query(
        "INSERT INTO order_history (order_id, message_id, source, sequence, what, facts, happened_at)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int8[], $5::text[],
                              $6::jsonb[], $7::timestamptz[])
         ON CONFLICT DO NOTHING",
    )
    .bind(entries.iter().map(|(order_id, _)| *order_id).collect::<Vec<_>>())
    .bind(each().map(|entry| entry.message_id).collect::<Vec<_>>())
    .bind(each().map(|entry| printable(&entry.source)).collect::<Vec<_>>())
    .bind(each().map(|entry| entry.sequence).collect::<Vec<_>>())
    .bind(each().map(|entry| entry.what).collect::<Vec<_>>())
    .bind(each().map(|entry| entry.facts.stored().map(Json)).collect::<Vec<_>>())
    .bind(each().map(|entry| entry.happened_at).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}
