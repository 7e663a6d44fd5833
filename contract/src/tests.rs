use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use apache_avro::{
    Schema,
    schema::RecordSchema,
    schema_compatibility::{Compatibility, SchemaCompatibility},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use sha2::{Digest as _, Sha256};
use shared::codec::{DatumReader, Record, RecordShape, UnreadableBody};
use time::macros::datetime;

use super::{
    samples::{SampleRecord, for_each_record},
    *,
};

fn home(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The released versions of a record, oldest first.
fn released<R: Record>() -> Vec<(usize, Schema)> {
    let folder = home("schemas/released").join(R::TOPIC);
    (1..=names(&folder).len())
        .map(|version| {
            let text = fs::read_to_string(folder.join(format!("{version}.avsc"))).unwrap();
            (version, Schema::parse_str(&text).unwrap())
        })
        .collect()
}

fn written<R: Record>(record: &R) -> Vec<u8> {
    let mut bytes = Vec::new();
    RecordShape::of::<R>().write(record, &mut bytes).unwrap();
    bytes
}

#[test]
fn every_topic_is_declared_once_and_carries_one_kind_of_record() {
    let declared: BTreeSet<&str> = TOPICS.iter().map(|spec| spec.name).collect();
    assert_eq!(declared.len(), TOPICS.len());
    let events: BTreeSet<&str> = declared.into_iter().filter(|name| !name.contains('.')).collect();
    let kinds: BTreeSet<&str> = record_kinds().iter().map(RecordKind::topic).collect();
    assert_eq!(kinds, events);
    assert_eq!(record_kinds().len(), events.len());
}

#[test]
fn a_record_is_named_alike_in_its_topic_its_type_and_its_schema() {
    fn is_named<R: SampleRecord>() {
        let shape = RecordShape::of::<R>();
        let namespace = shape.schema().namespace().unwrap();
        assert_eq!(R::TYPE, format!("{namespace}.{}.v1", R::TOPIC));
        let name = shape.name().rsplit('.').next().unwrap();
        let words: String = name
            .char_indices()
            .map(|(at, character)| {
                if at > 0 && character.is_uppercase() {
                    format!("-{character}")
                } else {
                    character.into()
                }
            })
            .collect();
        assert_eq!(words.to_lowercase(), R::TOPIC);
    }
    for_each_record!(is_named);
}

#[test]
fn every_field_of_every_schema_is_explained() {
    fn explained(record: &RecordSchema) {
        assert!(record.doc.is_some(), "{}", record.name);
        for field in &record.fields {
            assert!(field.doc.is_some(), "{}.{}", record.name, field.name);
            if let Schema::Array(array) = &field.schema
                && let Schema::Record(inner) = array.items.as_ref()
            {
                explained(inner);
            }
        }
    }
    fn is_explained<R: Record>() {
        let Schema::Record(record) = RecordShape::of::<R>().schema() else { panic!("no record") };
        explained(record);
    }
    for_each_record!(is_explained);
}

#[test]
fn every_version_reads_and_is_read_by_every_released_one() {
    fn is_compatible<R: Record>() {
        let ours = RecordShape::of::<R>().schema();
        let versions = released::<R>();
        assert!(!versions.is_empty(), "{} was never released", R::TOPIC);
        for (version, theirs) in versions {
            let both_ways = SchemaCompatibility::mutual_read(ours, &theirs);
            assert_eq!(both_ways, Ok(Compatibility::Full), "{} and {version}.avsc", R::TOPIC);
        }
    }
    for_each_record!(is_compatible);
}

/// Events are published in a released version: a changed schema's text is kept as the next version.
#[test]
fn what_is_said_is_the_newest_released_version() {
    fn is_released<R: Record>() {
        let newest = released::<R>().len();
        let path = home("schemas/released").join(R::TOPIC).join(format!("{newest}.avsc"));
        assert_eq!(fs::read_to_string(path).unwrap(), R::SCHEMA, "{}", R::TOPIC);
    }
    for_each_record!(is_released);
}

#[test]
fn what_was_released_is_never_edited() {
    let folder = home("schemas/released");
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    let kept: BTreeMap<String, String> = sums
        .lines()
        .map(|line| line.split_once("  ").unwrap())
        .map(|(sum, path)| (path.to_owned(), sum.to_owned()))
        .collect();
    let mut found = BTreeMap::new();
    for topic in names(&folder).into_iter().filter(|name| name != "SHA256SUMS") {
        for file in names(&folder.join(&topic)) {
            let bytes = fs::read(folder.join(&topic).join(&file)).unwrap();
            found.insert(format!("{topic}/{file}"), format!("{:x}", Sha256::digest(bytes)));
        }
    }
    assert_eq!(found, kept);
}

#[test]
fn a_record_is_encoded_as_it_always_was_and_old_bytes_are_still_read() {
    fn is_golden<R: SampleRecord>() {
        let versions = released::<R>();
        let newest = versions.len();
        for (version, writer) in versions {
            let path = home("tests/golden").join(format!("{}.{version}.bin", R::TOPIC));
            let golden = fs::read(&path).unwrap();
            let record = DatumReader::<R>::resolved(writer).read(&golden).unwrap();
            if version == newest {
                assert_eq!(record, R::sample());
                assert_eq!(written(&record), golden, "{}", path.display());
                assert_eq!(DatumReader::same().read(&golden), Ok(record));
            }
        }
    }
    for_each_record!(is_golden);
}

#[test]
fn any_record_comes_back_as_it_was_straight_and_by_resolution() {
    fn comes_back<R: SampleRecord>() {
        TestRunner::new(Config { failure_persistence: None, ..Config::default() })
            .run(&R::any(), |record| {
                let bytes = written(&record);
                let writer = RecordShape::of::<R>().schema().clone();
                prop_assert_eq!(DatumReader::same().read(&bytes), Ok(record.clone()));
                prop_assert_eq!(DatumReader::resolved(writer).read(&bytes), Ok(record));
                Ok(())
            })
            .unwrap();
    }
    for_each_record!(comes_back);
}

#[test]
fn whatever_bytes_come_are_read_or_refused_without_a_panic() {
    fn holds<R: SampleRecord>() {
        let writer = RecordShape::of::<R>().schema().clone();
        let readers = [DatumReader::<R>::same(), DatumReader::resolved(writer)];
        let good = written(&R::sample());
        let broken = (0..good.len(), any::<Vec<u8>>()).prop_map(move |(at, bytes)| {
            let mut broken = good.clone();
            broken.splice(at.., bytes);
            broken
        });
        let bytes = prop_oneof![any::<Vec<u8>>(), broken];
        proptest!(|(bytes in bytes)| {
            for reader in &readers {
                prop_assert_ne!(reader.read(&bytes).err(), Some(UnreadableBody::Panicked));
            }
        });
    }
    for_each_record!(holds);
}

#[test]
fn a_moment_outside_the_calendar_is_no_moment() {
    let beyond = br#"{"order_id":"01970000-0000-7000-8000-0000000000a1","total_minor":1,
        "currency":"EUR","confirmed_at":9223372036854775807}"#;
    assert!(serde_json::from_slice::<OrderConfirmed>(beyond).is_err());
}

#[test]
fn a_moment_is_cut_down_to_its_microsecond_also_before_1970() {
    let moment = datetime!(1969-12-31 23:59:59.999_999_9 UTC);
    let json =
        serde_json::to_value(OrderConfirmed { confirmed_at: moment, ..SampleRecord::sample() });
    assert_eq!(json.unwrap()["confirmed_at"], -1);
}
