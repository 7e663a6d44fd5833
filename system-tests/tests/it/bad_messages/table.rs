//! Every way in which a message can be bad, as a change to a good one.
//!
//! No record of the contract has an enumeration, so there is no unknown symbol among the rows. What
//! is larger than a topic takes never gets there: the broker refuses it.

use shared::clock::Clock;

use crate::raw::Raw;

/// A good message of one topic, and the schema ids that bad ones refer to.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) good: Raw,
    /// A schema of a record that no topic carries.
    pub(crate) foreign: u32,
    /// The topic's own schema, with a list of nothings at its end.
    pub(crate) hollow: u32,
    pub(crate) other: u32,
}

impl Base {
    /// The same under a name and a key of its own: a bad message must not stand in the way of
    /// another.
    fn fresh(&self) -> Raw {
        let subject = Clock::System.new_id().to_string();
        let mut raw = self.good.clone().with("ce_id", &subject).with("ce_subject", &subject);
        raw.key = Some(subject.into_bytes());
        raw
    }

    /// The same under its own subject and key in another spelling.
    fn in_capitals(&self) -> Raw {
        let subject = String::from_utf8(self.good.key.clone().unwrap()).unwrap().to_uppercase();
        let mut raw = self.fresh().with("ce_subject", &subject);
        raw.key = Some(subject.into_bytes());
        raw
    }

    fn body(&self) -> Vec<u8> {
        self.good.payload.clone().unwrap()
    }

    fn with_body(&self, body: &[u8]) -> Raw {
        Raw { payload: Some(body.to_vec()), ..self.fresh() }
    }

    /// The same datum under the id of another schema.
    fn under(&self, id: u32) -> Raw {
        let body = self.body();
        self.with_body(&[&[0][..], &id.to_be_bytes(), &body[5..]].concat())
    }

    /// The id of the right schema, and these bytes.
    fn datum(&self, bytes: &[u8]) -> Raw {
        self.with_body(&[&self.body()[..5], bytes].concat())
    }
}

/// A row: what it is called, the bad message, the reason under which it is kept, and words that say
/// what is wrong with it.
pub(crate) struct Case(
    pub(crate) &'static str,
    pub(crate) fn(&Base) -> Raw,
    pub(crate) &'static str,
    pub(crate) &'static str,
);

const ENVELOPE: &str = "envelope";
const BODY: &str = "body";

