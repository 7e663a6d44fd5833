//! Sizes and dead rows of the tables of each service.

use anyhow::Context as _;
use sagactl::screen::say;
use sqlx::{Connection as _, PgConnection};

use crate::cluster::{ProcessName, ServiceCluster};

/// A table at some moment.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct TableSize {
    /// Its schema and name.
    pub name: String,
    #[sqlx(skip)]
    pub rows: i64,
    /// Rows that are gone and take up space, as the server estimates.
    pub dead: i64,
    pub bytes: i64,
    /// Rows that were ever written or changed.
    pub written: i64,
    /// Times that the server swept it up by itself.
    pub vacuums: i64,
}

/// The tables of one service.
pub type ServiceTables = Vec<(ProcessName, Vec<TableSize>)>;

/// Reads the sizes of all tables: those of the messaging runtime and those of the services.
pub async fn read(cluster: &ServiceCluster) -> anyhow::Result<ServiceTables> {
    let mut all = Vec::new();
    for member in ProcessName::SERVICES {
        let url = cluster.database(member).context("a service without a database")?;
        let mut conn = PgConnection::connect(url).await?;
        let mut tables: Vec<TableSize> = sqlx::query_as(
            "SELECT schemaname || '.' || relname AS name, n_dead_tup AS dead,
                    pg_total_relation_size(relid) AS bytes,
                    n_tup_ins + n_tup_upd AS written, autovacuum_count AS vacuums
             FROM pg_stat_user_tables
             WHERE relname <> '_sqlx_migrations' ORDER BY 1",
        )
        .fetch_all(&mut conn)
        .await?;
        for table in &mut tables {
            // A name of the server's own catalogue.
            let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {}", table.name));
            table.rows = sqlx::query_scalar(count).fetch_one(&mut conn).await?;
        }
        conn.close().await?;
        all.push((member, tables));
    }
    Ok(all)
}

/// Says how they stood before, right after, and once the server had time to sweep up.
pub fn print(before: &ServiceTables, after: &ServiceTables, later: &ServiceTables) {
    say("\nTables: rows, dead rows and kilobytes before → after → a minute later");
    for (n, (member, tables)) in later.iter().enumerate() {
        say(format_args!("  {member}"));
        for table in tables {
            let at = |moment: &ServiceTables| {
                let known = moment
                    .get(n)
                    .and_then(|(_, items)| items.iter().find(|known| known.name == table.name));
                known.map_or((0, 0, 0), |table_size| {
                    (table_size.rows, table_size.dead, table_size.bytes / 1024)
                })
            };
            let [then, now, last] = [at(before), at(after), at(later)];
            say(format_args!(
                "    {:<26} rows {:>8} → {:>8} → {:>8}   dead {:>7} → {:>7} → {:>7}   kB {:>7} → {:>7} → {:>7}   written {:>9}, swept {:>3} times",
                table.name,
                then.0,
                now.0,
                last.0,
                then.1,
                now.1,
                last.1,
                then.2,
                now.2,
                last.2,
                table.written,
                table.vacuums
            ));
        }
    }
}
