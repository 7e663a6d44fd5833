//! What the demo's user can do while it stands: an order by `curl`, pages to open, processes to stop.

use devstack::ServerStack;
use sagactl::screen::say;
use uuid::Uuid;

use super::logs::{LogFolder, from_here};
use crate::cluster::{ProcessName, ServiceCluster};

/// A line for each port that another program has taken.
pub(super) async fn moved(cluster: &ServiceCluster, stack: &ServerStack) -> Vec<String> {
    let mut lines = Vec::new();
    for moved in stack.moved().await {
        lines.push(moved_line(moved.taken, &moved.part.to_string(), &moved.address));
    }
    for moved in cluster.moved() {
        let is_admin = moved.member.documented_ports()[1] == Some(moved.taken);
        let name = format!("{}{}", moved.member, if is_admin { " (admin)" } else { "" });
        lines.push(moved_line(moved.taken, &name, &moved.address.to_string()));
    }
    lines
}

fn moved_line(taken: u16, name: &str, address: &str) -> String {
    format!("! port {taken} is taken by another program,\n  {name} is at {address}")
}

/// The commands that place an order and show its end.
pub(super) fn first_order(orders: &str, first: Option<Uuid>) -> Vec<String> {
    let mut lines = vec![
        "\nPlace an order".to_owned(),
        format!("  curl -s {orders}/orders -H 'Content-Type: application/json' \\"),
        "    -H 'Idempotency-Key: \"my-first-order\"' -d '{".to_owned(),
        "    \"lines\": [{\"sku\": \"coffee-beans\", \"quantity\": 2}], \"currency\": \"EUR\","
            .to_owned(),
        "    \"payment_method\": \"tok_visa\", \"customer\": {\"email\": \"ada@example.org\"}}'"
            .to_owned(),
        "See how it ends, with the \"id\" of the answer for ID".to_owned(),
        format!("  curl -s -H 'Prefer: wait=8' {orders}/orders/ID"),
    ];
    if let Some(id) = first {
        lines.push("The first order above".to_owned());
        lines.push(format!("  curl -s {orders}/orders/{id}"));
    }
    lines
}

/// Where to look.
pub(super) fn pages(cluster: &ServiceCluster, stack: &ServerStack, ui: Option<&str>) {
    say("\nLook around");
    let orders = cluster.url(ProcessName::Orders);
    for (what, url) in [
        ("mail", stack.urls().mail_api.clone()),
        ("topics and messages", ui.unwrap_or("cargo demo --ui shows them").to_owned()),
        ("orders, Swagger UI", format!("{orders}/swagger-ui/")),
        ("stock, Swagger UI", format!("{}/swagger-ui/", cluster.url(ProcessName::Inventory))),
        ("payments, Swagger UI", format!("{}/swagger-ui/", cluster.url(ProcessName::Payments))),
        ("notifications", format!("{}/swagger-ui/", cluster.url(ProcessName::Notify))),
        ("gateway's own account", format!("{}/summary", cluster.url(ProcessName::Gateway))),
        ("dead letters", format!("{}/dead-letters", cluster.admin(ProcessName::Orders))),
        ("metrics", format!("{}/metrics", cluster.admin(ProcessName::Orders))),
        ("schemas", format!("{}/subjects", stack.urls().registry)),
        ("Kafka", stack.urls().brokers.clone()),
    ] {
        say(format_args!("  {what:<22} {url}"));
    }
}

/// The processes and their logs, and commands for operators.
pub(super) fn processes(cluster: &ServiceCluster, logs: &LogFolder) {
    say(format_args!("\nProcesses (logs in {})", from_here(logs.path())));
    for (name, pid) in cluster.pids() {
        say(format_args!("  {name:<22} pid {pid:<8} {name}.log"));
    }
    say("\nOperate it");
    say("  cargo sagactl orders place --wait");
    say("  cargo sagactl dead-letters list");
    say("  cargo sagactl payments list");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_80_columns() {
        let id = Uuid::max();
        let mut lines = first_order("http://127.0.0.1:31999", Some(id));
        lines.push(moved_line(9002, "inventory-service (admin)", "127.0.0.1:31999"));
        for line in lines.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn the_command_for_an_order_is_complete() {
        let text = first_order("http://127.0.0.1:8001", None).join("\n");
        let (_, command) = text.split_once("  curl").unwrap();
        let (command, _) = command.split_once("\nSee").unwrap();
        let (_, body) = command.split_once("-d '").unwrap();
        let body: serde_json::Value = serde_json::from_str(body.trim_end_matches('\'')).unwrap();
        assert_eq!(body["lines"][0]["sku"], "coffee-beans");
        // A shell goes on after a line that ends in a backslash or within quotes.
        assert_eq!(command.matches('\'').count() % 2, 0);
        assert!(command.lines().next().unwrap().ends_with('\\'));
    }
}
