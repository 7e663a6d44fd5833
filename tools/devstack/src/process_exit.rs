//! How processes end: by a code of their own, or by a signal.

use std::{fmt, os::unix::process::ExitStatusExt as _, process::ExitStatus};

use nix::sys::signal::Signal;

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessExit {
    Code(i32),
    /// The number of the signal that ended it.
    Signal(i32),
}

impl ProcessExit {
    /// The end of a process that may have run under a shell, which says 128 + n of one that signal n
    /// has ended. Where there is no signal n, the code is the process's own.
    pub fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) if Signal::try_from(code - 128).is_ok() => Self::Signal(code - 128),
            (Some(code), _) => Self::Code(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}

impl fmt::Display for ProcessExit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(formatter, "exit code {code}"),
            Self::Signal(number) => match Signal::try_from(number) {
                Ok(signal) => write!(formatter, "signal {number} ({signal})"),
                Err(_) => write!(formatter, "signal {number}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_told_as_a_signal_only_if_there_is_that_signal() {
        let coded = |code: i32| ProcessExit::of(ExitStatus::from_raw(code << 8));
        for (exit, expected) in [
            (coded(0), "exit code 0"),
            (coded(127), "exit code 127"),
            (coded(128), "exit code 128"),
            (coded(255), "exit code 255"),
            (coded(137), "signal 9 (SIGKILL)"),
            (coded(143), "signal 15 (SIGTERM)"),
            (ProcessExit::of(ExitStatus::from_raw(9)), "signal 9 (SIGKILL)"),
        ] {
            assert_eq!(exit.to_string(), expected);
        }
    }
}
