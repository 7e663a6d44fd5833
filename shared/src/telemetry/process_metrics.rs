//! Process metrics at the moment of the scrape: parts, connection pool, runtime, memory.
//!
//! These metrics are not counted continuously: they are read at the scrape, from data that the
//! process has anyway. So they cost nothing between two scrapes and are never old.

use std::sync::{Arc, OnceLock};

use metrics::{describe_gauge, gauge};
use metrics_process::Collector;
use sqlx::PgPool;

use crate::{db, health::ProcessHealth};

/// Whose state is looked up. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct ProcessMetrics {
    health: ProcessHealth,
    pool: Arc<OnceLock<PgPool>>,
}

/// Gives each number its line of help.
pub(super) fn describe() {
    describe_gauge!(
        "health_ready",
        "1 if the part is ready, else 0; of `all`, whether every part is."
    );
    describe_gauge!("db_connections", "Connections that the pool holds, by what they do.");
    describe_gauge!("db_connections_max", "Connections that the pool may hold.");
    describe_gauge!(
        "db_connections_refused",
        "1 while the database allows no more connections than are open, which are shared; else 0."
    );
    describe_gauge!("runtime_workers", "Threads on which tasks run.");
    describe_gauge!("runtime_tasks", "Tasks that have not ended.");
    describe_gauge!("runtime_queue_depth", "Tasks that wait for any thread.");
    describe_gauge!("build_info", "Always 1; the labels say what runs.");
    Collector::default().describe();
}

impl ProcessMetrics {
    /// Of a process whose parts speak here, and which has no pool yet.
    pub fn of(health: ProcessHealth) -> Self {
        Self { health, pool: Arc::default() }
    }

    /// The process works with this pool.
    pub fn watch_pool(&self, pool: PgPool) {
        self.pool.get_or_init(|| pool);
    }

    /// What the parts say.
    pub(crate) fn health(&self) -> &ProcessHealth {
        &self.health
    }

    /// Reads all values, for the next scrape of the metrics.
    pub(crate) fn collect(&self) {
        let report = self.health.report();
        gauge!("health_ready", "part" => "all").set(u8::from(report.values().all(Result::is_ok)));
        for (part, state) in report {
            gauge!("health_ready", "part" => part).set(u8::from(state.is_ok()));
        }
        if let Some(pool) = self.pool.get() {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            gauge!("db_connections", "state" => "idle").set(idle);
            gauge!("db_connections", "state" => "busy").set(pool.size().saturating_sub(idle));
            gauge!("db_connections_max").set(pool.options().get_max_connections());
            let is_refused = db::refusal(pool).is_some();
            gauge!("db_connections_refused").set(u8::from(is_refused));
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let runtime = runtime.metrics();
            let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            gauge!("runtime_workers").set(count(runtime.num_workers()));
            gauge!("runtime_tasks").set(count(runtime.num_alive_tasks()));
            gauge!("runtime_queue_depth").set(count(runtime.global_queue_depth()));
        }
        Collector::default().collect();
    }
}

/// Sets `build_info`: the labels name the service and its version.
pub(crate) fn describe_service(service: &'static str) {
    gauge!("build_info", "service" => service, "version" => env!("CARGO_PKG_VERSION")).set(1);
}
