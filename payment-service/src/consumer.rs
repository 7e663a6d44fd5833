//! Messages of the other services → commands.

use shared::{
    codec::Codec,
    consumer::{Handled, Handler, Taken},
    fault::{self, Fault},
    message::Message,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    app::{Addressed, App, Ask},
    wire,
};

/// The handler.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Reads bodies.
    pub codec: Codec,
    /// Where commands are brought.
    pub app: App,
}

/// What a message asks of a payment.
#[derive(Clone, Debug)]
pub struct Input {
    order_id: Uuid,
    ask: Ask,
}

impl Handler for Inbound {
    type Input = Input;

    fn topics(&self) -> Vec<&'static str> {
        wire::TOPICS.to_vec()
    }

    async fn decode(&self, message: &Message) -> Result<Input, Fault> {
        let (order_id, ask) = wire::read(&self.codec, message).await?;
        Ok(Input { order_id, ask })
    }

    async fn prepare(&self, messages: &[&Message]) -> Result<(), Fault> {
        self.codec.prepare(messages).await
    }

    async fn decode_again(&self, message: &Message) -> Result<(Input, Option<String>), Fault> {
        let codec = self.codec.for_redrive();
        let (order_id, ask) = wire::read(&codec, message).await?;
        Ok((Input { order_id, ask }, codec.read_by()))
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[Taken<'_, Input>],
    ) -> Result<Handled, Fault> {
        let batch: Vec<Addressed> = batch
            .iter()
            .map(|Taken { message, input }| Addressed {
                order_id: input.order_id,
                ask: input.ask.clone(),
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
        Ok(Handled { effects: outcome.effects, refused })
    }
}
