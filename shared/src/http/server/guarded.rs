//! A connection with time limits: for a request's head, between requests, for an unread answer.
//!
//! hyper has one limit for a request's head and for the idle time before it. These need different
//! limits. A load balancer keeps idle connections open for a minute or more, and has to be the one
//! that closes them: if the server closes first, the balancer may just have sent a request, which
//! is lost. But no client needs a minute for a head. So the limits are here, below hyper; what is
//! above it reports when a head was read and when an answer ended ([`ConnectionPhase`]).
//!
//! hyper has no limit for an answer: a client that reads nothing of it for
//! [`ConnectionTimes::write`] is cut off. As long as the client reads, however slowly, the answer
//! goes on; its size is limited.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// Counts connections that a time limit ended, by the limit (label `why`).
pub(super) const CUT: &str = "http_connections_cut_total";
/// The limit for a head: the client did not send all of it.
pub(super) const HEAD: &str = "head";
/// The limit for an answer: the client did not read it.
pub(super) const WRITE: &str = "write";

/// How long a connection may be in each state.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionTimes {
    /// How long a connection may stay open without a request.
    pub(super) idle: Duration,
    /// From the first byte of a request's head to its last one.
    pub(super) head: Duration,
    /// How long the client may read nothing of an answer.
    pub(super) write: Duration,
}

impl ConnectionTimes {
    /// The limit to give to hyper, which counts idle time and head as one: it never expires before
    /// the limits here.
    pub(super) fn sum(self) -> Duration {
        self.idle.saturating_add(self.head)
    }
}

/// The state of a connection. Clones share the same state.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionPhase(Arc<AtomicU8>);

/// No request has begun.
const IDLE: u8 = 0;
/// A head has begun.
const IN_HEAD: u8 = 1;
/// A request is worked on, or its answer is sent.
const BUSY: u8 = 2;

impl ConnectionPhase {
    /// A head was read completely.
    pub(super) fn begin(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    fn end(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    /// Bytes were read; answers whether they begin a head.
    fn hear(&self) -> bool {
        self.0.compare_exchange(IDLE, IN_HEAD, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// An answer's body, after which the connection is idle.
    pub(super) fn until_sent(&self, body: Body) -> Body {
        Body::new(TrackedBody { body, phase: self.clone() })
    }
}

/// A body that ends the phase when it is dropped: after it was sent, or given up.
struct TrackedBody {
    body: Body,
    phase: ConnectionPhase,
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.phase.end();
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.body)
    }
}

/// A stream with its limits.
#[derive(Debug)]
pub(super) struct GuardedStream {
    stream: TcpStream,
    times: ConnectionTimes,
    phase: ConnectionPhase,
    /// Runs while nothing is read: the limit for idle time or for a head.
    silent: Option<Pin<Box<Sleep>>>,
    /// Runs while nothing can be written.
    blocked: Option<Pin<Box<Sleep>>>,
}

impl GuardedStream {
    pub(super) fn new(stream: TcpStream, times: ConnectionTimes, phase: ConnectionPhase) -> Self {
        Self { stream, times, phase, silent: None, blocked: None }
    }

    /// The result of a read while no bytes come. After the limit: the end of the stream, if no
    /// request has begun, or an error.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (limit, idle) = match self.phase.get() {
            IDLE => (self.times.idle, true),
            IN_HEAD => (self.times.head, false),
            _ => {
                self.silent = None;
                return Poll::Pending;
            }
        };
        let silent = self.silent.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(silent.as_mut().poll(context));
        if idle {
            // As if the client had closed it.
            return Poll::Ready(Ok(()));
        }
        metrics::counter!(CUT, "why" => HEAD).increment(1);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn watch_write(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.blocked = None;
            if self.phase.get() == IDLE {
                // The rest of an answer: the silence begins after it.
                self.silent = None;
            }
            return written;
        }
        let limit = self.times.write;
        let blocked = self.blocked.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(blocked.as_mut().poll(context));
        metrics::counter!(CUT, "why" => WRITE).increment(1);
        // Otherwise the kernel would try for about 15 minutes to send what the client does not
        // read. If this fails, the connection is closed all the same.
        drop(self.stream.set_zero_linger());
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.poll_silence(context),
            Poll::Ready(read) => {
                if buffer.filled().len() > before && self.phase.hear() {
                    self.silent = None;
                }
                Poll::Ready(read)
            }
        }
    }
}

impl AsyncWrite for GuardedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch_write(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch_write(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
