//! What other services say becomes commands for orders, and words on products.

use shared::{
    codec::Kind,
    consumer::{Handled, Handler, Taken},
    fault::Fault,
    message::Message,
};
use sqlx::PgConnection;

use crate::{
    app::App,
    domain::order::Command,
    request::OrderRequest,
    store::catalogue,
    wire::{self, Heard},
};

/// Takes messages in.
#[derive(Clone, Debug)]
pub struct EventHandler {
    /// Executes the commands.
    pub app: App,
}

impl Handler for EventHandler {
    type Input = Heard;

    fn topics(&self) -> Vec<&'static str> {
        wire::reads().iter().map(Kind::topic).collect()
    }

    async fn decode(&self, message: &Message) -> Result<Heard, Fault> {
        wire::hear(&self.app.codec, message).await
    }

    async fn prepare(&self, messages: &[&Message]) -> Result<(), Fault> {
        self.app.codec.prepare(messages).await
    }

    async fn decode_again(&self, message: &Message) -> Result<(Heard, Option<String>), Fault> {
        let codec = self.app.codec.for_redrive();
        Ok((wire::hear(&codec, message).await?, codec.read_by()))
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[Taken<'_, Heard>],
    ) -> Result<Handled, Fault> {
        let now = self.app.clock.now();
        let (mut places, mut requests, mut words) = (vec![], vec![], vec![]);
        for (place, Taken { message, input }) in batch.iter().enumerate() {
            match input {
                Heard::Product(word) => words.push(word),
                Heard::Order { order_id, news } => {
                    places.push(place);
                    requests.push(OrderRequest {
                        order_id: *order_id,
                        command: Command::Record { news: news.clone(), now },
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
        Ok(Handled { effects: outcome.effects, refused })
    }
}
