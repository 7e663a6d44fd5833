//! Classification of failures: transient (retry) or poison (a retry cannot help).
//!
//! Consumer, batcher, relay and jobs treat a failure by its cause. If the environment failed, the
//! work is tried again for as long as it takes. If the message is at fault, a retry cannot help.

use std::{borrow::Cow, error::Error as StdError};

/// A failure, classified by its cause.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The environment failed (database, broker, registry out of reach): try again.
    #[error("cannot be done now")]
    Transient(#[source] FaultSource),
    /// The input is at fault: trying again cannot help.
    #[error("can never be done")]
    Poison(#[source] FaultSource),
}

/// The underlying error of a fault.
pub(crate) type FaultSource = Box<dyn StdError + Send + Sync + 'static>;

impl Fault {
    /// A failure that may pass by itself, so that a retry makes sense.
    pub fn transient(source: impl Into<FaultSource>) -> Self {
        Self::Transient(source.into())
    }

    /// A failure that lies in the input, so that a retry cannot help.
    pub fn poison(source: impl Into<FaultSource>) -> Self {
        Self::Poison(source.into())
    }
}

impl Fault {
    /// The SQLSTATE in the chain of errors, if the database reported one.
    pub fn sqlstate(&self) -> Option<String> {
        sqlstate(self)
    }

    /// Whether another transaction conflicted and nothing was done: a retry will see what the other
    /// transaction did. A deadlock, a serialization failure, or a [`TransactionCollision`].
    pub fn is_collision(&self) -> bool {
        let (Self::Transient(source) | Self::Poison(source)) = self;
        source.is::<TransactionCollision>()
            || self.sqlstate().is_some_and(|code| matches!(&*code, "40001" | "40P01"))
    }

    /// Whether a lock was waited for in vain.
    pub fn is_lock_timeout(&self) -> bool {
        is_lock_timeout(self)
    }
}

fn sqlstate(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(sqlx::Error::Database(database)) = error.downcast_ref() {
            return database.code().map(Cow::into_owned);
        }
        cause = error.source();
    }
    None
}

/// Whether a lock was waited for in vain.
pub(crate) fn is_lock_timeout(error: &(dyn StdError + 'static)) -> bool {
    sqlstate(error).as_deref() == Some("55P03")
}

/// Whether any retry may succeed later: the server or the connection was lost, another transaction
/// conflicted, or the wait for a lock timed out.
pub(crate) fn is_outage(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) = error.downcast_ref() {
            return true;
        }
        cause = error.source();
    }
    let passes = |code: &str| {
        ["08", "40", "53", "57P"].iter().any(|text| code.starts_with(text)) || code == "55P03"
    };
    sqlstate(error).as_deref().is_some_and(passes)
}

/// Another transaction was first, so this one did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another transaction was first")]
pub(crate) struct TransactionCollision;

impl From<sqlx::Error> for Fault {
    /// Classified by SQLSTATE class: 22 (data) and 23 (constraints) are poison, and so are values
    /// that cannot be encoded or decoded; everything else is transient.
    fn from(error: sqlx::Error) -> Self {
        let refused = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| code.starts_with("22") || code.starts_with("23"));
        let unspeakable = matches!(
            error,
            sqlx::Error::Encode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)
        );
        if refused || unspeakable { Self::poison(error) } else { Self::transient(error) }
    }
}

/// The whole chain of an error in one line, for stored reasons and for logs. Some libraries include
/// the cause in their own text: such a cause is written once.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}
