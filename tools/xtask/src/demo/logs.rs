//! The folder in which the logs of all processes of a demo are kept, also after it.
//!
//! **Architecture invariant:** two demos never write into one folder, and nothing is removed from it
//! but the logs of an earlier demo: the folder may be any that the caller names.

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
        let lock = File::create(path.join(".lock")).with_context(cannot)?;
        match lock.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        for name in ProcessName::ALL.map(ProcessName::program).into_iter().chain(SERVERS) {
            let log = path.join(format!("{name}.log"));
            if log.exists() {
                fs::remove_file(&log).with_context(cannot)?;
            }
        }
        let path = std::path::absolute(path).with_context(cannot)?;
        Ok(Some(Self { path, _lock: lock }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
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
        for name in ["order-service.log", "kafka.log", "thesis.log", "notes.txt"] {
            fs::write(folder.path().join(name), "old").unwrap();
        }
        let _held = LogFolder::open(Some(folder.path()), Path::new("/")).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [".lock", "notes.txt", "thesis.log"]);
    }
}
