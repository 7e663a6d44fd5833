//! What operators ask over HTTP: decisions about payments under review.

use shared::{effects::Effects, fault::Fault, intake::Batch, message::TraceParent};
use sqlx::PgConnection;

use crate::{
    app::{App, BatchOutcome},
    domain::payment::Rejection,
    request::PaymentRequest,
};

/// Decides about payments.
#[derive(Clone, Debug)]
pub struct ReviewPayments {
    /// Executes the commands.
    pub app: App,
}

impl Batch for ReviewPayments {
    type Command = PaymentRequest;
    type Answer = Result<(), Rejection>;

    fn trace(request: &mut PaymentRequest) -> Option<&mut TraceParent> {
        request.trace.as_mut()
    }

    async fn take_in(
        &self,
        conn: &mut PgConnection,
        requests: &[PaymentRequest],
    ) -> Result<(Vec<Self::Answer>, Effects), Fault> {
        let BatchOutcome { answers, effects } = self.app.execute(conn, requests).await?;
        Ok((answers.into_iter().map(|answer| answer.map(drop)).collect(), effects))
    }
}
