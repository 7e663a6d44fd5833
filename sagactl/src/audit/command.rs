//! `sagactl audit`: of services that run somewhere, what is not read and which orders have not ended.
//!
//! It asks the broker and the order service's database, and changes nothing. Messages that were deleted
//! before a service read them are named by topic, partition and offsets as long as its group has not read
//! on; the orders that wait for them, by their ids and by what was heard of them.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;
use shared::config::{Broker, Check as _};
use sqlx::{Connection as _, PgConnection};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::groups;
use crate::screen::say;

/// Orders that are named, at most.
const ORDERS_MAX: i64 = 1_000;

/// Where the broker and the orders are.
#[derive(Debug, Args)]
pub struct Options {
    /// Where the broker is, and how it is spoken to.
    #[command(flatten)]
    broker: Broker,
    /// The order service's database, as its `DATABASE_URL` says it.
    #[arg(long)]
    orders_database: String,
    /// Seconds without progress after which a service that is behind is reported.
    #[arg(long, default_value_t = 10)]
    limit_seconds: u64,
}

/// Says what is not read and which orders have not ended; fails if there is anything.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    options.broker.check()?;
    let broker = options.broker.settings("sagactl")?;
    let limit = Duration::from_secs(options.limit_seconds);
    let unread = tokio::task::spawn_blocking(move || groups::faults_within(&broker, limit));
    let unread = unread.await??;
    let mut conn = PgConnection::connect(&options.orders_database)
        .await
        .context("the orders' database is out of reach")?;
    let open = open_orders(&mut conn).await?;
    for (promise, faults) in
        [("everything that was said is read", &unread), ("every order has ended", &open)]
    {
        say(format_args!("{} {promise}", if faults.is_empty() { "✔" } else { "✘" }));
        for fault in faults {
            say(format_args!("    {fault}"));
        }
    }
    let well = unread.is_empty() && open.is_empty();
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Orders that have not ended, those first that are due first.
async fn open_orders(conn: &mut PgConnection) -> anyhow::Result<Vec<String>> {
    let rows: Vec<(Uuid, OffsetDateTime, Vec<String>)> = sqlx::query_as(
        "SELECT order_id, due_at, ARRAY (
             SELECT what FROM order_history
             WHERE order_history.order_id = orders.order_id ORDER BY happened_at, what)
         FROM orders WHERE stage = 'pending' ORDER BY due_at LIMIT $1",
    )
    .bind(ORDERS_MAX)
    .fetch_all(conn)
    .await?;
    let line = |(order_id, due_at, heard): (Uuid, OffsetDateTime, Vec<String>)| {
        let due_at = due_at.format(&Rfc3339)?;
        Ok(format!("order {order_id} is pending, due at {due_at}, heard: {}", heard.join(", ")))
    };
    rows.into_iter().map(line).collect()
}
