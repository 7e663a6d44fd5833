//! Dependencies between the crates point one way: services → contract → shared; tools → contract,
//! shared.

use std::collections::BTreeMap;

use super::{Sin, assert_none, tree::File};

/// Each crate, and the crates of this workspace that it may depend on; tests may use others.
const ALLOWED: [(&str, &[&str]); 11] = [
    ("shared", &[]),
    ("contract", &["shared"]),
    ("order-service", &["contract", "shared"]),
    ("inventory-service", &["contract", "shared"]),
    ("payment-service", &["contract", "shared"]),
    ("notify-service", &["contract", "shared"]),
    ("gateway-simulator", &[]),
    ("devstack", &[]),
    // Its image holds nothing that installs or starts a server.
    ("sagactl", &["contract", "shared"]),
    ("xtask", &["contract", "devstack", "sagactl", "shared"]),
    ("system-tests", &[]),
];

/// The dependencies that a manifest names for programs.
fn forbidden(manifest: &File) -> Vec<Sin> {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into();
    let name = manifest.text.lines().find_map(|line| line.strip_prefix("name = \""));
    let Some(name) = name.and_then(|rest| rest.strip_suffix('"')) else { return vec![] };
    let Some(may) = allowed.get(name) else {
        return vec![manifest.sin(0, format!("the crate {name} is not in the table"))];
    };
    let section = manifest.text.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| line.split('.').next())
        .filter(|dependency| allowed.contains_key(dependency) && !may.contains(dependency))
        .map(|dependency| manifest.sin(0, format!("{name} depends on {dependency}")))
        .collect()
}

#[test]
fn dependencies_between_crates_point_one_way() {
    let manifests: Vec<File> = File::all("toml")
        .into_iter()
        .filter(|file| file.name() == "Cargo.toml" && file.text.contains("[package]"))
        .collect();
    assert_eq!(manifests.len(), ALLOWED.len());
    let sins: Vec<Sin> = manifests.iter().flat_map(forbidden).collect();
    assert_none("the runtime knows no order, and no service knows another one", &sins);
}

#[test]
fn a_dependency_that_points_the_other_way_is_found() {
    let sins = |name: &str, dependency: &str| {
        let text = format!(
            "[package]\nname = \"{name}\"\n\n[dependencies]\n{dependency}.workspace = true\n\n\
             [dev-dependencies]\ndevstack.workspace = true\n"
        );
        forbidden(&File::planted("Cargo.toml", &text)).len()
    };
    for (name, dependency) in [
        ("shared", "contract"),
        ("contract", "order-service"),
        ("order-service", "payment-service"),
        ("sagactl", "devstack"),
        ("newcomer", "shared"),
    ] {
        assert_eq!(sins(name, dependency), 1, "{name} {dependency}");
    }
    assert_eq!(sins("order-service", "contract"), 0);
    assert_eq!(sins("shared", "serde"), 0);
}
