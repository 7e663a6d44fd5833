//! Checks a schema that another program wrote before a body is decoded with it.
//!
//! The decoder follows any schema. One that refers to itself lets a short body recurse until the
//! stack overflows, which ends the process; one whose values need no bytes lets it fill the memory.

use std::collections::HashMap;

use apache_avro::{
    Schema,
    schema::{FixedSchema, InnerDecimalSchema, Name, UuidSchema},
};

/// The largest size of a value of fixed size.
const FIXED_BYTES_MAX: usize = 64 * 1024;
/// The most values that one record may hold, not counting those in arrays and maps.
const VALUES_MAX: usize = 1_024;

/// The smallest cost of one datum of a schema.
#[derive(Clone, Copy)]
struct DatumExtent {
    bytes_min: usize,
    values: usize,
}

const NOTHING: DatumExtent = DatumExtent { bytes_min: 0, values: 1 };
const SMALL: DatumExtent = DatumExtent { bytes_min: 1, values: 1 };

/// The reason why the schema must not be used for decoding, if there is one.
pub(super) fn hazard(schema: &Schema) -> Option<&'static str> {
    measure(schema, &mut HashMap::new()).err()
}

/// Measures a schema; `named` holds those that were defined before it, and nothing for those whose
/// definition is not finished.
fn measure(
    schema: &Schema,
    named: &mut HashMap<Name, Option<DatumExtent>>,
) -> Result<DatumExtent, &'static str> {
    match schema {
        Schema::Null => Ok(NOTHING),
        Schema::Boolean
        | Schema::Int
        | Schema::Long
        | Schema::Float
        | Schema::Double
        | Schema::Bytes
        | Schema::String
        | Schema::BigDecimal
        | Schema::Uuid(UuidSchema::Bytes | UuidSchema::String)
        | Schema::Date
        | Schema::TimeMillis
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => Ok(SMALL),
        Schema::Enum(it) => Ok(define(&it.name, SMALL, named)),
        Schema::Decimal(it) => match &it.inner {
            InnerDecimalSchema::Bytes => Ok(SMALL),
            InnerDecimalSchema::Fixed(fixed) => measure_fixed(fixed, named),
        },
        Schema::Fixed(fixed_schema)
        | Schema::Duration(fixed_schema)
        | Schema::Uuid(UuidSchema::Fixed(fixed_schema)) => measure_fixed(fixed_schema, named),
        Schema::Array(it) => match measure(&it.items, named)?.bytes_min {
            0 => Err("an array in it holds values that need no bytes"),
            _ => Ok(SMALL),
        },
        Schema::Map(it) => measure(&it.types, named).map(|_| SMALL),
        Schema::Union(it) => {
            let variants = it.variants().iter().map(|variant| measure(variant, named));
            let extents: Vec<DatumExtent> = variants.collect::<Result<_, _>>()?;
            let values = extents.iter().map(|datum_extent| datum_extent.values).max().unwrap_or(0);
            bounded(DatumExtent { bytes_min: 1, values: values + 1 })
        }
        Schema::Record(it) => {
            named.insert(it.name.clone(), None);
            let mut extent = NOTHING;
            for field in &it.fields {
                let field = measure(&field.schema, named)?;
                extent.bytes_min += field.bytes_min;
                extent.values += field.values;
                bounded(extent)?;
            }
            Ok(define(&it.name, extent, named))
        }
        Schema::Ref { name } => match named.get(name) {
            Some(Some(extent)) => Ok(*extent),
            Some(None) => Err("it refers to itself"),
            None => Err("it refers to what it does not define"),
        },
    }
}

fn measure_fixed(
    fixed: &FixedSchema,
    named: &mut HashMap<Name, Option<DatumExtent>>,
) -> Result<DatumExtent, &'static str> {
    if fixed.size > FIXED_BYTES_MAX {
        return Err("a value of fixed size in it is too large");
    }
    Ok(define(&fixed.name, DatumExtent { bytes_min: fixed.size, values: 1 }, named))
}

fn define(
    name: &Name,
    extent: DatumExtent,
    named: &mut HashMap<Name, Option<DatumExtent>>,
) -> DatumExtent {
    named.insert(name.clone(), Some(extent));
    extent
}

fn bounded(extent: DatumExtent) -> Result<DatumExtent, &'static str> {
    if extent.values > VALUES_MAX { Err("it holds too many values") } else { Ok(extent) }
}
