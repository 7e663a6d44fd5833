//! Ctrl-C and SIGTERM.
//!
//! They end a program by dropping its work, unless the work has an end of its own
//! ([`OrderlyEnd`]): then it is told first, and only a second signal ends the program at once.
//!
//! **Architecture invariant:** one listener counts the signals, from a program's begin to its end, and
//! hands the first one over. So none is lost while the work does something else, and none is the first
//! for the work but the second for the program.

use std::{
    future::pending,
    sync::atomic::{AtomicBool, Ordering},
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::SetOnce,
};

/// Exit codes of a program that the signal ended: 128 and the signal's number.
const BY_INTERRUPT: u8 = 130;
const BY_TERMINATE: u8 = 143;

static ORDERLY: AtomicBool = AtomicBool::new(false);

/// The exit code by the signal that was handed over to the work.
static FIRST: SetOnce<u8> = SetOnce::const_new();

/// While it is held, the first signal is left to the work, which stops in its own order.
#[derive(Debug)]
pub struct OrderlyEnd {
    first: &'static SetOnce<u8>,
}

impl OrderlyEnd {
    /// Leaves the first signal from now on to the caller, the work of [`run`](crate::program::run).
    pub fn take() -> Self {
        ORDERLY.store(true, Ordering::SeqCst);
        Self { first: &FIRST }
    }

    /// Waits for that signal, which may have come before this was called; answers the exit code of a
    /// program that it ends. Once it has come, each call answers at once.
    pub async fn interrupted(&self) -> u8 {
        *self.first.wait().await
    }
}

impl Drop for OrderlyEnd {
    fn drop(&mut self) {
        ORDERLY.store(false, Ordering::SeqCst);
    }
}

/// Waits for a Ctrl-C or SIGTERM that comes from now on; answers the exit code of a program that it
/// ends.
pub async fn interrupted() -> u8 {
    EndSignals::listen().heard().await
}

/// Waits for the signal that ends the program at once; answers its exit code.
pub(crate) async fn ends_at_once() -> u8 {
    // Kept for both: the second may come before anybody waits for it.
    let mut signals = EndSignals::listen();
    let code = signals.heard().await;
    if !ORDERLY.load(Ordering::SeqCst) {
        return code;
    }
    // Nobody else sets it, so it cannot fail.
    FIRST.set(code).ok();
    signals.heard().await
}

/// Both signals: those that come after this was made are kept until they are asked for.
#[derive(Debug)]
struct EndSignals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
}

impl EndSignals {
    fn listen() -> Self {
        // Without a handler there is nothing to wait for, and the default action still works.
        let listened = |kind| signal(kind).ok();
        Self {
            interrupt: listened(SignalKind::interrupt()),
            terminate: listened(SignalKind::terminate()),
        }
    }

    /// Waits for the next; answers the exit code of a program that it ends.
    async fn heard(&mut self) -> u8 {
        tokio::select! {
            () = received(self.interrupt.as_mut()) => BY_INTERRUPT,
            () = received(self.terminate.as_mut()) => BY_TERMINATE,
        }
    }
}

async fn received(signals: Option<&mut Signal>) {
    match signals {
        Some(signals) => {
            signals.recv().await;
        }
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Duration};

    use nix::sys::signal::{Signal, raise};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_first_signal_waits_for_the_work_and_the_second_ends_the_program() {
        let mut ending = pin!(ends_at_once());
        // From its first turn on it listens.
        assert!(timeout(Duration::ZERO, &mut ending).await.is_err());
        let orderly = OrderlyEnd::take();
        raise(Signal::SIGINT).unwrap();
        // Nobody asks for it for a while.
        assert!(timeout(Duration::from_millis(50), &mut ending).await.is_err());
        tokio::select! {
            code = orderly.interrupted() => assert_eq!(code, BY_INTERRUPT),
            code = &mut ending => panic!("the first signal ended the program with {code}"),
        }
        assert_eq!(orderly.interrupted().await, BY_INTERRUPT, "it is not forgotten");
        raise(Signal::SIGTERM).unwrap();
        assert_eq!(ending.await, BY_TERMINATE);
    }
}
