//! Errors of starting a stack. Each message says what to do about the error.

use std::path::Path;

use crate::StackPart;

/// Why a stack, or a part of it, could not be started, stopped or reached.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The environment names a stack, but not all of it.
    #[error("the environment names a stack, but {0} is not set")]
    NotSet(&'static str),
    /// A setting that means nothing.
    #[error("{name} is `{value}`; it may be {allowed}")]
    Setting {
        name: &'static str,
        value: String,
        /// What it may say.
        allowed: &'static str,
    },
    /// Tools are missing that only the user can install.
    #[error("missing: {missing}; install with: {command}")]
    Missing {
        missing: String,
        /// The command that installs them.
        command: String,
    },
    /// There are no binaries of this part for this machine.
    #[error(
        "{part} has no binaries for {platform}: give its address in the environment, or use Docker"
    )]
    Platform {
        part: StackPart,
        /// The machine's system and architecture.
        platform: String,
    },
    #[error("`{command}` failed: {output}")]
    Command {
        command: String,
        /// The last of what it said.
        output: String,
    },
    /// A part ended while it was waited for.
    #[error("{part} ended by itself ({status}); the end of its log:\n{log}")]
    Ended {
        part: StackPart,
        status: String,
        /// The last lines of its log.
        log: String,
    },
    /// A part did not become ready, or did not end, in time.
    #[error("{part} did not {what} within {seconds} s; the end of its log:\n{log}")]
    TooSlow {
        part: StackPart,
        /// What was waited for.
        what: &'static str,
        seconds: u64,
        /// The last lines of its log.
        log: String,
    },
    /// Only what was started as a local process can be stopped and started again.
    #[error("{0} is not a local process of this stack")]
    NotOurs(StackPart),
    /// No Docker engine answers.
    #[error("no Docker engine answers")]
    NoDocker,
    /// Docker answers, but not as hoped.
    #[error("{part} could not be started in Docker")]
    Docker {
        part: StackPart,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the database could not {what}")]
    Database {
        /// What was asked of it.
        what: &'static str,
        #[source]
        source: sqlx::Error,
    },
    /// A certificate could not be made.
    #[error("a certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// Only local processes are secured, or are more than one broker.
    #[error("a secured stack, or one of three brokers, is made of local processes only")]
    NativeOnly,
    /// A file or a process could not be handled.
    #[error("{what}")]
    System {
        what: String,
        #[source]
        source: std::io::Error,
    },
}

impl StackError {
    /// For `map_err` on what the system answers.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }

    /// For `map_err` on what the system answers about a path.
    pub(crate) fn path(verb: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        Self::system(format!("cannot {verb} {}", path.display()))
    }
}
