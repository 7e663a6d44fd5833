//! Signs that a server makes progress with its start: it uses processor time or writes its log.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The kernel counts in hundredths of a second on every platform this runs on (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// So much processor time is a sign. What idles needs far longer for it than is waited for a sign,
/// what starts has it also where many want the processor.
const WORK: Duration = Duration::from_secs(5);

/// The process and the log in which signs are looked for.
#[derive(Debug)]
pub(super) struct ServerSigns {
    root: u32,
    log: PathBuf,
}

/// A snapshot of the signs: a change means progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeenSigns {
    works: u128,
    log_bytes: u64,
}

impl ServerSigns {
    /// Those of a process with all below it, and of its log.
    pub(super) fn of(root: u32, log: &Path) -> Self {
        Self { root, log: log.to_owned() }
    }

    /// The current snapshot of the signs.
    pub(super) fn look(&self) -> SeenSigns {
        let works = processor_time(self.root).as_millis() / WORK.as_millis();
        SeenSigns { works, log_bytes: fs::metadata(&self.log).map_or(0, |metadata| metadata.len()) }
    }
}

/// Processor time of a process and of all below it; what has ended and was waited for is in it.
pub fn processor_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    let below =
        children.split_whitespace().filter_map(|text| text.parse().ok()).map(processor_time);
    own(&stat) + below.sum::<Duration>()
}

/// User and system time, of the process and of its children that were waited for: the 12th to the
/// 15th field after the name, which stands in brackets and may hold anything.
fn own(stat: &str) -> Duration {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(4);
    ticks.filter_map(|text| text.parse::<u32>().ok()).map(|n| TICK * n).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_behind_a_name_with_brackets_and_blanks() {
        let stat = "42 (a ) b) S 1 1 1 0 -1 0 10 20 30 40 7 5 3 2 20 0 9 0 100 0 0";
        assert_eq!(own(stat), Duration::from_millis(170));
        assert_eq!(own(""), Duration::ZERO);
    }

    #[test]
    fn words_in_the_log_are_a_sign() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let signs = ServerSigns::of(u32::MAX, &log);
        let before = signs.look();
        assert_eq!(signs.look(), before);
        fs::write(&log, "on its way").unwrap();
        assert_ne!(signs.look(), before);
    }
}
