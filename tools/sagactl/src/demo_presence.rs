//! A small file with the addresses of a running demo, kept as long as the demo runs.
//!
//! The demo claims free ports, so its addresses differ each time. The file of a demo that was
//! killed names a process that is gone, and is ignored.

use std::{collections::BTreeMap, fs, path::PathBuf};

use nix::{
    sys::signal::kill,
    unistd::{Pid, getuid},
};
use serde::{Deserialize, Serialize};

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
struct DemoAddresses {
    pid: i32,
    /// The admin ports, by the services' names.
    admin: BTreeMap<String, String>,
}

/// A demo that can be found. Dropping it hides it.
#[derive(Debug)]
pub struct DemoPresence(PathBuf);

impl DemoPresence {
    /// Lets a demo be found whose admin ports are these, by the services' names.
    pub fn announce(admin: BTreeMap<String, String>) -> anyhow::Result<Self> {
        let card = DemoAddresses { pid: Pid::this().as_raw(), admin };
        let path = path();
        fs::write(&path, serde_json::to_vec_pretty(&card)?)?;
        Ok(Self(path))
    }
}

impl Drop for DemoPresence {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// The admin ports of the demo that runs now; none if there is none.
pub fn find() -> BTreeMap<String, String> {
    let read = || {
        let card: DemoAddresses = serde_json::from_slice(&fs::read(path()).ok()?).ok()?;
        kill(Pid::from_raw(card.pid), None).is_ok().then_some(card.admin)
    };
    read().unwrap_or_default()
}

fn path() -> PathBuf {
    std::env::temp_dir().join(format!("sagactl-demo-{}.json", getuid()))
}
