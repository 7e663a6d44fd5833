//! Outbox and inbox, a transaction for each batch.

use divan::{Bencher, counter::ItemsCount};
use shared::{db, inbox, outbox};

use crate::fixture::{database, events, read_events, wait};

/// Stores a batch of messages in the outbox.
#[divan::bench(args = [1, 10, 100, 500], sample_count = 20, sample_size = 5)]
fn outbox_append(bencher: Bencher<'_, '_>, n: usize) {
    let (pool, _settings) = wait(database());
    bencher.counter(ItemsCount::new(n)).with_inputs(|| events(n)).bench_local_refs(|messages| {
        wait(async {
            let mut tx = db::begin(&pool).await.unwrap();
            outbox::append(&mut tx, messages).await.unwrap();
            tx.commit().await.unwrap();
        });
    });
}

/// Records a batch of new messages in the inbox.
#[divan::bench(args = [1, 10, 100, 500], sample_count = 20, sample_size = 5)]
fn inbox_admit(bencher: Bencher<'_, '_>, n: usize) {
    let (pool, _settings) = wait(database());
    bencher.counter(ItemsCount::new(n)).with_inputs(|| read_events(n)).bench_local_refs(
        |messages| {
            wait(async {
                let mut tx = db::begin(&pool).await.unwrap();
                let messages: Vec<_> = messages.iter().collect();
                inbox::admit(&mut tx, &messages).await.unwrap();
                tx.commit().await.unwrap();
            });
        },
    );
}
