//! Consumer of order messages: each message becomes one command.

use contract::{ORDER_CANCELLED, ORDER_CONFIRMED, ORDER_PLACED};
use shared::{
    codec::{AvroCodec, RecordKind},
    consumer::{HandlerOutcome, MessageHandler, NewMessage},
    fault::Fault,
    message::Message,
};
use sqlx::PgConnection;

use crate::{app::App, domain::inventory::InventoryCommand, request::StockRequest, wire};

/// Consumes messages about orders.
#[derive(Clone, Debug)]
pub struct EventHandler {
    pub app: App,
}

async fn read(codec: &AvroCodec, message: &Message) -> Result<InventoryCommand, Fault> {
    let subject = &message.envelope.subject;
    match message.incoming.topic.as_str() {
        ORDER_PLACED => wire::reserve(&codec.decode(message).await?, subject),
        ORDER_CONFIRMED => wire::commit(&codec.decode(message).await?, subject),
        ORDER_CANCELLED => wire::release(&codec.decode(message).await?, subject),
        other => return Err(Fault::poison(format!("nothing is read from {other} here"))),
    }
    .map_err(Fault::poison)
}

impl MessageHandler for EventHandler {
    type Input = InventoryCommand;

    fn topics(&self) -> Vec<&'static str> {
        wire::reads().iter().map(RecordKind::topic).collect()
    }

    async fn decode(&self, message: &Message) -> Result<InventoryCommand, Fault> {
        read(&self.app.codec, message).await
    }

    async fn prepare(&self, messages: &[&Message]) -> Result<(), Fault> {
        self.app.codec.prepare(messages).await
    }

    async fn decode_again(
        &self,
        message: &Message,
    ) -> Result<(InventoryCommand, Option<String>), Fault> {
        let codec = self.app.codec.for_redrive();
        Ok((read(&codec, message).await?, codec.read_by()))
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[NewMessage<'_, InventoryCommand>],
    ) -> Result<HandlerOutcome, Fault> {
        let requests: Vec<StockRequest> = batch
            .iter()
            .map(|taken| StockRequest {
                command: taken.input.clone(),
                trace: taken.message.envelope.trace,
            })
            .collect();
        let outcome = self.app.execute(conn, &requests).await?;
        let refused = outcome
            .answers
            .iter()
            .enumerate()
            .filter_map(|(place, answer)| {
                Some((place, answer.decision.as_ref().err()?.to_string()))
            })
            .collect();
        Ok(HandlerOutcome { effects: outcome.effects, refused })
    }
}
