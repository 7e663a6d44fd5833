//! Consumer of messages about orders: each becomes one command.

use shared::{
    codec::{AvroCodec, RecordKind},
    consumer::{HandlerOutcome, NewMessage, RecordHandler},
    fault::Fault,
    message::Message,
};
use sqlx::PgConnection;

use crate::{app::App, domain::inventory::InventoryCommand, request::StockRequest, wire};

#[derive(Clone, Debug)]
pub struct EventHandler {
    pub app: App,
}

impl RecordHandler for EventHandler {
    type Input = InventoryCommand;

    fn reads() -> Vec<RecordKind> {
        wire::reads()
    }

    fn codec(&self) -> &AvroCodec {
        &self.app.codec
    }

    async fn decode(codec: &AvroCodec, message: &Message) -> Result<InventoryCommand, Fault> {
        wire::decode(codec, message).await
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[NewMessage<'_, InventoryCommand>],
    ) -> Result<HandlerOutcome, Fault> {
        let request = |NewMessage { message, input }: &NewMessage<'_, InventoryCommand>| {
            StockRequest { command: (*input).clone(), trace: message.envelope.trace.clone() }
        };
        let requests: Vec<StockRequest> = batch.iter().map(request).collect();
        let outcome = self.app.execute(conn, &requests).await?;
        let answers = outcome.answers.into_iter().map(|result| result.decision);
        Ok(HandlerOutcome::of(outcome.effects, answers.enumerate()))
    }
}
