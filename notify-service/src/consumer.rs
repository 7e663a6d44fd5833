//! Consumer of the other services' messages: they become requests to notify.

use shared::{
    codec::{AvroCodec, RecordKind},
    consumer::{HandlerOutcome, NewMessage, RecordHandler},
    fault::Fault,
    message::Message,
};
use sqlx::PgConnection;

use crate::{
    app::App,
    request::NotificationRequest,
    wire::{self, NotificationInput},
};

#[derive(Clone, Debug)]
pub struct EventHandler {
    pub app: App,
}

impl RecordHandler for EventHandler {
    type Input = NotificationInput;

    fn reads() -> Vec<RecordKind> {
        wire::reads()
    }

    fn codec(&self) -> &AvroCodec {
        &self.app.codec
    }

    async fn decode(codec: &AvroCodec, message: &Message) -> Result<NotificationInput, Fault> {
        wire::decode(codec, message).await
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[NewMessage<'_, NotificationInput>],
    ) -> Result<HandlerOutcome, Fault> {
        let now = self.app.clock.now();
        let request = |NewMessage { message, input }: &NewMessage<'_, NotificationInput>| {
            input.request(now, message.envelope.trace.clone())
        };
        let requests: Vec<NotificationRequest> = batch.iter().map(request).collect();
        let outcome = self.app.execute(conn, &requests).await?;
        Ok(HandlerOutcome::of(outcome.effects, outcome.answers.into_iter().enumerate()))
    }
}
