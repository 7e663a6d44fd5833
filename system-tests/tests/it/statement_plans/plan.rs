//! One execution of a statement: what it read, and for how many rows.

use serde_json::Value;

use super::limits;

/// How a statement was executed once.
#[derive(Clone, Debug)]
pub(super) struct ExecutedPlan {
    /// Its text, with single spaces.
    pub(super) statement: String,
    /// Pages that it read, from memory or from disk.
    pub(super) buffers: u64,
    /// Rows that it was about: given, found or written; or looks into an index, if there were more.
    pub(super) rows: u64,
    /// What no statement may do.
    pub(super) faults: Vec<String>,
}

impl ExecutedPlan {
    /// Reads the text of a notice.
    pub(super) fn parse(notice: &str) -> Option<Self> {
        let (_, json) = notice.split_once("plan:\n")?;
        let explained: Value = serde_json::from_str(json).unwrap();
        let statement = one_line(explained["Query Text"].as_str()?);
        let mut nodes = Vec::new();
        visit(&explained["Plan"], &mut nodes);
        let faults = nodes.iter().filter_map(|node| fault(node)).collect();
        let rows = nodes.iter().map(|node| rows(node)).max().unwrap_or_default();
        let searches = nodes.iter().map(|node| number(node, "Index Searches")).sum();
        let unread = nodes[1..].iter().filter(|node| is_run_at_the_end(node, &nodes));
        let buffers = buffers(nodes[0]) + unread.map(|node| buffers(node)).sum::<u64>();
        Some(Self { statement, buffers, rows: rows.max(searches), faults })
    }

    /// Whether it is about tables of the services at all.
    pub(super) fn is_ours(&self) -> bool {
        const OTHERS: [&str; 4] = ["pg_catalog", "pg_locks", "pg_settings", "_sqlx_migrations"];
        !OTHERS.iter().any(|name| self.statement.contains(name))
            && !self.statement.starts_with("SET ")
    }
}

/// The same text with single spaces.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn visit<'p>(node: &'p Value, nodes: &mut Vec<&'p Value>) {
    nodes.push(node);
    for child in node["Plans"].as_array().into_iter().flatten() {
        visit(child, nodes);
    }
}

fn number(node: &Value, name: &str) -> u64 {
    node[name].as_f64().map_or(0, |number| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is a count"
        )]
        let count = number.ceil() as u64;
        count
    })
}

fn text<'p>(node: &'p Value, name: &str) -> &'p str {
    node[name].as_str().unwrap_or_default()
}

fn buffers(node: &Value) -> u64 {
    number(node, "Shared Hit Blocks") + number(node, "Shared Read Blocks")
}

/// The rows of what is given, limited or written: a scan that finds too many is not excused by them.
fn rows(node: &Value) -> u64 {
    let counts = matches!(text(node, "Node Type"), "Function Scan" | "Limit" | "LockRows")
        || matches!(text(node, "Parent Relationship"), "" | "InitPlan")
        || (text(node, "Parent Relationship") == "Outer" && text(node, "Node Type") == "Result");
    if counts { number(node, "Actual Rows") * number(node, "Actual Loops") } else { 0 }
}

/// A part that writes and that nothing else reads is run after the rest, and its pages are not
/// counted there.
fn is_run_at_the_end(node: &Value, nodes: &[&Value]) -> bool {
    let Some(name) = text(node, "Subplan Name").strip_prefix("CTE ") else { return false };
    let is_read = |other: &&Value| text(other, "CTE Name") == name;
    text(node, "Node Type") == "ModifyTable" && !nodes.iter().any(is_read)
}

fn fault(node: &Value) -> Option<String> {
    match text(node, "Node Type") {
        "Seq Scan" if limits::has_few_rows(text(node, "Relation Name")) => None,
        "Seq Scan" => Some(format!("reads all of {}", text(node, "Relation Name"))),
        join @ ("Hash Join" | "Merge Join") => Some(join.to_owned()),
        _ => None,
    }
}
