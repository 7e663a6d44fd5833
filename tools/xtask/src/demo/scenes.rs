//! The orders of the demo: six that end in different ways, each shown until nothing more happens to
//! it.

use std::time::Duration;

use contract::currency;
use devstack::WaitLimit;
use futures_util::future::try_join_all;
use reqwest::StatusCode;
use sagactl::screen::{ProgressBoard, say};
use uuid::Uuid;

use crate::client::{self, OrderClient, OrderWish, ShownOrder};

/// An order has to take its next step within this, on a busy machine.
const STEP_LIMIT: Duration = Duration::from_secs(90);

/// How often an order is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Stages of a payment at which money may still move, if its order is cancelled.
const UNSETTLED: [&str; 4] = ["charging", "cancelling", "refunding", "done"];

/// When the customer cancels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CancelTime {
    Never,
    /// Once the stock is held and the slow card is being charged: the hardest moment.
    WhileCharged,
    /// Once the order is confirmed and the mail about it is sent.
    OncePaid,
}

/// An order and how it should end.
struct DemoOrder {
    name: &'static str,
    wish: OrderWish,
    cancel: CancelTime,
    ends: &'static str,
    reason: Option<&'static str>,
}

/// How an order did end.
#[derive(Debug)]
pub(super) struct EndedOrder {
    name: &'static str,
    pub(super) order: ShownOrder,
    /// The status that the scene ends with, where this one or its reason differs.
    pub(super) instead_of: Option<&'static str>,
}

/// The services that are asked.
#[derive(Clone, Debug)]
pub(super) struct SceneClients {
    pub(super) orders: OrderClient,
    pub(super) http: reqwest::Client,
    /// The base URL of payment-service.
    pub(super) payments: String,
}

/// Places all orders at once and shows each until its end.
pub(super) async fn play_all(clients: &SceneClients) -> anyhow::Result<Vec<EndedOrder>> {
    let scenes = scenes();
    let board = ProgressBoard::new();
    board.set("catalogue", "on its way to the order service");
    board.while_shown(wait_for_products(&clients.orders, &scenes)).await?;
    drop(board);
    say("\nPlacing orders");
    let board = ProgressBoard::new();
    let played = scenes.into_iter().map(|scene| play(clients, &board, scene));
    board.while_shown(try_join_all(played)).await
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
        cancel: CancelTime::Never,
        ends: "confirmed",
        reason: None,
    };
    let cancelled = |reason, scene| DemoOrder { ends: "cancelled", reason: Some(reason), ..scene };
    let mut well = scene("all is well", "espresso-machine", "tok_visa", "ada");
    well.wish.lines.push(("coffee-beans".to_owned(), 3));
    let stock = scene("out of stock", "unobtainium", "tok_visa", "ben");
    let declined = scene("card declined", "coffee-beans", "tok_chargeDeclined", "cleo");
    let cancels = scene("customer cancels", "coffee-beans", "tok_slow", "dan");
    let returns = scene("cancelled once paid", "coffee-beans", "tok_visa", "fay");
    vec![
        well,
        cancelled("out-of-stock", stock),
        cancelled("payment-declined", declined),
        DemoOrder { cancel: CancelTime::WhileCharged, ..cancelled("requested", cancels) },
        DemoOrder { cancel: CancelTime::OncePaid, ..cancelled("requested", returns) },
        scene("gateway's answer lost", "coffee-beans", "tok_lost", "eve"),
    ]
}

