//! Checks that are worth their time only when certain files have changed.
//!
//! `.ci/passed` holds, for each such check, the checksum of its files when it passed last. It is part of
//! the repository: after a change of one of the files, the check is run once and the new line
//! committed, or CI repeats the check in every run.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::table::{CheckTime, VerifyCheck};

pub(super) const PASSED: &str = ".ci/passed";

/// The recorded results of the last runs.
pub(super) struct CheckInputs {
    root: PathBuf,
}

impl CheckInputs {
    /// Those of the repository around the current folder.
    pub(super) fn read() -> anyhow::Result<Self> {
        let here = std::env::current_dir()?;
        let root = here.ancestors().find(|path| path.join("Cargo.lock").is_file());
        Ok(Self { root: root.context("this is no place in the repository")?.to_owned() })
    }

    /// Whether the check's files are not as they were when it passed last.
    pub(super) fn have_changed(&self, check: &VerifyCheck) -> anyhow::Result<bool> {
        let Some(now) = self.checksum(check)? else { return Ok(false) };
        Ok(self.passed().get(check.name) != Some(&now))
    }

    /// Keeps that the check has passed with its files as they are; whether that is new.
    pub(super) fn record(&self, check: &VerifyCheck) -> anyhow::Result<bool> {
        let Some(now) = self.checksum(check)? else { return Ok(false) };
        let mut passed = self.passed();
        if passed.insert(check.name.to_owned(), now.clone()) == Some(now) {
            return Ok(false);
        }
        let mut text = String::new();
        for (name, checksum) in passed {
            writeln!(text, "{name}: {checksum}")?;
        }
        fs::write(self.root.join(PASSED), text).context(PASSED)?;
        Ok(true)
    }

    fn passed(&self) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.root.join(PASSED)).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(": "));
        lines.map(|(name, checksum)| (name.to_owned(), checksum.to_owned())).collect()
    }

    /// One checksum over names and contents of all files; none for a check that has no such files.
    fn checksum(&self, check: &VerifyCheck) -> anyhow::Result<Option<String>> {
        let CheckTime::Changed(inputs) = check.when else { return Ok(None) };
        let mut files = Vec::new();
        for input in inputs {
            let path = self.root.join(input);
            below(&path, &mut files).with_context(|| path.display().to_string())?;
        }
        files.sort();
        let mut hash = Sha256::new();
        for file in files {
            let contents = fs::read(&file).with_context(|| file.display().to_string())?;
            let name = file.strip_prefix(&self.root).unwrap_or(&file);
            hash.update(format!("{} {}\n", name.display(), contents.len()));
            hash.update(contents);
        }
        Ok(Some(format!("{:x}", hash.finalize())))
    }
}

/// The file, or all files in and below the folder.
fn below(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        below(&entry?.path(), files)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::TempDir;

    use super::{super::table::CheckNeeds, *};

    const CHECK: VerifyCheck = VerifyCheck {
        name: "an example",
        command: &[],
        environment: &[],
        needs: CheckNeeds::Nothing,
        when: CheckTime::Changed(&["a", "folder"]),
        attempts: 1,
        budget: Duration::ZERO,
    };

    #[test]
    fn a_check_that_has_passed_is_due_again_when_one_of_its_files_is_another_one() {
        let root = TempDir::new().unwrap();
        let inputs = CheckInputs { root: root.path().to_owned() };
        let write = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
        for folder in [".ci", "folder"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        write("a", "1");
        write("folder/b", "2");
        assert!(inputs.have_changed(&CHECK).unwrap());
        assert!(inputs.record(&CHECK).unwrap());
        assert!(!inputs.record(&CHECK).unwrap());
        assert!(!inputs.have_changed(&CHECK).unwrap());
        write("beside", "3");
        assert!(!inputs.have_changed(&CHECK).unwrap());
        write("folder/b", "3");
        assert!(inputs.have_changed(&CHECK).unwrap());
        inputs.record(&CHECK).unwrap();
        write("folder/c", "");
        assert!(inputs.have_changed(&CHECK).unwrap());
    }
}
