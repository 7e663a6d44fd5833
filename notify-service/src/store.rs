//! All SQL of this service: the notices of many orders per statement.
//!
//! **Architecture invariant:** rows are locked in the order of their ids, so that two batches cannot
//! deadlock.

use std::collections::{BTreeSet, HashMap};

use shared::{
    fault::Fault,
    locked_rows::{self, ChangedRow, LoadedRow, LockedRows},
};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::notification::{
        CancelReason, CustomerContact, Money, NotificationCause, NotificationKind,
        NotificationStage, NotificationState, OrderNotifications,
    },
    request::NotificationRequest,
};

/// The notifications of the orders of a batch.
pub(crate) type NotificationRows = LockedRows<Uuid, OrderNotifications>;

type ChangedNotifications<'r> = ChangedRow<'r, Uuid, OrderNotifications>;

/// A row that contradicts itself, which the table's constraints forbid.
#[derive(Debug, thiserror::Error)]
#[error("the notice {kind} of order {order_id} cannot be read")]
struct UnreadableRow {
    order_id: Uuid,
    kind: String,
}

#[derive(Debug, FromRow)]
struct CorrespondenceRow {
    order_id: Uuid,
    version: i64,
    said: i64,
    email: Option<String>,
    customer_name: Option<String>,
    total_minor: Option<i64>,
    currency: Option<String>,
}

#[derive(Debug, FromRow)]
struct NoticeRow {
    order_id: Uuid,
    kind: String,
    amount_minor: Option<i64>,
    currency: Option<String>,
    reason: Option<String>,
    stage: String,
    at: Option<OffsetDateTime>,
    message_id: Option<String>,
    failure: Option<String>,
}

const SELECT_CORRESPONDENCES: &str = "
    SELECT order_id, version, said, email, customer_name, total_minor, currency
    FROM correspondences WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE";

const SELECT_CORRESPONDENCE: &str = "
    SELECT order_id, version, said, email, customer_name, total_minor, currency
    FROM correspondences WHERE order_id = ANY($1)";

const SELECT_NOTICES: &str = "
    SELECT order_id, kind, amount_minor, currency, reason, stage, at, message_id, failure
    FROM notices WHERE order_id = ANY($1)";

const SAVE_CORRESPONDENCES: &str = "
    INSERT INTO correspondences AS known
        (order_id, version, said, email, customer_name, total_minor, currency)
    SELECT * FROM unnest(
        $1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::text[])
    ON CONFLICT (order_id) DO UPDATE SET
        version = excluded.version, said = excluded.said, email = excluded.email,
        customer_name = excluded.customer_name, total_minor = excluded.total_minor,
        currency = excluded.currency
    WHERE known.version = excluded.version - 1";

const SAVE_NOTICES: &str = "
    INSERT INTO notices
        (order_id, kind, amount_minor, currency, reason, stage, at, message_id, failure)
    SELECT * FROM unnest(
        $1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[],
        $7::timestamptz[], $8::text[], $9::text[])
    ON CONFLICT (order_id, kind) DO UPDATE SET
        stage = excluded.stage, at = excluded.at, message_id = excluded.message_id,
        failure = excluded.failure";

/// Locks the rows of these requests' orders until the transaction ends, and reads them.
pub(crate) async fn load_for_update(
    conn: &mut PgConnection,
    requests: &[NotificationRequest],
) -> Result<NotificationRows, Fault> {
    let order_ids: BTreeSet<Uuid> = requests.iter().map(|request| request.order_id).collect();
    let order_ids: Vec<Uuid> = order_ids.into_iter().collect();
    Ok(LockedRows::new(load(conn, SELECT_CORRESPONDENCES, &order_ids).await?))
}

/// The rows of one order.
pub(crate) async fn read(
    conn: &mut PgConnection,
    order_id: Uuid,
) -> Result<Option<OrderNotifications>, Fault> {
    let mut rows = load(conn, SELECT_CORRESPONDENCE, &[order_id]).await?;
    Ok(rows.remove(&order_id).map(|row| row.state))
}

async fn load(
    conn: &mut PgConnection,
    select: &'static str,
    order_ids: &[Uuid],
) -> Result<HashMap<Uuid, LoadedRow<OrderNotifications>>, Fault> {
    let rows: Vec<CorrespondenceRow> =
        sqlx::query_as(select).bind(order_ids).fetch_all(&mut *conn).await?;
    if rows.is_empty() {
        return Ok(HashMap::new());
    }
    let mut loaded: HashMap<Uuid, LoadedRow<OrderNotifications>> =
        rows.into_iter().map(|row| (row.order_id, row.read())).collect();
    // After the locks are held: another statement, so it sees what their last holders committed.
    let notices: Vec<NoticeRow> =
        sqlx::query_as(SELECT_NOTICES).bind(order_ids).fetch_all(conn).await?;
    for row in notices {
        let notice = row.read().ok_or_else(|| {
            Fault::poison(UnreadableRow { order_id: row.order_id, kind: row.kind.clone() })
        })?;
        if let Some(row_of_order) = loaded.get_mut(&row.order_id) {
            row_of_order.state.notices.insert(notice.occasion.kind(), notice);
        }
    }
    Ok(loaded)
}

