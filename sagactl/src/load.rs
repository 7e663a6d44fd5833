//! `sagactl load`: many orders at once, what they cost, and whether every promise was kept.
//!
//! ```text
//! cargo run --release --bin sagactl -- load --orders 20000 --clients 64
//! ```
//!
//! Times from POST to the end are read from the order service's own rows afterwards, so that looking
//! does not slow down what is looked at.

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::Args;
use devstack::{Limit, Parts, Stack};
use indicatif::ProgressBar;
use tokio::{task::JoinSet, time::Instant};

use self::{
    account::Account,
    report::{Posts, Report},
};
use crate::{
    audit::{AuditOutcome, command::print},
    cargo,
    client::{self, Answer, Orders, Wish},
    fleet::{self, AuditExpectation, Fleet, Member},
    screen::{Board, say},
    source::StackSource,
};

pub mod account;
mod elsewhere;
pub mod report;
pub mod tables;

/// How much load.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Orders to place.
    #[arg(long, default_value_t = 2_000)]
    pub orders: u64,
    /// Clients that place them at the same time.
    #[arg(long, default_value_t = 32)]
    pub clients: usize,
    /// Products that they choose from.
    #[arg(long, default_value_t = 100)]
    pub products: u32,
    /// Gives up when no order has ended for this many seconds.
    #[arg(long, default_value_t = 600)]
    pub limit_seconds: u64,
    /// Shows how large all tables were before and are after, and how much in them is dead.
    #[arg(long)]
    pub tables: bool,
    /// Where broker, database, registry and mail sink come from.
    #[arg(long, value_enum, default_value_t)]
    pub from: StackSource,
    /// The base URL of an order service that runs already. Nothing is started then, and only what
    /// its API tells is looked at.
    #[arg(long)]
    pub at: Option<String>,
}

/// What a client does when a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It gives up: nothing was to fail.
    None,
    /// It asks again under the same key: the service may be on its way up.
    Endless,
}

/// How often the number of open orders is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The server looks for what is to be swept up once a minute.
const SWEPT_AFTER: Duration = Duration::from_secs(75);

/// Who could not reach the service, or came too early, tries again after this.
const CALL_AGAIN: Duration = Duration::from_millis(200);

/// Starts everything, places the load, prints what it cost.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    if let Some(at) = &options.at {
        return elsewhere::run(at, &options).await;
    }
    cargo::build_services().await?;
    let board = Board::new();
    let stack = Stack::start(options.from.source(), Parts::all(), &board).await?;
    let set_up = fleet::Options { products: options.products, ..fleet::Options::default() };
    let fleet = Fleet::start(stack.urls(), set_up, &board).await?;
    let before = if options.tables { Some(tables::read(&fleet).await?) } else { None };
    let report = drive(&fleet, Some(&stack), &options, &Board::new()).await?;
    report.print();
    if let Some(before) = before {
        let after = tables::read(&fleet).await?;
        tokio::time::sleep(SWEPT_AFTER).await;
        tables::print(&before, &after, &tables::read(&fleet).await?);
    }
    say("\nChecking every promise from outside");
    let audit = fleet.audit(AuditExpectation::default()).await?;
    print(&audit);
    let kept = audit.outcome == AuditOutcome::Kept;
    let unwell = fleet.stop().await?;
    for complaint in &unwell {
        say(format_args!("  ✘ {complaint}"));
    }
    stack.stop().await;
    let well = kept && unwell.is_empty();
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Places the load and waits until every order has ended and the roads are empty.
pub async fn drive(
    fleet: &Fleet,
    stack: Option<&Stack>,
    options: &Options,
    board: &Board,
) -> anyhow::Result<Report> {
    let orders = Orders::at(client::http()?, &fleet.url(Member::Orders));
    report::catalogue_known(fleet).await?;
    let before = Account::read(fleet, stack).await?;
    let began = Instant::now();
    let bar = board.count("placed", options.orders);
    let posts = place_all(&orders, options, Patience::None, &bar).await?;
    let placed = began.elapsed();
    bar.finish();
    let bar = board.count("ended", options.orders);
    wait_for_ends(fleet, options, &bar).await?;
    bar.finish();
    let spent = Account::read(fleet, stack).await?.since(&before);
    report::make(fleet, posts, placed, spent).await
}

/// Places all orders of a load, by all its clients.
pub(crate) async fn place_all(
    orders: &Orders,
    options: &Options,
    patience: Patience,
    bar: &ProgressBar,
) -> anyhow::Result<Posts> {
    let next = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..options.clients {
        let (orders, next, bar, options) =
            (orders.clone(), Arc::clone(&next), bar.clone(), options.clone());
        clients.spawn(async move {
            let mut posts = Posts::new()?;
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= options.orders {
                    return anyhow::Ok(posts);
                }
                while let Err(error) = place(&orders, n, &options, &mut posts).await {
                    if patience == Patience::None {
                        return Err(error);
                    }
                    tokio::time::sleep(CALL_AGAIN).await;
                }
                bar.inc(1);
            }
        });
    }
    let mut posts = Posts::new()?;
    while let Some(done) = clients.join_next().await {
        posts.add(&done??)?;
    }
    Ok(posts)
}

/// Places the n-th order, again and again under its key while the service is busy.
async fn place(
    orders: &Orders,
    n: u64,
    options: &Options,
    posts: &mut Posts,
) -> anyhow::Result<()> {
    let wish = wish(n, options.products);
    let key = format!("load-{n}");
    loop {
        let began = Instant::now();
        match orders.place(&key, &wish).await? {
            Answer::Accepted(order) => {
                posts.record(began.elapsed());
                if n % 20 == 3 {
                    orders.cancel(order.id).await?;
                }
                return Ok(());
            }
            Answer::Busy(wait) => {
                posts.busy += 1;
                tokio::time::sleep(wait).await;
            }
            // Its own earlier attempt is still on its way.
            Answer::Refused(_, problem) if client::is_busy(&problem) => {
                posts.busy += 1;
                tokio::time::sleep(CALL_AGAIN).await;
            }
            Answer::Refused(status, problem) => anyhow::bail!("order {n}: {status} {problem}"),
        }
    }
}

/// Of twenty orders, one is declined, one is out of stock, one is cancelled, one wants two things.
pub(crate) fn wish(n: u64, products: u32) -> Wish {
    let sku = |n: u64| format!("load-{:04}", n % u64::from(products.max(1)) + 1);
    let mut lines = vec![(sku(n), 1)];
    match n % 20 {
        1 => lines = vec![("unobtainium".to_owned(), 1)],
        4 if products > 1 => lines.push((sku(n + 1), 2)),
        _others => (),
    }
    let card = if n % 20 == 2 { "tok_chargeDeclined" } else { "tok_visa" };
    Wish { lines, payment_method: card.to_owned(), email: format!("customer-{n}@example.org") }
}

/// Waits until no order is open and no message, job or notice waits.
pub(crate) async fn wait_for_ends(
    fleet: &Fleet,
    options: &Options,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let still_max = Duration::from_secs(options.limit_seconds);
    let mut limit = Limit::new("everything ends", still_max, LOOK_AGAIN);
    loop {
        let open = report::open(fleet).await?;
        bar.set_position(options.orders.saturating_sub(open.orders));
        if open.is_nothing() {
            return Ok(());
        }
        limit.look_again(open).await?;
    }
}
