use apache_avro::{Schema, writer::datum::GenericDatumWriter};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use time::macros::datetime;
use uuid::uuid;

use super::{framing::*, *};
use crate::{health::ProcessHealth, message::IncomingMessage};

#[path = "../../tests/it/records.rs"]
mod records;
mod samples;

use records::{LoanEnded, LoanStarted};
use samples::LoanRequested;

const OURS: u32 = 7;
const THEIRS: u32 = 8;

fn kept(text: &str) -> schema_registry::RegisteredSchema {
    schema_registry::RegisteredSchema { text: text.to_owned(), kind: None }
}

/// A codec that has learnt our schema as 7 and, of the same record, `theirs` as 8. Its registry
/// cannot be reached.
fn codec<R: Record>(theirs: &schema_registry::RegisteredSchema) -> AvroCodec {
    let registry = SchemaRegistry::new("http://127.0.0.1:1/a/path").unwrap();
    let (writers, kind) = (WriterSchemas::new(registry.clone()), RecordKind::of::<R>());
    writers.remember(OURS, kind, &kept(R::SCHEMA));
    writers.remember(THEIRS, kind, theirs);
    let inner = CodecState {
        registry,
        source: "/a/source".into(),
        prefix: String::new(),
        writes: vec![kind],
        reads: HashMap::from([(R::TOPIC, kind)]),
        ids: RwLock::new(HashMap::from([(TypeId::of::<R>(), OURS)])),
        writers,
        sightings: UnknownIds::new(ProcessHealth::default().component("schemas")),
    };
    AvroCodec(Arc::new(inner), None)
}

fn meta() -> EventMeta {
    EventMeta {
        id: uuid!("01970000-0000-7000-8000-000000000001"),
        subject: "a-key".to_owned(),
        sequence: 3,
        at: datetime!(2026-01-02 03:04:05 UTC),
        trace: None,
    }
}

fn arrived(outgoing: OutgoingMessage) -> Message {
    let envelope = MessageEnvelope::from_headers(&outgoing.headers).unwrap();
    let incoming = IncomingMessage {
        topic: outgoing.topic.into_owned(),
        partition: 0,
        offset: 0,
        timestamp_ms: None,
        key: outgoing.key,
        headers: outgoing.headers,
        payload: outgoing.payload,
    };
    Message { incoming, envelope }
}

fn framed(id: u32, datum: &[u8]) -> Vec<u8> {
    [&[MAGIC], &id.to_be_bytes()[..], datum].concat()
}

fn datum<R: Record>(record: &R) -> Vec<u8> {
    let mut bytes = Vec::new();
    RecordShape::of::<R>().write(record, &mut bytes).unwrap();
    bytes
}

async fn read<R: Record>(codec: &AvroCodec, payload: Vec<u8>) -> Result<R, Fault> {
    let mut message = arrived(codec.outgoing::<R>(meta(), None));
    message.incoming.payload = Some(payload);
    codec.decode(&message).await
}

async fn poison<R: Record + std::fmt::Debug>(
    codec: &AvroCodec,
    payload: Vec<u8>,
) -> UnreadableBody {
    match read::<R>(codec, payload).await {
        Err(Fault::Poison(why)) => why.downcast_ref::<UnreadableBody>().unwrap().clone(),
        other => panic!("not poison: {other:?}"),
    }
}

/// `LoanStarted`'s schema with its fields changed.
fn changed(change: impl FnOnce(&mut Vec<Value>)) -> schema_registry::RegisteredSchema {
    let mut schema: Value = serde_json::from_str(LoanStarted::SCHEMA).unwrap();
    let Value::Array(fields) = &mut schema["fields"] else { panic!("no fields") };
    change(fields);
    kept(&schema.to_string())
}

fn with_field(field: Value) -> schema_registry::RegisteredSchema {
    changed(|fields| fields.push(field))
}

fn unused() -> schema_registry::RegisteredSchema {
    kept(LoanStarted::SCHEMA)
}

/// `LoanStarted` as a later version might have it.
#[derive(Serialize)]
struct Later {
    loan_id: Uuid,
    fee_minor: i64,
    currency: String,
    started_at: i64,
    note: Option<String>,
}

