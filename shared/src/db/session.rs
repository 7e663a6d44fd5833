//! The settings of a new connection, and the check that the connection keeps them.
//!
//! Time limits and planner are set by `SET`, in one round trip after the connection is made, and not in the
//! startup parameters: poolers (`PgBouncer`) refuse `options` and `extra_float_digits`, or,
//! configured to ignore them, drop all settings without an error.
//!
//! **Architecture invariant:** a connection is one session of the server for as long as it is open.
//! The relay's leadership and migrations are session locks, statements are prepared, limits are
//! set: none of it works with a pooler that gives each transaction another session. [`check`] finds
//! such a pooler at the start, as far as a client can.

use std::collections::HashMap;

use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection, PgPool,
    postgres::PgConnectOptions,
};

use super::{
    DatabaseSettings, borrow,
    ceiling::{ConnectionRefusal, make_room},
};

/// How often a connection is tried that is refused because there are too many.
const TRIES: u32 = 20;
/// The pause before the next try.
const TRY_AGAIN: std::time::Duration = std::time::Duration::from_millis(50);

/// The settings of the planner, by which no statement has a plan that depends on statistics.
///
/// The tables of queues are empty at one moment and hold thousands of rows, living and dead, at the
/// next; statistics of them are wrong most of the time. Each statement of a service finds its rows
/// by an index, so a plan that reads a whole table is never the better one, and one plan serves for
/// every size of table and batch: it is made once per connection. A bitmap is left out because it
/// does not mark index entries of dead rows, so that each scan would visit them again.
const PLANNER: [(&str, &str); 6] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
];

/// The way to open connections.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    pub(super) connect: PgConnectOptions,
    /// Names and values in the form of `pg_settings`.
    settings: Vec<(&'static str, String)>,
}

impl SessionOptions {
    pub(super) fn new(connect: PgConnectOptions, settings: &DatabaseSettings) -> Self {
        let millis = |limit: std::time::Duration| limit.as_millis().to_string();
        let limits = [
            ("statement_timeout", millis(settings.statement_timeout)),
            ("lock_timeout", millis(settings.lock_timeout)),
            ("idle_in_transaction_session_timeout", millis(settings.idle_in_transaction_timeout)),
            ("tcp_keepalives_idle", "10".to_owned()),
            ("tcp_keepalives_interval", "5".to_owned()),
            ("tcp_keepalives_count", "3".to_owned()),
        ];
        let planner = PLANNER.into_iter().map(|(name, value)| (name, value.to_owned()));
        let settings = limits.into_iter().chain(planner).collect();
        // The text format of floats; none is read as text, and poolers refuse the parameter.
        Self { connect: connect.extra_float_digits(None), settings }
    }

    /// Opens a connection outside any pool. One that is refused because there are too many is tried
    /// again for about a second, while the pools of this process close one connection.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let mut tries = 1;
        let mut conn = loop {
            match self.connect.connect().await {
                Ok(conn) => break conn,
                Err(error) if tries < TRIES && ConnectionRefusal::of(&error).is_some() => {
                    make_room();
                }
                Err(error) => return Err(error),
            }
            tries += 1;
            tokio::time::sleep(TRY_AGAIN).await;
        };
        self.begin(&mut conn).await?;
        Ok(conn)
    }

    /// Sets the limits and the planner of a connection that was just made.
    pub(super) async fn begin(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let set: Vec<String> =
            self.settings.iter().map(|(name, value)| format!("SET {name} = {value}")).collect();
        // Names are ours, values are numbers and words of the planner.
        conn.execute(AssertSqlSafe(set.join(";"))).await?;
        Ok(())
    }
}

/// Whether connections of this pool are sessions, and keep their settings. The first is an error,
/// since leadership and migrations need sessions; for each lost setting there is a warning.
pub async fn check(pool: &PgPool, options: &SessionOptions) -> Result<(), sqlx::Error> {
    let mut one = borrow(pool).await?;
    let mut other = borrow(pool).await?;
    let first = session_of(&mut one).await?;
    // If the first connection is a session, no other client can have it meanwhile.
    if session_of(&mut other).await? == first {
        let told = "a pooler before the database gives each transaction another session \
                    (pool_mode = transaction): the relay's lock, migrations, prepared statements and \
                    limits of time need pool_mode = session";
        return Err(sqlx::Error::Configuration(told.into()));
    }
    let set: Vec<(String, String)> =
        sqlx::query_as("SELECT name, setting FROM pg_settings WHERE name = ANY ($1)")
            .bind(options.settings.iter().map(|(name, _)| *name).collect::<Vec<_>>())
            .fetch_all(&mut *one)
            .await?;
    let set: HashMap<String, String> = set.into_iter().collect();
    for (name, wanted) in &options.settings {
        let found = set.get(*name).map_or("", String::as_str);
        // A Unix socket has no keepalives.
        let has_none = found == "0" && name.starts_with("tcp_");
        if found != wanted && !has_none {
            tracing::warn!(name, wanted, found, "the database does not keep this setting");
        }
    }
    one.give_back();
    other.give_back();
    Ok(())
}

async fn session_of(conn: &mut PgConnection) -> Result<i32, sqlx::Error> {
    // Not prepared: a pooler of transactions may not know the statement the next time.
    let row = conn.fetch_one("SELECT pg_backend_pid()").await?;
    sqlx::Row::try_get(&row, 0)
}