/// Stores the changed rows.
pub(crate) async fn save(conn: &mut PgConnection, rows: &NotificationRows) -> Result<(), Fault> {
    let changed = rows.changed();
    if changed.is_empty() {
        return Ok(());
    }
    let contact =
        |row: &ChangedNotifications<'_>| -> Option<CustomerContact> { row.after.addressee.clone() };
    let saved = sqlx::query(SAVE_CORRESPONDENCES)
        .bind(each(&changed, |row| *row.key))
        .bind(each(&changed, |row| row.version))
        .bind(each(&changed, |row| row.said))
        .bind(each(&changed, |row| contact(row).map(|contact| contact.email)))
        .bind(each(&changed, |row| contact(row).and_then(|contact| contact.name)))
        .bind(each(&changed, |row| contact(row).map(|contact| contact.total.minor)))
        .bind(each(&changed, |row| contact(row).map(|contact| contact.total.currency)))
        .execute(&mut *conn)
        .await?;
    locked_rows::all_written(saved.rows_affected(), changed.len())?;
    save_notices(conn, &changed).await
}

async fn save_notices(
    conn: &mut PgConnection,
    changed: &[ChangedNotifications<'_>],
) -> Result<(), Fault> {
    let rows: Vec<NoticeRow> = changed.iter().flat_map(changed_notices).collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(SAVE_NOTICES)
        .bind(each(&rows, |row| row.order_id))
        .bind(each(&rows, |row| row.kind.clone()))
        .bind(each(&rows, |row| row.amount_minor))
        .bind(each(&rows, |row| row.currency.clone()))
        .bind(each(&rows, |row| row.reason.clone()))
        .bind(each(&rows, |row| row.stage.clone()))
        .bind(each(&rows, |row| row.at))
        .bind(each(&rows, |row| row.message_id.clone()))
        .bind(each(&rows, |row| row.failure.clone()))
        .execute(conn)
        .await?;
    Ok(())
}

/// One column of many rows.
fn each<T, C>(rows: &[T], column: impl Fn(&T) -> C) -> Vec<C> {
    rows.iter().map(column).collect()
}

/// The notices of an order that are not as they were.
fn changed_notices(row: &ChangedNotifications<'_>) -> Vec<NoticeRow> {
    let known = |kind| row.before.and_then(|before| before.notices.get(kind));
    let changed = row.after.notices.iter().filter(|(kind, state)| known(*kind) != Some(*state));
    changed.map(|(_, notice)| NoticeRow::write(*row.key, notice)).collect()
}

impl CorrespondenceRow {
    fn read(self) -> LoadedRow<OrderNotifications> {
        let addressee = match (self.email, self.total_minor, self.currency) {
            (Some(email), Some(minor), Some(currency)) => Some(CustomerContact {
                email,
                name: self.customer_name,
                total: Money { minor, currency },
            }),
            _ => None,
        };
        let state = OrderNotifications { addressee, ..OrderNotifications::default() };
        LoadedRow { state, said: self.said, version: self.version }
    }
}

impl NoticeRow {
    fn write(order_id: Uuid, notice: &NotificationState) -> Self {
        let (amount, reason) = match &notice.occasion {
            NotificationCause::Confirmed { total } => (Some(total), None),
            NotificationCause::Refunded { amount } => (Some(amount), None),
            NotificationCause::Cancelled { reason } => (None, Some(reason.name())),
        };
        let (at, message_id, failure) = match &notice.stage {
            NotificationStage::WaitingForContact | NotificationStage::Skipped => (None, None, None),
            NotificationStage::Due { since } => (Some(*since), None, None),
            NotificationStage::Sent { message_id, at } => {
                (Some(*at), Some(message_id.clone()), None)
            }
            NotificationStage::Failed { reason, at } => (Some(*at), None, Some(reason.clone())),
        };
        Self {
            order_id,
            kind: notice.occasion.kind().name().to_owned(),
            amount_minor: amount.map(|money| money.minor),
            currency: amount.map(|money| money.currency.clone()),
            reason: reason.map(str::to_owned),
            stage: notice.stage.name().to_owned(),
            at,
            message_id,
            failure,
        }
    }

    /// None if the columns contradict each other, which the table's constraints forbid.
    fn read(&self) -> Option<NotificationState> {
        let amount = || Some(Money { minor: self.amount_minor?, currency: self.currency.clone()? });
        let occasion = match NotificationKind::from_name(&self.kind)? {
            NotificationKind::Confirmed => NotificationCause::Confirmed { total: amount()? },
            NotificationKind::Cancelled => NotificationCause::Cancelled {
                reason: CancelReason::from_name(self.reason.as_deref()?),
            },
            NotificationKind::Refunded => NotificationCause::Refunded { amount: amount()? },
        };
        let stage = match self.stage.as_str() {
            "waiting-for-contact" => NotificationStage::WaitingForContact,
            "due" => NotificationStage::Due { since: self.at? },
            "sent" => {
                NotificationStage::Sent { message_id: self.message_id.clone()?, at: self.at? }
            }
            "failed" => NotificationStage::Failed { reason: self.failure.clone()?, at: self.at? },
            "skipped" => NotificationStage::Skipped,
            _ => return None,
        };
        Some(NotificationState { occasion, stage })
    }
}
