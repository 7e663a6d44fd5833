//! HTTP commands of operators: decisions about payments under review.

use shared::{batcher::BatchHandler, effects::DecisionEffects, fault::Fault, message::TraceParent};
use sqlx::PgConnection;

use crate::{
    app::{App, BatchOutcome},
    domain::payment::PaymentRejection,
    request::PaymentRequest,
};

#[derive(Clone, Debug)]
pub struct ReviewPayments {
    pub app: App,
}

impl BatchHandler for ReviewPayments {
    type Command = PaymentRequest;
    type Answer = Result<(), PaymentRejection>;

    fn trace(request: &mut PaymentRequest) -> Option<&mut TraceParent> {
        request.trace.as_mut().map(|trace| &mut trace.parent)
    }

    async fn handle_batch(
        &self,
        conn: &mut PgConnection,
        commands: &[Self::Command],
    ) -> Result<(Vec<Self::Answer>, DecisionEffects), Fault> {
        let BatchOutcome { answers, effects } = self.app.execute(conn, commands).await?;
        Ok((answers.into_iter().map(|answer| answer.map(drop)).collect(), effects))
    }
}