fn later(schema: &schema_registry::RegisteredSchema, note: Option<&str>) -> Vec<u8> {
    let ours = LoanStarted::sample();
    let record = Later {
        loan_id: ours.loan_id,
        fee_minor: ours.fee_minor,
        currency: ours.currency,
        started_at: i64::try_from(ours.started_at.unix_timestamp_nanos() / 1_000).unwrap(),
        note: note.map(str::to_owned),
    };
    let schema = Schema::parse_str(&schema.text).unwrap();
    let writer = GenericDatumWriter::builder(&schema).human_readable(true).build().unwrap();
    writer.write_ser_to_vec(&record).unwrap()
}

#[tokio::test]
async fn what_is_said_is_read_as_it_was() {
    let codec = codec::<LoanRequested>(&kept(LoanRequested::SCHEMA));
    let message = arrived(codec.message(meta(), &LoanRequested::sample()).unwrap());
    assert_eq!(message.incoming.topic, LoanRequested::TOPIC);
    assert_eq!(message.incoming.key.as_deref(), Some(&b"a-key"[..]));
    assert_eq!(message.envelope.event_type, LoanRequested::TYPE);
    assert_eq!(message.envelope.source, "/a/source");
    assert_eq!(message.envelope.sequence, 3);
    assert_eq!(message.incoming.payload.as_deref().unwrap()[..5], [0, 0, 0, 0, 7]);
    assert_eq!(codec.decode::<LoanRequested>(&message).await.unwrap(), LoanRequested::sample());
}

#[test]
fn a_service_says_only_what_it_has_registered() {
    let codec = codec::<LoanRequested>(&kept(LoanRequested::SCHEMA));
    let refused = codec.message(meta(), &LoanEnded::sample()).unwrap_err();
    assert!(matches!(refused, Fault::Poison(_)));
}

#[tokio::test]
async fn a_tombstone_is_no_record_but_may_be_asked_for() {
    let codec = codec::<LoanEnded>(&kept(LoanEnded::SCHEMA));
    let tombstone = arrived(codec.tombstone::<LoanEnded>(meta()));
    assert_eq!(tombstone.incoming.payload, None);
    assert_eq!(codec.decode_optional::<LoanEnded>(&tombstone).await.unwrap(), None);
    let refused = codec.decode::<LoanEnded>(&tombstone).await.unwrap_err();
    assert!(matches!(refused, Fault::Poison(why) if why.to_string() == "it has no body"));
}

#[tokio::test]
async fn each_broken_body_is_poison_with_its_own_reason() {
    let codec = codec::<LoanStarted>(&unused());
    let good = datum(&LoanStarted::sample());
    for n in 0..5 {
        let short = framed(OURS, &[])[..n].to_vec();
        assert_eq!(poison::<LoanStarted>(&codec, short).await, UnreadableBody::TooShort(n));
    }
    let large = vec![0; BODY_BYTES_MAX + 1];
    let trailing = [&good[..], &[0, 0]].concat();
    for (payload, why) in [
        (large, UnreadableBody::TooLarge(BODY_BYTES_MAX + 1)),
        (br#"{"loan_id":1}"#.to_vec(), UnreadableBody::NoMagic(b'{')),
        (framed(0, &good), UnreadableBody::NoId(0)),
        (framed(u32::MAX, &good), UnreadableBody::NoId(u32::MAX)),
        (framed(OURS, &trailing), UnreadableBody::Trailing(2)),
    ] {
        assert_eq!(poison::<LoanStarted>(&codec, payload).await, why);
    }
    for n in 0..good.len() {
        let cut = framed(OURS, &good[..n]);
        assert_eq!(poison::<LoanStarted>(&codec, cut).await, UnreadableBody::Truncated);
    }
}

/// The byte positions of the fields in `LoanStarted`'s sample.
const ID_AT: usize = 1;
const CURRENCY_AT: usize = 1 + 36 + 2;

#[tokio::test]
async fn each_value_that_is_none_of_its_schema_is_poison() {
    let codec = codec::<LoanStarted>(&with_field(json!({
        "name": "note", "type": ["null", "string"], "default": null
    })));
    let good = datum(&LoanStarted::sample());
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad.splice(at..at + bytes.len(), bytes.iter().copied());
        bad
    };
    // A length of 2^60, of 8 MiB, below 0; text that is not UTF-8; an invalid id.
    let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20];
    for bad in [
        with(CURRENCY_AT, &huge),
        with(CURRENCY_AT, &[0x80, 0x80, 0x80, 0x08]),
        with(CURRENCY_AT, &[0x01]),
        with(CURRENCY_AT + 1, &[0xff, 0xfe]),
        with(ID_AT, b"zz"),
    ] {
        for (id, end) in [(OURS, &[][..]), (THEIRS, &[0])] {
            let payload = framed(id, &[&bad[..], end].concat());
            let why = poison::<LoanStarted>(&codec, payload).await;
            assert!(matches!(&why, UnreadableBody::Datum(_)), "{why}");
        }
    }
    // A branch that the union does not have.
    let why = poison::<LoanStarted>(&codec, framed(THEIRS, &[&good[..], &[4]].concat())).await;
    assert!(matches!(&why, UnreadableBody::Datum(_)), "{why}");
}

