//! How a running demo is found: one file per demo process, with its addresses.
//!
//! The files lie in one folder per user below the folder for temporary files. Each holds the URLs of
//! the services' databases, so folder and files are readable for their user alone, and a folder of
//! anybody else is passed over.
//!
//! **Invariant:** a demo holds a lock on its file as long as its process lives. A file whose lock is
//! free is that of a process that has ended, however it ended and whichever process has its number
//! now: it is removed by the next search. A demo removes its own file and no other.

use std::{
    fs::{self, DirBuilder, File, Metadata},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use nix::unistd::getuid;
use serde::{Deserialize, Serialize};
use shared::clock::Clock;
use time::OffsetDateTime;

use crate::system_addresses::SystemAddresses;

/// A demo that runs, as its file describes it.
#[derive(Clone, Serialize, Deserialize)]
pub struct RunningDemo {
    pub pid: u32,
    #[serde(with = "time::serde::rfc3339")]
    pub started_at: OffsetDateTime,
    pub addresses: SystemAddresses,
}

/// A demo that can be found. Dropping it removes its file.
#[derive(Debug)]
pub struct DemoPresence {
    path: PathBuf,
    _lock: File,
}

impl DemoPresence {
    /// Lets this process be found as a demo with these addresses.
    pub fn announce(addresses: SystemAddresses) -> anyhow::Result<Self> {
        Self::announce_in(&folder(), addresses)
    }

    /// The same in this folder.
    pub fn announce_in(folder: &Path, addresses: SystemAddresses) -> anyhow::Result<Self> {
        let describe = || format!("a running demo is registered in {}", folder.display());
        make_private(folder).with_context(describe)?;
        let (pid, started_at) = (std::process::id(), Clock::System.now());
        let demo = RunningDemo { pid, started_at, addresses };
        // It gets its name once it is locked and whole: nobody finds it free, or half of it.
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        file.write_all(&serde_json::to_vec_pretty(&demo)?)?;
        file.as_file().lock()?;
        let path = folder.join(format!("{pid}-{:08x}.json", fastrand::u32(..)));
        let lock = file.persist_noclobber(&path).with_context(describe)?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for DemoPresence {
    fn drop(&mut self) {
        fs::remove_file(&self.path).ok();
    }
}

/// The demos that run on this machine as this user, the newest first.
pub fn running() -> Vec<RunningDemo> {
    running_in(&folder())
}

/// The demos that are registered in this folder, the newest first. Files of processes that have
/// ended are removed.
pub fn running_in(folder: &Path) -> Vec<RunningDemo> {
    if !fs::symlink_metadata(folder).is_ok_and(|metadata| is_private(&metadata)) {
        return vec![];
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut found: Vec<RunningDemo> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .filter_map(|path| read(&path))
        .collect();
    found.sort_by_key(|demo| std::cmp::Reverse(demo.started_at));
    found
}

fn read(path: &Path) -> Option<RunningDemo> {
    let file = File::open(path).ok()?;
    if file.try_lock_shared().is_ok() {
        fs::remove_file(path).ok();
        return None;
    }
    serde_json::from_reader(file).ok()
}

fn folder() -> PathBuf {
    folder_below(&std::env::temp_dir())
}

/// Where the demos of this user are registered, if this is the folder for temporary files. Other
/// users share that one, so the name holds this user's.
pub fn folder_below(temporary: &Path) -> PathBuf {
    temporary.join(format!("sagactl-demos-{}", getuid()))
}

fn make_private(folder: &Path) -> anyhow::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    anyhow::ensure!(
        is_private(&fs::symlink_metadata(folder)?),
        "the folder is not ours alone: remove it"
    );
    Ok(())
}

fn is_private(metadata: &Metadata) -> bool {
    metadata.is_dir() && metadata.uid() == getuid().as_raw() && metadata.mode() & 0o777 == 0o700
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn private_folder() -> (tempfile::TempDir, PathBuf) {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("demos");
        (base, folder)
    }

    fn pids(folder: &Path) -> Vec<u32> {
        running_in(folder).iter().map(|demo| demo.pid).collect()
    }

    /// The file of a demo that another process is, with a lock that lives as long as the file.
    fn planted(folder: &Path, pid: u32, started_at: OffsetDateTime) -> File {
        let demo = RunningDemo { pid, started_at, addresses: SystemAddresses::compose() };
        let path = folder.join(format!("{pid}.json"));
        fs::write(&path, serde_json::to_vec(&demo).unwrap()).unwrap();
        let file = File::open(&path).unwrap();
        file.lock().unwrap();
        file
    }

    #[test]
    fn a_demo_is_found_as_long_as_it_runs() {
        let (_base, folder) = private_folder();
        assert!(pids(&folder).is_empty());
        let presence = DemoPresence::announce_in(&folder, SystemAddresses::compose()).unwrap();
        assert_eq!(pids(&folder), [std::process::id()]);
        assert!(running_in(&folder)[0].addresses == SystemAddresses::compose());
        drop(presence);
        assert!(pids(&folder).is_empty());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[test]
    fn the_newest_of_several_demos_comes_first_and_the_end_of_one_leaves_the_others() {
        let (_base, folder) = private_folder();
        let presence = DemoPresence::announce_in(&folder, SystemAddresses::compose()).unwrap();
        let newer = planted(&folder, 2, Clock::System.now() + time::Duration::HOUR);
        assert_eq!(pids(&folder), [2, std::process::id()]);
        drop(presence);
        assert_eq!(pids(&folder), [2]);
        drop(newer);
        assert!(pids(&folder).is_empty());
    }

    #[test]
    fn the_file_of_a_process_that_is_gone_is_ignored_and_removed() {
        let (_base, folder) = private_folder();
        let _presence = DemoPresence::announce_in(&folder, SystemAddresses::compose()).unwrap();
        // Its number is that of a process that runs: this one.
        drop(planted(&folder, std::process::id(), Clock::System.now()));
        fs::write(folder.join("torn.json"), "{").unwrap();
        assert_eq!(running_in(&folder).len(), 1);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn nobody_else_reads_the_addresses_and_a_folder_that_others_write_is_passed_over() {
        let (_base, folder) = private_folder();
        let presence = DemoPresence::announce_in(&folder, SystemAddresses::compose()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&presence.path)), (0o700, 0o600));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(pids(&folder).is_empty());
        let refused = DemoPresence::announce_in(&folder, SystemAddresses::compose()).unwrap_err();
        assert!(format!("{refused:#}").contains("not ours alone"), "{refused:#}");
    }
}
