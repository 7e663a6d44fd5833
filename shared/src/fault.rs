//! Why something was not taken in, and so what becomes of it.
//!
//! Every road asks one question of a failure: whose fault is it? The world's: try the same again,
//! for as long as it takes. The message's: trying again cannot help.

use std::{borrow::Cow, error::Error as StdError};

/// A failure, sorted by whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The world's fault (database, broker, registry out of reach): try again.
    #[error("cannot be done now")]
    Transient(#[source] FaultSource),
    /// The input's fault: trying again cannot help.
    #[error("can never be done")]
    Poison(#[source] FaultSource),
}

/// What lies behind a fault.
pub type FaultSource = Box<dyn StdError + Send + Sync + 'static>;

impl Fault {
    /// The world's fault.
    pub fn transient(source: impl Into<FaultSource>) -> Self {
        Self::Transient(source.into())
    }

    /// The input's fault.
    pub fn poison(source: impl Into<FaultSource>) -> Self {
        Self::Poison(source.into())
    }
}

impl Fault {
    /// The SQLSTATE that lies at the bottom of it, if the database said one.
    pub fn sqlstate(&self) -> Option<String> {
        sqlstate(self)
    }

    /// Whether another transaction was in the way and nothing was done: the same again will see
    /// what that one did. A deadlock, a serialization failure, or a [`Collision`].
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

/// Whether the same may succeed later, whatever it is: the server or the connection was lost, another
/// transaction was in the way, or a lock was waited for in vain.
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

/// Another transaction was first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("another transaction was first")]
pub struct TransactionCollision;

impl From<sqlx::Error> for Fault {
    /// Sorted by SQLSTATE class: 22 (data) and 23 (constraints) are the input's fault, and so are
    /// values that cannot be encoded; everything else is the world's.
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

/// The whole chain of an error in one line, for reasons that are kept and for logs. Some libraries
/// say their cause themselves: it is said once.
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
