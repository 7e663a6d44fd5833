//! Looks whether a part of the demo has ended by itself, and says so at once.
//!
//! Nothing is started again by itself: what has ended stays so until the demo's user asks for it, by
//! a signal to the demo.

use std::{path::PathBuf, time::Duration};

use devstack::{ServerStack, StackPart};
use sagactl::screen::{columns, say};
use tokio::time::sleep;

use super::logs::from_here;
use crate::cluster::{ProcessName, ServiceCluster};

/// How often parts are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Lines of a log that are shown.
const LINES_SHOWN: usize = 5;

/// Something that can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DemoPart {
    Process(ProcessName),
    Server(StackPart),
}

/// A part that has ended by itself.
#[derive(Clone, Debug)]
pub(super) struct ExitedPart {
    pub(super) part: DemoPart,
    pub(super) name: String,
    status: String,
    log: PathBuf,
    last_lines: String,
}

impl ExitedPart {
    /// What is said of it.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("✘ {} has ended: {}", self.name, self.status)];
        if self.last_lines.trim().is_empty() {
            lines.push(format!("  It wrote nothing to {}", from_here(&self.log)));
            return lines;
        }
        lines.push(format!("  The end of {}:", from_here(&self.log)));
        let last: Vec<_> = self.last_lines.lines().collect();
        let shown = &last[last.len().saturating_sub(LINES_SHOWN)..];
        lines.extend(shown.iter().map(|line| cut(&format!("    {line}"), columns())));
        lines
    }
}

/// A line as long as the terminal is wide; the rest stands in the log.
fn cut(line: &str, columns: Option<usize>) -> String {
    match columns {
        Some(columns) if line.chars().count() > columns => {
            line.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
        }
        _ => line.to_owned(),
    }
}

/// What has ended, and was said.
#[derive(Debug, Default)]
pub(super) struct PartWatch {
    exited: Vec<ExitedPart>,
    /// Also those that were started again since.
    any_exited: bool,
}

impl PartWatch {
    /// Waits until something has ended, and says it.
    pub(super) async fn next_exit(&mut self, cluster: &mut ServiceCluster, stack: &ServerStack) {
        loop {
            let mut exited = exited_processes(cluster);
            exited.extend(exited_servers(stack).await);
            if self.say_new(exited) {
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Looks once more at the servers, and says what has ended since.
    pub(super) async fn look_at_servers(&mut self, stack: &ServerStack) {
        self.say_new(exited_servers(stack).await);
    }

    /// Says those of them that are not known; answers whether there are any.
    fn say_new(&mut self, mut exited: Vec<ExitedPart>) -> bool {
        exited.retain(|new| !self.exited.iter().any(|known| known.part == new.part));
        if exited.is_empty() {
            return false;
        }
        for line in exited.iter().flat_map(ExitedPart::lines) {
            say(line);
        }
        self.any_exited = true;
        self.exited.extend(exited);
        true
    }

    /// Whether anything has ever ended by itself.
    pub(super) fn any_exited(&self) -> bool {
        self.any_exited
    }

    /// Those that have ended and were not started again.
    pub(super) fn take_exited(&mut self) -> Vec<ExitedPart> {
        std::mem::take(&mut self.exited)
    }
}

fn exited_processes(cluster: &mut ServiceCluster) -> Vec<ExitedPart> {
    let members = cluster.ended_members().into_iter().map(|ended| ExitedPart {
        part: DemoPart::Process(ended.member),
        name: ended.member.to_string(),
        status: ended.status,
        log: ended.log,
        last_lines: ended.last_lines,
    });
    members.collect()
}

async fn exited_servers(stack: &ServerStack) -> Vec<ExitedPart> {
    let servers = stack.ended().await.into_iter().map(|ended| ExitedPart {
        part: DemoPart::Server(ended.part),
        name: ended.part.to_string(),
        status: ended.status,
        log: ended.log,
        last_lines: ended.last_lines,
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited() -> ExitedPart {
        ExitedPart {
            part: DemoPart::Server(StackPart::Kafka),
            name: "Kafka".to_owned(),
            status: "signal 9 (SIGKILL)".to_owned(),
            log: "/elsewhere/kafka.log".into(),
            last_lines: "1\n2\n3\n4\n5\n6".to_owned(),
        }
    }

    #[test]
    fn what_has_ended_is_said_once_and_counts_also_after_it_was_started_again() {
        let mut watch = PartWatch::default();
        assert!(!watch.say_new(vec![]) && !watch.any_exited());
        assert!(watch.say_new(vec![exited()]));
        assert!(!watch.say_new(vec![exited()]), "it is known");
        assert_eq!(watch.take_exited().len(), 1);
        assert!(watch.any_exited());
        assert!(watch.say_new(vec![exited()]), "it has ended again");
    }

    #[test]
    fn a_part_that_has_ended_is_named_with_its_status_and_the_end_of_its_log() {
        let expected = [
            "✘ Kafka has ended: signal 9 (SIGKILL)",
            "  The end of /elsewhere/kafka.log:",
            "    2",
            "    3",
            "    4",
            "    5",
            "    6",
        ];
        assert_eq!(exited().lines(), expected);
    }

    #[test]
    fn a_line_of_a_log_is_cut_where_the_terminal_ends() {
        assert_eq!(cut("0123456789", Some(6)), "01234…");
        assert_eq!(cut("0123456789", Some(10)), "0123456789");
        assert_eq!(cut("0123456789", None), "0123456789");
    }
}
