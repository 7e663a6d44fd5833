//! Checks that take one statement in one database: stock, outboxes, jobs, dead letters.
//!
//! **Bound:** the database adds up; a statement returns counts and a few examples.

use sqlx::PgConnection;

use super::{
    AuditOptions,
    invariant::{AuditFindings, AuditInvariant},
};
use crate::service_name::ServiceName;

/// Examples that a statement answers, at most.
const ROWS_MAX: i64 = 20;

/// Products whose stock does not add up, or is not what their reservations hold. One statement sees
/// one moment, so nothing is on its way between these tables.
async fn stock(conn: &mut PgConnection, findings: &mut AuditFindings) -> sqlx::Result<()> {
    let products: i64 =
        sqlx::query_scalar("SELECT count(*) FROM products").fetch_one(&mut *conn).await?;
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "WITH held AS (
             SELECT line.key COLLATE \"C\" AS sku,
                    coalesce(sum(line.value::int8) FILTER (WHERE stage = 'reserved'), 0)::int8
                        AS held_reserved,
                    coalesce(sum(line.value::int8) FILTER (WHERE stage = 'sold'), 0)::int8
                        AS held_sold
             FROM reservations, jsonb_each(lines) AS line GROUP BY 1
         ), stock AS (
             SELECT sku, coalesce(stocked, 0) AS stocked, coalesce(available, 0) AS available,
                    coalesce(reserved, 0) AS reserved, coalesce(sold, 0) AS sold,
                    coalesce(held_reserved, 0) AS held_reserved, coalesce(held_sold, 0) AS held_sold
             FROM products FULL JOIN held USING (sku)
         )
         SELECT format(
                    '%s: %s available + %s reserved + %s sold of %s; '
                    'reservations hold %s reserved and %s sold',
                    sku, available, reserved, sold, stocked, held_reserved, held_sold),
                count(*) OVER ()
         FROM stock
         WHERE available < 0 OR available + reserved + sold <> stocked
            OR reserved <> held_reserved OR sold <> held_sold
         ORDER BY sku LIMIT $1",
    )
    .bind(ROWS_MAX)
    .fetch_all(conn)
    .await?;
    let tally = findings.of(AuditInvariant::StockAddsUp);
    tally.checked += u64::try_from(products).unwrap_or_default();
    let wrong = u64::try_from(rows.first().map_or(0, |(_, wrong)| *wrong)).unwrap_or_default();
    // Those that are not among the examples.
    tally.violations += wrong.saturating_sub(rows.len() as u64);
    for (example, _) in rows {
        tally.violation(example);
    }
    Ok(())
}

/// Outbox, jobs and dead letters of one service; of inventory-service the stock, too.
pub(super) async fn read(
    conn: &mut PgConnection,
    service: ServiceName,
    options: &AuditOptions,
    findings: &mut AuditFindings,
) -> sqlx::Result<()> {
    if service == ServiceName::Inventory {
        stock(conn, findings).await?;
    }
    // At rest nothing may wait, however short.
    let limit = if options.at_rest { 0.0 } else { options.wait_max.as_secs_f64() };
    let waiting = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE created_at <= now() - make_interval(secs => $1))
         FROM messaging.outbox",
    )
    .bind(limit)
    .fetch_one(&mut *conn)
    .await?;
    note(findings, AuditInvariant::OutboxesEmpty, waiting, |n| {
        format!("{service}: {n} messages wait")
    });
    let waiting = sqlx::query_as(
        "SELECT count(*), count(*) FILTER (WHERE $2 OR due_at <= now() - make_interval(secs => $1))
         FROM messaging.job WHERE state <> 'dead'",
    )
    .bind(limit)
    .bind(options.at_rest)
    .fetch_one(&mut *conn)
    .await?;
    note(findings, AuditInvariant::JobsDone, waiting, |n| format!("{service}: {n} jobs wait"));
    dead_letters(conn, service, options, findings).await
}

/// Counts what waits, and what waits for too long.
fn note(
    findings: &mut AuditFindings,
    invariant: AuditInvariant,
    (waiting, late): (i64, i64),
    what: impl FnOnce(i64) -> String,
) {
    let tally = findings.of(invariant);
    tally.checked += 1;
    tally.open += u64::try_from(waiting - late).unwrap_or_default();
    if late > 0 {
        tally.violation(what(late));
    }
}

async fn dead_letters(
    conn: &mut PgConnection,
    service: ServiceName,
    options: &AuditOptions,
    findings: &mut AuditFindings,
) -> sqlx::Result<()> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT topic, reason, count(*) FROM messaging.dead_letter
         WHERE closed_at IS NULL OR $1 GROUP BY 1, 2
         UNION ALL
         SELECT kind, CASE WHEN in_doubt THEN 'job in doubt' ELSE 'job given up' END, count(*)
         FROM messaging.job WHERE state = 'dead' GROUP BY 1, 2
         ORDER BY 3 DESC, 1, 2",
    )
    // Where a number is expected, letters count that were decided meanwhile.
    .bind(options.dead_letters.is_some())
    .fetch_all(conn)
    .await?;
    let tally = findings.of(AuditInvariant::DeadLettersDecided);
    tally.checked += 1;
    for (topic, reason, n) in rows {
        let n = u64::try_from(n).unwrap_or_default();
        if options.dead_letters.is_some() {
            // Whether there are as many as expected is only known of all services together.
            tally.open += n;
        } else {
            tally.violation(format!("{service}: {n} of {topic}: {reason}"));
        }
    }
    Ok(())
}

/// Whether there are as many dead letters as were expected of all services.
pub(super) fn expected_dead_letters(options: &AuditOptions, findings: &mut AuditFindings) {
    let Some(expected) = options.dead_letters else { return };
    let tally = findings.of(AuditInvariant::DeadLettersDecided);
    let found = std::mem::take(&mut tally.open);
    if found != expected {
        tally.violation(format!("{found} dead letters, expected {expected}"));
    }
}
