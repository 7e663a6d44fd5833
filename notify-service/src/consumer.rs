//! Consumer: maps messages of the other services to commands.

use shared::{
    codec::{AvroCodec, RecordKind},
    consumer::{HandlerOutcome, MessageHandler, NewMessage},
    fault::Fault,
    message::Message,
};
use sqlx::PgConnection;

use crate::{app::App, request::NotificationRequest, wire};

/// Consumes the other services' messages about orders.
#[derive(Clone, Debug)]
pub struct EventHandler {
    pub app: App,
}

impl EventHandler {
    async fn read(
        &self,
        codec: &AvroCodec,
        message: &Message,
    ) -> Result<NotificationRequest, Fault> {
        let now = self.app.clock.now();
        let (order_id, command) = wire::read(codec, message, now).await?;
        Ok(NotificationRequest { order_id, command, trace: message.envelope.trace })
    }
}

impl MessageHandler for EventHandler {
    type Input = NotificationRequest;

    fn topics(&self) -> Vec<&'static str> {
        wire::reads().iter().map(RecordKind::topic).collect()
    }

    async fn decode(&self, message: &Message) -> Result<NotificationRequest, Fault> {
        self.read(&self.app.codec, message).await
    }

    async fn prepare(&self, messages: &[&Message]) -> Result<(), Fault> {
        self.app.codec.prepare(messages).await
    }

    async fn decode_again(
        &self,
        message: &Message,
    ) -> Result<(NotificationRequest, Option<String>), Fault> {
        let codec = self.app.codec.for_redrive();
        Ok((self.read(&codec, message).await?, codec.read_by()))
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[NewMessage<'_, NotificationRequest>],
    ) -> Result<HandlerOutcome, Fault> {
        let requests: Vec<NotificationRequest> =
            batch.iter().map(|taken| taken.input.clone()).collect();
        let outcome = self.app.execute(conn, &requests).await?;
        let refused = outcome
            .answers
            .iter()
            .enumerate()
            .filter_map(|(place, answer)| Some((place, answer.as_ref().err()?.to_string())))
            .collect();
        Ok(HandlerOutcome { effects: outcome.effects, refused })
    }
}
