//! `cargo demo`: starts everything on this machine and shows one order for each outcome.

use std::{process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Args;
use devstack::{ServerStack, WaitLimit, WantedParts};
use futures_util::future::try_join_all;
use sagactl::{
    demo_presence::DemoPresence,
    http_client::http_client,
    screen::{ProgressBoard, say},
    signal,
};
use uuid::Uuid;

use crate::{
    cargo,
    client::{self, OrderClient, OrderWish, ShownOrder},
    cluster::{self, ProcessName, ServiceCluster},
    source::StackSource,
    stack_progress::StackProgress,
};

/// How the demo is run.
#[derive(Debug, Args)]
pub struct DemoOptions {
    /// Exits when every order has ended: with 0 only if each ended as expected.
    #[arg(long)]
    once: bool,
    /// Also starts Kafka UI, which shows topics and messages in the browser.
    #[arg(long)]
    ui: bool,
    /// Source of broker, database, registry and mail sink.
    #[arg(long, value_enum, default_value_t)]
    from: StackSource,
}

/// An order has to take its next step within this, on a busy machine.
const STEP_LIMIT: Duration = Duration::from_secs(90);

/// How often an order is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// An order and how it should end.
struct DemoOrder {
    name: &'static str,
    wish: OrderWish,
    cancel: bool,
    ends: &'static str,
    reason: Option<&'static str>,
}

/// How an order did end.
struct EndedOrder {
    name: &'static str,
    order: ShownOrder,
    /// The status that the scene ends with, where this one or its reason differs.
    instead_of: Option<&'static str>,
}

/// Starts everything, places the orders, shows them, stays until Ctrl-C.
pub async fn run(options: DemoOptions) -> anyhow::Result<ExitCode> {
    cargo::build_services().await?;
    say("Starting broker, database, schema registry and mail sink");
    let board = ProgressBoard::new();
    let stack =
        ServerStack::start(options.from.source(), WantedParts::all(), &StackProgress(&board))
            .await?;
    say("Starting the services");
    let cluster = ServiceCluster::start(
        stack.urls(),
        cluster::ClusterOptions::default(),
        &ProgressBoard::new(),
    )
    .await?;
    let _presence = DemoPresence::announce(cluster.addresses())?;
    let http = http_client()?;
    let orders = OrderClient::at(http.clone(), &cluster.url(ProcessName::Orders));
    let scenes = scenes();
    wait_for_products(&orders, &scenes).await?;

    say("\nPlacing orders");
    let board = ProgressBoard::new();
    let ended = try_join_all(scenes.into_iter().map(|scene| play(&orders, &board, scene))).await?;
    let mails = mails(&http, &stack).await?;
    summary(&ended, mails);
    let board = ProgressBoard::new();
    let ui = if options.ui { Some(stack.start_ui(&StackProgress(&board)).await?) } else { None };
    addresses(&cluster, &stack, ui.as_deref());
    if !options.once {
        say("\nEverything stays up until Ctrl-C.");
        signal::interrupted().await;
    }
    let unwell = cluster.stop().await?;
    for complaint in &unwell {
        say(format_args!("  {complaint}"));
    }
    stack.stop().await;
    let well = unwell.is_empty() && ended.iter().all(|order| order.instead_of.is_none());
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn scenes() -> Vec<DemoOrder> {
    let scene = |name, sku: &str, payment_method: &str, who: &str| DemoOrder {
        name,
        wish: OrderWish {
            lines: vec![(sku.to_owned(), 1)],
            currency: "EUR".to_owned(),
            payment_method: payment_method.to_owned(),
            email: format!("{who}@example.org"),
        },
        cancel: false,
        ends: "confirmed",
        reason: None,
    };
    let cancelled = |reason, scene| DemoOrder { ends: "cancelled", reason: Some(reason), ..scene };
    let mut well = scene("all is well", "espresso-machine", "tok_visa", "ada");
    well.wish.lines.push(("coffee-beans".to_owned(), 3));
    let stock = scene("out of stock", "unobtainium", "tok_visa", "ben");
    let declined = scene("card declined", "coffee-beans", "tok_chargeDeclined", "cleo");
    let cancels = scene("customer cancels", "coffee-beans", "tok_slow", "dan");
    vec![
        well,
        cancelled("out-of-stock", stock),
        cancelled("payment-declined", declined),
        DemoOrder { cancel: true, ..cancelled("requested", cancels) },
        scene("gateway's answer lost", "coffee-beans", "tok_lost", "eve"),
    ]
}

/// Places one order and shows it until its end.
async fn play(
    orders: &OrderClient,
    board: &ProgressBoard,
    scene: DemoOrder,
) -> anyhow::Result<EndedOrder> {
    let key = format!("demo-{}", fastrand::u64(..));
    let accepted = client::place_within(orders, STEP_LIMIT, &key, &scene.wish).await?;
    board.set(scene.name, "accepted");
    if scene.cancel {
        // Once the stock is held and the slow card is being charged: the hardest moment.
        follow(orders, accepted.id, |order| has(order, "stock-reserved"), |_| ()).await?;
        client::cancel_within(orders, STEP_LIMIT, accepted.id).await?;
    }
    let show = |order: &ShownOrder| board.set(scene.name, &way(order));
    let order = follow(orders, accepted.id, |order| order.status != "pending", show).await?;
    // What follows the end: stock let go, money given back, the customer told.
    let order = follow(orders, order.id, |order| has(order, "notification-sent"), show).await?;
    let is_expected = order.status == scene.ends && order.reason.as_deref() == scene.reason;
    let sign = if is_expected { "✔" } else { "✘" };
    board.end(scene.name, &format!("{sign} {}", way(&order)));
    Ok(EndedOrder { name: scene.name, order, instead_of: (!is_expected).then_some(scene.ends) })
}

/// Looks at an order until it has come so far.
async fn follow(
    orders: &OrderClient,
    id: Uuid,
    far_enough: impl Fn(&ShownOrder) -> bool,
    show: impl Fn(&ShownOrder),
) -> anyhow::Result<ShownOrder> {
    let mut limit = WaitLimit::new(format!("order {id} goes on"), STEP_LIMIT, LOOK_AGAIN);
    loop {
        let seen = match orders.get(id).await {
            Ok(order) => {
                show(&order);
                if far_enough(&order) {
                    return Ok(order);
                }
                way(&order)
            }
            // Told to come back later, one does.
            Err(error) => format!("{error:#}"),
        };
        limit.look_again(seen).await?;
    }
}

fn has(order: &ShownOrder, what: &str) -> bool {
    order.history.iter().any(|entry| entry.what == what)
}

/// The way an order has gone, in its own words.
fn way(order: &ShownOrder) -> String {
    let mut steps: Vec<&str> = order.history.iter().map(|entry| entry.what.as_str()).collect();
    steps.dedup();
    format!("{:<10} {}", order.status, steps.join(" → "))
}

/// Waits for each product that is going to be ordered: they arrive in any order.
async fn wait_for_products(orders: &OrderClient, scenes: &[DemoOrder]) -> anyhow::Result<()> {
    let lines = scenes.iter().flat_map(|scene| &scene.wish.lines);
    let skus: Vec<String> = lines.map(|(sku, _)| sku.clone()).collect();
    let mut limit =
        WaitLimit::new("the catalogue reaches the order service", STEP_LIMIT, LOOK_AGAIN);
    loop {
        match orders.knows_skus(&skus).await {
            Ok(true) => return Ok(()),
            Ok(false) => limit.look_again("not yet").await?,
            Err(error) => limit.look_again(format!("{error:#}")).await?,
        }
    }
}

/// How many mails have arrived.
async fn mails(http: &reqwest::Client, stack: &ServerStack) -> anyhow::Result<u64> {
    let url = format!("{}/api/v1/messages?limit=1", stack.urls().mail_api);
    let page: serde_json::Value = http.get(url).send().await?.json().await?;
    page.get("total").and_then(serde_json::Value::as_u64).context("the mail sink does not count")
}

fn summary(ended: &[EndedOrder], mails: u64) {
    say("");
    for it in ended {
        let verdict = it
            .instead_of
            .map_or_else(|| "ok".into(), |status| format!("NOT ok: expected {status}"));
        let reason = it.order.reason.as_deref().map_or(String::new(), |text| format!(" ({text})"));
        say(format_args!("  {:<22} {}{reason}, {verdict}", it.name, it.order.status));
    }
    say(format_args!("  mails sent             {mails}"));
}

fn addresses(cluster: &ServiceCluster, stack: &ServerStack, ui: Option<&str>) {
    say("\nLook around");
    let orders = cluster.url(ProcessName::Orders);
    for (what, url) in [
        ("orders, Swagger UI", format!("{orders}/swagger-ui/")),
        ("stock, Swagger UI", format!("{}/swagger-ui/", cluster.url(ProcessName::Inventory))),
        ("payments, Swagger UI", format!("{}/swagger-ui/", cluster.url(ProcessName::Payments))),
        ("notifications", format!("{}/swagger-ui/", cluster.url(ProcessName::Notify))),
        ("gateway's own account", format!("{}/summary", cluster.url(ProcessName::Gateway))),
        ("dead letters", format!("{}/dead-letters", cluster.admin(ProcessName::Orders))),
        ("metrics", format!("{}/metrics", cluster.admin(ProcessName::Orders))),
        ("mail", format!("{}/api/v1/messages", stack.urls().mail_api)),
        ("schemas", format!("{}/subjects", stack.urls().registry)),
        ("Kafka", stack.urls().brokers.clone()),
    ] {
        say(format_args!("  {what:<22} {url}"));
    }
    if let Some(ui) = ui {
        say(format_args!("  {:<22} {ui}", "Kafka UI"));
    }
    say("\nPlace orders, and decide on payments and dead letters: it finds this demo");
    say("  cargo sagactl orders place --wait");
    say("  cargo sagactl payments list");
}
