//! Rows that are planted: a hundred thousand in each table, and as many dead ones.

use futures_util::future;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use xtask::cluster::ProcessName;

use super::connect;
use crate::stage::{Stage, until};

/// Rows in each table.
const ROWS: &str = "100000";
/// Rows that go through all stages while an old snapshot is open.
const WORN: &str = "30000";

/// No statistics but those that the test asks for.
const NO_VACUUM: &str = "
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
                    WHERE schemaname IN ('public', 'messaging')
        LOOP EXECUTE 'ALTER TABLE ' || name || ' SET (autovacuum_enabled = off)'; END LOOP;
    END $$;";

/// The tables of the runtime. Some rows are old enough to be purged. What is in the outbox would be
/// published, so it stays empty.
const RUNTIME: &str = "
    INSERT INTO messaging.inbox SELECT uuidv7(CASE WHEN n < 500 THEN interval '-30 days' ELSE interval '0' END), n
    FROM generate_series(1, {rows}) AS n;
    INSERT INTO messaging.idempotency (scope, key, fingerprint, status, body, expires_at)
    SELECT 'planted', 'key ' || n, '', 202, '{}', now() + CASE WHEN n < 500 THEN interval '-1 h' ELSE interval '1 h' END
    FROM generate_series(1, {rows}) AS n;
    INSERT INTO messaging.published (outbox_id, message_id, topic, key, headers, payload, published_at)
    SELECT -n, uuidv7(), 'planted', 'key', '', '', now() - CASE WHEN n < 500 THEN interval '9 days' ELSE interval '1 h' END
    FROM generate_series(1, {rows}) AS n;
    INSERT INTO messaging.published_latest (topic, key, outbox_id, message_id, headers)
    SELECT 'planted', convert_to('key ' || n, 'UTF8'), -n, uuidv7(), '' FROM generate_series(1, {rows}) AS n;
    INSERT INTO messaging.dead_letter (dead_letter_id, topic, partition, \"offset\", headers, reason, detail, settled, closed_at)
    SELECT uuidv7(), 'planted', 0, n, '', 'body', '', CASE WHEN n > 100 THEN 'discarded' END,
           CASE WHEN n > 100 THEN now() - CASE WHEN n < 600 THEN interval '30 days' ELSE interval '1 h' END END
    FROM generate_series(1, {rows}) AS n;
    INSERT INTO messaging.dead_letter_decision (letter_id, source, topic, action, outcome, decided_by)
    SELECT dead_letter_id, 'message', topic, 'discard', 'discarded', 'nobody' FROM messaging.dead_letter WHERE closed_at IS NOT NULL;
    INSERT INTO messaging.job (kind, key, payload, state, due_at)
    SELECT 'planted', 'key ' || n, '{}', CASE WHEN n < 100 THEN 'dead' ELSE 'waiting' END, now() + interval '1 day'
    FROM generate_series(1, {rows}) AS n;";

const ORDERS: &str = "
    INSERT INTO orders (order_id, stage, reason, lines, total_minor, currency, placed_at, due_at, confirmed_at, cancelled_at, said)
    SELECT uuidv7(n * interval '1 ms' - interval '1 day'), stage, CASE WHEN stage = 'cancelled' THEN 'requested' END,
           '[{\"sku\": \"load-0001\", \"quantity\": 1, \"unit_price_minor\": 100}]', 100, 'EUR', now(), now() + interval '1 h',
           CASE WHEN stage = 'confirmed' THEN now() END, CASE WHEN stage = 'cancelled' THEN now() END, 2
    FROM (SELECT n, CASE WHEN n % 1000 = 0 THEN 'pending' WHEN n % 10 = 0 THEN 'cancelled' ELSE 'confirmed' END AS stage
          FROM generate_series(1, {rows}) AS n) AS planted;
    INSERT INTO order_history (order_id, message_id, source, what, happened_at)
    SELECT order_id, uuidv7(), '/order-service', 'order-placed', now() FROM orders;
    INSERT INTO products SELECT 'planted-' || n, 1, 'planted', 100, 'EUR', true, now() FROM generate_series(1, {rows}) AS n;";

const INVENTORY: &str = "
    INSERT INTO products SELECT 'planted-' || n, 'planted', 100, 'EUR', true, 5, 5, 0, 10, 1, 1 FROM generate_series(1, {rows}) AS n;
    INSERT INTO reservations SELECT uuidv7(), 'sold', '{\"load-0001\": 1}', 1, 1 FROM generate_series(1, {rows}) AS n;";

const PAYMENTS: &str = "
    INSERT INTO payments (order_id, stage, amount_minor, currency, method, charge_id, charged_minor, charged_currency, said, version, created_at, updated_at)
    SELECT uuidv7(n * interval '1 ms' - interval '1 day'), stage, 100, 'EUR', 'tok_visa', CASE WHEN stage = 'done' THEN 'ch' END,
           CASE WHEN stage = 'done' THEN 100 END, CASE WHEN stage = 'done' THEN 'EUR' END, 1, 1, now(), now()
    FROM (SELECT n, CASE WHEN n % 1000 = 0 THEN 'awaiting-stock' ELSE 'done' END AS stage
          FROM generate_series(1, {rows}) AS n) AS planted;";

const NOTIFY: &str = "
    INSERT INTO correspondences SELECT uuidv7(), 1, 1, 'a@example.org', NULL, 100, 'EUR' FROM generate_series(1, {rows}) AS n;
    INSERT INTO notices SELECT order_id, 'confirmed', 100, 'EUR', NULL, 'sent', now(), 'id', NULL FROM correspondences
    ON CONFLICT DO NOTHING;";

/// What comes and goes: each row is dead, or was at each stage before.
const WORN_RUNTIME: &str = "
    INSERT INTO messaging.job (kind, key, payload, due_at)
    SELECT kind, 'worn ' || n, '{}', now() - interval '1 h' FROM generate_series(1, {worn}) AS n,
           (VALUES ('email'), ('charge'), ('refund')) AS kinds (kind);
    DELETE FROM messaging.job WHERE key LIKE 'worn %';
    DELETE FROM messaging.job WHERE kind = 'planted' AND state <> 'dead';
    INSERT INTO messaging.outbox (message_id, topic, headers) SELECT uuidv7(), 'planted', '' FROM generate_series(1, {worn}) AS n;
    DELETE FROM messaging.outbox WHERE topic = 'planted';
    UPDATE messaging.outbox_floor SET floor = (SELECT last_value - 1000 FROM messaging.outbox_outbox_id_seq);
    DELETE FROM messaging.idempotency WHERE scope = 'planted' AND key NOT LIKE '%7';
    DELETE FROM messaging.inbox WHERE content_hash % 10 <> 7 AND content_hash BETWEEN 1 AND {rows};
    DELETE FROM messaging.dead_letter WHERE topic = 'planted' AND \"offset\" % 10 <> 7;
    DELETE FROM messaging.published WHERE topic = 'planted' AND outbox_id % 10 <> -7;";

const WORN_ORDERS: &str = "
    INSERT INTO orders (order_id, stage, lines, total_minor, currency, placed_at, due_at, said)
    SELECT uuidv7(n * interval '1 ms' - interval '1 h'), 'pending', '[]', 100, 'EUR', now() - interval '1 h', now() - interval '30 min', 1
    FROM generate_series(1, {worn}) AS n;
    UPDATE orders SET stage = 'confirmed', confirmed_at = now(), version = 2 WHERE due_at < now();
    DELETE FROM orders WHERE stage = 'confirmed' AND placed_at > now() - interval '30 min' AND order_id::text NOT LIKE '%7';
    DELETE FROM order_history WHERE message_id::text NOT LIKE '%7';";

const WORN_INVENTORY: &str = "
    UPDATE products SET version = 2, changed_at = now() WHERE sku LIKE 'planted-%';
    DELETE FROM reservations WHERE order_id::text NOT LIKE '%7';";

const WORN_PAYMENTS: &str = "
    INSERT INTO payments (order_id, stage, said, version, created_at, updated_at)
    SELECT uuidv7(n * interval '1 ms' - interval '1 h'), 'awaiting-order', 1, 1, now() - interval '1 h', now() - interval '1 h'
    FROM generate_series(1, {worn}) AS n;
    UPDATE payments SET stage = 'charging', amount_minor = 1, currency = 'EUR', method = 'tok_visa', version = 2
    WHERE stage = 'awaiting-order' AND created_at < now() - interval '30 min';
    UPDATE payments SET stage = 'abandoned', version = 3 WHERE stage = 'charging' AND created_at < now() - interval '30 min';
    DELETE FROM payments WHERE order_id::text NOT LIKE '%7' AND stage = 'done';";

const WORN_NOTIFY: &str = "
    DELETE FROM notices WHERE order_id::text NOT LIKE '%7';
    DELETE FROM correspondences WHERE order_id::text NOT LIKE '%7';";

fn sql(template: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(template.replace("{rows}", ROWS).replace("{worn}", WORN))
}

async fn in_each(stage: &Stage, of: impl AsyncFn(ProcessName, PgConnection) -> PgConnection) {
    let members = ProcessName::SERVICES.into_iter();
    future::join_all(members.map(async |member| {
        of(member, connect(stage, member).await).await;
    }))
    .await;
}

/// Fills all tables while the services run; statistics stay as they are.
pub(super) async fn fill(stage: &Stage) {
    in_each(stage, async |member, mut conn| {
        let own = match member {
            ProcessName::Orders => ORDERS,
            ProcessName::Inventory => INVENTORY,
            ProcessName::Payments => PAYMENTS,
            ProcessName::Notify => NOTIFY,
            ProcessName::Gateway => "",
        };
        for template in [NO_VACUUM, RUNTIME, own] {
            conn.execute(sql(template)).await.unwrap();
        }
        conn
    })
    .await;
}

/// Statistics as the tables are now.
pub(super) async fn analyze(stage: &Stage) {
    in_each(stage, async |_, mut conn| {
        conn.execute("ANALYZE").await.unwrap();
        conn
    })
    .await;
}

/// Makes most rows dead, and returns the old snapshots that keep them from being vacuumed.
pub(super) async fn wear_out(stage: &Stage) -> Vec<PgConnection> {
    let mut snapshots = Vec::new();
    for member in ProcessName::SERVICES {
        let (mut conn, mut watcher) = (connect(stage, member).await, connect(stage, member).await);
        conn.execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM messaging.relay_lease",
        )
        .await
        .unwrap();
        // What would be below the floor that is planted is to be published first.
        until("the outbox is empty", async || {
            let left: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.outbox")
                .fetch_one(&mut watcher)
                .await
                .unwrap();
            left == 0
        })
        .await;
        snapshots.push(conn);
    }
    in_each(stage, async |member, mut conn| {
        let own = match member {
            ProcessName::Orders => WORN_ORDERS,
            ProcessName::Inventory => WORN_INVENTORY,
            ProcessName::Payments => WORN_PAYMENTS,
            ProcessName::Notify => WORN_NOTIFY,
            ProcessName::Gateway => "",
        };
        for template in [WORN_RUNTIME, own] {
            // One transaction, so that no service sees what comes and goes.
            conn.execute(sql(&format!("BEGIN; {template}; COMMIT"))).await.unwrap();
        }
        conn
    })
    .await;
    snapshots
}
