//! Comparison of Avro's logical types (timestamp, date, time, decimal, uuid) of writer and reader.
//!
//! Avro resolves a writer's schema to a reader's by the bytes alone: a `timestamp-millis` and a
//! `timestamp-micros` are both a long. Without this check, a time of 2026 is read as one of 1970.
//! The library (apache-avro 0.22) does not convert between them: it refuses where it resolves, and
//! does not check where two schemas have the same layout. This module decides for both cases: a
//! value whose logical type differs between writer and reader is not read.
//!
//! A writer without a logical type (a plain `long`) is assumed to mean what the reader means, as
//! Avro asks of readers that do not know a logical type.

use std::collections::{HashMap, HashSet};

use apache_avro::{
    Schema,
    schema::{Name, ResolvedSchema},
};

/// The place where a writer's schema means something else than the reader's; none if they agree.
pub(super) fn conflict(writer: &Schema, reader: &Schema) -> Option<String> {
    // Schemas that do not resolve are refused for that, elsewhere.
    let (Ok(theirs), Ok(ours)) =
        (ResolvedSchema::try_from(writer), ResolvedSchema::try_from(reader))
    else {
        return None;
    };
    let (theirs, ours) = (theirs.get_names(), ours.get_names());
    TypeComparison { theirs, ours, seen: HashSet::new() }.compare("", writer, reader)
}

struct TypeComparison<'s> {
    theirs: &'s HashMap<Name, &'s Schema>,
    ours: &'s HashMap<Name, &'s Schema>,
    /// Records that were compared already: each pair once, however often a schema refers to it.
    seen: HashSet<(Name, Name)>,
}

