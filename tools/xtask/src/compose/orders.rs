//! Orders at the running project: the README's order, orders that are placed while containers are
//! killed, and the outcome of all of them.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use devstack::StackUrls;
use futures_util::future::try_join_all;
use sagactl::http_client::http_client;
use sqlx::{Connection as _, PgConnection};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{confinement::ROLES, project::ComposeProject};
use crate::{
    client::{self, OrderClient},
    cluster::{self, AuditExpectation, ProcessAddress, ProcessName, ServiceCluster},
    load::{self, open_work},
};

/// Products for the load.
pub(super) const PRODUCTS: u32 = 20;

/// Orders that are placed and not waited for.
const IN_FLIGHT: u64 = 20;

/// Whatever should come about has come about after this long, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);
/// How often it is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Customers who place orders all the time, and how long each rests in between.
const CUSTOMERS: usize = 4;
const REST: Duration = Duration::from_millis(30);

/// The running project: its cluster, a client of its API, and the passwords that it generated.
#[derive(Debug)]
pub(super) struct ComposeShop {
    pub(super) cluster: ServiceCluster,
    pub(super) passwords: BTreeMap<String, String>,
    /// How many were provoked.
    pub(super) dead_letters: i64,
    orders: OrderClient,
}

impl ComposeShop {
    /// Finds everything at the ports where the project is published.
    pub(super) async fn of(project: &ComposeProject, dead_letters: i64) -> anyhow::Result<Self> {
        let mut passwords = BTreeMap::new();
        for role in ROLES {
            let file = format!("/run/secrets/postgres/{role}");
            let said = project.compose(&["exec", "-T", "postgres", "cat", &file]).await?;
            passwords.insert(role.to_owned(), said.trim().to_owned());
        }
        let at = |variable: &str| anyhow::Ok(format!("127.0.0.1:{}", project.port(variable)?));
        let server = at("POSTGRES_PORT")?;
        let mut databases = BTreeMap::new();
        for member in ProcessName::SERVICES {
            let role = member.database().context("a service without a database")?;
            let password = &passwords[role];
            databases.insert(member, format!("postgres://{role}:{password}@{server}/{role}"));
        }
        let urls = StackUrls {
            brokers: at("KAFKA_PORT")?,
            registry: format!("http://{}/apis/ccompat/v7", at("REGISTRY_PORT")?),
            mail_api: format!("http://{}", at("MAIL_PORT")?),
            ..StackUrls::default()
        };
        let options =
            cluster::ClusterOptions { products: PRODUCTS, ..cluster::ClusterOptions::default() };
        let cluster = ServiceCluster::elsewhere(urls, options, places(project)?, databases)?;
        let orders = OrderClient::at(http_client()?, &cluster.url(ProcessName::Orders));
        Ok(Self { cluster, passwords, dead_letters, orders })
    }

    /// Waits until an order has come to this end.
    pub(super) async fn ends(&self, id: Uuid, status: &str) -> anyhow::Result<()> {
        until(&format!("order {id} is {status}"), async || {
            Ok(self.orders.get(id).await?.status == status)
        })
        .await
    }

    /// Places an order and waits until it is confirmed.
    pub(super) async fn confirms_an_order(&self, name: &str) -> anyhow::Result<()> {
        let key = format!("{name}-{}", fastrand::u64(..));
        let order = placed(&self.orders, &key, 0).await?;
        self.ends(order, "confirmed").await
    }

    /// Places orders, and waits for none of them.
    pub(super) async fn leaves_orders_in_flight(&self, name: &str) -> anyhow::Result<()> {
        for n in 0..IN_FLIGHT {
            placed(&self.orders, &format!("{name}-{}", fastrand::u64(..)), n).await?;
        }
        Ok(())
    }

    /// Number of topics whose loss of messages the services found, and that are published again.
    pub(super) async fn lost_topics(&self) -> anyhow::Result<i64> {
        let mut lost = 0;
        for member in ProcessName::SERVICES {
            let url = self.cluster.database(member).context("a service without a database")?;
            let mut conn = PgConnection::connect(url).await?;
            let found = "SELECT count(*) FROM messaging.log_loss WHERE ended_at IS NOT NULL";
            lost += sqlx::query_scalar::<_, i64>(found).fetch_one(&mut conn).await?;
        }
        Ok(lost)
    }

    /// Customers who place orders until they are told to stop; answers how many were accepted.
    /// Whatever happens to the answer, the same order is placed again under its key until it is
    /// accepted.
    pub(super) async fn crowd(&self, name: &str, stop: CancellationToken) -> anyhow::Result<u64> {
        let next = AtomicU64::new(0);
        let customer = async || {
            while stop.run_until_cancelled(sleep(REST)).await.is_some() {
                let n = next.fetch_add(1, Ordering::Relaxed);
                placed(&self.orders, &format!("{name}-{n}"), n).await?;
            }
            anyhow::Ok(())
        };
        try_join_all((0..CUSTOMERS).map(|_| customer())).await?;
        Ok(next.load(Ordering::Relaxed))
    }

    /// How many orders there are.
    pub(super) async fn count(&self) -> anyhow::Result<u64> {
        open_work::accepted(&self.cluster).await
    }

    /// Waits until nothing is on its way, and checks every promise from outside.
    pub(super) async fn audit(&self) -> anyhow::Result<BTreeMap<&'static str, i64>> {
        until("nothing is on its way", async || {
            Ok(open_work::open(&self.cluster).await?.is_nothing())
        })
        .await?;
        let expected = AuditExpectation { dead_letters: self.dead_letters };
        let report = self.cluster.audit(expected).await?;
        anyhow::ensure!(report.faults().is_empty(), "{}", report.faults().join("\n"));
        Ok(report.orders)
    }
}

fn places(project: &ComposeProject) -> anyhow::Result<Vec<(ProcessName, ProcessAddress)>> {
    let at = |variable: &str| {
        anyhow::Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, project.port(variable)?)))
    };
    let place = |http: &str, admin: &str| anyhow::Ok(ProcessAddress::given(at(http)?, at(admin)?));
    Ok(vec![
        (ProcessName::Gateway, place("GATEWAY_PORT", "GATEWAY_PORT")?),
        (ProcessName::Orders, place("ORDERS_PORT", "ORDERS_ADMIN_PORT")?),
        (ProcessName::Inventory, place("INVENTORY_PORT", "INVENTORY_ADMIN_PORT")?),
        (ProcessName::Payments, place("PAYMENTS_PORT", "PAYMENTS_ADMIN_PORT")?),
        (ProcessName::Notify, place("NOTIFY_PORT", "NOTIFY_ADMIN_PORT")?),
    ])
}

/// Places the n-th wish of a load until it is accepted, whatever is killed meanwhile.
async fn placed(orders: &OrderClient, key: &str, n: u64) -> anyhow::Result<Uuid> {
    Ok(client::place_within(orders, PATIENCE, key, &load::wish(n, PRODUCTS)).await?.id)
}

pub(super) async fn until(
    what: &str,
    mut holds: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await? {
        anyhow::ensure!(Instant::now() < deadline, "never: {what}");
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}
