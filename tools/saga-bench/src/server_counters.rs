//! What the database server counts: statements, buffers and WAL of each database.
//!
//! Read from `pg_stat_statements`, which counts at once and by database. The server has to be
//! started with it, and the numbers of a database are complete only while the server has room for
//! its statements.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Statements that are sent by the clock and not by an order: they depend on how long a run takes.
/// Workers move the floor of their scan every few seconds (`shared::jobs`, `shared::open_transactions`).
const BY_CLOCK: [&str; 4] = [
    "SELECT clock_timestamp()%",
    "SELECT DISTINCT virtualtransaction %",
    "SELECT NOT EXISTS (SELECT %FROM pg_locks%",
    "SELECT due_at FROM messaging.job%",
];

/// The counts of one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerCounts {
    /// Statements, also those that begin and end transactions.
    pub statements: i64,
    /// Transactions that were ended by `COMMIT`.
    pub commits: i64,
    /// Pages that were looked at.
    pub buffers: i64,
    /// Bytes that were written to the WAL.
    pub wal_bytes: i64,
    /// Whole pages in the WAL: noise of checkpoints.
    pub wal_pages: i64,
}

/// Counts of databases of one server, by this connection to it.
#[derive(Debug)]
pub struct ServerCounter(PgConnection);

/// A statement and what it cost.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct StatementCost {
    pub database: String,
    pub calls: i64,
    pub rows: i64,
    pub buffers: i64,
    pub wal_bytes: i64,
    pub query: String,
}

impl ServerCounter {
    /// Connects to the server's own database.
    pub async fn connect(server_url: &str) -> Result<Self, sqlx::Error> {
        let mut conn = PgConnection::connect(server_url).await?;
        // Two programs that do this at once collide. Without the extension the first read says so.
        let create = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements";
        sqlx::query(create).execute(&mut conn).await.ok();
        Ok(Self(conn))
    }

    /// Makes an empty database; answers its URL.
    pub async fn create(&mut self, server_url: &str, name: &str) -> Result<String, sqlx::Error> {
        let statement = format!("CREATE DATABASE \"{name}\"");
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.0).await?;
        let (base, _) = server_url.rsplit_once('/').unwrap_or((server_url, ""));
        Ok(format!("{base}/{name}"))
    }

    /// Ends the server's own vacuuming and analysing, which come by the clock.
    pub async fn stop_autovacuum(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query("ALTER SYSTEM SET autovacuum = off").execute(&mut self.0).await?;
        sqlx::query("SELECT pg_reload_conf()").execute(&mut self.0).await?;
        Ok(())
    }

    /// How often the server forgot statements because it had no room for them.
    pub async fn forgotten(&mut self) -> Result<i64, sqlx::Error> {
        sqlx::query_scalar("SELECT dealloc FROM pg_stat_statements_info")
            .fetch_one(&mut self.0)
            .await
    }

    /// The counts of the database behind a URL, without what the clock causes.
    pub async fn read(&mut self, database_url: &str) -> Result<ServerCounts, sqlx::Error> {
        let (statements, commits, buffers, wal_bytes, wal_pages) = sqlx::query_as(
            "SELECT coalesce(sum(calls), 0)::int8,
                    coalesce(sum(calls) FILTER (WHERE query = 'COMMIT'), 0)::int8,
                    coalesce(sum(shared_blks_hit + shared_blks_read), 0)::int8,
                    coalesce(sum(wal_bytes), 0)::int8, coalesce(sum(wal_fpi), 0)::int8
             FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid
             WHERE datname = $1 AND query NOT LIKE ALL ($2)",
        )
        .bind(name(database_url))
        .bind(&BY_CLOCK[..])
        .fetch_one(&mut self.0)
        .await?;
        Ok(ServerCounts { statements, commits, buffers, wal_bytes, wal_pages })
    }

    /// Begins to count at zero in the database behind a URL.
    pub async fn reset(&mut self, database_url: &str) -> Result<(), sqlx::Error> {
        sqlx::query(
            "SELECT pg_stat_statements_reset(0, oid, 0) FROM pg_database WHERE datname = $1",
        )
        .bind(name(database_url))
        .execute(&mut self.0)
        .await?;
        Ok(())
    }

    /// Every statement of these databases, the most expensive first.
    pub async fn statements(
        &mut self,
        database_urls: &[String],
    ) -> Result<Vec<StatementCost>, sqlx::Error> {
        sqlx::query_as(
            "SELECT datname::text AS database, calls, rows,
                    shared_blks_hit + shared_blks_read AS buffers, wal_bytes::int8, query
             FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid
             WHERE datname = ANY ($1) ORDER BY buffers DESC, query",
        )
        .bind(database_urls.iter().map(|url| name(url)).collect::<Vec<_>>())
        .fetch_all(&mut self.0)
        .await
    }
}

/// The name of the database in a URL.
fn name(database_url: &str) -> &str {
    let (_, name) = database_url.rsplit_once('/').unwrap_or_default();
    name.split_once('?').map_or(name, |(name, _)| name)
}
