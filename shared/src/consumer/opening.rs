//! Reading a batch: the outside of each message, and the inside as far as it can be read now.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{Handler, Parts};
use crate::{
    codec,
    dead_letter::{DeadLetter, Lane, Reason},
    fault::{self, Fault},
    message::{Envelope, Incoming, Message},
    telemetry::messaging::{self, By},
};

/// Messages of a batch are read for this long, what was asked for all of them aside. The others are
/// left for the next pass.
const OPEN_LIMIT: Duration = Duration::from_secs(10);
const _: () = assert!(codec::LEARN_LIMIT.as_secs() <= 10, "as the trait says");

/// The messages of a batch from its beginning that could be read now, and why it ends there if that
/// is not its end: never for a reason of the message.
pub(super) type Read<'b, I> = (Vec<Opened<'b, I>>, Option<Fault>);

/// A message, read as far as it can be.
#[derive(Debug)]
pub(super) struct Opened<'b, I> {
    pub(super) incoming: &'b Incoming,
    /// None, if its outside cannot be read.
    pub(super) message: Option<Message>,
    pub(super) lane: Option<Lane>,
    pub(super) body: Result<I, (Reason, String)>,
    /// What the body was read by, if not by its schema id.
    pub(super) read_by: Option<String>,
}

impl<'b, I> Opened<'b, I> {
    pub(super) fn letter(&self, reason: Reason, detail: String) -> DeadLetter<'b> {
        DeadLetter { incoming: self.incoming, lane: self.lane, reason, detail }
    }
}

impl<H: Handler> Parts<H> {
    /// Reads the outside and the inside of each message, as far as they can be read now.
    pub(super) async fn open<'b>(&self, batch: &'b [Incoming], by: By) -> Read<'b, H::Input> {
        let mut opened: Vec<_> = batch.iter().map(|it| self.read_as_ours(it, by)).collect();
        let messages: Vec<&Message> = opened.iter().filter_map(|it| it.message.as_ref()).collect();
        // What is missing after it is missed by the first message that needs it.
        if let Err(fault) = self.handler.prepare(&messages).await {
            tracing::debug!(error = fault::chain(&fault), "a batch is read as far as it can be");
        }
        let began = Instant::now();
        for index in 0..opened.len() {
            let Opened { message: Some(message), .. } = &opened[index] else { continue };
            let read = if index > 0 && began.elapsed() > OPEN_LIMIT {
                Err(Fault::transient(format!("a batch is read for longer than {OPEN_LIMIT:?}")))
            } else {
                self.read_inside(message, by).await
            };
            match read {
                Ok((input, read_by)) => {
                    opened[index].body = Ok(input);
                    opened[index].read_by = read_by;
                }
                Err(Fault::Poison(error)) => {
                    opened[index].body = Err((Reason::Body, fault::chain(&*error)));
                }
                Err(transient @ Fault::Transient(_)) => {
                    opened.truncate(index);
                    return (opened, Some(transient));
                }
            }
        }
        (opened, None)
    }

    async fn read_inside(
        &self,
        message: &Message,
        by: By,
    ) -> Result<(H::Input, Option<String>), Fault> {
        match by {
            By::Log => Ok((self.handler.decode(message).await?, None)),
            By::Redrive => self.handler.decode_again(message).await,
        }
    }

    /// Reads the outside; what follows from the message belongs to this service's work on it.
    pub(super) fn read_as_ours<'b, I>(&self, incoming: &'b Incoming, by: By) -> Opened<'b, I> {
        let mut opened = read_outside(incoming);
        if let Some(Message { envelope, .. }) = &mut opened.message {
            let own = messaging::processing(envelope.id, self.service, by, envelope.trace);
            envelope.trace = Some(own);
        }
        opened
    }
}

/// Reads the outside; the inside is not read yet.
pub(super) fn read_outside<I>(incoming: &Incoming) -> Opened<'_, I> {
    let unread = |detail: String| Opened {
        incoming,
        message: None,
        lane: None,
        body: Err((Reason::Envelope, detail)),
        read_by: None,
    };
    let envelope = match Envelope::from_headers(&incoming.headers) {
        Ok(envelope) => envelope,
        Err(error) => return unread(error.to_string()),
    };
    if incoming.key.as_deref() != Some(envelope.subject.as_bytes()) {
        return unread("its key is not its ce_subject".to_owned());
    }
    let message = Message { incoming: incoming.clone(), envelope };
    let lane = Some(Lane::of(&message));
    let body = Err((Reason::Body, "it was not read".to_owned()));
    Opened { incoming, message: Some(message), lane, body, read_by: None }
}

/// The lanes of these messages, each once, in their order.
pub(super) fn lanes<I>(opened: &[Opened<'_, I>]) -> Vec<Lane> {
    let lanes: HashSet<Lane> = opened.iter().filter_map(|it| it.lane).collect();
    let mut lanes: Vec<Lane> = lanes.into_iter().collect();
    lanes.sort_unstable();
    lanes
}
