//! The rows of the four databases, page by page, as facts about orders.
//!
//! The rows of one page of orders are read from all four databases right after each other, so that
//! they are of nearly the same moment. Each statement is a short one of its own: no snapshot stays
//! open that would keep dead rows from being vacuumed.
//!
//! **Bound:** a page has [`PAGE_MAX`] orders.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use sqlx::{
    Connection as _, Executor as _, PgConnection, Postgres, postgres::PgArguments, query::QueryAs,
    types::Json,
};
use uuid::Uuid;

use super::fact::{FactStatement, OrderFact, known};
use crate::service_name::ServiceName;

/// Orders that are read at once.
const PAGE_MAX: i64 = 1_000;

/// A database has to answer within this.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Statements read the database and change nothing; the longest reads a whole table.
const SESSION: &str = "SET default_transaction_read_only = on; SET statement_timeout = '10min'";

/// The databases that can be read.
#[derive(Debug, Default)]
pub(super) struct ServiceDatabases(BTreeMap<ServiceName, PgConnection>);

/// A database that cannot be read, and why.
pub(super) type DatabaseFailure = (ServiceName, sqlx::Error);

#[derive(sqlx::FromRow)]
struct OrderRow {
    order_id: Uuid,
    stage: String,
    total_minor: i64,
    due_ms: i64,
    said: i64,
    lines: Json<Vec<LineRow>>,
    heard: Json<Vec<(String, i64, bool)>>,
}

#[derive(Deserialize)]
struct LineRow {
    sku: String,
    quantity: i64,
}

/// An order, and what a statement says of it.
type StatementRow = (Uuid, Json<FactStatement>);

type ReservationRow = (Uuid, String, Json<BTreeMap<String, i64>>, i64);

/// The columns of an order, and how many numbers of each source are in its history.
macro_rules! orders {
    ($rest:literal) => {
        concat!(
            "SELECT order_id, stage, total_minor, (extract(epoch FROM due_at) * 1000)::int8 AS due_ms,
                    said, lines, coalesce((
                        SELECT jsonb_agg(jsonb_build_array(source, numbers, is_whole)) FROM (
                            SELECT source, count(DISTINCT sequence) AS numbers,
                                   count(*) = count(sequence) AS is_whole
                            FROM order_history WHERE order_history.order_id = orders.order_id
                            GROUP BY source
                        ) AS by_source), '[]') AS heard
             FROM orders ",
            $rest
        )
    };
}

const PAYMENTS: &str = "SELECT order_id, jsonb_build_object('Payment', jsonb_build_object(
        'stage', stage, 'charged_minor', coalesce(charged_minor, 0), 'said', said))
    FROM payments WHERE order_id = ANY ($1)";

const NOTICES: &str = "SELECT order_id, jsonb_build_object('Notice', jsonb_build_object(
        'kind', kind, 'stage', stage,
        'at_ms', coalesce((extract(epoch FROM at) * 1000)::int8, 0)))
    FROM notices WHERE order_id = ANY ($1)
    UNION ALL
    SELECT order_id, jsonb_build_object('Correspondence', jsonb_build_object('said', said))
    FROM correspondences WHERE order_id = ANY ($1)";

/// Which orders have a message in the outbox, and which a dead letter.
const EXPLANATIONS: &str = "WITH wanted AS (
        SELECT order_id, convert_to(order_id::text, 'UTF8') AS key FROM unnest($1::uuid[]) AS order_id
    )
    SELECT DISTINCT order_id, jsonb_build_object('InOutbox', jsonb_build_object('service', $2::jsonb))
    FROM messaging.outbox JOIN wanted USING (key)
    UNION ALL
    SELECT DISTINCT order_id, jsonb_build_object('DeadLetter', jsonb_build_object('service', $2::jsonb))
    FROM messaging.dead_letter JOIN wanted USING (key)";

impl ServiceDatabases {
    pub(super) async fn open(
        &mut self,
        service: ServiceName,
        url: &SecretString,
    ) -> anyhow::Result<()> {
        let connecting = PgConnection::connect(url.expose_secret());
        let connecting = tokio::time::timeout(CONNECT_LIMIT, connecting).await;
        let mut conn = connecting.context("no answer")??;
        conn.execute(SESSION).await?;
        self.0.insert(service, conn);
        Ok(())
    }

    /// The connection to a database, if it can be read.
    pub(super) fn get(&mut self, service: ServiceName) -> Option<&mut PgConnection> {
        self.0.get_mut(&service)
    }

    /// A database that failed is not asked again.
    fn failed(&mut self, service: ServiceName, error: sqlx::Error) -> DatabaseFailure {
        self.0.remove(&service);
        (service, error)
    }

