//! One server of the stack: started until it answers, stopped, and started again as it was.

pub(crate) mod signs;
#[cfg(test)]
mod tests;

use std::{future::ready, path::Path, time::Duration};

use tokio::{sync::Mutex, time::sleep};

use self::signs::ServerSigns;
use super::{
    ports::PortPair,
    supervisor::{LaunchCommand, ServerFolder, ServerProcess},
};
use crate::{
    StackError, StopMode,
    part::EndedPart,
    probe::{PATIENCE, ServerProbe},
};

/// How often a start is tried on other ports when somebody else was quicker.
const ATTEMPTS: usize = 5;
/// How often it is tried where it was, when what is left of its last life is still in the way. That
/// goes as soon as the machine gets to it; each try takes as long as a start, and longer on a slow
/// machine.
const ATTEMPTS_AGAIN: usize = 200;
/// The pause before the next try.
const PAUSE: Duration = Duration::from_millis(300);
/// How servers say that another process took their port.
const PORT_TAKEN: [&str; 4] =
    ["Address already in use", "BindException", "could not bind", "address already in use"];
/// How servers say that their last life is not over. It was killed, and those that it had started
/// itself, such as Postgres' backends, live a moment longer, with its memory, its files and its port.
const NOT_YET_GONE: [&str; 4] = [
    "pre-existing shared memory block",
    "lock file \"postmaster.pid\" already exists",
    "data directory is in use",
    "is using this directory",
];

/// A server, and all that is needed to start it again.
#[derive(Debug)]
pub(crate) struct NativeServer {
    launch: LaunchCommand,
    probe: ServerProbe,
    process: Mutex<Option<ServerProcess>>,
    // Its own also while it is stopped.
    _ports: PortPair,
}

impl NativeServer {
    /// Starts a server on free ports and waits until it answers. `plan` says how it is started on
    /// given ports; it is asked again, with others, when a port was taken meanwhile.
    pub(crate) async fn start(
        workspace: &ServerFolder,
        plan: impl Fn([u16; 2]) -> Result<(LaunchCommand, ServerProbe), StackError>,
    ) -> Result<(Self, [u16; 2]), StackError> {
        Self::start_near(None, workspace, plan).await
    }

    /// The same, where the first port is this one if it is free.
    pub(crate) async fn start_near(
        preferred: Option<u16>,
        workspace: &ServerFolder,
        plan: impl Fn([u16; 2]) -> Result<(LaunchCommand, ServerProbe), StackError>,
    ) -> Result<(Self, [u16; 2]), StackError> {
        let mut attempt = 1;
        loop {
            // Somebody who was quicker than the first try keeps the port.
            let ports = PortPair::claim_near([preferred.filter(|_| attempt == 1), None]);
            let (launch, probe) = plan(ports.numbers)?;
            match launched(&launch, &probe, workspace).await {
                Ok(process) => {
                    let (process, numbers) = (Mutex::new(Some(process)), ports.numbers);
                    return Ok((Self { launch, probe, process, _ports: ports }, numbers));
                }
                Err(StackError::Ended { log, .. }) if attempt < ATTEMPTS && port_taken(&log) => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts a server on ports that were claimed before, because others had to know them, and waits
    /// until it answers.
    pub(crate) async fn start_on(
        ports: PortPair,
        (launch, probe): (LaunchCommand, ServerProbe),
        workspace: &ServerFolder,
    ) -> Result<Self, StackError> {
        let process = launched(&launch, &probe, workspace).await?;
        Ok(Self { launch, probe, process: Mutex::new(Some(process)), _ports: ports })
    }

    /// Stops it; its data stays. Nothing to do if it is stopped.
    pub(crate) async fn stop(&self, how: StopMode) -> Result<(), StackError> {
        match self.process.lock().await.take() {
            Some(process) => process.stop(how).await,
            None => Ok(()),
        }
    }

    /// The folder in which it works.
    pub(crate) fn folder(&self) -> &Path {
        &self.launch.folder
    }

    /// The process under which all of it runs, while it runs.
    pub(crate) async fn root(&self) -> Option<u32> {
        self.process.lock().await.as_ref().map(ServerProcess::root)
    }

    /// How it ended, if it did without being told to.
    pub(crate) async fn ended(&self) -> Option<EndedPart> {
        self.process.lock().await.as_mut()?.ended_part()
    }

    /// Starts it again where it was. Nothing to do if it runs.
    pub(crate) async fn resume(&self, workspace: &ServerFolder) -> Result<(), StackError> {
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
                Err(StackError::Ended { log, .. }) if attempt < ATTEMPTS_AGAIN && passes(&log) => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
            sleep(PAUSE).await;
        }
    }
}

async fn launched(
    launch: &LaunchCommand,
    probe: &ServerProbe,
    workspace: &ServerFolder,
) -> Result<ServerProcess, StackError> {
    let mut process = ServerProcess::start(launch, workspace)?;
    let signs = ServerSigns::of(process.root(), process.log());
    if probe.answered(|| ready(process.must_live().map(|()| signs.look()))).await? {
        Ok(process)
    } else {
        Err(process.too_slow("answer, nor show that it is on its way,", PATIENCE))
    }
}

/// Whether what keeps a server from coming back goes away by itself. Its ports stay claimed while it
/// is stopped, so nobody else takes them: only its own last life can still hold them.
fn passes(log: &str) -> bool {
    port_taken(log) || NOT_YET_GONE.iter().any(|words| log.contains(words))
}

fn port_taken(log: &str) -> bool {
    PORT_TAKEN.iter().any(|words| log.contains(words))
}