/// Places one order and shows it until its end.
async fn play(
    clients: &SceneClients,
    board: &ProgressBoard,
    scene: DemoOrder,
) -> anyhow::Result<EndedOrder> {
    let orders = &clients.orders;
    let key = format!("demo-{}", fastrand::u64(..));
    let id = client::place_within(orders, STEP_LIMIT, &key, &scene.wish).await?.id;
    board.set(scene.name, "accepted");
    let show = |order: &ShownOrder| board.set(scene.name, &way(order));
    let (before, mails) = match scene.cancel {
        CancelTime::Never => (None, 1),
        CancelTime::WhileCharged => (Some("stock-reserved"), 1),
        CancelTime::OncePaid => (Some("notification-sent"), 2),
    };
    if let Some(before) = before {
        follow(orders, id, |order| count(order, before) > 0, show).await?;
        client::cancel_within(orders, STEP_LIMIT, id).await?;
    }
    // What follows the end, too: the customer told, stock let go, money given back.
    let told = |order: &ShownOrder| {
        order.status != "pending" && count(order, "notification-sent") >= mails
    };
    let mut order = follow(orders, id, told, show).await?;
    if order.status == "cancelled" {
        let refunded = settled(clients, id).await? == "refunded";
        let is_over = |order: &ShownOrder| {
            let released = count(order, "stock-reserved") == count(order, "stock-released");
            // One mail says that the money is given back.
            let mails = mails + usize::from(refunded);
            let told = count(order, "notification-sent") >= mails;
            released && told && (!refunded || is_refunded(order))
        };
        order = follow(orders, id, is_over, show).await?;
    }
    let is_expected = order.status == scene.ends
        && order.reason.as_deref() == scene.reason
        && (scene.cancel != CancelTime::OncePaid || is_refunded(&order));
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

/// Waits until no more money moves for an order that is cancelled; answers the payment's stage.
async fn settled(clients: &SceneClients, id: Uuid) -> anyhow::Result<String> {
    let mut limit = WaitLimit::new(format!("the payment of {id} ends"), STEP_LIMIT, LOOK_AGAIN);
    loop {
        let seen = match stage(clients, id).await {
            Ok(stage) if !UNSETTLED.contains(&stage.as_str()) => return Ok(stage),
            Ok(stage) => stage,
            Err(error) => format!("{error:#}"),
        };
        limit.look_again(seen).await?;
    }
}

async fn stage(clients: &SceneClients, id: Uuid) -> anyhow::Result<String> {
    let url = format!("{}/payments/{id}", clients.payments);
    let response = clients.http.get(url).send().await?;
    if response.status() == StatusCode::NOT_FOUND {
        return Ok("unheard".to_owned());
    }
    let payment: serde_json::Value = response.error_for_status()?.json().await?;
    Ok(payment["stage"].as_str().unwrap_or_default().to_owned())
}

fn count(order: &ShownOrder, what: &str) -> usize {
    order.history.iter().filter(|entry| entry.what == what).count()
}

fn is_refunded(order: &ShownOrder) -> bool {
    count(order, "payment-refunded") > 0
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

/// How each order ended and what it cost, a line each.
pub(super) fn summary(ended: &[EndedOrder]) -> Vec<String> {
    let line = |scene: &EndedOrder| {
        let order = &scene.order;
        let currency = order.currency.as_deref().unwrap_or_default();
        let total = currency::amount(order.total.unwrap_or_default(), currency);
        let reason = order.reason.as_deref().map_or(String::new(), |text| format!(" ({text})"));
        let money = match (order.status.as_str(), is_refunded(order)) {
            ("confirmed", _) => "charged",
            (_, true) => "charged and refunded",
            (_, false) => "not charged",
        };
        let verdict =
            scene.instead_of.map_or_else(|| "ok".into(), |ends| format!("NOT ok: expected {ends}"));
        [
            format!("  {:<22} {}{reason}, {verdict}", scene.name, order.status),
            format!("  {:<22} {total} {money}", ""),
        ]
    };
    ended.iter().flat_map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ended(status: &str, reason: Option<&str>, history: &[&str]) -> EndedOrder {
        let history: Vec<_> = history.iter().map(|what| json!({ "what": what })).collect();
        let order = json!({
            "id": Uuid::nil(), "status": status, "reason": reason, "total": 1_890, "currency": "EUR",
            "history": history,
        });
        let order = serde_json::from_value(order).unwrap();
        EndedOrder { name: "a scene", order, instead_of: None }
    }

    #[test]
    fn the_summary_says_what_became_of_the_money() {
        let refunded = ["payment-done", "order-cancelled", "payment-refunded"];
        for (order, expected) in [
            (ended("confirmed", None, &["payment-done"]), "18.90 EUR charged"),
            (ended("cancelled", Some("requested"), &refunded), "18.90 EUR charged and refunded"),
            (ended("cancelled", Some("out-of-stock"), &[]), "18.90 EUR not charged"),
        ] {
            assert_eq!(summary(&[order])[1].trim(), expected);
        }
    }

    #[test]
    fn one_of_the_orders_is_refunded_for_sure() {
        let scenes = scenes();
        let refunded = scenes.iter().filter(|scene| scene.cancel == CancelTime::OncePaid);
        assert_eq!(refunded.map(|scene| scene.ends).collect::<Vec<_>>(), ["cancelled"]);
    }
}
