//! What a visitor of a public repository looks for is there, can be read by its host, and agrees with
//! the rest.

use serde_json::Value;

use super::tree::root;

/// Files that are looked for by name, and something that each has to say.
const EXPECTED: [(&str, &str); 9] = [
    ("LICENSE-MIT", "Permission is hereby granted"),
    ("LICENSE-APACHE", "Version 2.0, January 2004"),
    ("CONTRIBUTING.md", "cargo verify"),
    ("SECURITY.md", "Report a vulnerability"),
    ("CHANGELOG.md", "## Unreleased"),
    (".devcontainer/Dockerfile", "FROM rust:"),
    (".github/pull_request_template.md", "cargo verify"),
    (".github/ISSUE_TEMPLATE/bug.yml", "body:"),
    (".github/ISSUE_TEMPLATE/proposal.yml", "body:"),
];

fn file(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn what_a_visitor_of_a_public_repository_looks_for_is_there() {
    for (name, says) in EXPECTED {
        assert!(file(name).contains(says), "{name} does not say {says:?}");
    }
    let readme = file("README.md");
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
    {
        assert!(readme.contains(&format!("]({name})")), "README.md does not lead to {name}");
    }
}

#[test]
fn templates_of_issues_have_the_members_that_their_host_asks_for() {
    for name in ["bug", "proposal"] {
        let template = file(&format!(".github/ISSUE_TEMPLATE/{name}.yml"));
        let template: Value = serde_saphyr::from_str(&template).unwrap();
        for member in ["name", "description", "body"] {
            assert!(!template[member].is_null(), "{name}: {member}");
        }
    }
}

#[test]
fn the_devcontainer_has_the_compiler_of_the_images_and_forwards_ports_of_the_compose_file() {
    let compiler = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("FROM rust:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(compiler(&file(".devcontainer/Dockerfile")), compiler(&file("deploy/Dockerfile")));
    let container: Value = serde_json::from_str(&file(".devcontainer/devcontainer.json")).unwrap();
    let compose = file("docker-compose.yml");
    let ports = container["forwardPorts"].as_array().unwrap();
    assert!(!ports.is_empty());
    for port in ports {
        assert!(compose.contains(&format!("_PORT:-{port}}}")), "{port}");
    }
}
