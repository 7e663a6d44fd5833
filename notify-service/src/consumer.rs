//! Messages → commands.

use shared::{
    codec::{Codec, Kind},
    consumer::{Handled, Handler, Taken},
    fault::Fault,
    message::Message,
};
use sqlx::PgConnection;

use crate::{
    app::{Addressed, App},
    wire,
};

/// Takes in what the other services say of orders.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The road that they come in by.
    pub app: App,
}

impl Listener {
    async fn read(&self, codec: &Codec, message: &Message) -> Result<Addressed, Fault> {
        let now = self.app.clock.now();
        let (order_id, command) = wire::read(codec, message, now).await?;
        Ok(Addressed { order_id, command, trace: message.envelope.trace })
    }
}

impl Handler for Listener {
    type Input = Addressed;

    fn topics(&self) -> Vec<&'static str> {
        wire::reads().iter().map(Kind::topic).collect()
    }

    async fn decode(&self, message: &Message) -> Result<Addressed, Fault> {
        self.read(&self.app.codec, message).await
    }

    async fn prepare(&self, messages: &[&Message]) -> Result<(), Fault> {
        self.app.codec.prepare(messages).await
    }

    async fn decode_again(&self, message: &Message) -> Result<(Addressed, Option<String>), Fault> {
        let codec = self.app.codec.for_redrive();
        Ok((self.read(&codec, message).await?, codec.read_by()))
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[Taken<'_, Addressed>],
    ) -> Result<Handled, Fault> {
        let commands: Vec<&Addressed> = batch.iter().map(|it| it.input).collect();
        let outcome = self.app.execute(conn, &commands).await?;
        let refused =
            outcome.refused.into_iter().map(|(index, why)| (index, why.to_string())).collect();
        Ok(Handled { effects: outcome.effects, refused })
    }
}
