//! One server of the stack: started until it answers, stopped, and started again as it was.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::{sync::Mutex, time::sleep};

use super::{
    ports::Ports,
    supervisor::{Launch, Process, Workspace},
};
use crate::{
    Error, Halt,
    probe::{PATIENCE, Probe},
};

/// How often a start is tried when the server ends at once.
const ATTEMPTS: usize = 5;
/// The pause before the next try.
const PAUSE: Duration = Duration::from_millis(300);
/// How servers say that another process took their port.
const PORT_TAKEN: [&str; 4] =
    ["Address already in use", "BindException", "could not bind", "address already in use"];

/// A server, and all that is needed to start it again.
#[derive(Debug)]
pub(crate) struct Server {
    launch: Launch,
    probe: Probe,
    process: Mutex<Option<Process>>,
    // Its own also while it is stopped.
    _ports: Ports,
}

impl Server {
    /// Starts a server on free ports and waits until it answers. `plan` says how it is started on
    /// given ports; it is asked again, with others, when a port was taken meanwhile.
    pub(crate) async fn start(
        workspace: &Workspace,
        plan: impl Fn([u16; 2]) -> Result<(Launch, Probe), Error>,
    ) -> Result<(Self, [u16; 2]), Error> {
        let mut attempt = 1;
        loop {
            let ports = Ports::claim();
            let (launch, probe) = plan(ports.numbers)?;
            match launched(&launch, &probe, workspace).await {
                Ok(process) => {
                    let (process, numbers) = (Mutex::new(Some(process)), ports.numbers);
                    return Ok((Self { launch, probe, process, _ports: ports }, numbers));
                }
                Err(Error::Ended { log, .. }) if attempt < ATTEMPTS && port_taken(&log) => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts a server on ports that were claimed before, because others had to know them, and waits
    /// until it answers.
    pub(crate) async fn start_on(
        ports: Ports,
        (launch, probe): (Launch, Probe),
        workspace: &Workspace,
    ) -> Result<Self, Error> {
        let process = launched(&launch, &probe, workspace).await?;
        Ok(Self { launch, probe, process: Mutex::new(Some(process)), _ports: ports })
    }

    /// Stops it; its data stays. Nothing to do if it is stopped.
    pub(crate) async fn stop(&self, how: Halt) -> Result<(), Error> {
        match self.process.lock().await.take() {
            Some(process) => process.stop(how).await,
            None => Ok(()),
        }
    }

    /// The process under which all of it runs, while it runs.
    pub(crate) async fn root(&self) -> Option<u32> {
        self.process.lock().await.as_ref().map(Process::root)
    }

    /// Starts it again where it was. Nothing to do if it runs.
    pub(crate) async fn resume(&self, workspace: &Workspace) -> Result<(), Error> {
        let mut slot = self.process.lock().await;
        if slot.as_mut().is_some_and(|process| process.ended().is_none()) {
            return Ok(());
        }
        let mut attempt = 1;
        loop {
            match launched(&self.launch, &self.probe, workspace).await {
                Ok(process) => {
                    *slot = Some(process);
                    return Ok(());
                }
                // After a kill, Postgres refuses to start until the last of its processes is gone.
                Err(Error::Ended { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
            sleep(PAUSE).await;
        }
    }
}

async fn launched(launch: &Launch, probe: &Probe, workspace: &Workspace) -> Result<Process, Error> {
    let mut process = Process::start(launch, workspace)?;
    if probe.answered(|| process.must_live()).await? {
        Ok(process)
    } else {
        Err(process.too_slow("answer", PATIENCE))
    }
}

fn port_taken(log: &str) -> bool {
    PORT_TAKEN.iter().any(|words| log.contains(words))
}
