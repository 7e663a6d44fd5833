//! Resource usage of the servers: processor time, transactions, statements.

use std::{collections::BTreeMap, ops::Sub as _, time::Duration};

use anyhow::Context as _;
use devstack::ServerStack;
use sqlx::{Connection as _, PgConnection};

use crate::{
    cluster::{ProcessName, ServiceCluster},
    cpu,
};

/// Resource usage up to a moment, or between two moments.
#[derive(Clone, Debug, Default)]
pub struct ResourceUsage {
    /// Processor time of each service and of the gateway.
    pub services: BTreeMap<String, Duration>,
    /// Processor time of broker, database, registry and mail sink, where they are local processes.
    pub servers: BTreeMap<String, Duration>,
    /// Transactions that each service's database has committed.
    pub transactions: BTreeMap<String, i64>,
    /// Statements that were executed in each, where the server counts them.
    pub statements: BTreeMap<String, i64>,
}

impl ResourceUsage {
    /// Resource usage up to now.
    pub async fn read(
        cluster: &ServiceCluster,
        stack: Option<&ServerStack>,
    ) -> anyhow::Result<Self> {
        let mut account = Self::default();
        for (name, pid) in cluster.pids() {
            account.services.extend(cpu::of(pid).map(|time| (name, time)));
        }
        if let Some(stack) = stack {
            for (part, root) in stack.process_trees().await {
                account.servers.insert(part.to_string(), devstack::processor_time(root));
            }
        }
        let mut conn = PgConnection::connect(&cluster.stack().postgres).await?;
        // Counting is on only where the server was started so; without it there is nothing to say.
        sqlx::query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            .execute(&mut conn)
            .await
            .ok();
        for member in ProcessName::SERVICES {
            let url = cluster.database(member).context("a service without a database")?;
            let (_, name) = url.rsplit_once('/').context("a database without a name")?;
            let transactions: i64 =
                sqlx::query_scalar("SELECT xact_commit FROM pg_stat_database WHERE datname = $1")
                    .bind(name)
                    .fetch_one(&mut conn)
                    .await?;
            account.transactions.insert(member.to_string(), transactions);
            let statements: Result<i64, _> = sqlx::query_scalar(
                "SELECT coalesce(sum(calls), 0)::int8
                 FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid
                 WHERE datname = $1",
            )
            .bind(name)
            .fetch_one(&mut conn)
            .await;
            account.statements.extend(statements.ok().map(|n| (member.to_string(), n)));
        }
        conn.close().await?;
        Ok(account)
    }

    /// Resource usage since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        fn spent<N: Copy + Default>(
            now: &BTreeMap<String, N>,
            then: &BTreeMap<String, N>,
            minus: impl Fn(N, N) -> N,
        ) -> BTreeMap<String, N> {
            let before = |name| then.get(name).copied().unwrap_or_default();
            now.iter().map(|(name, now)| (name.clone(), minus(*now, before(name)))).collect()
        }
        Self {
            services: spent(&self.services, &before.services, Duration::saturating_sub),
            servers: spent(&self.servers, &before.servers, Duration::saturating_sub),
            transactions: spent(&self.transactions, &before.transactions, i64::sub),
            statements: spent(&self.statements, &before.statements, i64::sub),
        }
    }
}
