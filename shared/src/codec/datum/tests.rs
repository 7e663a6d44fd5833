use serde::Serialize;

use super::*;
use crate::contract::OrderCancelled;

#[test]
fn a_panic_of_the_decoder_is_contained() {
    #[derive(Debug, PartialEq, Serialize)]
    struct OrderConfirmed;
    impl<'de> serde::Deserialize<'de> for OrderConfirmed {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("as a decoder might")
        }
    }
    impl Record for OrderConfirmed {
        const TOPIC: &'static str = "a-topic";
        const TYPE: &'static str = "a.type.v1";
        const SCHEMA: &'static str = OrderCancelled::SCHEMA;
    }
    assert_eq!(DatumReader::<OrderConfirmed>::same().read(&[]), Err(UnreadableBody::Panicked));
}
