//! Ctrl-C and SIGTERM.
//!
//! They end a program by dropping its work, unless the work has an end of its own
//! ([`OrderlyEnd`]): then it is told first, and only a second signal ends the program at once.

use std::{
    future::pending,
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::signal::unix::{SignalKind, signal};

/// Exit codes of a program that the signal ended: 128 and the signal's number.
const BY_INTERRUPT: u8 = 130;
const BY_TERMINATE: u8 = 143;

static ORDERLY: AtomicBool = AtomicBool::new(false);

/// While it is held, the first signal is left to the work, which stops in its own order.
#[derive(Debug)]
pub struct OrderlyEnd(());

impl OrderlyEnd {
    /// Leaves the first signal from now on to the caller, who waits for it with [`interrupted`].
    pub fn take() -> Self {
        ORDERLY.store(true, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for OrderlyEnd {
    fn drop(&mut self) {
        ORDERLY.store(false, Ordering::SeqCst);
    }
}

/// Waits for Ctrl-C or SIGTERM; answers the exit code of a program that it ends.
pub async fn interrupted() -> u8 {
    tokio::select! {
        () = received(SignalKind::interrupt()) => BY_INTERRUPT,
        () = received(SignalKind::terminate()) => BY_TERMINATE,
    }
}

/// Waits for the signal that ends the program at once; answers its exit code.
pub(crate) async fn ends_at_once() -> u8 {
    let code = interrupted().await;
    if ORDERLY.load(Ordering::SeqCst) { interrupted().await } else { code }
}

async fn received(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        // Without a handler there is nothing to wait for, and the default action still works.
        Err(_) => pending().await,
    }
}
