//! Consumer of the other services' messages: they become actions on payments.

use shared::{
    codec::{AvroCodec, RecordKind},
    consumer::{HandlerOutcome, NewMessage, RecordHandler},
    fault::Fault,
    message::Message,
};
use sqlx::PgConnection;

use crate::{
    app::App,
    request::PaymentRequest,
    wire::{self, PaymentInput},
};

#[derive(Clone, Debug)]
pub struct EventHandler {
    pub app: App,
}

impl RecordHandler for EventHandler {
    type Input = PaymentInput;

    fn reads() -> Vec<RecordKind> {
        wire::reads()
    }

    fn codec(&self) -> &AvroCodec {
        &self.app.codec
    }

    async fn decode(codec: &AvroCodec, message: &Message) -> Result<PaymentInput, Fault> {
        wire::decode(codec, message).await
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[NewMessage<'_, PaymentInput>],
    ) -> Result<HandlerOutcome, Fault> {
        let request = |NewMessage { message, input }: &NewMessage<'_, PaymentInput>| {
            let (order_id, action) = (input.order_id, input.action.clone());
            PaymentRequest { order_id, action, trace: message.envelope.trace.clone() }
        };
        let requests: Vec<PaymentRequest> = batch.iter().map(request).collect();
        let outcome = self.app.execute(conn, &requests).await?;
        Ok(HandlerOutcome::of(outcome.effects, outcome.answers.into_iter().enumerate()))
    }
}
