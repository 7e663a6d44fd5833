//! Processor time of a process, read from the kernel's counters.

use std::{fs, time::Duration};

/// The kernel counts in hundredths of a second on every platform this runs on (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Processor time of a process and of all its threads, user and system; none if it is gone.
pub fn of(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse(&stat)
}

/// A process and everything below it: servers that answer each client in a process of its own.
/// Counts what has ended and was waited for, too.
pub fn of_tree(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let own = parse(&stat)? + ticks(&stat, 13)? + ticks(&stat, 14)?;
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Some(
        own + children
            .split_whitespace()
            .filter_map(|text| of_tree(text.parse().ok()?))
            .sum::<Duration>(),
    )
}

fn parse(stat: &str) -> Option<Duration> {
    Some(ticks(stat, 11)? + ticks(stat, 12)?)
}

/// The n-th field after the name, which stands in brackets and may hold anything.
fn ticks(stat: &str, n: usize) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    Some(TICK * fields.split_whitespace().nth(n)?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_behind_a_name_with_brackets_and_blanks() {
        let stat = "42 (a ) b) S 1 1 1 0 -1 0 10 20 30 40 7 5 3 2 20 0 9 0 100 0 0";
        assert_eq!(parse(stat), Some(Duration::from_millis(120)));
        assert_eq!(ticks(stat, 13), Some(Duration::from_millis(30)));
    }

    #[test]
    fn this_process_has_cost_something_and_one_that_is_gone_nothing() {
        assert!(of(std::process::id()).is_some());
        assert_eq!(of(u32::MAX), None);
    }
}
