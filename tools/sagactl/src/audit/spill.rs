//! Facts sorted by order, with a bound on memory: an external merge sort in a temporary file.
//!
//! ```text
//! push ──> a run of RUN_MAX facts in memory ──> sorted, appended to the file ──> merge: the head of each run
//! ```
//!
//! **Bound:** a run has 131,072 facts (10 MB). Merging holds one fact and 8 kB of each run, so memory
//! grows by 8 kB for every 131,072 facts, about 8,000 orders: 10 million orders need 10 MB for that.
//! The file has each fact as JSON, about 2 kB for an order. It has no name and is gone with the
//! process.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek as _},
    os::unix::fs::FileExt as _,
    sync::Arc,
};

use serde_json::{Deserializer, StreamDeserializer, de::IoRead};

use super::fact::OrderFact;

/// Facts that are sorted at once.
const RUN_MAX: usize = 131_072;

/// Bytes of each run that are read ahead while runs are merged.
const READ_AHEAD: usize = 8 * 1_024;

/// Takes facts in any order.
#[derive(Debug)]
pub(super) struct FactSpill {
    file: BufWriter<File>,
    run: Vec<OrderFact>,
    run_max: usize,
    /// Where each run ends in the file.
    ends: Vec<u64>,
}

/// Gives facts back in their order.
pub(super) struct SortedFacts {
    runs: Vec<FactRun>,
    heads: BinaryHeap<Reverse<(OrderFact, usize)>>,
}

/// What is left of one run.
type FactRun = StreamDeserializer<'static, IoRead<BufReader<FilePart>>, OrderFact>;

/// A part of a file that others read, too.
#[derive(Debug)]
struct FilePart {
    file: Arc<File>,
    at: u64,
    end: u64,
}

impl Read for FilePart {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(into.len());
        let read = self.file.read_at(&mut into[..left], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl FactSpill {
    pub(super) fn new() -> io::Result<Self> {
        Self::with_runs_of(RUN_MAX)
    }

    fn with_runs_of(run_max: usize) -> io::Result<Self> {
        let file = BufWriter::new(tempfile::tempfile()?);
        Ok(Self { file, run: Vec::new(), run_max, ends: Vec::new() })
    }

    pub(super) fn push(&mut self, fact: OrderFact) -> io::Result<()> {
        self.run.push(fact);
        if self.run.len() >= self.run_max { self.end_run() } else { Ok(()) }
    }

    fn end_run(&mut self) -> io::Result<()> {
        self.run.sort_unstable();
        for fact in &self.run {
            serde_json::to_writer(&mut self.file, fact)?;
        }
        self.ends.push(self.file.stream_position()?);
        self.run.clear();
        Ok(())
    }

    pub(super) fn sorted(mut self) -> io::Result<SortedFacts> {
        self.end_run()?;
        let file = Arc::new(self.file.into_inner().map_err(io::IntoInnerError::into_error)?);
        let (mut runs, mut heads, mut at) = (Vec::new(), BinaryHeap::new(), 0);
        for (run, end) in self.ends.into_iter().enumerate() {
            let part = FilePart { file: Arc::clone(&file), at, end };
            let reader = BufReader::with_capacity(READ_AHEAD, part);
            let mut facts: FactRun = Deserializer::from_reader(reader).into_iter();
            heads.extend(facts.next().transpose()?.map(|fact| Reverse((fact, run))));
            runs.push(facts);
            at = end;
        }
        Ok(SortedFacts { runs, heads })
    }
}

impl SortedFacts {
    /// The next fact; none behind the last.
    pub(super) fn next(&mut self) -> io::Result<Option<OrderFact>> {
        let Some(Reverse((fact, run))) = self.heads.pop() else { return Ok(None) };
        self.heads.extend(self.runs[run].next().transpose()?.map(|fact| Reverse((fact, run))));
        Ok(Some(fact))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{super::fact::FactStatement, *};

    fn fact(order: u128, amount: i64) -> OrderFact {
        OrderFact::new(Uuid::from_u128(order), FactStatement::Charge { amount, refunded: 0 })
    }

    fn all(mut sorted: SortedFacts) -> Vec<OrderFact> {
        std::iter::from_fn(|| sorted.next().unwrap()).collect()
    }

    #[test]
    fn runs_are_merged_into_one_order_and_nothing_is_lost() {
        let mut spill = FactSpill::with_runs_of(7).unwrap();
        let mut facts: Vec<OrderFact> =
            (0..1_000_i64).map(|n| fact(u128::from(fastrand::u8(..)), n % 13)).collect();
        for fact in &facts {
            spill.push(*fact).unwrap();
        }
        facts.sort_unstable();
        assert_eq!(all(spill.sorted().unwrap()), facts);
    }

    #[test]
    fn no_more_than_one_run_is_held_however_many_facts_there_are() {
        let mut spill = FactSpill::with_runs_of(1_000).unwrap();
        for n in 0..100_000 {
            spill.push(fact(100_000 - n, 0)).unwrap();
            assert!(spill.run.capacity() <= 1_024, "{}", spill.run.capacity());
        }
        let sorted = spill.sorted().unwrap();
        assert_eq!((sorted.runs.len(), sorted.heads.len()), (101, 100));
        assert_eq!(all(sorted).len(), 100_000);
    }

    #[test]
    fn nothing_sorted_is_nothing() {
        assert_eq!(all(FactSpill::new().unwrap().sorted().unwrap()), []);
    }
}