#[tokio::test]
async fn a_list_that_promises_more_than_there_is_costs_nothing() {
    let codec = codec::<LoanRequested>(&kept(LoanRequested::SCHEMA));
    let good = datum(&LoanRequested::sample());
    let billion = [0x80, 0xa8, 0xd6, 0xb9, 0x07];
    let payload = framed(OURS, &[&good[..37], &billion].concat());
    let why = poison::<LoanRequested>(&codec, payload).await;
    assert_eq!(why, UnreadableBody::Truncated);
}

#[tokio::test]
async fn a_field_that_we_do_not_know_is_passed_over() {
    let theirs = with_field(json!({
        "name": "note", "type": ["null", "string"], "default": null
    }));
    let codec = codec::<LoanStarted>(&theirs);
    for note in [None, Some("a word")] {
        let read = read::<LoanStarted>(&codec, framed(THEIRS, &later(&theirs, note))).await;
        assert_eq!(read.unwrap(), LoanStarted::sample());
    }
}

/// The library alone would read the missing end as a null.
#[tokio::test]
async fn a_body_that_ends_before_an_optional_field_is_cut_off_not_short() {
    let theirs = with_field(json!({
        "name": "note", "type": ["null", "string"], "default": null
    }));
    let codec = codec::<LoanStarted>(&theirs);
    let whole = later(&theirs, Some("a word"));
    for n in 0..whole.len() {
        let cut = framed(THEIRS, &whole[..n]);
        assert_eq!(poison::<LoanStarted>(&codec, cut).await, UnreadableBody::Truncated, "{n}");
    }
    let trailing = framed(THEIRS, &[&whole[..], &[1]].concat());
    assert_eq!(poison::<LoanStarted>(&codec, trailing).await, UnreadableBody::Trailing(1));
}

#[tokio::test]
async fn an_older_writer_without_an_optional_field_is_read_with_its_default() {
    let mut older: Value = serde_json::from_str(LoanRequested::SCHEMA).unwrap();
    let Value::Array(fields) = &mut older["fields"] else { panic!("no fields") };
    fields.retain(|field| field["name"] != "reader_name");
    let older = kept(&older.to_string());
    let codec = codec::<LoanRequested>(&older);

    let nameless = LoanRequested { reader_name: None, ..LoanRequested::sample() };
    let schema = Schema::parse_str(&older.text).unwrap();
    let mut value = serde_json::to_value(&nameless).unwrap();
    value.as_object_mut().unwrap().remove("reader_name");
    let value = apache_avro::types::Value::try_from(value).unwrap().resolve(&schema).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let bytes = writer.write_value_to_vec(value).unwrap();

    assert_eq!(read::<LoanRequested>(&codec, framed(THEIRS, &bytes)).await.unwrap(), nameless);
}

