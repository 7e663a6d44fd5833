use proptest::prelude::*;
use time::macros::datetime;

use super::*;

fn envelope() -> MessageEnvelope {
    MessageEnvelope {
        id: crate::clock::first_id_at(datetime!(2026-01-02 03:04:05 UTC)),
        event_type: "thing-happened".into(),
        source: "/some-service".into(),
        subject: "a-subject".to_owned(),
        sequence: 7,
        time: datetime!(2026-01-02 03:04:05.000006 UTC),
        trace: TraceContext::parse(&TraceParent::start().to_string(), Some("rojo=1,congo=2")),
    }
}

#[test]
fn a_body_about_another_subject_or_in_another_spelling_is_told_from_the_envelopes() {
    let incoming = IncomingMessage {
        topic: "a-topic".to_owned(),
        partition: 0,
        offset: 0,
        timestamp_ms: None,
        key: None,
        headers: MessageHeaders::default(),
        payload: None,
    };
    let message = Message { incoming, envelope: envelope() };
    assert_eq!(message.check_subject("a-subject"), Ok(()));
    for body in ["A-SUBJECT", "another", ""] {
        let error = message.check_subject(body).unwrap_err().to_string();
        assert_eq!(error, format!("it is about {body}, but its ce_subject is a-subject"));
    }
}

#[test]
fn what_the_headers_say_is_read_back() {
    let envelope = envelope();
    assert_eq!(MessageEnvelope::from_headers(&envelope.to_headers()), Ok(envelope));
}

fn without(name: &str, instead: Option<&str>) -> MessageHeaders {
    let mut headers = MessageHeaders::default();
    for (header, value) in envelope().to_headers().iter() {
        if header != name {
            headers.push_raw(header, value);
        } else if let Some(value) = instead {
            headers.push(header, value);
        }
    }
    headers
}

#[test]
fn each_header_that_is_missing_or_wrong_is_named() {
    for name in ["ce_id", "ce_type", "ce_source", "ce_subject", "ce_sequence", "ce_time"] {
        let error = MessageEnvelope::from_headers(&without(name, None)).unwrap_err();
        assert_eq!(error.to_string(), format!("header {name} is missing"));
    }
    for (name, value) in [
        ("ce_id", "not-a-uuid"),
        ("ce_id", "8c0d0b2e-5f3a-4b62-9f4e-0d3b7c1a2f00"),
        ("ce_sequence", "0"),
        ("ce_sequence", "many"),
        ("ce_time", "yesterday"),
    ] {
        let error = MessageEnvelope::from_headers(&without(name, Some(value))).unwrap_err();
        assert!(error.to_string().starts_with(&format!("header {name} is not")), "{error}");
    }
}

#[test]
fn a_header_that_stands_there_twice_is_refused() {
    let mut headers = envelope().to_headers();
    headers.push("ce_id", "another");
    assert_eq!(MessageEnvelope::from_headers(&headers), Err(EnvelopeError::Repeated("ce_id")));
}

#[test]
fn an_unreadable_traceparent_is_dropped_and_the_message_kept() {
    let headers = without("traceparent", Some("00-xyz"));
    assert_eq!(MessageEnvelope::from_headers(&headers).unwrap().trace, None);
}

#[test]
fn an_unreadable_tracestate_is_dropped_and_the_trace_kept() {
    let whole = envelope().to_headers();
    assert_eq!(whole.text("tracestate"), Ok(Some("rojo=1,congo=2")));
    for headers in [
        without("tracestate", Some("Rojo")),
        without("tracestate", None),
        without("tracestate", Some(&"x".repeat(600))),
    ] {
        let trace = MessageEnvelope::from_headers(&headers).unwrap().trace.unwrap();
        assert_eq!(trace.state, None, "{headers:?}");
    }
    let mut twice = whole;
    twice.push("tracestate", "other=1");
    assert_eq!(MessageEnvelope::from_headers(&twice).unwrap().trace.unwrap().state, None);
}

proptest! {
    #[test]
    fn headers_survive_the_column(
        pairs in prop::collection::vec(
            (".*", prop::option::of(prop::collection::vec(any::<u8>(), 0..50))), 0..8)
    ) {
        let mut headers = MessageHeaders::default();
        for (name, value) in &pairs {
            headers.push_raw(name, value.as_deref());
        }
        prop_assert_eq!(MessageHeaders::from_bytes(&headers.to_bytes()), Some(headers));
    }

    #[test]
    fn no_bytes_make_the_header_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _read = MessageHeaders::from_bytes(&bytes);
    }

    #[test]
    fn no_text_makes_the_traceparent_reader_panic(text in "[0-9a-f-]{0,60}") {
        if let Some(trace) = TraceParent::parse(&text) {
            prop_assert_eq!(TraceParent::parse(&trace.to_string()), Some(trace));
        }
    }
}
