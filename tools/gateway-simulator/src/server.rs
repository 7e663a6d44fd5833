//! Starting and stopping the gateway.

use std::{
    future::IntoFuture as _, io, net::SocketAddr, path::PathBuf, pin::pin, sync::Arc,
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock,
    cuttable::{CutSignal, CuttableListener},
    executor,
    faults::FaultSwitches,
    http::{self, GatewayState},
    journal::{self, OpenJournal},
    ledger::ChargeLedger,
};

/// How long calls may end by themselves before their connections are cut, and how long the cutting
/// may take: together well below the two seconds within which the process must be gone.
const GRACE: Duration = Duration::from_secs(1);
const CUTTING_MAX: Duration = Duration::from_millis(500);

/// Settings of the gateway.
#[derive(Debug)]
pub struct GatewaySettings {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The path of the journal.
    pub log: PathBuf,
}

/// Why the gateway did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("the journal failed")]
    Journal(#[from] journal::JournalError),
    /// The network, the signals or a thread.
    #[error("the system refused")]
    Io(#[from] io::Error),
    /// A bug in the executor; its own message is on standard error.
    #[error("the executor broke down")]
    Desk,
}

/// A token that SIGTERM and SIGINT cancel.
pub fn stop_on_signal() -> io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let token = stop.clone();
    TaskTracker::new().spawn(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        token.cancel();
    });
    Ok(stop)
}

/// Serves until `stop`; tells `announce` the address once connections are taken.
pub async fn serve(
    settings: GatewaySettings,
    stop: CancellationToken,
    announce: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> Result<(), GatewayError> {
    let mut ledger = ChargeLedger::default();
    let journal = OpenJournal::open(&settings.log, clock::now_ms(), |record| ledger.apply(record))?;
    let lines = CuttableListener::bind(settings.listen).await?;
    let (executor, ended) = executor::open(journal, ledger, stop.clone())?;
    announce(axum::serve::Listener::local_addr(&lines)?)?;
    let gateway = Arc::new(GatewayState {
        executor,
        switches: FaultSwitches::new(),
        switchboard: lines.switchboard(),
        waiting: TaskTracker::new(),
        stop,
    });
    take_connections(lines, &gateway).await?;
    gateway.waiting.close();
    gateway.waiting.wait().await;
    gateway.executor.close().await;
    match ended.await {
        Ok(result) => Ok(result?),
        Err(_) => Err(GatewayError::Desk),
    }
}

async fn take_connections(lines: CuttableListener, gateway: &Arc<GatewayState>) -> io::Result<()> {
    let routes =
        http::router(Arc::clone(gateway)).into_make_service_with_connect_info::<CutSignal>();
    let stop = gateway.stop.clone();
    let serving = axum::serve(lines, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
    let mut serving = pin!(serving.into_future());
    let patience = async {
        stop.cancelled().await;
        sleep(GRACE).await;
    };
    tokio::select! {
        result = &mut serving => return result,
        () = patience => (),
    }
    gateway.switchboard.cut_all_but(None);
    // A connection that does not even notice that it is cut ends with the process.
    timeout(CUTTING_MAX, serving).await.unwrap_or(Ok(()))
}
