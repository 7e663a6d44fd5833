//! Connection ceiling: a database that allows fewer connections than the pool wants.
//!
//! `sqlx` tries a refused connection again for as long as its caller may wait, and does not check
//! whether an open one has become idle meanwhile: so callers fail while connections are idle. Here
//! the refusal is noticed once, and from then on all callers share the open connections:
//!
//! ```text
//!           a connection is refused (53300)
//!   open ─────────────────────────────────────> at the ceiling: callers take what is idle, nobody connects
//!     ^        a trial, once a second, is let in         │
//!     └──────────────────────────────────────────────────┘
//! ```
//!
//! The relay has a connection of its own. If that one is refused, the pool closes one of its
//! connections ([`make_room`]): the total stays the same.
//!
//! **Architecture invariant:** at the ceiling the callers together try one connection a second. No
//! caller waits longer than the pool allows; one that gets none is told the SQLSTATE.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, PgPool, Postgres,
    error::{DatabaseError, ErrorKind},
    pool::PoolConnection,
    postgres::PgConnectOptions,
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::health::HealthComponent;

/// A caller that waits for this long may be connecting in vain.
const CONNECTS_WITHIN: Duration = Duration::from_millis(100);
/// The pause between two trials of the same pool.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// A trial is given up after this long, without a result.
const TRIAL_LIMIT: Duration = Duration::from_secs(1);
/// The pause between two checks for idle connections.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The SQLSTATEs of a full server: `too_many_connections`, also of a role or a database, and
/// `configuration_limit_exceeded`.
const CODES: [&str; 2] = ["53300", "53400"];
/// The text of the same error from `PgBouncer`, whose code is not specific.
const POOLER_SAYS: &str = "no more connections allowed";

const REMARK: &str = "the database allows no more connections: those that are open are shared";

/// The error of the server that refused a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database allows no more connections ({code}): {message}")]
pub struct ConnectionRefusal {
    code: String,
    message: String,
}

impl ConnectionRefusal {
    /// Whether this error is such a refusal.
    pub(super) fn of(error: &sqlx::Error) -> Option<Self> {
        let error = error.as_database_error()?;
        let code = error.code()?.into_owned();
        let refused = CODES.contains(&code.as_str()) || error.message().starts_with(POOLER_SAYS);
        refused.then(|| Self { code, message: error.message().to_owned() })
    }
}

