//! Connections that can be cut: a client sees the end of the stream where an answer should be.
//!
//! Cutting is done below HTTP. A cut connection reads and writes nothing any more, so hyper gives
//! the connection up, drops the handler and closes the socket; the handler's answer is never
//! sent.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

/// The control that cuts one connection.
#[derive(Clone, Debug)]
pub(crate) struct CutSignal(Arc<CutState>);

#[derive(Debug)]
struct CutState {
    number: u64,
    cut: AtomicBool,
    /// Wakes the connection, which otherwise sleeps until its client says something.
    reader: AtomicWaker,
}

impl CutSignal {
    pub(crate) fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        self.0.reader.wake();
    }

    fn check(&self) -> io::Result<()> {
        if self.0.cut.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct OpenConnections {
    open: Arc<Mutex<HashMap<u64, CutSignal>>>,
    next: Arc<AtomicU64>,
}

impl OpenConnections {
    /// Cuts every connection but one: the one on which it was asked for.
    pub(crate) fn cut_all_but(&self, spared: Option<&CutSignal>) {
        let spared = spared.map(|cut| cut.0.number);
        for (_, cut) in self.lock().iter().filter(|(number, _)| Some(**number) != spared) {
            cut.cut();
        }
    }

    fn connect(&self) -> CutSignal {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let cut = CutSignal(Arc::new(CutState {
            number,
            cut: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        }));
        self.lock().insert(number, cut.clone());
        cut
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, CutSignal>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes connections that can be cut.
#[derive(Debug)]
pub(crate) struct CuttableListener {
    listener: TcpListener,
    switchboard: OpenConnections,
}

impl CuttableListener {
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener, switchboard: OpenConnections::default() })
    }

    /// The connections that are open.
    pub(crate) fn switchboard(&self) -> OpenConnections {
        self.switchboard.clone()
    }
}

impl Listener for CuttableListener {
    type Io = CuttableStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (CuttableStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "connection keeps Nagle's delay"
            );
        }
        let switchboard = self.switchboard.clone();
        (CuttableStream { stream, cut: switchboard.connect(), switchboard }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, CuttableListener>> for CutSignal {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Self {
        stream.io().cut.clone()
    }
}

/// A connection that can be cut.
#[derive(Debug)]
pub(crate) struct CuttableStream {
    stream: TcpStream,
    cut: CutSignal,
    switchboard: OpenConnections,
}

impl Drop for CuttableStream {
    fn drop(&mut self) {
        self.switchboard.lock().remove(&self.cut.0.number);
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Registered before it is checked, so that a cut in between is not slept through.
        self.cut.0.reader.register(context.waker());
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.cut.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
