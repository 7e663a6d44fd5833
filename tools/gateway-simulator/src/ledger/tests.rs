//! The ledger by itself: refunds stay within their charge, duplicates are seen, replay makes the
//! same.

use super::*;
use crate::{api::ChargeMetadata, journal::OpenedRecord};

fn charge(card: CardToken, order_id: &str) -> ApiRequest {
    let metadata = ChargeMetadata { order_id: order_id.to_owned() };
    ApiRequest::Charge(ChargeRequest {
        amount: 1_000,
        currency: "EUR".to_owned(),
        source: card,
        metadata,
    })
}

fn refund(charge: &str, amount: Option<u64>) -> ApiRequest {
    ApiRequest::Refund(RefundRequest { charge: charge.to_owned(), amount })
}

/// A ledger and the records that made it.
struct Book {
    ledger: ChargeLedger,
    records: Vec<JournalRecord>,
}

impl Book {
    fn new() -> Self {
        let mut book = Self { ledger: ChargeLedger::default(), records: Vec::new() };
        book.take(JournalRecord::Opened(OpenedRecord {
            at_ms: 0,
            format: 1,
            gateway: "00000000".to_owned(),
        }));
        book
    }

    fn take(&mut self, record: JournalRecord) {
        self.records.push(record.clone());
        self.ledger.apply(record);
    }

    fn execute(
        &mut self,
        key: &str,
        request: &ApiRequest,
    ) -> Result<JournalRecord, RequestRefusal> {
        let record = self.ledger.decide(key, request, 1_700_000_000_000)?;
        self.take(record.clone());
        Ok(record)
    }
}

#[test]
fn a_refund_never_exceeds_what_is_left() {
    let mut book = Book::new();
    let Ok(JournalRecord::Charge(charged)) = book.execute("c", &charge(CardToken::Visa, "o"))
    else {
        panic!()
    };
    assert!(book.execute("r1", &refund(&charged.id, Some(400))).is_ok());
    let too_much = book.execute("r2", &refund(&charged.id, Some(601)));
    assert_eq!(too_much, Err(RequestRefusal::RefundTooLarge));
    let Ok(JournalRecord::Refund(rest)) = book.execute("r3", &refund(&charged.id, None)) else {
        panic!()
    };
    assert_eq!(rest.amount, 600);
    let nothing_left = book.execute("r4", &refund(&charged.id, None));
    assert_eq!(nothing_left, Err(RequestRefusal::AlreadyRefunded));
    assert!(book.ledger.charge(&charged.id).unwrap().refunded);
}

#[test]
fn an_order_is_a_duplicate_while_two_charges_hold_money() {
    let mut book = Book::new();
    let duplicates = |book: &Book| book.ledger.duplicates.iter().cloned().collect::<Vec<_>>();
    let Ok(JournalRecord::Charge(first)) = book.execute("c1", &charge(CardToken::Visa, "o")) else {
        panic!()
    };
    book.execute("c2", &charge(CardToken::Expired, "o")).unwrap();
    book.execute("c3", &charge(CardToken::Visa, "another")).unwrap();
    assert!(duplicates(&book).is_empty());
    book.execute("c4", &charge(CardToken::Visa, "o")).unwrap();
    assert_eq!(duplicates(&book), ["o"]);
    book.execute("r1", &refund(&first.id, Some(999))).unwrap();
    assert_eq!(duplicates(&book), ["o"]);
    book.execute("r2", &refund(&first.id, Some(1))).unwrap();
    assert!(duplicates(&book).is_empty());
}

#[test]
fn a_held_key_is_in_use_for_its_request_and_reused_for_any_other() {
    let mut ledger = ChargeLedger::default();
    let (mine, other) = (charge(CardToken::Visa, "o"), charge(CardToken::Mastercard, "o"));
    ledger.hold("k".to_owned(), mine.clone());
    assert_eq!(ledger.standing("k", &mine), KeyStanding::Refused(RequestRefusal::KeyInUse));
    assert_eq!(ledger.standing("k", &other), KeyStanding::Refused(RequestRefusal::KeyReused));
    ledger.release("k");
    assert_eq!(ledger.standing("k", &other), KeyStanding::Fresh);
}

#[test]
fn replayed_records_make_the_same_ledger() {
    let mut book = Book::new();
    let requests = [
        charge(CardToken::Visa, "a"),
        charge(CardToken::WrongAmount, "b"),
        charge(CardToken::Expired, "a"),
    ];
    for (number, request) in requests.iter().enumerate() {
        book.execute(&format!("k{number}"), request).unwrap();
    }
    let id = book.ledger.charges[0].object.id.clone();
    book.execute("r", &refund(&id, Some(10))).unwrap();
    let mut replayed = ChargeLedger::default();
    book.records.iter().cloned().for_each(|record| replayed.apply(record));
    let seen = |ledger: &ChargeLedger| {
        let charges = ledger.charges(&ChargesQuery::default()).unwrap();
        let refunds = ledger.refunds(&RefundsQuery::default()).unwrap();
        answer::to_json(&(charges, refunds, ledger.summary()))
    };
    assert_eq!(seen(&replayed), seen(&book.ledger));
    for (number, request) in requests.iter().enumerate() {
        let key = format!("k{number}");
        assert_eq!(replayed.standing(&key, request), book.ledger.standing(&key, request));
        assert!(matches!(replayed.standing(&key, request), KeyStanding::Kept(_)));
    }
}
