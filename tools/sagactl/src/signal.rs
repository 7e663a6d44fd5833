//! Ctrl-C.

pub async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler there is nothing to wait for, and the default action still works.
        std::future::pending::<()>().await;
    }
}
