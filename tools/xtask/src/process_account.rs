//! What a process has cost so far, from the kernel's own accounts: processor time, peak memory, and what it
//! read and wrote through files and sockets.

use std::{fs, ops::AddAssign, time::Duration};

/// The kernel counts in hundredths of a second on every platform this runs on (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// What processes have read and written, sockets included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputOutput {
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub read_calls: u64,
    pub write_calls: u64,
}

impl InputOutput {
    /// What was read and written since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            bytes_read: self.bytes_read.saturating_sub(before.bytes_read),
            bytes_written: self.bytes_written.saturating_sub(before.bytes_written),
            read_calls: self.read_calls.saturating_sub(before.read_calls),
            write_calls: self.write_calls.saturating_sub(before.write_calls),
        }
    }
}

impl AddAssign for InputOutput {
    fn add_assign(&mut self, other: Self) {
        self.bytes_read += other.bytes_read;
        self.bytes_written += other.bytes_written;
        self.read_calls += other.read_calls;
        self.write_calls += other.write_calls;
    }
}

/// Processor time of a process and of all its threads, user and system; none if it is gone.
pub fn processor_time(pid: u32) -> Option<Duration> {
    parse_time(&file(pid, "stat")?)
}

/// The most memory, in bytes, that a process and all below it have had. What they share is counted
/// once: as much as the largest of them has of it now.
pub fn peak_memory(root: u32) -> u64 {
    let parts = tree(root).into_iter().filter_map(|pid| parse_memory(&file(pid, "status")?));
    let (own, shared): (Vec<u64>, Vec<u64>) = parts.unzip();
    own.iter().sum::<u64>() + shared.into_iter().max().unwrap_or_default()
}

/// What a process and all below it have read and written.
pub fn input_output(root: u32) -> InputOutput {
    let mut sum = InputOutput::default();
    let parts = tree(root).into_iter().filter_map(|pid| file(pid, "io"));
    parts.for_each(|text| sum += parse_io(&text));
    sum
}

/// A process and all below it.
fn tree(root: u32) -> Vec<u32> {
    let children = file(root, &format!("task/{root}/children")).unwrap_or_default();
    let below = children.split_whitespace().filter_map(|text| text.parse().ok());
    std::iter::once(root).chain(below.flat_map(tree)).collect()
}

fn file(pid: u32, name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/{name}")).ok()
}

/// User and system time: the 12th and the 13th field after the name, which stands in brackets and
/// may hold anything.
fn parse_time(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(|text| text.parse::<u32>().ok());
    Some(TICK * (ticks.next()?? + ticks.next()??))
}

/// The peak without what is shared, and what is shared, in bytes.
fn parse_memory(status: &str) -> Option<(u64, u64)> {
    let line = |name| number(status, name).map(|kilobytes| kilobytes * 1024);
    let shared = line("RssFile:").unwrap_or_default() + line("RssShmem:").unwrap_or_default();
    Some((line("VmHWM:")?.saturating_sub(shared), shared))
}

fn parse_io(text: &str) -> InputOutput {
    let line = |name| number(text, name).unwrap_or_default();
    InputOutput {
        bytes_read: line("rchar:"),
        bytes_written: line("wchar:"),
        read_calls: line("syscr:"),
        write_calls: line("syscw:"),
    }
}

/// The number behind a name at the beginning of a line.
fn number(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_behind_a_name_with_brackets_and_blanks() {
        let stat = "42 (a ) b) S 1 1 1 0 -1 0 10 20 30 40 7 5 3 2 20 0 9 0 100 0 0";
        assert_eq!(parse_time(stat), Some(Duration::from_millis(120)));
    }

    #[test]
    fn this_process_has_cost_something_and_one_that_is_gone_nothing() {
        let own = std::process::id();
        assert!(processor_time(own).is_some());
        assert!(peak_memory(own) > 1024 * 1024);
        assert!(input_output(own).bytes_read > 0);
        assert_eq!(processor_time(u32::MAX), None);
        assert_eq!((peak_memory(u32::MAX), input_output(u32::MAX)), (0, InputOutput::default()));
    }

    #[test]
    fn shared_memory_is_told_apart_from_the_peak() {
        let status =
            "Name:\tx\nVmHWM:\t  100 kB\nRssAnon:\t 60 kB\nRssFile:\t 20 kB\nRssShmem:\t 10 kB\n";
        assert_eq!(parse_memory(status), Some((70 * 1024, 30 * 1024)));
    }

    #[test]
    fn what_was_read_and_written_is_found_by_its_name() {
        let text = "rchar: 5\nwchar: 6\nsyscr: 7\nsyscw: 8\nread_bytes: 9\nwrite_bytes: 10\n";
        let expected =
            InputOutput { bytes_read: 5, bytes_written: 6, read_calls: 7, write_calls: 8 };
        assert_eq!(parse_io(text), expected);
    }
}