#[tokio::test]
async fn a_schema_that_differs_in_words_only_is_read_straight() {
    let theirs = changed(|fields| fields[0]["doc"] = "Other words.".into());
    let codec = codec::<LoanStarted>(&theirs);
    let reader = codec.0.writers.reader::<LoanStarted>(THEIRS).await.unwrap();
    assert!(format!("{reader:?}").contains("Same"), "{reader:?}");
}

#[tokio::test]
async fn a_schema_that_is_not_to_be_decoded_with_is_poison_and_says_why() {
    let item = |items: Value| {
        with_field(json!({ "name": "more", "type": { "type": "array", "items": items } }))
    };
    let fixed = json!({ "type": "fixed", "name": "Big", "size": 1_000_000_000 });
    let many: Vec<Value> =
        (0..1_100).map(|n| json!({ "name": format!("f{n}"), "type": "null" })).collect();
    let json_schema =
        schema_registry::RegisteredSchema { text: "{}".to_owned(), kind: Some("JSON".to_owned()) };
    for (theirs, reason) in [
        (kept("{"), "Failed to parse schema from JSON"),
        (json_schema, "it is one of JSON"),
        (with_field(json!({ "name": "more", "type": ["null", "LoanStarted"] })), "itself"),
        (item(json!("null")), "need no bytes"),
        (item(json!({ "type": "record", "name": "Empty", "fields": [] })), "need no bytes"),
        (with_field(json!({ "name": "more", "type": fixed })), "too large"),
        (item(json!({ "type": "record", "name": "Many", "fields": many })), "too many values"),
        (changed(|fields| fields[1]["type"] = "string".into()), "ours cannot read it"),
        (changed(|fields| drop(fields.remove(1))), "ours cannot read it"),
    ] {
        let codec = codec::<LoanStarted>(&theirs);
        let payload = framed(THEIRS, &datum(&LoanStarted::sample()));
        let why = poison::<LoanStarted>(&codec, payload).await;
        assert!(matches!(&why, UnreadableBody::Schema { id: THEIRS, .. }), "{why}");
        assert!(why.to_string().contains(reason), "{why}");
    }
}

#[tokio::test]
async fn the_schema_of_another_record_is_poison_and_says_of_which() {
    let codec = codec::<LoanStarted>(&kept(LoanEnded::SCHEMA));
    let payload = framed(THEIRS, &datum(&LoanEnded::sample()));
    let why = poison::<LoanStarted>(&codec, payload).await;
    assert_eq!(
        why.to_string(),
        "its schema 8 describes library.loans.LoanEnded, and its topic carries \
         library.loans.LoanStarted"
    );
}

#[tokio::test]
async fn a_message_that_calls_itself_something_else_is_poison() {
    let codec = codec::<LoanStarted>(&unused());
    let mut message = arrived(codec.message(meta(), &LoanStarted::sample()).unwrap());
    message.envelope.event_type = "another.type.v1".into();
    let refused = codec.decode::<LoanStarted>(&message).await.unwrap_err();
    assert!(matches!(refused, Fault::Poison(why) if why.to_string().contains("another.type.v1")));
}

#[tokio::test]
async fn a_schema_that_cannot_be_fetched_now_is_not_the_messages_fault() {
    let codec = codec::<LoanStarted>(&unused());
    let payload = framed(99, &datum(&LoanStarted::sample()));
    let fault = read::<LoanStarted>(&codec, payload).await.unwrap_err();
    assert!(matches!(fault, Fault::Transient(_)), "{fault:?}");
}

#[tokio::test]
async fn strange_ids_do_not_fill_the_memory() {
    let codec = codec::<LoanStarted>(&unused());
    let writers = &codec.0.writers;
    for id in 1..5_000 {
        writers.remember(id, RecordKind::of::<LoanStarted>(), &unused());
        writers.refuse((id, TypeId::of::<LoanStarted>()), UnreadableBody::UnknownId(id));
    }
    assert!(writers.size() <= 1_024 + 4_096);
}

proptest! {
    #[test]
    fn whatever_payload_comes_is_unwrapped_or_refused(payload: Vec<u8>) {
        if let Ok((id, datum)) = unwrap(&payload) {
            prop_assert!(id > 0);
            prop_assert_eq!(framed(id, datum), payload);
        }
    }
}
