//! Where the system tests play: a fleet of their own on the stack of this test process.
//!
//! One fleet at a time: five processes, a broker and a database are enough for two cores.

use std::time::Duration;

use devstack::{Parts, Secured, Silent, Source, Stack};
use sagactl::{
    audit::{self, Expected},
    client::{self, Answer, Order, Orders, Wish},
    fleet::{Fleet, Member, Options},
    screen::Board,
};
use shared::kafka::{Login, Mechanism, Security, Tls};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::Instant,
};
use uuid::Uuid;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A fleet and a customer.
pub(crate) struct Stage {
    pub(crate) fleet: Fleet,
    pub(crate) orders: Orders,
    _turn: MutexGuard<'static, ()>,
}

/// Starts a fleet whose topics and databases nobody else has.
pub(crate) async fn open() -> Stage {
    open_on(devstack::shared().await, &[]).await
}

/// The same on a stack of the test's own, whose parts it may stop, and with these settings.
pub(crate) async fn open_on(stack: &Stack, environment: &[(&str, &str)]) -> Stage {
    open_in_turn(stack, environment, ONE_AT_A_TIME.lock().await).await
}

/// The same on a stack that is started when it is this test's turn, and not before: some are too heavy
/// to stand beside another test's.
pub(crate) async fn open_with(parts: Parts, environment: &[(&str, &str)]) -> (Stack, Stage) {
    let turn = ONE_AT_A_TIME.lock().await;
    let stack = Stack::start(Source::Native, parts, &Silent).await.unwrap();
    let stage = open_in_turn(&stack, environment, turn).await;
    (stack, stage)
}

async fn open_in_turn(
    stack: &Stack,
    environment: &[(&str, &str)],
    turn: MutexGuard<'static, ()>,
) -> Stage {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment = environment.iter().map(own).collect();
    let security = stack.secured().map(security_of).unwrap_or_default();
    let prefix = devstack::unique_prefix();
    let options = Options { prefix, products: 20, security, environment };
    let fleet = Fleet::start(stack.urls(), options, &Board::new()).await.unwrap();
    let orders = Orders::at(client::http().unwrap(), &fleet.url(Member::Orders));
    let stage = Stage { fleet, orders, _turn: turn };
    sagactl::load::report::catalogue_known(&stage.fleet).await.unwrap();
    stage
}

impl Stage {
    /// Places an order that is accepted; right after an outage the door may still be closed.
    pub(crate) async fn place(&self, sku: &str, card: &str) -> Order {
        let (wish, key) = (wish(sku, card), devstack::unique_prefix());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.orders.place(&key, &wish).await;
            match answer {
                Ok(Answer::Accepted(order)) => return order,
                Ok(Answer::Refused(status, problem)) if status.as_u16() != 409 => {
                    panic!("{status} {problem}")
                }
                // Without an answer its outcome is open, and the key settles it.
                _ => tokio::task::yield_now().await,
            }
            assert!(Instant::now() < deadline, "no order is accepted: {answer:?}");
        }
    }

    /// Waits until the order's history has all of these.
    pub(crate) async fn history(&self, id: Uuid, expected: &[&str]) -> Order {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.orders.get(id).await;
            let has = |order: &Order, what: &str| order.history.iter().any(|it| it.what == what);
            match found {
                Ok(order) if expected.iter().all(|it| has(&order, it)) => return order,
                found => assert!(Instant::now() < deadline, "{expected:?} is not in {found:?}"),
            }
            tokio::task::yield_now().await;
        }
    }

    /// Checks every promise from outside, once nothing is on its way; then ends the fleet, every
    /// member of which must end well.
    pub(crate) async fn close(self, expected: Expected) -> audit::Report {
        until("nothing is on its way", async || {
            sagactl::load::report::open(&self.fleet).await.unwrap().is_nothing()
        })
        .await;
        let report = audit::audit(&self.fleet, expected).await.unwrap();
        assert_eq!(report.faults(), Vec::<String>::new());
        assert_eq!(self.fleet.stop().await.unwrap(), Vec::<String>::new());
        report
    }
}

/// How the broker of a secured stack wants to be spoken to.
fn security_of(secured: &Secured) -> Security {
    Security {
        tls: Some(Tls { ca_file: Some(secured.ca_file.clone()), own: None }),
        login: Some(Login {
            mechanism: Mechanism::ScramSha512,
            user: secured.user.clone(),
            password: secured.password.clone().into(),
        }),
    }
}

/// One of `sku`, paid with `card`.
pub(crate) fn wish(sku: &str, card: &str) -> Wish {
    Wish {
        lines: vec![(sku.to_owned(), 1)],
        payment_method: card.to_owned(),
        email: "customer@example.org".to_owned(),
    }
}

/// Places so many orders, a few at once, each again under its key until it is accepted. Answers how often
/// somebody was left without an answer: its outcome is open then, and the key settles it.
pub(crate) async fn place_crowd(orders: &Orders, name: &str, crowd: u64) -> u64 {
    let place = async |n: u64| {
        let wish = wish(&format!("load-{:04}", n % 20 + 1), "tok_visa");
        let deadline = Instant::now() + PATIENCE;
        let mut unanswered = 0;
        loop {
            match orders.place(&format!("{name}-{n}"), &wish).await {
                Ok(Answer::Accepted(_)) => return unanswered,
                Ok(Answer::Busy(_)) => {}
                Err(_) => unanswered += 1,
                Ok(Answer::Refused(status, problem)) => {
                    // Its own earlier attempt may still be on its way.
                    assert_eq!(status.as_u16(), 409, "{problem}");
                }
            }
            assert!(Instant::now() < deadline, "order {n} is never accepted");
            tokio::task::yield_now().await;
        }
    };
    let mut unanswered = 0;
    for first in (0..crowd).step_by(16) {
        let several = (first..crowd.min(first + 16)).map(&place);
        unanswered += futures_util::future::join_all(several).await.into_iter().sum::<u64>();
    }
    unanswered
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::task::yield_now().await;
    }
}