    /// The orders behind this one: their ids, and all facts about them.
    pub(super) async fn page(
        &mut self,
        after: Uuid,
    ) -> Result<(Vec<Uuid>, Vec<OrderFact>), DatabaseFailure> {
        let Some(conn) = self.get(ServiceName::Orders) else { return Ok((vec![], vec![])) };
        let page = orders!("WHERE order_id > $1 ORDER BY order_id LIMIT $2");
        let page = sqlx::query_as(page).bind(after).bind(PAGE_MAX).fetch_all(conn).await;
        let rows: Vec<OrderRow> = page.map_err(|error| self.failed(ServiceName::Orders, error))?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.order_id).collect();
        let mut facts: Vec<OrderFact> = rows.iter().flat_map(order_facts).collect();
        self.add_others(&ids, &mut facts).await?;
        Ok((ids, facts))
    }

    /// All facts about these orders, with what explains a message that is missing.
    pub(super) async fn facts_of(
        &mut self,
        ids: &[Uuid],
    ) -> Result<Vec<OrderFact>, DatabaseFailure> {
        let mut facts = Vec::new();
        if let Some(conn) = self.get(ServiceName::Orders) {
            let asked = sqlx::query_as(orders!("WHERE order_id = ANY ($1)")).bind(ids);
            let rows: Result<Vec<OrderRow>, _> = asked.fetch_all(conn).await;
            let rows = rows.map_err(|error| self.failed(ServiceName::Orders, error))?;
            facts.extend(rows.iter().flat_map(order_facts));
        }
        self.add_others(ids, &mut facts).await?;
        for service in ServiceName::ALL {
            let Some(conn) = self.get(service) else { continue };
            let asked = sqlx::query_as(EXPLANATIONS).bind(ids).bind(Json(service));
            let explained = statements(conn, asked).await;
            let explained = explained.map_err(|error| self.failed(service, error))?;
            facts.extend(explained);
        }
        Ok(facts)
    }

    async fn add_others(
        &mut self,
        ids: &[Uuid],
        facts: &mut Vec<OrderFact>,
    ) -> Result<(), DatabaseFailure> {
        use ServiceName::{Inventory, Notify, Payments};
        for service in [Inventory, Payments, Notify] {
            let Some(conn) = self.get(service) else { continue };
            let read = match service {
                Inventory => reservations(conn, ids).await,
                Payments => statements(conn, sqlx::query_as(PAYMENTS).bind(ids)).await,
                Notify | ServiceName::Orders => {
                    statements(conn, sqlx::query_as(NOTICES).bind(ids)).await
                }
            };
            facts.extend(read.map_err(|error| self.failed(service, error))?);
        }
        Ok(())
    }
}

fn order_facts(row: &OrderRow) -> Vec<OrderFact> {
    let mut lines = BTreeMap::new();
    for line in &row.lines.0 {
        *lines.entry(line.sku.clone()).or_default() += line.quantity;
    }
    let order = FactStatement::Order {
        stage: known(&row.stage),
        total_minor: row.total_minor,
        due_ms: row.due_ms,
        lines: digest(&lines),
        said: row.said,
    };
    let heard = row.heard.0.iter().filter_map(|(source, numbers, is_whole)| {
        let source = ServiceName::of_source(source)?;
        Some(FactStatement::Heard { source, numbers: if *is_whole { *numbers } else { -1 } })
    });
    heard.chain([order]).map(|statement| OrderFact::new(row.order_id, statement)).collect()
}

/// Lines as one number: the same for the same quantities, and else another.
fn digest(lines: &BTreeMap<String, i64>) -> i64 {
    let mut hash = Sha256::new();
    for (sku, quantity) in lines {
        hash.update((sku.len() as u64).to_be_bytes());
        hash.update(sku);
        hash.update(quantity.to_be_bytes());
    }
    let bytes: [u8; 8] = hash.finalize()[..8].try_into().unwrap_or_default();
    i64::from_be_bytes(bytes)
}

async fn reservations(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<OrderFact>> {
    let rows: Vec<ReservationRow> = sqlx::query_as(
        "SELECT order_id, stage, lines, said FROM reservations WHERE order_id = ANY ($1)",
    )
    .bind(ids)
    .fetch_all(conn)
    .await?;
    let fact = |(id, stage, lines, said): ReservationRow| {
        let (stage, lines) = (known(&stage), digest(&lines.0));
        OrderFact::new(id, FactStatement::Reservation { stage, lines, said })
    };
    Ok(rows.into_iter().map(fact).collect())
}

/// Facts that the database puts together itself.
async fn statements(
    conn: &mut PgConnection,
    query: QueryAs<'_, Postgres, StatementRow, PgArguments>,
) -> sqlx::Result<Vec<OrderFact>> {
    let rows = query.fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(id, Json(statement))| OrderFact::new(id, statement)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_number_only_if_they_are_the_same_quantities() {
        let lines = |lines: &[(&str, i64)]| {
            digest(&lines.iter().map(|(sku, quantity)| ((*sku).to_owned(), *quantity)).collect())
        };
        assert_eq!(lines(&[("a", 1), ("b", 2)]), lines(&[("b", 2), ("a", 1)]));
        assert_ne!(lines(&[("a", 1)]), lines(&[("a", 2)]));
        assert_ne!(lines(&[("a", 1), ("b", 1)]), lines(&[("ab", 1)]));
        assert_ne!(lines(&[]), lines(&[("a", 1)]));
    }
}