impl DatabaseError for ConnectionRefusal {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some(self.code.as_str().into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// The state of one pool's ceiling.
#[derive(Debug, Default)]
pub(super) struct ConnectionCeiling {
    state: Mutex<CeilingState>,
    /// One trial at a time.
    trial: tokio::sync::Mutex<()>,
    /// A part of this process wants a connection outside the pool.
    room_wanted: AtomicBool,
}

#[derive(Debug, Default)]
struct CeilingState {
    refusal: Option<ConnectionRefusal>,
    tried: Option<Instant>,
    health: Option<HealthComponent>,
}

/// The ceilings of all pools in use, each found by its options, which belong to one pool for good.
static CEILINGS: Mutex<Vec<(Weak<PgConnectOptions>, Arc<ConnectionCeiling>)>> =
    Mutex::new(Vec::new());

impl ConnectionCeiling {
    /// The ceiling of this pool.
    pub(super) fn of(pool: &PgPool) -> Arc<Self> {
        let options = pool.connect_options();
        let mut all = CEILINGS.lock().unwrap_or_else(PoisonError::into_inner);
        let is_its = |known: &Weak<_>| std::ptr::eq(known.as_ptr(), Arc::as_ptr(&options));
        if let Some((_, ceiling)) = all.iter().find(|(known, _)| is_its(known)) {
            return Arc::clone(ceiling);
        }
        all.retain(|(known, _)| known.strong_count() > 0);
        let ceiling = Arc::<Self>::default();
        all.push((Arc::downgrade(&options), Arc::clone(&ceiling)));
        ceiling
    }

    /// The refusal since which no connection was accepted.
    pub(super) fn refusal(&self) -> Option<ConnectionRefusal> {
        self.state().refusal.clone()
    }

    /// The remark for the pool's health while the pool is at its ceiling.
    pub(super) fn tell(&self, health: HealthComponent) {
        self.state().health = Some(health);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, CeilingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a refusal of the server.
    fn reach(&self, refusal: ConnectionRefusal) {
        let mut state = self.state();
        if state.refusal.is_some() {
            return;
        }
        tracing::warn!(code = refusal.code, said = refusal.message, "{REMARK}");
        state.refusal = Some(refusal);
        if let Some(health) = &state.health {
            health.ready_though(REMARK);
        }
    }

    fn leave(&self) {
        let mut state = self.state();
        if state.refusal.take().is_some() {
            tracing::info!("the database allows more connections again");
            if let Some(health) = &state.health {
                health.ready();
            }
        }
    }

    /// Ends once the ceiling is reached.
    async fn reached(&self, options: &PgConnectOptions) {
        while self.refusal().is_none() {
            sleep(CONNECTS_WITHIN).await;
            self.look(options).await;
        }
    }

    /// Tries whether a connection is accepted, unless another caller has done so within the last
    /// second or is doing so now.
    async fn look(&self, options: &PgConnectOptions) {
        let Ok(_one_at_a_time) = self.trial.try_lock() else { return };
        if self.state().tried.is_some_and(|instant| instant.elapsed() < TRY_AGAIN) {
            return;
        }
        let outcome = Box::pin(timeout(TRIAL_LIMIT, options.connect())).await;
        self.state().tried = Some(Instant::now());
        match outcome {
            Ok(Ok(conn)) => {
                conn.close().await.ok();
                self.leave();
            }
            Ok(Err(error)) => match ConnectionRefusal::of(&error) {
                Some(refusal) => self.reach(refusal),
                None => self.leave(),
            },
            Err(_elapsed) => (),
        }
    }

    /// Closes a connection, if one is wanted outside the pool, and it is not the last one.
    async fn give_one_up(&self, pool: &PgPool) {
        if !self.room_wanted.load(Ordering::Relaxed) || pool.size() < 2 {
            return;
        }
        if let Some(conn) = pool.try_acquire() {
            self.room_wanted.store(false, Ordering::Relaxed);
            conn.close().await.ok();
        }
    }

    /// One of the open connections, as soon as it is idle.
    async fn share(
        &self,
        pool: &PgPool,
        options: &PgConnectOptions,
    ) -> Option<PoolConnection<Postgres>> {
        while self.refusal().is_some() {
            self.look(options).await;
            self.give_one_up(pool).await;
            match pool.try_acquire() {
                Some(mut conn) => match conn.ping().await {
                    Ok(()) => return Some(conn),
                    Err(_gone) => drop(conn.detach()),
                },
                None => sleep(LOOK_AGAIN).await,
            }
        }
        None
    }
}

/// Lets the pools of this process close one connection, each when it is next asked for one.
pub(super) fn make_room() {
    for (_, ceiling) in CEILINGS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        ceiling.room_wanted.store(true, Ordering::Relaxed);
    }
}

/// A connection of the pool, within the pool's time limit for callers.
pub(super) async fn acquire(pool: &PgPool) -> Result<PoolConnection<Postgres>, sqlx::Error> {
    let (ceiling, options) = (ConnectionCeiling::of(pool), pool.connect_options());
    let deadline = Instant::now() + pool.options().get_acquire_timeout();
    let acquiring = async {
        loop {
            ceiling.give_one_up(pool).await;
            if let Some(conn) = ceiling.share(pool, &options).await {
                return Ok(conn);
            }
            let acquired = tokio::select! {
                acquired = pool.acquire() => acquired,
                () = ceiling.reached(&options) => continue,
            };
            match acquired.as_ref().err().and_then(ConnectionRefusal::of) {
                Some(refusal) => ceiling.reach(refusal),
                None => return acquired,
            }
        }
    };
    match timeout_at(deadline, acquiring).await {
        Ok(acquired) => acquired,
        Err(_elapsed) => Err(match ceiling.refusal() {
            Some(refusal) => sqlx::Error::Database(Box::new(refusal)),
            None => sqlx::Error::PoolTimedOut,
        }),
    }
}