impl<'s> TypeComparison<'s> {
    fn compare(&mut self, path: &str, writer: &'s Schema, reader: &'s Schema) -> Option<String> {
        let writer = named(self.theirs, writer);
        let reader = named(self.ours, reader);
        match (writer, reader) {
            (Schema::Union(writer), _) => {
                writer.variants().iter().find_map(|variant| self.compare(path, variant, reader))
            }
            (_, Schema::Union(reader)) => {
                let same_kind = |schema: &&Schema| kind(named(self.ours, schema)) == kind(writer);
                let candidates: Vec<&Schema> = reader.variants().iter().filter(same_kind).collect();
                let mut conflicts = Vec::with_capacity(candidates.len());
                for candidate in candidates {
                    // One branch with the same meaning is enough.
                    conflicts.push(self.compare(path, writer, candidate)?);
                }
                conflicts.into_iter().next()
            }
            (Schema::Record(writer), Schema::Record(reader)) => {
                if !self.seen.insert((writer.name.clone(), reader.name.clone())) {
                    return None;
                }
                reader.fields.iter().find_map(|ours| {
                    let theirs =
                        writer.fields.iter().find(|record_field| record_field.name == ours.name)?;
                    self.compare(&join(path, &ours.name), &theirs.schema, &ours.schema)
                })
            }
            (Schema::Array(writer), Schema::Array(reader)) => {
                self.compare(&join(path, "[]"), &writer.items, &reader.items)
            }
            (Schema::Map(writer), Schema::Map(reader)) => {
                self.compare(&join(path, "{}"), &writer.types, &reader.types)
            }
            _ => differ(path, writer, reader),
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn named<'s>(names: &HashMap<Name, &'s Schema>, schema: &'s Schema) -> &'s Schema {
    let definition = if let Schema::Ref { name } = schema { names.get(name) } else { None };
    definition.copied().unwrap_or(schema)
}

fn differ(path: &str, writer: &Schema, reader: &Schema) -> Option<String> {
    let theirs = meaning(writer)?;
    let ours = meaning(reader);
    if ours.as_ref() == Some(&theirs) {
        return None;
    }
    let ours = ours.unwrap_or_else(|| format!("a plain {}", kind(reader)));
    Some(format!("its {path} is {theirs}, ours is {ours}, and neither is converted"))
}

/// The name of a logical type, with its parameters.
fn meaning(schema: &Schema) -> Option<String> {
    let name = match schema {
        Schema::Decimal(it) => return Some(format!("decimal({}, {})", it.precision, it.scale)),
        Schema::BigDecimal => "big-decimal",
        Schema::Uuid(_) => "uuid",
        Schema::Date => "date",
        Schema::TimeMillis => "time-millis",
        Schema::TimeMicros => "time-micros",
        Schema::TimestampMillis => "timestamp-millis",
        Schema::TimestampMicros => "timestamp-micros",
        Schema::TimestampNanos => "timestamp-nanos",
        Schema::LocalTimestampMillis => "local-timestamp-millis",
        Schema::LocalTimestampMicros => "local-timestamp-micros",
        Schema::LocalTimestampNanos => "local-timestamp-nanos",
        Schema::Duration(_) => "duration",
        Schema::Null
        | Schema::Boolean
        | Schema::Int
        | Schema::Long
        | Schema::Float
        | Schema::Double
        | Schema::Bytes
        | Schema::String
        | Schema::Array(_)
        | Schema::Map(_)
        | Schema::Union(_)
        | Schema::Record(_)
        | Schema::Enum(_)
        | Schema::Fixed(_)
        | Schema::Ref { .. } => return None,
    };
    Some(name.to_owned())
}

/// The kind of a value for Avro's resolution, without its logical type.
fn kind(schema: &Schema) -> &'static str {
    match schema {
        Schema::Null => "null",
        Schema::Boolean => "boolean",
        Schema::Int | Schema::Date | Schema::TimeMillis => "int",
        Schema::Long
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => "long",
        Schema::Float => "float",
        Schema::Double => "double",
        Schema::Bytes | Schema::BigDecimal | Schema::Decimal(_) => "bytes",
        Schema::String | Schema::Uuid(_) => "string",
        Schema::Array(_) => "array",
        Schema::Map(_) => "map",
        Schema::Union(_) => "union",
        Schema::Record(_) => "record",
        Schema::Enum(_) => "enum",
        Schema::Fixed(_) | Schema::Duration(_) => "fixed",
        Schema::Ref { .. } => "reference",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGICAL: [(&str, &str); 12] = [
        ("int", "date"),
        ("int", "time-millis"),
        ("long", "time-micros"),
        ("long", "timestamp-millis"),
        ("long", "timestamp-micros"),
        ("long", "timestamp-nanos"),
        ("long", "local-timestamp-millis"),
        ("long", "local-timestamp-micros"),
        ("long", "local-timestamp-nanos"),
        ("string", "uuid"),
        ("bytes", "big-decimal"),
        ("bytes", "decimal"),
    ];

    fn labelled(base: &str, name: &str) -> String {
        let more = if name == "decimal" { r#","precision":9,"scale":2"# } else { "" };
        format!(r#"{{"type":"{base}","logicalType":"{name}"{more}}}"#)
    }

    /// Records that hold this type: as it is, optional, in a list, in a record within.
    fn holding(value: &str) -> [Schema; 4] {
        let within = format!(
            r#"{{"type":"record","name":"Within","fields":[{{"name":"v","type":{value}}}]}}"#
        );
        [
            value.to_owned(),
            format!(r#"["null",{value}]"#),
            format!(r#"{{"type":"array","items":{value}}}"#),
            within,
        ]
        .map(|schema| record(&schema))
    }

    fn record(field: &str) -> Schema {
        let fields = format!(r#"[{{"name":"f","type":{field}}}]"#);
        let text = format!(r#"{{"type":"record","name":"R","fields":{fields}}}"#);
        Schema::parse_str(&text).unwrap()
    }

    #[test]
    fn a_value_that_its_writer_names_otherwise_is_found_wherever_it_is() {
        for (base, theirs) in LOGICAL {
            for (other_base, ours) in LOGICAL.into_iter().filter(|(text, _)| *text == base) {
                let (theirs_text, ours_text) = (labelled(base, theirs), labelled(other_base, ours));
                let pairs = holding(&theirs_text).into_iter().zip(holding(&ours_text));
                for (place, (writer, reader)) in pairs.enumerate() {
                    let found = conflict(&writer, &reader);
                    assert_eq!(
                        found.is_some(),
                        theirs != ours,
                        "{theirs} {ours} {place} {found:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_value_that_its_writer_names_nothing_means_what_ours_means() {
        for (base, ours) in LOGICAL {
            let (plain, ours) = (format!(r#""{base}""#), labelled(base, ours));
            for (plain, ours) in holding(&plain).into_iter().zip(holding(&ours)) {
                assert_eq!(conflict(&plain, &ours), None);
                assert!(conflict(&ours, &plain).is_some(), "what is plain for us is named by them");
            }
        }
    }

    #[test]
    fn a_conflict_says_where_it_is_and_what_each_side_means() {
        let [writer, ..] = holding(&labelled("long", "timestamp-millis"));
        let [reader, ..] = holding(&labelled("long", "timestamp-micros"));
        assert_eq!(
            conflict(&writer, &reader).unwrap(),
            "its f is timestamp-millis, ours is timestamp-micros, and neither is converted"
        );
        let scale = |scale: &str| labelled("bytes", "decimal").replace(r#""scale":2"#, scale);
        let [writer, ..] = holding(&scale(r#""scale":3"#));
        let [reader, ..] = holding(&scale(r#""scale":2"#));
        assert!(
            conflict(&writer, &reader).unwrap().contains("decimal(9, 3), ours is decimal(9, 2)")
        );
    }

    #[test]
    fn an_optional_value_is_met_by_the_branch_that_means_the_same() {
        let union = format!(r#"["null",{},"string"]"#, labelled("long", "timestamp-micros"));
        let reader = record(&union);
        let [same, ..] = holding(&labelled("long", "timestamp-micros"));
        let [other, ..] = holding(&labelled("long", "timestamp-millis"));
        assert_eq!(conflict(&same, &reader), None);
        assert!(conflict(&other, &reader).is_some());
    }
}
