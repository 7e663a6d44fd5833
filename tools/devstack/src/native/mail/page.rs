//! The page of the mail server: its script is built from the sources that come with the Go module.

use std::{fs, path::Path};

use tokio::process::Command;

use super::{MODULE, VERSION};
use crate::{StackError, native::tool};

/// What brings npm on a machine like Debian.
pub(super) const INSTALL_NPM: &str = "sudo apt-get install --no-install-recommends npm";

/// Stands in for the page's script: it lists the addresses of the API.
const PLAIN: &str = include_str!("../../../native/mail/plain.js");

/// Which page the server shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MailPage {
    /// Its own.
    Whole,
    /// A plain one, as there is no npm on this machine.
    NoNpm,
    /// A plain one, as npm did not build the other.
    Failed,
}

impl MailPage {
    /// What decides about the installed folder.
    pub(super) fn input(self) -> [&'static str; 3] {
        let page = match self {
            Self::Whole => "page",
            Self::NoNpm => "plain page without npm",
            Self::Failed => "plain page as npm failed",
        };
        [MODULE, VERSION, page]
    }

    /// Puts the page where the server's sources embed it.
    pub(super) async fn make(self, sources: &Path) -> Result<(), StackError> {
        if self == Self::Whole {
            let mut install = npm(sources, &["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
            // A registry that is out of reach must not keep the server back for minutes.
            install.args(["--fetch-retries=1", "--fetch-timeout=60000", "--loglevel=error"]);
            tool::run(install).await?;
            tool::run(npm(sources, &["run", "build"])).await?;
            return Ok(());
        }
        let folder = sources.join("server/ui/dist");
        fs::create_dir_all(&folder).map_err(StackError::path("make", &folder))?;
        for (name, text) in [("app.js", PLAIN), ("docs.js", PLAIN), ("app.css", "")] {
            let file = folder.join(name);
            fs::write(&file, text).map_err(StackError::path("write", &file))?;
        }
        Ok(())
    }
}

/// Whether the page can be built on this machine.
pub(super) fn npm_is_here() -> bool {
    ["node", "npm"].into_iter().all(|program| tool::on_path(program).is_some())
}

fn npm(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.args(arguments).env("npm_config_update_notifier", "false").current_dir(folder);
    command
}
