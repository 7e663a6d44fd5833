//! The folder in which the logs of all processes of a demo are kept, also after it.
//!
//! **Architecture invariant:** two demos never write into one folder, and nothing is removed from it
//! but the logs of an earlier demo: the folder may be any that the caller names. The lock is the mark
//! of a folder in which a demo has been; where it is missing, a log is somebody else's.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::cluster::ProcessName;

/// How many demos that run at once find a folder of their own.
const DEMOS_MAX: u32 = 100;

/// The logs of servers.
const SERVERS: [&str; 5] = ["kafka", "postgres", "registry", "mail", "ui"];

/// Held by the demo that writes into the folder, and left in it.
const LOCK: &str = ".cargo-demo.lock";

/// A folder without logs, held by this process.
#[derive(Debug)]
pub(super) struct LogFolder {
    path: PathBuf,
    // The system lets go of it however this process ends.
    _lock: File,
}

impl LogFolder {
    /// The folder that was asked for; without one, the first below `beside` that no other demo uses.
    pub(super) fn open(asked: Option<&Path>, beside: &Path) -> anyhow::Result<Self> {
        if let Some(path) = asked {
            ensure_own(path)?;
            return Self::take(path)?.with_context(|| {
                let path = path.display();
                format!("{path} is in use by another demo: give another folder with --logs")
            });
        }
        for n in 1..=DEMOS_MAX {
            let name = if n == 1 { "demo-logs".to_owned() } else { format!("demo-logs-{n}") };
            if let Some(folder) = Self::take(&beside.join(name))? {
                return Ok(folder);
            }
        }
        anyhow::bail!("{DEMOS_MAX} demos run already: give a folder for logs with --logs")
    }

    /// Makes it and removes the logs of an earlier demo; nothing if another demo uses it.
    fn take(path: &Path) -> anyhow::Result<Option<Self>> {
        let cannot = || format!("logs cannot be kept in {}", path.display());
        fs::create_dir_all(path).with_context(cannot)?;
        // Whatever stands there, through a link or not, keeps its content.
        let lock = File::options().create(true).append(true).open(path.join(LOCK));
        let lock = lock.with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        for log in logs_in(path) {
            fs::remove_file(&log).with_context(cannot)?;
        }
        let path = std::path::absolute(path).with_context(cannot)?;
        Ok(Some(Self { path, _lock: lock }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The files in it that have the names of a demo's logs.
fn logs_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let names = ProcessName::ALL.map(ProcessName::program).into_iter().chain(SERVERS);
    names.map(move |name| folder.join(format!("{name}.log"))).filter(|log| log.exists())
}

/// Refuses a folder whose logs no demo has written: they would be removed.
fn ensure_own(folder: &Path) -> anyhow::Result<()> {
    if folder.join(LOCK).exists() {
        return Ok(());
    }
    match logs_in(folder).next() {
        None => Ok(()),
        Some(log) => anyhow::bail!(
            "{} is from no demo, and would be in the way: give another folder with --logs",
            log.display()
        ),
    }
}

/// A path as it is typed from here.
pub(super) fn from_here(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_demo_keeps_its_logs_elsewhere() {
        let target = tempfile::tempdir().unwrap();
        let first = LogFolder::open(None, target.path()).unwrap();
        let second = LogFolder::open(None, target.path()).unwrap();
        assert_eq!(first.path(), target.path().join("demo-logs"));
        assert_eq!(second.path(), target.path().join("demo-logs-2"));
        let refused = LogFolder::open(Some(first.path()), target.path()).unwrap_err();
        assert!(refused.to_string().contains("--logs"), "{refused}");
        let path = first.path().to_owned();
        drop(first);
        assert_eq!(LogFolder::open(Some(&path), target.path()).unwrap().path(), path);
    }

    #[test]
    fn only_logs_of_an_earlier_demo_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".lock"), "kept").unwrap();
        drop(LogFolder::open(Some(folder.path()), Path::new("/")).unwrap());
        for name in ["order-service.log", "kafka.log", "thesis.log", "notes.txt"] {
            fs::write(folder.path().join(name), "old").unwrap();
        }
        let _held = LogFolder::open(Some(folder.path()), Path::new("/")).unwrap();
        assert_eq!(names_in(folder.path()), [LOCK, ".lock", "notes.txt", "thesis.log"]);
        assert_eq!(fs::read_to_string(folder.path().join(".lock")).unwrap(), "kept");
    }

    #[test]
    fn a_folder_with_logs_of_somebody_else_is_refused_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("kafka.log"), "of another Kafka").unwrap();
        for _ in 0..2 {
            let refused = LogFolder::open(Some(folder.path()), Path::new("/")).unwrap_err();
            let refused = refused.to_string();
            assert!(refused.contains("kafka.log") && refused.contains("--logs"), "{refused}");
            assert_eq!(names_in(folder.path()), ["kafka.log"]);
        }
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}
