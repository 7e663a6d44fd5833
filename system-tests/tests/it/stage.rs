//! The fixture of the system tests: a cluster of their own on the stack of this test process.
//!
//! One cluster at a time: five processes, a broker and a database are enough for two cores.

use std::{cell::Cell, fmt::Debug, time::Duration};

pub(crate) use devstack::until;
use devstack::{SecuredServers, ServerSource, ServerStack, SilentProgress, TestWait, WantedParts};
use reqwest::{RequestBuilder, Response, StatusCode, header};
use sagactl::{audit::AuditReport, http_client::http_client, screen::ProgressBoard};
use shared::kafka::{ConnectionSecurity, SaslLogin, SaslMechanism, TlsSettings};
use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;
use xtask::{
    client::{self, OrderClient, OrderWish, PlaceAnswer, ShownOrder},
    cluster::{AuditExpectation, ClusterOptions, ProcessName, ServiceCluster},
    load::open_work,
};

/// Settings of every cluster: no order is cancelled because the machine stood still.
const SETTINGS: [(&str, &str); 1] = [("ORDER_PATIENCE", "1h")];

/// Limit on the repeated requests of a customer.
const PATIENCE: Duration = Duration::from_mins(2);

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A cluster and a customer.
pub(crate) struct Stage {
    pub(crate) cluster: ServiceCluster,
    pub(crate) orders: OrderClient,
    _turn: MutexGuard<'static, ()>,
}

/// Starts a cluster whose topics and databases nobody else has.
pub(crate) async fn open() -> Stage {
    open_on(devstack::shared().await, &[]).await
}

/// The same on a stack of the test's own, whose parts it may stop, and with these settings.
pub(crate) async fn open_on(stack: &ServerStack, environment: &[(&str, &str)]) -> Stage {
    open_in_turn(stack, environment, ONE_AT_A_TIME.lock().await).await
}

/// The same on a stack that is started when it is this test's turn, and not before: some are too
/// heavy to stand beside another test's.
pub(crate) async fn open_with(
    parts: WantedParts,
    environment: &[(&str, &str)],
) -> (ServerStack, Stage) {
    let turn = ONE_AT_A_TIME.lock().await;
    let stack = ServerStack::start(ServerSource::Native, parts, &SilentProgress).await.unwrap();
    let stage = open_in_turn(&stack, environment, turn).await;
    (stack, stage)
}

async fn open_in_turn(
    stack: &ServerStack,
    environment: &[(&str, &str)],
    turn: MutexGuard<'static, ()>,
) -> Stage {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment = SETTINGS.iter().chain(environment).map(own).collect();
    let security = stack.secured().map(security_of).unwrap_or_default();
    let prefix = devstack::unique_prefix();
    let options =
        ClusterOptions { prefix, products: 20, security, environment, ..ClusterOptions::default() };
    let cluster =
        ServiceCluster::start(stack.urls(), options, &ProgressBoard::new()).await.unwrap();
    let orders = OrderClient::at(http_client().unwrap(), &cluster.url(ProcessName::Orders));
    let stage = Stage { cluster, orders, _turn: turn };
    open_work::catalogue_known(&stage.cluster).await.unwrap();
    stage
}

impl Stage {
    /// Places an order that is accepted; right after an outage admission may still be shut.
    pub(crate) async fn place(&self, sku: &str, card: &str) -> ShownOrder {
        let answer = self.answer(&devstack::unique_prefix(), &wish(sku, card)).await;
        let PlaceAnswer::Accepted(order) = answer else { panic!("{answer:?}") };
        order
    }

    /// How it is answered that an order is placed under this key: accepted, or refused for good.
    pub(crate) async fn answer(&self, key: &str, wish: &OrderWish) -> PlaceAnswer {
        let mut patience = TestWait::until("an order is accepted or refused");
        loop {
            match settled(self.orders.place(key, wish).await) {
                Ok(answer) => return answer,
                Err(seen) => patience.look_again(seen).await,
            }
        }
    }

    /// Waits until the order's history has all of these.
    pub(crate) async fn history(&self, id: Uuid, expected: &[&str]) -> ShownOrder {
        let mut patience = TestWait::until(&format!("order {id} has {expected:?}"));
        let has =
            |order: &ShownOrder, what: &str| order.history.iter().any(|entry| entry.what == what);
        loop {
            match self.orders.get(id).await {
                Ok(order) if expected.iter().all(|text| has(&order, text)) => return order,
                Ok(order) => patience.look_again(order).await,
                Err(error) => patience.look_again(format!("{error:#}")).await,
            }
        }
    }

    /// How an order stands now.
    pub(crate) async fn status(&self, id: Uuid) -> String {
        insist("the order is shown", async || self.orders.get(id).await).await.status
    }

