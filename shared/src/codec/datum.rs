//! One record in Avro's binary form, without the wire format around it.

use std::{
    any::TypeId,
    collections::HashMap,
    io,
    marker::PhantomData,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

use apache_avro::{
    AvroResult, Schema, error::Details, from_value, reader::datum::GenericDatumReader,
    util::max_allocation_bytes, writer::datum::GenericDatumWriter,
};

use crate::fault;

use super::{Record, UnreadableBody};

/// The most bytes that one value in a body may make the decoder allocate.
const ALLOCATION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The shapes in use: one per kind of record in the program; they live as long as the process.
static SHAPES: LazyLock<RwLock<HashMap<TypeId, &'static RecordShape>>> =
    LazyLock::new(RwLock::default);

/// A record's committed schema, ready for use.
pub struct RecordShape {
    text: &'static str,
    schema: &'static Schema,
    canonical: String,
    name: String,
    writer: GenericDatumWriter<'static>,
    reader: GenericDatumReader<'static>,
}

impl std::fmt::Debug for RecordShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shape").field("name", &self.name).finish_non_exhaustive()
    }
}

impl RecordShape {
    /// The shape of `R`.
    ///
    /// # Panics
    /// If the schema of `R` cannot be parsed: it is part of the program.
    pub fn of<R: Record>() -> &'static Self {
        let id = TypeId::of::<R>();
        let known = SHAPES.read().unwrap_or_else(PoisonError::into_inner).get(&id).copied();
        known.unwrap_or_else(|| {
            let mut shapes = SHAPES.write().unwrap_or_else(PoisonError::into_inner);
            shapes.entry(id).or_insert_with(|| match Self::parse(R::SCHEMA) {
                Ok(shape) => Box::leak(Box::new(shape)),
                Err(error) => panic!("the schema of {} is none: {error}", R::TYPE),
            })
        })
    }

    fn parse(text: &'static str) -> AvroResult<Self> {
        // The library keeps the first value it is given, for the whole process.
        max_allocation_bytes(ALLOCATION_BYTES_MAX);
        let schema: &'static Schema = Box::leak(Box::new(Schema::parse_str(text)?));
        Ok(Self {
            text,
            schema,
            canonical: schema.canonical_form(),
            name: schema.name().map(ToString::to_string).unwrap_or_default(),
            // Readable by people means: an id is the string that its schema says it is.
            writer: GenericDatumWriter::builder(schema).human_readable(true).build()?,
            reader: GenericDatumReader::builder(schema).human_readable(true).build()?,
        })
    }

    /// The schema, as committed.
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// The parsed schema with which this type is written.
    pub fn schema(&self) -> &'static Schema {
        self.schema
    }

    /// The full name of the record.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether data of that schema have the same layout as data of this one; the meaning of the
    /// values is decided by [`super::logical`].
    pub(super) fn is_laid_out_as(&self, schema: &Schema) -> bool {
        self.canonical == schema.canonical_form()
    }

    /// Appends the record to `bytes`, without framing.
    pub fn write<R: Record>(&self, record: &R, bytes: &mut Vec<u8>) -> AvroResult<()> {
        self.writer.write_ser(bytes, record)?;
        Ok(())
    }
}

/// The way to read records that were written with one certain schema.
#[derive(Clone, Debug)]
pub(super) enum DatumReading {
    /// The writer used our schema: the bytes are read directly.
    Same,
    /// The writer used another version: resolved from its schema to ours, with our defaults.
    Resolved(Arc<Schema>),
    /// The body does not match the schema that its id names.
    Refused(UnreadableBody),
}

/// Reads data as `R`.
#[derive(Clone, Debug)]
pub struct DatumReader<R>(DatumReading, PhantomData<fn() -> R>);

impl<R: Record> DatumReader<R> {
    pub(super) fn new(reading: DatumReading) -> Self {
        Self(reading, PhantomData)
    }

    /// Reads data written with `R`'s own schema.
    pub fn same() -> Self {
        Self::new(DatumReading::Same)
    }

    /// Reads data written with another version of `R`'s schema.
    pub fn resolved(writer: Schema) -> Self {
        Self::new(DatumReading::Resolved(Arc::new(writer)))
    }

    /// Reads one record; bytes after it are an error.
    pub fn read(&self, bytes: &[u8]) -> Result<R, UnreadableBody> {
        let mut input = BodyInput { rest: bytes, is_short: false };
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            match &self.0 {
                DatumReading::Same => RecordShape::of::<R>().reader.read_deser(&mut input),
                DatumReading::Resolved(writer) => {
                    resolve(writer, RecordShape::of::<R>(), &mut input)
                }
                DatumReading::Refused(why) => return Err(why.clone()),
            }
            .map_err(|error| UnreadableBody::Datum(explain(&error)))
        }));
        // The library reads a body that ends early as one with nulls at its end.
        if input.is_short {
            return Err(UnreadableBody::Truncated);
        }
        let record = outcome.unwrap_or(Err(UnreadableBody::Panicked))?;
        match input.rest.len() {
            0 => Ok(record),
            trailing => Err(UnreadableBody::Trailing(trailing)),
        }
    }
}

/// The error of a value. The library would put the whole schema before it.
fn explain(error: &apache_avro::Error) -> String {
    if let Details::DeserializeSchemaAware { value_type, value, .. } = error.details() {
        format!("{value_type}: {value}")
    } else {
        fault::chain(error)
    }
}

fn resolve<R: Record>(
    writer: &Schema,
    shape: &RecordShape,
    input: &mut BodyInput<'_>,
) -> AvroResult<R> {
    let value = GenericDatumReader::builder(writer)
        .reader_schema(shape.schema)
        .build()?
        .read_value(input)?;
    from_value(&value)
}

/// A reader of a body that remembers whether it was read past its end.
struct BodyInput<'b> {
    rest: &'b [u8],
    is_short: bool,
}

impl io::Read for BodyInput<'_> {
    fn read(&mut self, wanted: &mut [u8]) -> io::Result<usize> {
        self.is_short |= wanted.len() > self.rest.len();
        self.rest.read(wanted)
    }

    fn read_exact(&mut self, wanted: &mut [u8]) -> io::Result<()> {
        self.is_short |= wanted.len() > self.rest.len();
        self.rest.read_exact(wanted)
    }
}

#[cfg(test)]
mod tests;
