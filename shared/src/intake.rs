//! Many concurrent HTTP commands, one transaction: while one batch commits, the next one gathers.
//!
//! No linger: alone, a request is a batch of one. The queue is bounded; what does not fit is
//! refused at once.
//!
//! **Architecture invariant:** a caller that goes away does not take its command's transaction
//! with it: the work runs in the intake's own task.

use sqlx::PgConnection;

use crate::{effects::Effects, fault::Fault};

/// What takes a batch of commands in.
pub trait Batch: Send + Sync + 'static {
    /// A command as it comes from the edge.
    type Command: Send + Sync + 'static;
    /// What its caller is told.
    type Answer: Send + 'static;

    /// Takes the commands in, in order, within the transaction given. Answers stand in the same
    /// order.
    fn take_in(
        &self,
        conn: &mut PgConnection,
        commands: &[Self::Command],
    ) -> impl Future<Output = Result<(Vec<Self::Answer>, Effects), Fault>> + Send;
}

/// Why a command was not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many commands wait already.
    #[error("too many commands wait already")]
    Full,
    /// The database is away; nothing was done, or nobody knows: the same key again tells.
    #[error("the command could not be taken in now")]
    Unavailable,
    /// The row that it needs is being worked on by somebody else.
    #[error("the same thing is being worked on at this moment")]
    Busy,
    /// Taking it in fails every time.
    #[error("the command cannot be taken in")]
    Failed,
    /// The process is stopping.
    #[error("the process is stopping")]
    Stopping,
}
