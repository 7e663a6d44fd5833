//! Rows of the reservations table.

use std::collections::BTreeSet;

use shared::fault::Fault;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{KeptLines, RowCounts, UnreadableRow};
use crate::domain::{
    naming::{OrderId, OrderLines, Quantity, Sku},
    reservation::Reservation,
};

pub(super) struct LoadedReservation {
    pub(super) order: OrderId,
    pub(super) reservation: Reservation,
    pub(super) counts: RowCounts,
}

#[derive(sqlx::FromRow)]
struct ReservationRow {
    order_id: Uuid,
    stage: String,
    lines: Json<KeptLines>,
    said: i64,
    version: i64,
}

impl TryFrom<ReservationRow> for LoadedReservation {
    type Error = UnreadableRow;

    fn try_from(row: ReservationRow) -> Result<Self, UnreadableRow> {
        let lines = || {
            let lines = row
                .lines
                .iter()
                .map(|(sku, quantity)| Some((Sku::parse(sku)?, Quantity::new(*quantity)?)));
            OrderLines::new(lines.collect::<Option<Vec<_>>>()?).ok()
        };
        let reservation = match row.stage.as_str() {
            "fenced" => Some(Reservation::Fenced),
            "reserved" => lines().map(Reservation::Reserved),
            "sold" => lines().map(Reservation::Sold),
            "rejected" => Some(Reservation::Rejected),
            "released" => Some(Reservation::Released),
            _ => None,
        };
        Ok(Self {
            order: OrderId(row.order_id),
            reservation: reservation.ok_or_else(|| UnreadableRow {
                table: "reservations",
                id: row.order_id.to_string(),
            })?,
            counts: RowCounts { said: row.said, version: row.version },
        })
    }
}

/// Locks and loads the reservations of the given orders.
pub(super) async fn load_for_update(
    conn: &mut PgConnection,
    orders: &BTreeSet<OrderId>,
) -> Result<Vec<LoadedReservation>, Fault> {
    if orders.is_empty() {
        return Ok(vec![]);
    }
    let rows: Vec<ReservationRow> = sqlx::query_as(
        "SELECT order_id, stage, lines, said, version
         FROM reservations WHERE order_id = ANY ($1) ORDER BY order_id FOR UPDATE",
    )
    .bind(orders.iter().map(|order_id| order_id.0).collect::<Vec<_>>())
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(LoadedReservation::try_from).collect::<Result<_, _>>()?)
}

/// Writes the rows whose version follows the stored one; returns their number.
pub(super) async fn save(
    conn: &mut PgConnection,
    rows: &[(OrderId, &Reservation, RowCounts)],
) -> Result<u64, sqlx::Error> {
    if rows.is_empty() {
        return Ok(0);
    }
    let written = sqlx::query(
        "INSERT INTO reservations AS kept (order_id, stage, lines, said, version)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::jsonb[], $4::int8[], $5::int8[])
         ON CONFLICT (order_id) DO UPDATE
         SET stage = excluded.stage, lines = excluded.lines, said = excluded.said,
             version = excluded.version, changed_at = now()
         WHERE kept.version = excluded.version - 1",
    )
    .bind(rows.iter().map(|(order, ..)| order.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, reservation, _)| stage(reservation)).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, reservation, _)| Json(lines(reservation))).collect::<Vec<_>>())
    .bind(rows.iter().map(|(.., counts)| counts.said).collect::<Vec<_>>())
    .bind(rows.iter().map(|(.., counts)| counts.version).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(written.rows_affected())
}

fn stage(reservation: &Reservation) -> &'static str {
    match reservation {
        Reservation::Fenced => "fenced",
        Reservation::Reserved(_) => "reserved",
        Reservation::Sold(_) => "sold",
        Reservation::Rejected => "rejected",
        Reservation::Released => "released",
    }
}

fn lines(reservation: &Reservation) -> KeptLines {
    let lines = reservation.held().into_iter().flat_map(OrderLines::iter);
    lines.map(|(sku, quantity)| (sku.as_str().to_owned(), quantity.get())).collect()
}
