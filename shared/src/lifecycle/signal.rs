//! Signals of the operating system to this process.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, received from now on.
#[derive(Debug)]
pub(crate) struct ShutdownSignal {
    terminate: Signal,
    interrupt: Signal,
}

impl ShutdownSignal {
    /// Begins to listen: from here on, neither signal kills the process by itself.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal to stop.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}

/// Waits for SIGTERM or SIGINT. Never ends if they cannot be listened to.
pub async fn shutdown() {
    match ShutdownSignal::listen() {
        Ok(mut signals) => signals.next().await,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "signals are not heard");
            std::future::pending::<()>().await;
        }
    }
}
