//! Processor time of each process over time, sampled from the kernel's accounts once a second.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::{task::JoinHandle, time::Instant};

use super::resource_usage::AccountedProcess;

/// A sample is taken this often.
const PERIOD: Duration = Duration::from_secs(1);

/// Processor time that each process has used up to a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UsageSample {
    /// Seconds since the sampler was started.
    pub at: f64,
    /// In seconds, in the order of [`UsageSeries::names`].
    pub cpu: Vec<f64>,
}

/// All samples of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct UsageSeries {
    pub names: Vec<String>,
    pub samples: Vec<UsageSample>,
}

/// Takes samples until it is asked for them.
#[derive(Debug)]
pub struct UsageSampler {
    stop: Arc<AtomicBool>,
    series: Arc<Mutex<UsageSeries>>,
    task: JoinHandle<()>,
}

impl UsageSampler {
    /// Starts to sample these processes.
    pub fn start(processes: Vec<AccountedProcess>) -> Self {
        let names = processes.iter().map(|process| process.name.clone()).collect();
        let series = Arc::new(Mutex::new(UsageSeries { names, samples: vec![] }));
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, into) = (Arc::clone(&stop), Arc::clone(&series));
        // A thread: reading files would hold up the clients of a load.
        let task = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                let cpu = processes.iter().map(|process| process.processor_time().as_secs_f64());
                let sample = UsageSample { at: began.elapsed().as_secs_f64(), cpu: cpu.collect() };
                into.lock().unwrap_or_else(PoisonError::into_inner).samples.push(sample);
                std::thread::sleep(PERIOD);
            }
        });
        Self { stop, series, task }
    }

    /// The samples so far; no more are taken.
    pub fn take(self) -> UsageSeries {
        std::mem::take(&mut *self.series.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for UsageSampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.abort();
    }
}

impl UsageSeries {
    /// The share of a processor that each process used between samples: its name, and a point for each
    /// interval in seconds and percent.
    pub fn shares(&self) -> Vec<(String, Vec<(f64, f64)>)> {
        let share = |n: usize| {
            let pairs = self.samples.windows(2);
            let point = |pair: &[UsageSample]| {
                let time = (pair[1].at - pair[0].at).max(1e-9);
                (pair[1].at, 100.0 * (pair[1].cpu[n] - pair[0].cpu[n]) / time)
            };
            pairs.map(point).collect()
        };
        self.names.iter().enumerate().map(|(n, name)| (name.clone(), share(n))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_what_was_used_between_two_samples() {
        let sample = |at, cpu: &[f64]| UsageSample { at, cpu: cpu.to_vec() };
        let series = UsageSeries {
            names: vec!["a".to_owned(), "b".to_owned()],
            samples: vec![
                sample(0.0, &[1.0, 0.0]),
                sample(1.0, &[1.5, 0.0]),
                sample(3.0, &[1.5, 2.0]),
            ],
        };
        let expected = [
            ("a".to_owned(), vec![(1.0, 50.0), (3.0, 0.0)]),
            ("b".to_owned(), vec![(1.0, 0.0), (3.0, 100.0)]),
        ];
        assert_eq!(series.shares(), expected);
    }
}
