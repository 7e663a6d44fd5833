//! Where a running demo can be found: a small file, as long as it runs.
//!
//! The demo claims free ports, so nobody could guess them. What it leaves behind when it is killed
//! names a process that is gone, and counts for nothing.

use std::{collections::BTreeMap, fs, path::PathBuf};

use nix::{
    sys::signal::kill,
    unistd::{Pid, getuid},
};
use serde::{Deserialize, Serialize};

use crate::fleet::{Fleet, Member};

/// What stands in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Card {
    pid: i32,
    /// The admin ports, by the services' names.
    admin: BTreeMap<String, String>,
}

/// A demo that can be found. Dropping it hides it.
#[derive(Debug)]
pub struct Presence(PathBuf);

impl Presence {
    /// Lets this fleet be found.
    pub fn announce(fleet: &Fleet) -> anyhow::Result<Self> {
        let admin = |it: Member| (it.program().to_owned(), fleet.admin(it));
        let card = Card {
            pid: Pid::this().as_raw(),
            admin: Member::SERVICES.into_iter().map(admin).collect(),
        };
        let path = path();
        fs::write(&path, serde_json::to_vec_pretty(&card)?)?;
        Ok(Self(path))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// The admin ports of the demo that runs now; none if there is none.
pub fn find() -> BTreeMap<String, String> {
    let read = || {
        let card: Card = serde_json::from_slice(&fs::read(path()).ok()?).ok()?;
        kill(Pid::from_raw(card.pid), None).is_ok().then_some(card.admin)
    };
    read().unwrap_or_default()
}

fn path() -> PathBuf {
    std::env::temp_dir().join(format!("sagactl-demo-{}.json", getuid()))
}
