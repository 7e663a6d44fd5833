//! All SQL of this service: a batch loads its rows in two statements and saves them in two.
//!
//! **Architecture invariant:** rows are locked in one order everywhere: reservations by order id,
//! then products by SKU. Two transactions that want the same rows wait for each other and never
//! deadlock.
//!
//! **Architecture invariant:** if two transactions insert the same row at once, one succeeds. The
//! version check fails in the other, its transaction is rolled back, and its batch is processed
//! again with the row present.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use shared::{fault::Fault, locked_rows};
use sqlx::PgConnection;

use crate::{
    domain::{
        inventory::{Inventory, InventoryCommand, InventoryEvent},
        naming::{OrderId, Sku},
        product::Product,
        reservation::{self, Reservation},
    },
    request::StockRequest,
};

pub(crate) use self::read::{listed, product};

mod product_row;
mod read;
mod reservation_row;

/// The subject of messages: each subject has its own `ce_sequence`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MessageSubject {
    Order(OrderId),
    Product(Sku),
}

impl MessageSubject {
    /// The subject of the message about this event.
    pub(crate) fn of(event: &InventoryEvent) -> Self {
        match event {
            InventoryEvent::Reservation { order, .. } => Self::Order(*order),
            InventoryEvent::Product { sku, .. } => Self::Product(sku.clone()),
        }
    }
}

/// As in the envelope, and as the key under which its messages stay in order.
impl fmt::Display for MessageSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(order) => order.0.fmt(f),
            Self::Product(sku) => sku.fmt(f),
        }
    }
}

/// Counts that are stored with a row beside its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RowCounts {
    /// Number of messages published about the subject.
    said: i64,
    version: i64,
}

/// The rows that a batch needs, locked, and their changed state.
#[derive(Debug, Default)]
pub(crate) struct StockRows {
    /// Their current state, over which the batch decides.
    pub(crate) inventory: Inventory,
    loaded: Inventory,
    counts: HashMap<MessageSubject, RowCounts>,
    saying: HashMap<MessageSubject, i64>,
}

impl StockRows {
    /// The number of the next message about `subject`.
    pub(crate) fn next_sequence(&mut self, subject: &MessageSubject) -> i64 {
        let said = self.counts.get(subject).map_or(0, |row_counts| row_counts.said);
        let saying = self.saying.entry(subject.clone()).or_default();
        *saying += 1;
        said + *saying
    }

    /// The counts to write for `subject`, if its state changed or a message was published about it.
    fn counts_to_write(&self, subject: &MessageSubject, changed: bool) -> Option<RowCounts> {
        let saying = self.saying.get(subject).copied().unwrap_or(0);
        let RowCounts { said, version } = self.counts.get(subject).copied().unwrap_or_default();
        (changed || saying > 0).then_some(RowCounts { said: said + saying, version: version + 1 })
    }

    fn reservations_to_write(&self) -> Vec<(OrderId, &Reservation, RowCounts)> {
        let rows = self.inventory.reservations.iter();
        rows.filter_map(|(order, now)| {
            let changed = self.loaded.reservations.get(order) != Some(now);
            Some((*order, now, self.counts_to_write(&MessageSubject::Order(*order), changed)?))
        })
        .collect()
    }

    fn products_to_write(&self) -> Vec<(&Sku, &Product, RowCounts)> {
        let rows = self.inventory.products.iter();
        rows.filter_map(|(sku, now)| {
            let changed = self.loaded.products.get(sku) != Some(now);
            Some((sku, now, self.counts_to_write(&MessageSubject::Product(sku.clone()), changed)?))
        })
        .collect()
    }
}

/// Locks what the requests need until the transaction ends, and reads it: first the reservations,
/// then every product that a command names or a loaded reservation holds.
pub(crate) async fn load_for_update(
    conn: &mut PgConnection,
    requests: &[StockRequest],
) -> Result<StockRows, Fault> {
    let (orders, mut skus) = wanted(requests.iter().map(|request| &request.command));
    let mut counts = HashMap::with_capacity(orders.len() + skus.len());
    let mut loaded = Inventory::default();
    for row in reservation_row::load_for_update(conn, &orders).await? {
        if let Some(lines) = row.reservation.held() {
            skus.extend(lines.iter().map(|(sku, _)| sku.clone()));
        }
        counts.insert(MessageSubject::Order(row.order), row.counts);
        loaded.reservations.insert(row.order, row.reservation);
    }
    for row in product_row::load_for_update(conn, &skus).await? {
        counts.insert(MessageSubject::Product(row.sku.clone()), row.counts);
        loaded.products.insert(row.sku, row.product);
    }
    Ok(StockRows { inventory: loaded.clone(), loaded, counts, saying: HashMap::new() })
}

fn wanted<'c>(
    commands: impl Iterator<Item = &'c InventoryCommand>,
) -> (BTreeSet<OrderId>, BTreeSet<Sku>) {
    let (mut orders, mut skus) = (BTreeSet::new(), BTreeSet::new());
    for command in commands {
        match command {
            InventoryCommand::Reservation { order, command } => {
                orders.insert(*order);
                if let reservation::ReservationCommand::Reserve { lines } = command {
                    skus.extend(lines.iter().map(|(sku, _)| sku.clone()));
                }
            }
            InventoryCommand::Product { sku, .. } => {
                skus.insert(sku.clone());
            }
        }
    }
    (orders, skus)
}

/// Writes the changed rows, in the order of the locks.
pub(crate) async fn save(conn: &mut PgConnection, rows: &StockRows) -> Result<(), Fault> {
    let reservations = rows.reservations_to_write();
    let written = reservation_row::save(conn, &reservations).await?;
    locked_rows::all_written(written, reservations.len())?;
    let products = rows.products_to_write();
    let written = product_row::save(conn, &products).await?;
    locked_rows::all_written(written, products.len())
}

/// A row that this service cannot have written. No message is at fault.
#[derive(Debug, thiserror::Error)]
#[error("the row of {table} {id} is not what this service writes")]
struct UnreadableRow {
    table: &'static str,
    id: String,
}

impl From<UnreadableRow> for Fault {
    fn from(error: UnreadableRow) -> Self {
        Self::transient(error)
    }
}

/// A reservation's lines as stored.
type KeptLines = BTreeMap<String, i32>;
