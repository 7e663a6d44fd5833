//! Consumer of the other services' messages: they become order commands and product updates.

use shared::{
    codec::{AvroCodec, RecordKind},
    consumer::{HandlerOutcome, NewMessage, RecordHandler},
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

impl RecordHandler for EventHandler {
    type Input = OrderInput;

    fn reads() -> Vec<RecordKind> {
        wire::reads()
    }

    fn codec(&self) -> &AvroCodec {
        &self.app.codec
    }

    async fn decode(codec: &AvroCodec, message: &Message) -> Result<OrderInput, Fault> {
        wire::decode(codec, message).await
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[NewMessage<'_, OrderInput>],
    ) -> Result<HandlerOutcome, Fault> {
        let now = self.app.clock.now();
        let (mut places, mut requests, mut products) = (vec![], vec![], vec![]);
        for (place, NewMessage { message, input }) in batch.iter().enumerate() {
            match input {
                OrderInput::Product(product) => products.push(product),
                OrderInput::Order { order_id, news } => {
                    places.push(place);
                    requests.push(OrderRequest {
                        order_id: *order_id,
                        command: OrderCommand::Record { news: news.clone(), now },
                        heard: Some((&message.envelope).into()),
                        trace: message.envelope.trace.clone(),
                    });
                }
            }
        }
        catalogue::learn(conn, &products).await?;
        let outcome = self.app.execute(conn, &requests).await?;
        Ok(HandlerOutcome::of(outcome.effects, places.into_iter().zip(outcome.answers)))
    }
}
