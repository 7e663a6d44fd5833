//! The server's connections: their number, their time limits and their end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use self::guarded::{ConnectionPhase, ConnectionTimes, GuardedStream};
use super::{HttpSettings, rate::PeerAddress};

mod guarded;

/// Why connections are cut, as the metric has it.
pub(crate) const CUTS: [&str; 2] = [guarded::HEAD, guarded::WRITE];

/// The wait before the next accept when no more sockets are available.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Listens at `address`; port 0 takes a free one. The real address is logged.
pub async fn bind(name: &'static str, address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    tracing::info!(server = name, address = %listener.local_addr()?, "listens");
    Ok(listener)
}

/// Serves connections until told to stop; then finishes the requests that are there, within limits.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: HttpSettings,
    stop: CancellationToken,
) -> io::Result<()> {
    let free = Arc::new(Semaphore::new(settings.connections_max));
    let times = ConnectionTimes {
        idle: settings.idle_limit,
        head: settings.header_limit,
        write: settings.write_limit,
    };
    let graceful = GracefulShutdown::new();
    // Tasks that are aborted when this returns: what is not finished in time is cut off.
    let mut connections = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener, &free)).await {
        match accepted {
            Ok((stream, peer, permit)) => {
                let connection =
                    connection((stream, peer), router.clone(), times, graceful.watcher());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "no connection was accepted"
                );
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    if tokio::time::timeout(settings.stop_limit, graceful.shutdown()).await.is_err() {
        while connections.try_join_next().is_some() {}
        tracing::warn!(connections = connections.len(), "requests are cut off");
    }
    Ok(())
}

/// Accepts a connection when the limit allows one; until then clients wait in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> io::Result<(TcpStream, PeerAddress, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(free).acquire_owned().await.map_err(io::Error::other)?;
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return Ok((stream, PeerAddress::at(address), permit)),
            // Not an error of the server: the client went away while it waited.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => (),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => (),
            Err(error) => return Err(error),
        }
    }
}

async fn connection(
    (stream, peer): (TcpStream, PeerAddress),
    router: Router,
    times: ConnectionTimes,
    stopping: Watcher,
) {
    if stream.set_nodelay(true).is_err() {
        // It is gone already.
        return;
    }
    let phase = ConnectionPhase::default();
    let (begun, answered) = (phase.clone(), phase.clone());
    let service = router
        .map_request(move |mut request: Request<Incoming>| {
            begun.begin();
            request.extensions_mut().insert(peer);
            request.map(Body::new)
        })
        .map_response(move |response: Response| response.map(|body| answered.until_sent(body)));
    let stream = TokioIo::new(GuardedStream::new(stream, times, phase));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.sum())
        .serve_connection(stream, TowerToHyperService::new(service));
    if let Err(error) = stopping.watch(connection).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke");
    }
}

#[cfg(test)]
mod tests;
