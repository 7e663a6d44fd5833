//! How members end: asked to, all in good order, or by themselves.

use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::{ProcessName, ServiceCluster};

/// A member that has ended without being told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedProcess {
    pub member: ProcessName,
    /// How it ended.
    pub status: String,
    /// The file with all that it wrote.
    pub log: PathBuf,
    /// The last lines of that file.
    pub last_lines: String,
}

impl ServiceCluster {
    /// The members that have ended without being told to and were not started again.
    pub fn ended_members(&mut self) -> Vec<EndedProcess> {
        let exits: Vec<_> = self
            .processes
            .iter_mut()
            .filter_map(|(member, running)| Some((*member, running.exit()?.to_string())))
            .collect();
        let ended = |(member, status)| EndedProcess {
            member,
            status,
            log: self.log_file(member),
            last_lines: self.log(member),
        };
        exits.into_iter().map(ended).collect()
    }

    /// Ends all members in good order; answers those that did not end well, or had ended before.
    pub async fn stop(self) -> anyhow::Result<Vec<String>> {
        Ok(self.stop_showing(|_, _| ()).await)
    }

    /// The same, where `show` is told who stops and who has stopped.
    pub async fn stop_showing(mut self, show: impl Fn(ProcessName, bool)) -> Vec<String> {
        let mut unwell = Vec::new();
        for member in ProcessName::ALL.into_iter().rev() {
            let Some(mut running) = self.processes.remove(&member) else { continue };
            if let Some(exit) = running.exit() {
                unwell.push(format!("{member} had ended by itself: {exit}"));
                continue;
            }
            show(member, false);
            match running.end(Signal::SIGTERM).await {
                Ok(Some(0)) => show(member, true),
                Ok(Some(code)) => unwell.push(format!("{member} ended with exit code {code}")),
                Ok(None) => unwell.push(format!("{member} was killed while it stopped")),
                Err(error) => unwell.push(format!("{member} did not stop: {error:#}")),
            }
        }
        unwell
    }
}
