//! The folder in which servers are kept once they are installed.
//!
//! **Architecture invariant:** a folder that is there is whole. It is made under another name, by one
//! process at a time, and renamed when it is done; an installation that is killed leaves only what
//! the next one throws away.

#[cfg(test)]
mod tests;

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

use super::supervisor::open_to_all;
use crate::{PartState, StackError, StackPart, StartProgress, config};

/// The pause before a lock that another process holds is tried again.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// What a folder is made of: changed, it gets another name.
#[derive(Debug)]
pub(crate) struct InstallRecipe<'a> {
    /// For which part of a stack, if for one: progress is told of it.
    pub part: Option<StackPart>,
    /// What, and which version of it.
    pub name: &'a str,
    /// Everything else that decides what will be in the folder.
    pub inputs: &'a [&'a str],
}

/// The place of all installed folders.
pub(crate) struct InstallCache<'a> {
    root: PathBuf,
    progress: &'a dyn StartProgress,
}

impl<'a> InstallCache<'a> {
    /// Opens it, and makes it if need be.
    pub(crate) fn open(progress: &'a dyn StartProgress) -> Result<Self, StackError> {
        let root = config::cache_folder();
        fs::create_dir_all(&root).map_err(StackError::path("make", &root))?;
        if nix::unistd::geteuid().is_root() {
            // The user that runs Postgres reads it.
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&root, open).map_err(StackError::path("open", &root))?;
        }
        Ok(Self { root, progress })
    }

    /// The folder of this recipe, if it is there.
    pub(crate) fn made(&self, recipe: &InstallRecipe<'_>) -> Option<PathBuf> {
        Some(self.root.join(recipe.folder_name())).filter(|folder| folder.exists())
    }

    /// Tells how a part stands.
    pub(crate) fn tell(&self, part: StackPart, state: &PartState) {
        self.progress.state(part, state);
    }

    /// The folder of this recipe; `make` fills it if it is not there yet.
    pub(crate) async fn folder(
        &self,
        recipe: &InstallRecipe<'_>,
        make: impl AsyncFnOnce(&Path) -> Result<(), StackError>,
    ) -> Result<PathBuf, StackError> {
        let name = recipe.folder_name();
        let folder = self.root.join(&name);
        if folder.exists() {
            return Ok(folder);
        }
        if let Some(part) = recipe.part {
            self.progress.state(part, &PartState::Installing(recipe.name.to_owned()));
        }
        let lock_path = self.root.join(format!(".{name}.lock"));
        let lock = fs::File::create(&lock_path).map_err(StackError::path("make", &lock_path))?;
        while let Err(refused) = lock.try_lock() {
            match refused {
                fs::TryLockError::WouldBlock => sleep(TRY_AGAIN).await,
                fs::TryLockError::Error(source) => {
                    return Err(StackError::path("lock", &lock_path)(source));
                }
            }
        }
        if folder.exists() {
            return Ok(folder);
        }
        let prefix = format!(".{name}.unfinished-");
        self.throw_away(&prefix)?;
        // A name of its own: an installer whose parent was killed may still be writing to the last one.
        let unfinished = self.root.join(format!("{prefix}{:08x}", fastrand::u32(..)));
        fs::create_dir(&unfinished).map_err(StackError::path("make", &unfinished))?;
        make(&unfinished).await?;
        open_to_all(&unfinished)?;
        fs::rename(&unfinished, &folder).map_err(StackError::path("name", &folder))?;
        Ok(folder)
    }

    fn throw_away(&self, prefix: &str) -> Result<(), StackError> {
        let entries = fs::read_dir(&self.root).map_err(StackError::path("read", &self.root))?;
        for entry in entries.filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(StackError::path("remove", &path))?;
            }
        }
        Ok(())
    }
}

impl InstallRecipe<'_> {
    fn folder_name(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.inputs.hash(&mut hasher);
        std::env::consts::ARCH.hash(&mut hasher);
        format!("{}-{:08x}", self.name, hasher.finish() >> 32)
    }
}
