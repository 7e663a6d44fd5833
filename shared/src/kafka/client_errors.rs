//! Why brokers cannot be reached. A question to a broker ends with no more than that there was no
//! answer; what was wrong is said by the client's own threads, and kept here.

use std::sync::{Mutex, PoisonError};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode as Code},
    producer::{DeliveryResult, ProducerContext},
};

/// What a client said last. The words are the client's own and hold no password.
#[derive(Debug, Default)]
pub struct ClientErrors(Mutex<Option<ClientError>>);

#[derive(Debug)]
struct ClientError {
    /// The broker was there and would not have us, or we would not have it: that is said even if
    /// the connection that was lost for it is told later.
    refused: bool,
    reason: String,
}

impl ClientErrors {
    /// What was said, if anything was.
    pub fn last(&self) -> Option<String> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|error| error.reason.clone())
    }
}

impl ClientContext for ClientErrors {
    /// Whoever asks says it, once.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        tracing::debug!(facility, line, "the Kafka client says");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let refused = matches!(code, Some(Code::Authentication | Code::SSL));
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" says what, not why.
        if code == Some(Code::AllBrokersDown)
            || last.as_ref().is_some_and(|error| error.refused && !refused)
        {
            return;
        }
        *last = Some(ClientError { refused, reason: reason.to_owned() });
    }
}

impl ProducerContext for ClientErrors {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_outlives_the_lost_connection_that_it_causes() {
        let complaints = ClientErrors::default();
        let say = |code, reason| complaints.error(KafkaError::Global(code), reason);
        assert_eq!(complaints.last(), None);
        say(Code::BrokerTransportFailure, "connection refused");
        say(Code::AllBrokersDown, "1/1 brokers are down");
        assert_eq!(complaints.last().as_deref(), Some("connection refused"));
        say(Code::Authentication, "invalid credentials");
        say(Code::BrokerTransportFailure, "disconnected");
        assert_eq!(complaints.last().as_deref(), Some("invalid credentials"));
    }
}
