//! One more instance of a service: on the same database and in the same groups as the cluster's own,
//! with ports and a log of its own.

use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::{
    ProcessAddress, ProcessName, ServiceCluster, process, process::ServiceProcess, report,
    until_ready,
};

/// An instance that runs beside the cluster's own. Dropping it ends it.
#[derive(Debug)]
pub struct ExtraInstance {
    member: ProcessName,
    place: ProcessAddress,
    process: ServiceProcess,
    log: PathBuf,
    http: reqwest::Client,
}

impl ServiceCluster {
    /// Starts one more instance of a service, with these settings beside those of the cluster, and does
    /// not wait until it is ready.
    ///
    /// # Errors
    /// If its program cannot be started.
    pub fn launch_beside(
        &self,
        member: ProcessName,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<ExtraInstance> {
        let place = ProcessAddress::claim();
        let mut environment = self.environment(member);
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        environment.extend(settings.iter().map(own));
        environment.push(("HTTP_LISTEN".to_owned(), place.http.to_string()));
        environment.push(("ADMIN_LISTEN".to_owned(), place.admin.to_string()));
        let name = format!("{}-{}", member.program(), place.http.port());
        let log = self.folder.path().join(name);
        let program = self.programs.join(member.program());
        let process = ServiceProcess::start(&program, &[], &environment, &log)?;
        Ok(ExtraInstance { member, place, process, log, http: self.http.clone() })
    }
}

impl ExtraInstance {
    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        process::tail(&self.log)
    }

    /// What each of its parts says of itself, and whether all are ready. Nothing is said before it
    /// listens.
    ///
    /// # Errors
    /// If it has ended.
    pub async fn health(&mut self) -> anyhow::Result<Option<(bool, String)>> {
        anyhow::ensure!(!self.process.has_ended(), "{} ended:\n{}", self.member, self.log());
        let url = format!("http://{}/readyz?verbose", self.place.admin);
        Ok(report(&self.http, url).await)
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// If it has ended, or says the same for too long.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let what = format!("one more {}", self.member);
        let log = self.log.clone();
        until_ready(&what, &log, async || self.health().await).await
    }

    /// Sends a signal and waits until it has ended; answers its exit code, if it had one.
    ///
    /// # Errors
    /// If it was gone before, or does not end.
    pub async fn end(self, signal: Signal) -> anyhow::Result<Option<i32>> {
        self.process.end(signal).await
    }
}
