//! Processor time of a process, read from the kernel's counters.

use std::{fs, time::Duration};

/// The kernel counts in hundredths of a second on every platform this runs on (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// Processor time of a process and of all its threads, user and system; none if it is gone.
pub fn of(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse(&stat)
}

/// User and system time: the 12th and the 13th field after the name, which stands in brackets and
/// may hold anything.
fn parse(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(|text| text.parse::<u32>().ok());
    Some(TICK * (ticks.next()?? + ticks.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_behind_a_name_with_brackets_and_blanks() {
        let stat = "42 (a ) b) S 1 1 1 0 -1 0 10 20 30 40 7 5 3 2 20 0 9 0 100 0 0";
        assert_eq!(parse(stat), Some(Duration::from_millis(120)));
    }

    #[test]
    fn this_process_has_cost_something_and_one_that_is_gone_nothing() {
        assert!(of(std::process::id()).is_some());
        assert_eq!(of(u32::MAX), None);
    }
}
