//! Consumer: maps messages of the other services to commands.

use shared::{
    codec::RecordKind,
    consumer::{HandlerOutcome, MessageHandler, NewMessage},
    fault::{self, Fault},
    message::Message,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    app::App,
    request::{PaymentAction, PaymentRequest},
    wire,
};

#[derive(Clone, Debug)]
pub struct EventHandler {
    pub app: App,
}

/// The action on a payment that a message requests.
#[derive(Clone, Debug)]
pub struct PaymentInput {
    order_id: Uuid,
    action: PaymentAction,
}

impl MessageHandler for EventHandler {
    type Input = PaymentInput;

    fn topics(&self) -> Vec<&'static str> {
        wire::reads().iter().map(RecordKind::topic).collect()
    }

    async fn decode(&self, message: &Message) -> Result<PaymentInput, Fault> {
        let (order_id, action) = wire::read(&self.app.codec, message).await?;
        Ok(PaymentInput { order_id, action })
    }

    async fn prepare(&self, messages: &[&Message]) -> Result<(), Fault> {
        self.app.codec.prepare(messages).await
    }

    async fn decode_again(
        &self,
        message: &Message,
    ) -> Result<(PaymentInput, Option<String>), Fault> {
        let codec = self.app.codec.for_redrive();
        let (order_id, action) = wire::read(&codec, message).await?;
        Ok((PaymentInput { order_id, action }, codec.read_by()))
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[NewMessage<'_, PaymentInput>],
    ) -> Result<HandlerOutcome, Fault> {
        let batch: Vec<PaymentRequest> = batch
            .iter()
            .map(|NewMessage { message, input }| PaymentRequest {
                order_id: input.order_id,
                action: input.action.clone(),
                trace: message.envelope.trace,
            })
            .collect();
        let outcome = self.app.execute(conn, &batch).await?;
        let refused = outcome
            .answers
            .iter()
            .enumerate()
            .filter_map(|(place, answer)| Some((place, fault::chain(answer.as_ref().err()?))))
            .collect();
        Ok(HandlerOutcome { effects: outcome.effects, refused })
    }
}
