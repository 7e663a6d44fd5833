//! What the servers have cost: processor time, memory, and the database's and the broker's own counters.
//!
//! Everything is read once before a load and once after it, and nothing in between but the kernel's accounts.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use devstack::{ServerStack, StackPart};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use shared::kafka::KafkaSettings;
use sqlx::{Connection as _, PgConnection};

use crate::{
    cluster::{ProcessName, ServiceCluster},
    process_account::{self, InputOutput},
};

/// One question to the broker may take this long.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The name under which this program is accounted.
pub const OWN_NAME: &str = "this tool";

/// A process and how its processor time is read.
#[derive(Clone, Debug)]
pub struct AccountedProcess {
    pub name: String,
    pub pid: u32,
    /// A server of the stack: all below its process belongs to it.
    pub is_tree: bool,
}

impl AccountedProcess {
    /// All processes of a system, and this one.
    pub async fn all(cluster: &ServiceCluster, stack: Option<&ServerStack>) -> Vec<Self> {
        let services = cluster.pids().into_iter();
        let mut all: Vec<_> =
            services.map(|(name, pid)| Self { name, pid, is_tree: false }).collect();
        if let Some(stack) = stack {
            let parts = stack.process_trees().await.into_iter();
            all.extend(parts.map(|(part, pid)| Self {
                name: part.to_string(),
                pid,
                is_tree: true,
            }));
        }
        all.push(Self { name: OWN_NAME.to_owned(), pid: std::process::id(), is_tree: false });
        all
    }

    /// Processor time so far.
    pub fn processor_time(&self) -> Duration {
        if self.is_tree {
            devstack::processor_time(self.pid)
        } else {
            process_account::processor_time(self.pid).unwrap_or_default()
        }
    }
}

/// Counters of the database of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct DatabaseCounts {
    /// Committed or rolled back. A connection that has become idle reports its last second of them only ten
    /// seconds later, so a run without a warm-up misses some.
    pub transactions: i64,
    pub statements: i64,
    /// Written ahead by statements; a commit's own record is not in it.
    pub wal_bytes: i64,
    /// Read by statements, from memory or not.
    pub buffers: i64,
}

/// Counters of the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerCounts {
    /// Messages on the topics of this system.
    pub messages: u64,
    /// What its process has read and written: sockets and log files.
    pub io: InputOutput,
}

/// Resource usage up to a moment, or between two moments.
#[derive(Clone, Debug, Default)]
pub struct ResourceUsage {
    /// Processor time of each process, in microseconds.
    pub cpu_us: BTreeMap<String, u64>,
    /// Peak memory of each process, in bytes.
    pub peak_memory: BTreeMap<String, u64>,
    /// Of each service's database; nothing where the server does not count.
    pub databases: BTreeMap<String, DatabaseCounts>,
    /// All that the database server wrote ahead, with what no statement accounts for.
    pub wal_bytes: i64,
    /// Transactions of the database server that wrote something: the numbers that it gave out.
    pub writing_transactions: i64,
    /// None where the broker is no local process.
    pub broker: Option<BrokerCounts>,
}

impl ResourceUsage {
    /// Resource usage up to now, before a load. What reading it costs is in it.
    pub async fn before(
        cluster: &ServiceCluster,
        stack: Option<&ServerStack>,
    ) -> anyhow::Result<Self> {
        let mut usage = Self::default();
        usage.read_databases(cluster).await?;
        let messages = published(cluster.broker()).await?;
        usage.read_processes(cluster, stack).await?;
        usage.note_messages(messages);
        Ok(usage)
    }

    /// Resource usage up to now, after a load. What reading it costs is not in it.
    pub async fn after(
        cluster: &ServiceCluster,
        stack: Option<&ServerStack>,
    ) -> anyhow::Result<Self> {
        let mut usage = Self::default();
        usage.read_processes(cluster, stack).await?;
        usage.read_databases(cluster).await?;
        usage.note_messages(published(cluster.broker()).await?);
        Ok(usage)
    }

    async fn read_processes(
        &mut self,
        cluster: &ServiceCluster,
        stack: Option<&ServerStack>,
    ) -> anyhow::Result<()> {
        let processes = AccountedProcess::all(cluster, stack).await;
        for process in &processes {
            let time = u64::try_from(process.processor_time().as_micros())?;
            self.cpu_us.insert(process.name.clone(), time);
        }
        let kafka = StackPart::Kafka.to_string();
        for process in processes {
            if process.name == kafka {
                let io = process_account::input_output(process.pid);
                self.broker = Some(BrokerCounts { messages: 0, io });
            }
            self.peak_memory.insert(process.name, process_account::peak_memory(process.pid));
        }
        Ok(())
    }

