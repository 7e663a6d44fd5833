//! How much is logged does not depend on how much is done.

use std::fs;

use sagactl::{
    cli,
    fleet::{Fleet, Member},
    load,
    screen::Board,
};

use crate::stage;

/// Orders of every outcome.
const ORDERS: u64 = 200;
/// Lines that may be written meanwhile: what a service says of itself now and then.
const LINES_MAX: usize = 10;

/// The lines of all services that are written at the usual level.
fn lines(fleet: &Fleet) -> Vec<String> {
    let log = |member| fs::read_to_string(fleet.log_file(member)).unwrap();
    let logs: Vec<String> = Member::SERVICES.map(log).into();
    let lines =
        logs.iter().flat_map(|it| it.lines()).filter(|it| !it.contains("\"level\":\"DEBUG\""));
    lines.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_is_logged_for_each_order_or_message() {
    let stage = stage::open().await;
    let before = lines(&stage.fleet);
    assert!(before.iter().any(|it| it.contains("\"level\":\"INFO\"")), "no line can be read");
    let options = load::Options {
        orders: ORDERS,
        clients: 8,
        products: 20,
        limit_seconds: 300,
        tables: false,
        from: cli::From::Auto,
        at: None,
    };
    load::drive(&stage.fleet, None, &options, &Board::new()).await.unwrap();
    let mut written = lines(&stage.fleet);
    for line in before {
        let at = written.iter().position(|it| *it == line).unwrap();
        written.swap_remove(at);
    }
    assert!(written.len() <= LINES_MAX, "{} lines\n{}", written.len(), written.join("\n"));
    assert_eq!(stage.fleet.stop().await.unwrap(), Vec::<String>::new());
}
