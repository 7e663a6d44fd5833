//! The database: pools, transactions that cannot leak, migrations.
//!
//! **Architecture invariant:** a transaction that was neither committed nor rolled back closes its
//! connection. `sqlx` 0.9 would hand on a connection whose transaction is still open when a future
//! is dropped at the wrong moment, so nothing here relies on its `begin`.

use std::{
    ops::{Deref, DerefMut},
    str::FromStr as _,
    time::{Duration, Instant},
};

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use self::ceiling::ConnectionCeiling;
pub use self::{
    ceiling::ConnectionRefusal,
    migration::{may_pass, migrate},
    session::{SessionOptions, check},
};
use crate::health::HealthComponent;

mod ceiling;
mod migration;
mod session;

/// The settings of a database: address, pool size, time limits.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// `postgres://user:password@host:port/database`.
    pub url: SecretString,
    /// Connections that the pool holds at most.
    pub connections_max: u32,
    /// The time limit of a statement, set at the server.
    pub statement_timeout: Duration,
    /// The time limit of a wait for a lock, set at the server.
    pub lock_timeout: Duration,
    /// The time limit of an idle transaction, set at the server.
    pub idle_in_transaction_timeout: Duration,
    /// The longest wait of a caller for a connection of the pool.
    pub acquire_timeout: Duration,
}

impl DatabaseSettings {
    /// A database at `url`, with this project's defaults.
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            connections_max: 16,
            statement_timeout: Duration::from_secs(15),
            lock_timeout: Duration::from_secs(5),
            idle_in_transaction_timeout: Duration::from_secs(15),
            acquire_timeout: Duration::from_secs(5),
        }
    }

    /// The same with one limit for every wait, for cases where a suspended machine is no fault.
    #[must_use]
    pub fn patient(self, limit: Duration) -> Self {
        Self {
            statement_timeout: limit,
            lock_timeout: limit,
            idle_in_transaction_timeout: limit,
            acquire_timeout: limit,
            ..self
        }
    }
}

/// A connection that was idle for longer is tried before it is handed out: the server may have
/// closed it. In a busy pool that would be one more round trip for each transaction.
const RESTED: Duration = Duration::from_secs(1);

/// How every connection is opened: named, and with the server's own limits set.
pub fn options(settings: &DatabaseSettings, name: &str) -> Result<SessionOptions, sqlx::Error> {
    let connect = PgConnectOptions::from_str(settings.url.expose_secret())?.application_name(name);
    Ok(SessionOptions::new(connect, settings))
}

/// A pool that connects when first asked: the database may still be on its way up.
pub fn pool(settings: &DatabaseSettings, name: &str) -> Result<PgPool, sqlx::Error> {
    let options = options(settings, name)?;
    let connect = options.connect.clone();
    Ok(PgPoolOptions::new()
        .max_connections(settings.connections_max)
        .acquire_timeout(settings.acquire_timeout)
        .max_lifetime(Duration::from_mins(30))
        .test_before_acquire(false)
        .before_acquire(|conn, state| {
            Box::pin(async move {
                if state.idle_for > RESTED {
                    conn.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |conn, _| {
            let options = options.clone();
            Box::pin(async move { options.begin(conn).await })
        })
        .connect_lazy_with(connect))
}

/// Lets a part of the process say while the database allows fewer connections than the pool wants.
pub fn tell(pool: &PgPool, health: &HealthComponent) {
    ConnectionCeiling::of(pool).tell(health.clone());
}

/// The word of the database since which it allows no more connections than this pool has open.
pub fn refusal(pool: &PgPool) -> Option<ConnectionRefusal> {
    ConnectionCeiling::of(pool).refusal()
}

/// A connection outside any transaction, for one statement at a time. Dropping closes it, so that
/// no other caller waits for its statement; after success use [`LoanedConnection::give_back`].
#[derive(Debug)]
pub struct LoanedConnection(Option<PoolConnection<Postgres>>);

/// Takes a connection from the pool. May be dropped at any moment.
pub async fn borrow(pool: &PgPool) -> Result<LoanedConnection, sqlx::Error> {
    let asked = Instant::now();
    // Boxed: opening a connection is a large future.
    let acquired = Box::pin(ceiling::acquire(pool)).await;
    metrics::histogram!("db_acquire_duration_seconds").record(asked.elapsed());
    Ok(LoanedConnection(Some(acquired?)))
}

impl LoanedConnection {
    /// Gives the connection back to its pool.
    pub fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for LoanedConnection {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            drop(conn.detach());
        }
    }
}

impl Deref for LoanedConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_deref().unwrap_or_else(|| unreachable!("a loan ends by being consumed"))
    }
}

impl DerefMut for LoanedConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_deref_mut().unwrap_or_else(|| unreachable!("a loan ends by being consumed"))
    }
}

/// A transaction. Dropping it closes its connection, so that nothing of it can leak.
#[derive(Debug)]
pub struct DatabaseTransaction(LoanedConnection);

/// Begins a transaction. May be dropped at any moment.
pub async fn begin(pool: &PgPool) -> Result<DatabaseTransaction, sqlx::Error> {
    let mut conn = borrow(pool).await?;
    conn.execute("BEGIN").await?;
    Ok(DatabaseTransaction(conn))
}

/// As [`begin`], with another limit for waits for locks, in the same round trip.
pub async fn begin_limited(
    pool: &PgPool,
    lock_limit: Duration,
) -> Result<DatabaseTransaction, sqlx::Error> {
    let mut conn = borrow(pool).await?;
    let begin = format!("BEGIN; SET LOCAL lock_timeout = {}", lock_limit.as_millis());
    conn.execute(AssertSqlSafe(begin)).await?;
    Ok(DatabaseTransaction(conn))
}

impl DatabaseTransaction {
    /// Commits. After an error the outcome is unknown: the rows may be written or not, and are to
    /// be looked up by their key.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.execute("COMMIT").await?;
        self.0.give_back();
        Ok(())
    }

    /// Rolls back; also what happens when the transaction is dropped.
    pub async fn rollback(mut self) -> Result<(), sqlx::Error> {
        self.execute("ROLLBACK").await?;
        self.0.give_back();
        Ok(())
    }
}

impl Deref for DatabaseTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for DatabaseTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

/// Looks something up outside any transaction, within a limit.
///
/// A connection whose statement did not end is closed, not handed on: the server may have vanished,
/// which would stay undetected for minutes.
pub async fn read<T, E: From<sqlx::Error>>(
    pool: &PgPool,
    limit: Duration,
    look: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    within(self::limit(pool, limit), async {
        let mut conn = borrow(pool).await?;
        let found = look(&mut conn).await?;
        conn.give_back();
        Ok(found)
    })
    .await
}

/// How long work on this pool may take: `limit`, but never less than the time for which the pool
/// lets a caller wait for a connection. A test that raises that one setting raises every limit.
pub fn limit(pool: &PgPool, limit: Duration) -> Duration {
    limit.max(pool.options().get_acquire_timeout())
}

/// Limits the time of work on a connection: `sqlx` sets no keepalive, so a query to a host that
/// vanished would wait for ever. Work over the limit is dropped together with its connection.
pub async fn within<T, E: From<sqlx::Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()),
    }
}