    fn note_messages(&mut self, messages: u64) {
        if let Some(broker) = &mut self.broker {
            broker.messages = messages;
        }
    }

    async fn read_databases(&mut self, cluster: &ServiceCluster) -> anyhow::Result<()> {
        let mut conn = PgConnection::connect(&cluster.stack().postgres).await?;
        // Counting is on only where the server was started so; without it there is nothing to say.
        let install = sqlx::query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements");
        if install.execute(&mut conn).await.is_ok() {
            for member in ProcessName::SERVICES {
                let counts = database_counts(&mut conn, cluster, member).await?;
                self.databases.insert(member.to_string(), counts);
            }
        }
        (self.wal_bytes, self.writing_transactions) = sqlx::query_as(
            "SELECT (pg_current_wal_insert_lsn() - '0/0')::int8,
                    pg_snapshot_xmax(pg_current_snapshot())::text::int8",
        )
        .fetch_one(&mut conn)
        .await?;
        conn.close().await?;
        Ok(())
    }

    /// Resource usage since `before`. Memory has peaked since the start of its process.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let cpu = |(name, now): (&String, &u64)| {
            let then = before.cpu_us.get(name).copied().unwrap_or_default();
            (name.clone(), now.saturating_sub(then))
        };
        let database = |(name, now): (&String, &DatabaseCounts)| {
            let then = before.databases.get(name).copied().unwrap_or_default();
            (name.clone(), now.since(then))
        };
        let broker = self.broker.map(|now| now.since(before.broker.unwrap_or_default()));
        Self {
            cpu_us: self.cpu_us.iter().map(cpu).collect(),
            peak_memory: self.peak_memory.clone(),
            databases: self.databases.iter().map(database).collect(),
            wal_bytes: self.wal_bytes - before.wal_bytes,
            writing_transactions: self.writing_transactions - before.writing_transactions,
            broker,
        }
    }
}

impl DatabaseCounts {
    fn since(self, before: Self) -> Self {
        Self {
            transactions: self.transactions - before.transactions,
            statements: self.statements - before.statements,
            wal_bytes: self.wal_bytes - before.wal_bytes,
            buffers: self.buffers - before.buffers,
        }
    }
}

impl BrokerCounts {
    fn since(self, before: Self) -> Self {
        let messages = self.messages.saturating_sub(before.messages);
        Self { messages, io: self.io.since(before.io) }
    }
}

async fn database_counts(
    conn: &mut PgConnection,
    cluster: &ServiceCluster,
    member: ProcessName,
) -> anyhow::Result<DatabaseCounts> {
    let url = cluster.database(member).context("a service without a database")?;
    let (_, name) = url.rsplit_once('/').context("a database without a name")?;
    let name = name.split('?').next().unwrap_or(name);
    let counts = sqlx::query_as(
        "SELECT (SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1)
                    AS transactions,
                coalesce(sum(calls), 0)::int8 AS statements,
                coalesce(sum(wal_bytes), 0)::int8 AS wal_bytes,
                coalesce(sum(shared_blks_hit + shared_blks_read), 0)::int8 AS buffers
         FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid
         WHERE datname = $1",
    )
    .bind(name)
    .fetch_one(conn)
    .await?;
    Ok(counts)
}

/// Messages on all topics of this system.
async fn published(broker: KafkaSettings) -> anyhow::Result<u64> {
    tokio::task::spawn_blocking(move || messages(&broker)).await?
}

/// The sum of the ends of all partitions.
fn messages(broker: &KafkaSettings) -> anyhow::Result<u64> {
    let consumer: BaseConsumer = broker.client().create().context("no consumer")?;
    let metadata = consumer.fetch_metadata(None, ANSWER_LIMIT).context("no metadata")?;
    let names = contract::TOPICS.map(|spec| broker.topic(spec.name));
    let mut sum = 0;
    for topic in
        metadata.topics().iter().filter(|topic| names.iter().any(|name| name == topic.name()))
    {
        for partition in topic.partitions() {
            let ends = consumer.fetch_watermarks(topic.name(), partition.id(), ANSWER_LIMIT);
            let (_, end) = ends.context("the end of a topic is not known")?;
            sum += u64::try_from(end)?;
        }
    }
    Ok(sum)
}
