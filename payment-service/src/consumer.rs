//! Messages of the other services → commands.

use shared::{
    codec::Codec,
    consumer::{Handled, Handler, Taken},
    contract::{
        ORDER_CANCELLED, ORDER_PLACED, OrderCancelled, OrderPlaced, STOCK_RESERVED, StockReserved,
    },
    fault::{self, Fault},
    message::Message,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    app::{Addressed, App, Ask},
    domain::payment::Command,
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
        vec![ORDER_PLACED, STOCK_RESERVED, ORDER_CANCELLED]
    }

    async fn decode(&self, message: &Message) -> Result<Input, Fault> {
        let (order_id, ask) = match message.incoming.topic.as_str() {
            ORDER_PLACED => {
                let record: OrderPlaced = self.codec.decode(message).await?;
                let command = wire::order_placed(&record).map_err(Fault::poison)?;
                (record.order_id, Ask::Command(command))
            }
            STOCK_RESERVED => {
                let record: StockReserved = self.codec.decode(message).await?;
                (record.order_id, Ask::Command(Command::StockReserved))
            }
            ORDER_CANCELLED => {
                let record: OrderCancelled = self.codec.decode(message).await?;
                (record.order_id, Ask::Cancel)
            }
            _ => return Err(Fault::poison("this topic says nothing to payments")),
        };
        if message.envelope.subject != order_id.to_string() {
            return Err(Fault::poison("its order_id is not its ce_subject"));
        }
        Ok(Input { order_id, ask })
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
