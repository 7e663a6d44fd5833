//! The result of a load as a table for people.

use std::collections::BTreeMap;

use sagactl::screen::say;

use super::{
    order_times::LatencyKind,
    report::{
        AuditVerdict, BrokerCosts, DatabaseCosts, LatencySummary, LoadReport, OrderCosts, as_float,
    },
};

/// Says how many orders ended in which way.
pub fn print_outcomes(outcomes: &BTreeMap<String, u64>) {
    say("\nOutcomes");
    for (end, n) in outcomes {
        say(format_args!("  {n:>8}  {end}"));
    }
}

/// Prints everything but whether it counts.
pub fn print(report: &LoadReport) {
    print_outcomes(&report.outcomes);
    let (rates, answers) = (&report.rates, &report.answers);
    say(format_args!("\nOrders a second ({})", describe_pace(report)));
    say(format_args!("  {:>8.0}  accepted", rates.accepted));
    say(format_args!("  {:>8.0}  ended: confirmed or cancelled", rates.ended));
    say(format_args!(
        "  {:>8.0}  whole sagas, mail handed over (target: 2000), in {:.1} s",
        rates.whole, rates.seconds
    ));
    say(format_args!(
        "  {:>8}  answers said to come back later, {} requests were repeated and answered as before",
        answers.busy, answers.repeats
    ));
    say(
        "\nMilliseconds                     p50       p90       p99     p99.9       max     orders",
    );
    for kind in LatencyKind::ALL {
        print_latency(kind.name(), &report.latency(kind));
    }
    if report.settings.rate.is_some() {
        say("  POST counts from when the request was due.");
    }
    match &report.costs {
        Some(costs) => print_costs(costs),
        None => say("\nCosts are not known: the system runs elsewhere."),
    }
}

fn describe_pace(report: &LoadReport) -> String {
    let settings = &report.settings;
    match settings.rate {
        Some(rate) => format!("open loop, {rate} a second"),
        None => format!("closed loop, {} clients", settings.clients),
    }
}

fn print_latency(name: &str, latency: &LatencySummary) {
    let LatencySummary { count, p50, p90, p99, p999, max, .. } = latency;
    if *count > 0 {
        say(format_args!(
            "  {name:<24} {p50:>9.1} {p90:>9.1} {p99:>9.1} {p999:>9.1} {max:>9.1} {count:>10}"
        ));
    }
}

fn print_costs(costs: &OrderCosts) {
    say("\nPer order           CPU µs (target: 1000)      peak memory, MB");
    let mut by_cost: Vec<_> = costs.cpu_us.iter().collect();
    by_cost.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    for (name, micros) in by_cost {
        let memory = costs.peak_memory.get(name).copied().unwrap_or_default();
        say(format_args!("  {name:<24} {micros:>9.0} {:>24.1}", as_float(memory) / 1e6));
    }
    say(format_args!("  {:<24} {:>9.0}", "all servers", costs.cpu_us_all));
    say(format_args!("  {:<24} {:>9.0}", "without the mail server", costs.cpu_us_without_mail));
    say(format_args!("  {:<24} {:>9.0}  (not in the sums)", "this tool", costs.cpu_us_own));
    print_databases(costs);
    if let Some(broker) = &costs.broker {
        print_broker(broker);
    }
}

fn print_databases(costs: &OrderCosts) {
    if costs.databases.is_empty() {
        say("\nThe database server does not count statements (pg_stat_statements is not loaded).");
        return;
    }
    say("\nDatabase, per order   transactions  statements     buffers   WAL bytes");
    let line = |name: &str, costs: &DatabaseCosts| {
        let DatabaseCosts { transactions, statements, wal_bytes, buffers } = costs;
        say(format_args!(
            "  {name:<20} {transactions:>12.2} {statements:>11.2} {buffers:>11.1} {wal_bytes:>11.0}"
        ));
    };
    for (name, costs) in &costs.databases {
        line(name, costs);
    }
    let sum = |part: fn(&DatabaseCosts) -> f64| costs.databases.values().map(part).sum();
    let all = DatabaseCosts {
        transactions: sum(|costs| costs.transactions),
        statements: sum(|costs| costs.statements),
        wal_bytes: sum(|costs| costs.wal_bytes),
        buffers: sum(|costs| costs.buffers),
    };
    line("all together", &all);
    say(format_args!(
        "  The server gave out {:.2} transaction numbers (for transactions that write) and wrote {:.0} bytes of WAL.",
        costs.writing_transactions, costs.wal_bytes
    ));
}

fn print_broker(costs: &BrokerCosts) {
    let BrokerCosts { messages, bytes_read, bytes_written, read_calls, write_calls } = costs;
    say("\nBroker, per order (the kernel's account of its sockets and log files)");
    say(format_args!("  {messages:>8.2}  messages"));
    say(format_args!("  {bytes_read:>8.0}  bytes read, in {read_calls:.2} calls"));
    say(format_args!("  {bytes_written:>8.0}  bytes written, in {write_calls:.2} calls"));
}

/// Says whether the numbers count.
pub fn print_verdict(verdict: AuditVerdict) {
    match verdict {
        AuditVerdict::Green => say("\nThe audit is green: these numbers count."),
        AuditVerdict::NotGreen => {
            say("\n✘ THE AUDIT IS NOT GREEN: THESE NUMBERS DO NOT COUNT.");
        }
        AuditVerdict::NotMade => say(
            "\nNot audited: whether these numbers count is what `cargo sagactl audit` says of that system.",
        ),
    }
}
