//! One phase of a load, the warm-up or the orders that count: places orders and waits until all have ended
//! and their customers were told, which the topics say.

use std::{
    ops::Range,
    pin::pin,
    time::{Duration, Instant},
};

use devstack::WaitLimit;
use indicatif::ProgressBar;
use sagactl::screen::{ProgressBoard, columns, say};

use super::{
    placing::{AnswerCounts, LoadClient},
    tracker::LoadProgress,
};

/// How often it is looked how far the orders are: at numbers of this process, nobody is asked.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How often this is said where no terminal shows it.
const SAY_AGAIN: Duration = Duration::from_secs(8);

/// Places the orders of these numbers; all have ended and were told of afterwards.
pub async fn run_phase(
    client: &LoadClient,
    numbers: Range<u64>,
    board: &ProgressBoard,
) -> anyhow::Result<AnswerCounts> {
    let orders = numbers.end - numbers.start;
    let mut bars = PhaseBars::of(board, orders);
    let placed_bar = bars.placed.clone();
    let mut placing = pin!(client.place_all(numbers, &placed_bar));
    let mut placed = None;
    let still_max = Duration::from_secs(client.options.limit_seconds);
    let what = "every order ends and every customer is told, as the topics say";
    let mut limit = WaitLimit::new(what, still_max, LOOK_AGAIN);
    loop {
        tokio::select! {
            counts = &mut placing, if placed.is_none() => placed = Some(counts?),
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
        let progress = client.tracker.progress();
        bars.show(progress);
        if let Some(counts) = placed
            && progress.is_all_of(orders)
        {
            bars.finish();
            return Ok(counts);
        }
        limit.looked((progress, placed.is_some()))?;
    }
}

/// How far a phase is, for people.
struct PhaseBars {
    orders: u64,
    placed: ProgressBar,
    ended: ProgressBar,
    told: ProgressBar,
    said: Instant,
}

impl PhaseBars {
    fn of(board: &ProgressBoard, orders: u64) -> Self {
        let bar = |name| board.count(name, orders);
        let (placed, ended, told) = (bar("placed"), bar("ended"), bar("mails"));
        Self { orders, placed, ended, told, said: Instant::now() }
    }

    fn show(&mut self, progress: LoadProgress) {
        self.ended.set_position(progress.ended);
        self.told.set_position(progress.told);
        if columns().is_none() && self.said.elapsed() >= SAY_AGAIN {
            let LoadProgress { accepted, ended, told } = progress;
            let orders = self.orders;
            say(format_args!(
                "  {accepted} of {orders} orders placed, {ended} ended, {told} mails …"
            ));
            self.said = Instant::now();
        }
    }

    fn finish(&self) {
        for bar in [&self.placed, &self.ended, &self.told] {
            bar.finish();
        }
    }
}
