//! Consumer of the other services' messages: they become order commands and product updates.

use shared::{
    codec::RecordKind,
    consumer::{HandlerOutcome, MessageHandler, NewMessage},
    fault::Fault,
    message::Message,
};
use sqlx::PgConnection;

use crate::{
    app::App,
    domain::order::OrderCommand,
    request::OrderRequest,
    store::catalogue,
    wire::{self, OrderInput},
};

#[derive(Clone, Debug)]
pub struct EventHandler {
    pub app: App,
}

impl MessageHandler for EventHandler {
    type Input = OrderInput;

    fn topics(&self) -> Vec<&'static str> {
        wire::reads().iter().map(RecordKind::topic).collect()
    }

    async fn decode(&self, message: &Message) -> Result<OrderInput, Fault> {
        wire::hear(&self.app.codec, message).await
    }

    async fn prepare(&self, messages: &[&Message]) -> Result<(), Fault> {
        self.app.codec.prepare(messages).await
    }

    async fn decode_again(&self, message: &Message) -> Result<(OrderInput, Option<String>), Fault> {
        let codec = self.app.codec.for_redrive();
        Ok((wire::hear(&codec, message).await?, codec.read_by()))
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[NewMessage<'_, OrderInput>],
    ) -> Result<HandlerOutcome, Fault> {
        let now = self.app.clock.now();
        let (mut places, mut requests, mut words) = (vec![], vec![], vec![]);
        for (place, NewMessage { message, input }) in batch.iter().enumerate() {
            match input {
                OrderInput::Product(word) => words.push(word),
                OrderInput::Order { order_id, news } => {
                    places.push(place);
                    requests.push(OrderRequest {
                        order_id: *order_id,
                        command: OrderCommand::Record { news: news.clone(), now },
                        heard: Some((&message.envelope).into()),
                        trace: message.envelope.trace,
                    });
                }
            }
        }
        catalogue::learn(conn, &words).await?;
        let outcome = self.app.execute(conn, &requests).await?;
        let refused = places
            .into_iter()
            .zip(outcome.answers)
            .filter_map(|(place, answer)| Some((place, answer.err()?.to_string())))
            .collect();
        Ok(HandlerOutcome { effects: outcome.effects, refused })
    }
}
