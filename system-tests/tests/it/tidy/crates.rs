//! Dependencies between the crates point one way: services → contract → shared; tools → contract,
//! shared.

use std::process::Command;

use serde_json::{Value, json};

use super::tree::root;

/// Each crate, and the crates of this workspace that its programs may depend on.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("shared", &[]),
    ("contract", &["shared"]),
    ("order-service", &["contract", "shared"]),
    ("inventory-service", &["contract", "shared"]),
    ("payment-service", &["contract", "shared"]),
    ("notify-service", &["contract", "shared"]),
    ("gateway-simulator", &[]),
    ("devstack", &[]),
    // The four services in one process, to measure them.
    (
        "saga-bench",
        &[
            "contract",
            "inventory-service",
            "notify-service",
            "order-service",
            "payment-service",
            "shared",
        ],
    ),
    // Its image holds nothing that installs or starts a server.
    ("sagactl", &["contract", "shared"]),
    ("xtask", &["contract", "devstack", "saga-bench", "sagactl", "shared"]),
    ("system-tests", &[]),
];

/// The dependencies of tests that would put the shop into the runtime's tests, too.
const NOT_EVEN_IN_TESTS: [(&str, &str); 1] = [("shared", "contract")];

/// What the packages that `cargo metadata` describes depend on and may not.
fn forbidden(packages: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is_ours = |name: &str| ALLOWED.iter().any(|(known, _)| *known == name);
    let mut found = Vec::new();
    for package in packages {
        let name = text(&package["name"]);
        let Some((_, may)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            found.push(format!("the crate {name} is not in the table"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = text(&dependency["name"]);
            let is_forbidden = if dependency["kind"] == "dev" {
                NOT_EVEN_IN_TESTS.contains(&(name.as_str(), on.as_str()))
            } else {
                is_ours(&on) && !may.contains(&on.as_str())
            };
            found.extend(is_forbidden.then(|| format!("{name} depends on {on}")));
        }
    }
    found
}

#[test]
fn dependencies_between_crates_point_one_way() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--locked", "--format-version", "1"]);
    let output = cargo.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), ALLOWED.len());
    let found = forbidden(packages);
    assert!(found.is_empty(), "the runtime knows no order, no service another one: {found:?}");
}

#[test]
fn a_dependency_that_points_the_other_way_is_found() {
    let found = |name: &str, on: &str, kind: Value| {
        let dependency = json!({ "name": on, "kind": kind });
        forbidden(&[json!({ "name": name, "dependencies": [dependency] })]).len()
    };
    for (name, on, kind) in [
        ("shared", "contract", Value::Null),
        ("shared", "contract", json!("dev")),
        ("contract", "order-service", Value::Null),
        ("order-service", "payment-service", json!("build")),
        ("sagactl", "devstack", Value::Null),
    ] {
        assert_eq!(found(name, on, kind), 1, "{name} {on}");
    }
    assert_eq!(forbidden(&[json!({ "name": "newcomer" })]).len(), 1);
    assert_eq!(found("order-service", "contract", Value::Null), 0);
    assert_eq!(found("order-service", "devstack", json!("dev")), 0);
    assert_eq!(found("shared", "serde", Value::Null), 0);
}

#[test]
fn the_two_commands_of_the_readme_are_the_developers() {
    let aliases = std::fs::read_to_string(root().join(".cargo/config.toml")).unwrap();
    for command in ["demo", "verify"] {
        let alias = format!("{command} = \"run --bin xtask -- {command}\"");
        assert!(aliases.lines().any(|line| line == alias), "{alias}");
    }
}
