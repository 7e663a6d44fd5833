use serde::Serialize;

use super::*;

#[test]
fn a_panic_of_the_decoder_is_contained() {
    #[derive(Debug, PartialEq, Serialize)]
    struct Panicking;
    impl<'de> serde::Deserialize<'de> for Panicking {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("as a decoder might")
        }
    }
    impl Record for Panicking {
        const TOPIC: &'static str = "a-topic";
        const TYPE: &'static str = "a.type.v1";
        const SCHEMA: &'static str = r#"{ "type": "record", "name": "Panicking", "fields": [] }"#;
    }
    assert_eq!(DatumReader::<Panicking>::same().read(&[]), Err(UnreadableBody::Panicked));
}