    /// Has an order cancelled.
    pub(crate) async fn cancel(&self, id: Uuid) {
        client::cancel_within(&self.orders, PATIENCE, id).await.unwrap();
    }

    /// The numbers that a service shows of itself.
    pub(crate) async fn numbers(&self, member: ProcessName) -> String {
        let (http, admin) = (http_client().unwrap(), self.cluster.admin(member));
        answered(http.get(format!("{admin}/metrics"))).await.text().await.unwrap()
    }

    /// Waits until all orders have ended and nothing of them is on its way.
    pub(crate) async fn all_end(&self) {
        let mut patience = TestWait::until("nothing is on its way");
        loop {
            let open = open_work::open(&self.cluster).await.unwrap();
            if open.is_nothing() {
                return;
            }
            patience.look_again(open).await;
        }
    }

    /// Checks every invariant from outside, once nothing is on its way; then ends the cluster,
    /// every member of which must end well.
    pub(crate) async fn close(self, expected: AuditExpectation) -> AuditReport {
        self.all_end().await;
        let report = self.cluster.audit(expected).await.unwrap();
        assert_eq!(report.faults(), Vec::<String>::new());
        assert_eq!(self.cluster.stop().await.unwrap(), Vec::<String>::new());
        report
    }
}

/// An answer that is no reason to ask again; else what was said, without what differs each time.
fn settled(answer: anyhow::Result<PlaceAnswer>) -> Result<PlaceAnswer, String> {
    match answer {
        Ok(PlaceAnswer::Refused(_, problem)) if client::is_busy(&problem) => {
            Err("its own earlier attempt is on its way".to_owned())
        }
        Ok(PlaceAnswer::Busy(_)) => Err("told to come back".to_owned()),
        Ok(answer) => Ok(answer),
        // Without an answer its outcome is open, and the key settles it.
        Err(error) => Err(format!("no answer: {error:#}")),
    }
}

/// Asks until there is an answer that is not to come back later: a service that stood still with
/// its machine gives that one.
pub(crate) async fn answered(request: RequestBuilder) -> Response {
    let mut patience = TestWait::until("an answer");
    loop {
        let seen = match request.try_clone().unwrap().send().await {
            Ok(response) if is_later(&response) => format!("come back later: {}", response.url()),
            Ok(response) => return response,
            Err(error) => format!("{error:?}"),
        };
        patience.look_again(seen).await;
    }
}

fn is_later(response: &Response) -> bool {
    response.status() == StatusCode::SERVICE_UNAVAILABLE
        && response.headers().contains_key(header::RETRY_AFTER)
}

/// Asks until it is done.
pub(crate) async fn insist<T, E: Debug>(
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let mut patience = TestWait::until(what);
    loop {
        match ask().await {
            Ok(done) => return done,
            Err(error) => patience.look_again(error).await,
        }
    }
}

/// How the broker of a secured stack wants to be spoken to.
fn security_of(secured: &SecuredServers) -> ConnectionSecurity {
    ConnectionSecurity {
        tls: Some(TlsSettings { ca_file: Some(secured.ca_file.clone()), own: None }),
        login: Some(SaslLogin {
            mechanism: SaslMechanism::ScramSha512,
            user: secured.user.clone(),
            password: secured.password.clone().into(),
        }),
    }
}

/// One of `sku`, paid with `card`.
pub(crate) fn wish(sku: &str, card: &str) -> OrderWish {
    OrderWish {
        lines: vec![(sku.to_owned(), 1)],
        currency: "EUR".to_owned(),
        payment_method: card.to_owned(),
        email: "customer@example.org".to_owned(),
    }
}

/// Places `crowd` orders, a few at once, and repeats each under its key until it is accepted.
/// Returns how often a request got no answer: its outcome is open then, and the key settles it.
pub(crate) async fn place_crowd(orders: &OrderClient, name: &str, crowd: u64) -> u64 {
    let (accepted, unanswered) = (Cell::new(0_u64), Cell::new(0_u64));
    let place = async |n: u64| {
        let wish = wish(&format!("load-{:04}", n % 20 + 1), "tok_visa");
        let mut patience = TestWait::until(&format!("order {n} of {crowd} is accepted"));
        loop {
            let answer = orders.place(&format!("{name}-{n}"), &wish).await;
            unanswered.update(|count| count + u64::from(answer.is_err()));
            match settled(answer) {
                Ok(PlaceAnswer::Accepted(_)) => break,
                Ok(refused) => panic!("order {n}: {refused:?}"),
                // Others may be let in first: that moves, too.
                Err(seen) => patience.look_again((accepted.get(), seen)).await,
            }
        }
        accepted.update(|n| n + 1);
    };
    for first in (0..crowd).step_by(16) {
        let several = (first..crowd.min(first + 16)).map(&place);
        futures_util::future::join_all(several).await;
    }
    unanswered.get()
}