pub(crate) const CASES: &[Case] = &[
    Case(
        "no headers",
        |base| Raw { headers: vec![], ..base.fresh() },
        ENVELOPE,
        "ce_id is missing",
    ),
    Case("no ce_id", |base| base.fresh().without("ce_id"), ENVELOPE, "ce_id is missing"),
    Case("no ce_type", |base| base.fresh().without("ce_type"), ENVELOPE, "ce_type is missing"),
    Case(
        "no ce_source",
        |base| base.fresh().without("ce_source"),
        ENVELOPE,
        "ce_source is missing",
    ),
    Case(
        "no ce_subject",
        |base| base.fresh().without("ce_subject"),
        ENVELOPE,
        "ce_subject is missing",
    ),
    Case("no ce_time", |base| base.fresh().without("ce_time"), ENVELOPE, "ce_time is missing"),
    Case(
        "no number",
        |base| base.fresh().without("ce_sequence"),
        ENVELOPE,
        "ce_sequence is missing",
    ),
    Case(
        "two ce_ids",
        |base| base.fresh().twice("ce_id"),
        ENVELOPE,
        "ce_id stands there more than once",
    ),
    Case(
        "two ce_types",
        |base| base.fresh().twice("ce_type"),
        ENVELOPE,
        "ce_type stands there more",
    ),
    Case(
        "two ce_subjects",
        |base| base.fresh().twice("ce_subject"),
        ENVELOPE,
        "ce_subject stands there more",
    ),
    Case(
        "not UTF-8",
        |base| base.fresh().bytes("ce_type", b"\xff\xfe"),
        ENVELOPE,
        "ce_type is not UTF-8",
    ),
    Case(
        "a null header",
        |base| base.fresh().null("ce_source"),
        ENVELOPE,
        "ce_source is not there",
    ),
    Case(
        "ce_id is no UUID",
        |base| base.fresh().with("ce_id", "7"),
        ENVELOPE,
        "ce_id is not a UUIDv7",
    ),
    Case(
        "ce_id is a UUIDv4",
        |base| base.fresh().with("ce_id", V4),
        ENVELOPE,
        "ce_id is not a UUIDv7",
    ),
    Case(
        "number 0",
        |base| base.fresh().with("ce_sequence", "0"),
        ENVELOPE,
        "not a positive number",
    ),
    Case(
        "number -1",
        |base| base.fresh().with("ce_sequence", "-1"),
        ENVELOPE,
        "not a positive number",
    ),
    Case(
        "number in words",
        |base| base.fresh().with("ce_sequence", "seven"),
        ENVELOPE,
        "not a positive number",
    ),
    Case(
        "number 2^64",
        |base| base.fresh().with("ce_sequence", TWO_TO_64),
        ENVELOPE,
        "not a positive",
    ),
    Case(
        "no time",
        |base| base.fresh().with("ce_time", "yesterday"),
        ENVELOPE,
        "ce_time is not a time",
    ),
    Case(
        "null key",
        |base| Raw { key: None, ..base.fresh() },
        ENVELOPE,
        "its key is not its ce_subject",
    ),
    Case(
        "key not UTF-8",
        |base| Raw { key: Some(vec![0xff, 0xfe]), ..base.fresh() },
        ENVELOPE,
        "its key is not",
    ),
    Case("empty key", |base| Raw { key: Some(vec![]), ..base.fresh() }, ENVELOPE, "its key is not"),
    Case(
        "other type",
        |base| base.fresh().with("ce_type", "a.stranger.v1"),
        BODY,
        "its ce_type is",
    ),
    Case(
        "a huge header",
        |base| base.fresh().with("ce_type", &"x".repeat(200_000)),
        BODY,
        "ce_type is xx",
    ),
    Case("other subject", Base::fresh, BODY, "but its ce_subject is"),
    Case("subject in capitals", Base::in_capitals, BODY, "but its ce_subject is"),
    Case("null value", |base| Raw { payload: None, ..base.fresh() }, BODY, "it has no body"),
    Case("empty value", |base| base.with_body(b""), BODY, "has 0 bytes, too few"),
    Case("1 byte", |base| base.with_body(b"\0"), BODY, "has 1 bytes, too few"),
    Case("4 bytes", |base| base.with_body(b"\0\0\0\0"), BODY, "has 4 bytes, too few"),
    Case("no magic", |base| base.with_body(b"\x01not avro at all"), BODY, "begins with 0x01"),
    Case("JSON", |base| base.with_body(br#"{"order_id": 7}"#), BODY, "begins with 0x7b"),
    Case("schema id 0", |base| base.under(0), BODY, "id is 0, which no registry gives"),
    Case("schema id -1", |base| base.under(u32::MAX), BODY, "which no registry gives"),
    Case(
        "unknown schema",
        |base| base.under(2_000_000_000),
        BODY,
        "which the registry does not know",
    ),
    Case("other topic's schema", |base| base.under(base.other), BODY, "and its topic carries"),
    Case("foreign Avro", |base| base.under(base.foreign), BODY, "describes Stranger"),
    Case("array of nulls", |base| base.under(base.hollow), BODY, "values that need no bytes"),
    Case("cut off", |base| base.with_body(&base.body()[..20]), BODY, "ends in the middle"),
    Case(
        "something follows",
        |base| base.with_body(&[&base.body()[..], b"!"].concat()),
        BODY,
        "1 bytes follow",
    ),
    Case(
        "a length of 2^60",
        |base| base.datum(b"\x80\x80\x80\x80\x80\x80\x80\x80\x20ab"),
        BODY,
        "",
    ),
    Case("a length of -1", |base| base.datum(b"\x01ab"), BODY, ""),
    Case(
        "text not UTF-8",
        |base| base.datum(&[b"\x48", &[0xff; 36][..], &[0; 60]].concat()),
        BODY,
        "",
    ),
    Case("990,000 bytes", |base| base.datum(&vec![0; 990_000]), BODY, ""),
    Case("random bytes", |base| base.datum(&random(100)), BODY, ""),
    Case("random bytes again", |base| base.datum(&random(5_000)), BODY, ""),
    Case(
        "nothing but random bytes",
        |base| Raw { topic: base.good.topic.clone(), ..noise() },
        ENVELOPE,
        "",
    ),
];

const V4: &str = "9b2f6e0c-1d0c-4b52-9c5e-0a3b6d9f1e77";
const TWO_TO_64: &str = "18446744073709551616";

fn random(n: usize) -> Vec<u8> {
    (0..n).map(|_| fastrand::u8(..)).collect()
}

fn noise() -> Raw {
    let headers = (0..3).map(|n| (format!("h{n}"), Some(random(20)))).collect();
    Raw { key: Some(random(16)), headers, payload: Some(random(300)), ..Raw::default() }
}
