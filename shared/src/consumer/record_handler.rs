//! Handlers that decode records with the codec: what is the same for every service.

use std::future::Future;

use sqlx::PgConnection;

use super::{HandlerOutcome, MessageHandler, NewMessage};
use crate::{
    codec::{AvroCodec, RecordKind},
    fault::Fault,
    message::Message,
};

/// A handler of records of the contract.
pub trait RecordHandler: Send + Sync + 'static {
    /// The type that a record is decoded into, once per message.
    type Input: Send + Sync;

    /// The kinds of records that it reads.
    fn reads() -> Vec<RecordKind>;

    /// The codec of the service.
    fn codec(&self) -> &AvroCodec;

    /// Decodes a body, as [`MessageHandler::decode`].
    fn decode(
        codec: &AvroCodec,
        message: &Message,
    ) -> impl Future<Output = Result<Self::Input, Fault>> + Send;

    /// Processes new messages, as [`MessageHandler::handle`].
    fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[NewMessage<'_, Self::Input>],
    ) -> impl Future<Output = Result<HandlerOutcome, Fault>> + Send;
}

impl<H: RecordHandler> MessageHandler for H {
    type Input = H::Input;

    fn topics(&self) -> Vec<&'static str> {
        H::reads().iter().map(RecordKind::topic).collect()
    }

    async fn decode(&self, message: &Message) -> Result<H::Input, Fault> {
        H::decode(self.codec(), message).await
    }

    async fn prepare(&self, messages: &[&Message]) -> Result<(), Fault> {
        self.codec().prepare(messages).await
    }

    async fn decode_again(&self, message: &Message) -> Result<(H::Input, Option<String>), Fault> {
        let codec = self.codec().for_redrive();
        Ok((H::decode(&codec, message).await?, codec.read_by()))
    }

    async fn handle(
        &self,
        conn: &mut PgConnection,
        batch: &[NewMessage<'_, H::Input>],
    ) -> Result<HandlerOutcome, Fault> {
        RecordHandler::handle(self, conn, batch).await
    }
}
