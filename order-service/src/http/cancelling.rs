//! Cancellations, many at a time: one transaction for all that wait.

use shared::{effects::Effects, fault::Fault, intake::Batch, message::TraceParent};
use sqlx::PgConnection;
use time::Duration;
use uuid::Uuid;

use crate::{
    app::{self, Addressed, Voice},
    domain::order::{Command, Order, Rejection},
};

/// Takes cancellations in.
#[derive(Clone, Debug)]
pub struct Cancelling {
    /// What is needed to speak.
    pub voice: Voice,
    /// A confirmed order can be taken back for this long.
    pub window: Duration,
}

/// An order that is not wanted any more.
#[derive(Clone, Copy, Debug)]
pub struct Unwanted {
    /// Which.
    pub order_id: Uuid,
    /// The trace that it belongs to.
    pub trace: TraceParent,
}

impl Batch for Cancelling {
    type Command = Unwanted;
    type Answer = Result<Order, Rejection>;

    fn trace(unwanted: &mut Unwanted) -> Option<&mut TraceParent> {
        Some(&mut unwanted.trace)
    }

    async fn take_in(
        &self,
        conn: &mut PgConnection,
        unwanted: &[Unwanted],
    ) -> Result<(Vec<Self::Answer>, Effects), Fault> {
        let now = self.voice.clock.now();
        let command = |it: &Unwanted| Addressed {
            order_id: it.order_id,
            command: Command::Cancel { now, window: self.window },
            heard: None,
            trace: Some(it.trace),
        };
        let commands: Vec<Addressed> = unwanted.iter().map(command).collect();
        let outcome = app::execute(conn, &self.voice, &commands).await?;
        Ok((outcome.answers, outcome.effects))
    }
}
