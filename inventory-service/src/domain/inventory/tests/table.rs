//! The tables in the docs of reservations and products, cell by cell.

use shared::decider::{
    Decision,
    table::{TableCell, assert_told, rows},
};

use super::*;

fn happens(decision: &Decision<Inventory>) -> String {
    match decision {
        Err(InventoryRejection::UnknownProduct | InventoryRejection::StockLimit) => {
            "rejected".to_owned()
        }
        Err(
            InventoryRejection::NeverReserved
            | InventoryRejection::WasRejected
            | InventoryRejection::WasFenced,
        ) => "contradiction".to_owned(),
        Ok(events) if events.is_empty() => "nothing".to_owned(),
        Ok(events) => events.iter().map(InventoryEvent::name).collect::<Vec<_>>().join(", "),
    }
}

fn history(stage: &str) -> Vec<reservation::ReservationEvent> {
    match stage {
        "none" => vec![],
        "fenced" => vec![reservation::ReservationEvent::Fenced],
        "reserved" => vec![reserved()],
        "sold" => vec![reserved(), reservation::ReservationEvent::Sold],
        "rejected" => vec![rejected()],
        "released" => vec![reserved(), released()],
        _ => panic!("no stage is called {stage}"),
    }
}

#[test]
fn the_table_of_reservations_tells_every_cell() {
    let source = include_str!("../../reservation.rs");
    let columns = ["stage", "reserve", "reserve, a line short or unknown", "commit", "release"];
    let rows = rows(source, &columns);
    assert_eq!(rows.len(), 6);
    let many = OrderLines::new([(sku("lamp"), some(11))]).unwrap();
    let unknown = OrderLines::new([(sku("lamp"), some(1)), (sku("bed"), some(1))]).unwrap();
    let reserve_of = |lines| InventoryCommand::Reservation {
        order: ORDER,
        command: reservation::ReservationCommand::Reserve { lines },
    };
    for row in rows {
        let answer = |command: &InventoryCommand| {
            let inventory = replay::<Inventory>(&stocked_then(history(&row[0])));
            happens(&Inventory::decide(&inventory, command))
        };
        assert_eq!(row[1], answer(&reserve()), "{row:?}");
        assert_eq!(row[2], answer(&reserve_of(many.clone())), "{row:?}");
        assert_eq!(row[2], answer(&reserve_of(unknown.clone())), "{row:?}");
        assert_eq!(row[3], answer(&commit()), "{row:?}");
        assert_eq!(row[4], answer(&release()), "{row:?}");
    }
}

fn product_commands() -> [(&'static str, product::ProductCommand); 6] {
    use product::ProductCommand as C;
    let limit = i32::MAX;
    [
        ("put", C::Put { offer: offer("Lamp") }),
        ("put with a difference", C::Put { offer: offer("Floor lamp") }),
        ("introduce", C::Introduce { offer: offer("Lamp"), quantity: Some(some(3)) }),
        ("introduce without stock", C::Introduce { offer: offer("Lamp"), quantity: None }),
        ("restock", C::Restock { quantity: some(3) }),
        ("restock beyond the limit", C::Restock { quantity: some(limit) }),
    ]
}

#[test]
fn the_table_of_products_tells_every_cell() {
    let mut full = replay::<Inventory>(&stocked_then([]));
    full.products.get_mut(&sku("lamp")).unwrap().stock =
        StockCount::default().restock(StockCount::STOCKED_MAX - 3);
    let mut answers = Vec::new();
    for (stage, inventory) in [("none", Inventory::default()), ("any", full)] {
        // Nothing is different where there is none.
        let there = |(name, _): &(&str, product::ProductCommand)| {
            (stage, *name) != ("none", "put with a difference")
        };
        for (name, command) in product_commands().into_iter().filter(there) {
            let command = InventoryCommand::Product { sku: sku("lamp"), command };
            let what = vec![happens(&Inventory::decide(&inventory, &command))];
            answers.push(TableCell { stage: stage.to_owned(), command: name.to_owned(), what });
        }
    }
    let source = include_str!("../../product.rs");
    assert_told(&rows(source, &["product", "command", "happens"]), &answers);
}
