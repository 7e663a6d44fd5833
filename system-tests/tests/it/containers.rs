//! The compose file against the contracts of the images that it uses, and against what it promises.
//! Read as a text: no engine is needed. `xtask compose-test` tries the same file for real.

use std::collections::{BTreeMap, BTreeSet};

use clap::CommandFactory as _;
use sagactl::{cli::CommandLine, service_name::ServiceName, system_addresses::SystemAddresses};
use serde_json::{Value, json};

use crate::settings::variables;

/// What an official image documents of itself, as far as the compose file relies on it.
struct Official {
    service: &'static str,
    image: &'static str,
    ports: &'static [u16],
    /// Where its data lie.
    data: &'static str,
    /// What its health check may call: programs that the image has.
    tools: &'static [&'static str],
    /// Where it writes beside its data.
    writes: &'static [&'static str],
    /// Words that its settings go by.
    settings: &'static [&'static str],
    /// Its first process is a shell that passes no signal on: something has to do that for it.
    deaf: bool,
}

/// From the Dockerfiles and documents of the images, read and not run; docs/docker.md says which of
/// them has been tried.
const OFFICIAL: [Official; 6] = [
    Official {
        service: "kafka",
        image: "apache/kafka:4.3.1",
        ports: &[9092],
        data: "/var/lib/kafka/data",
        // Alpine's busybox.
        tools: &["nc"],
        writes: &["/opt/kafka/config", "/opt/kafka/logs", "/tmp"],
        settings: &["KAFKA_", "CLUSTER_ID"],
        deaf: false,
    },
    Official {
        service: "postgres",
        image: "postgres:18.6-alpine3.24",
        ports: &[5432],
        data: "/var/lib/postgresql",
        tools: &["pg_isready"],
        writes: &["/var/run/postgresql", "/tmp"],
        settings: &["POSTGRES_"],
        deaf: false,
    },
    Official {
        service: "schema-registry",
        image: "apicurio/apicurio-registry:3.3.3",
        ports: &[8080],
        data: "",
        tools: &["curl"],
        writes: &["/tmp"],
        settings: &["APICURIO_", "QUARKUS_", "JDK_JAVA_OPTIONS"],
        deaf: false,
    },
    Official {
        service: "kafka-ui",
        image: "ghcr.io/kafbat/kafka-ui:v1.5.0",
        ports: &[8080],
        data: "",
        // Alpine's busybox.
        tools: &["wget"],
        writes: &["/tmp"],
        settings: &["KAFKA_CLUSTERS_0_", "GITHUB_RELEASE_INFO_ENABLED", "JAVA_OPTS"],
        deaf: true,
    },
    Official {
        service: "mailpit",
        image: "axllent/mailpit:v1.30.5",
        ports: &[8025],
        // Anywhere: MP_DATABASE says so.
        data: "/data",
        tools: &["/mailpit"],
        writes: &["/tmp"],
        settings: &["MP_"],
        deaf: false,
    },
    Official {
        service: "grafana",
        image: "grafana/otel-lgtm:0.31.0",
        ports: &[3000, 4317, 4318],
        data: "/data",
        tools: &["curl"],
        writes: &[],
        settings: &["GF_"],
        deaf: false,
    },
];

/// Limit on the memory of all services without profiles.
const MEMORY_MIB_MAX: u64 = 4 * 1024;

fn file(name: &str) -> String {
    let path = format!("{}/../{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn services() -> BTreeMap<String, Value> {
    let compose: Value = serde_saphyr::from_str(&file("docker-compose.yml")).unwrap();
    serde_json::from_value(compose["services"].clone()).unwrap()
}

fn words(of: &Value) -> Vec<String> {
    let all = of.as_array().into_iter().flatten();
    all.map(|value| value.as_str().unwrap_or_default().to_owned()).collect()
}

/// The program that a health check calls first.
fn tool(service: &Value) -> String {
    let test = words(&service["healthcheck"]["test"]);
    let line = test.get(1).cloned().unwrap_or_default();
    line.split_whitespace().next().unwrap_or_default().to_owned()
}

/// `127.0.0.1:${NAME:-8001}:8000` in its parts: address, name, default, port inside.
fn published(port: &str) -> Option<(&str, &str, u16, u16)> {
    let (address, rest) = port.split_once(":${")?;
    let (name, rest) = rest.split_once(":-")?;
    let (outside, inside) = rest.split_once("}:")?;
    Some((address, name, outside.parse().ok()?, inside.parse().ok()?))
}

/// Where something is mounted: `what:where` or `what:where:ro`.
fn mounted(service: &Value) -> Vec<String> {
    let of = |list: &Value| words(list);
    let volumes =
        of(&service["volumes"]).into_iter().map(|mount| mount.split(':').nth(1).map(str::to_owned));
    let tmpfs =
        of(&service["tmpfs"]).into_iter().map(|text| text.split(':').next().map(str::to_owned));
    volumes.chain(tmpfs).flatten().collect()
}

/// What in a service is not as its official image documents it.
fn breaches(service: &Value, official: &Official) -> Vec<String> {
    let mut breaches = Vec::new();
    if service["image"] != official.image {
        breaches.push(format!("image {}", service["image"]));
    }
    for port in words(&service["ports"]) {
        let inside = published(&port).map(|(.., inside)| inside);
        if !inside.is_some_and(|port| official.ports.contains(&port)) {
            breaches.push(format!("port {port}"));
        }
    }
    let tool = tool(service);
    if !official.tools.contains(&tool.as_str()) {
        breaches.push(format!("health check by {tool}"));
    }
    let mounted = mounted(service);
    let data = (!official.data.is_empty()).then_some(&official.data);
    let missing = data
        .into_iter()
        .chain(official.writes)
        .filter(|text| !mounted.iter().any(|at| at == *text));
    breaches.extend(missing.map(|text| format!("nothing is mounted at {text}")));
    let settings = service["environment"].as_object().into_iter().flatten().map(|(name, _)| name);
    let unknown =
        settings.filter(|name| !official.settings.iter().any(|text| name.starts_with(text)));
    breaches.extend(unknown.map(|name| format!("setting {name}")));
    if official.deaf && service["init"] != true {
        breaches.push("no init that passes signals on".to_owned());
    }
    breaches
}

#[test]
fn each_image_of_others_is_used_as_it_documents_itself() {
    let services = services();
    for official in &OFFICIAL {
        let breaches = breaches(&services[official.service], official);
        assert_eq!(breaches, Vec::<String>::new(), "{}", official.service);
    }
    let known: BTreeSet<&str> = OFFICIAL.iter().map(|official| official.image).collect();
    for (name, service) in &services {
        let image = service["image"].as_str();
        assert!(
            image.is_none_or(|text| known.contains(text)),
            "{name}: {image:?} is not in the table"
        );
    }
}

#[test]
fn a_breach_of_a_contract_is_found() {
    let services = services();
    let plant = |service: &str, name: &str, value: Value| {
        let official = OFFICIAL.iter().find(|known| known.service == service).unwrap();
        let mut planted = services[service].clone();
        planted[name] = value;
        breaches(&planted, official).len()
    };
    assert_eq!(plant("kafka", "image", json!("apache/kafka:latest")), 1);
    assert_eq!(plant("kafka", "ports", json!(["127.0.0.1:${KAFKA_PORT:-9092}:9093"])), 1);
    assert_eq!(plant("mailpit", "healthcheck", json!({ "test": ["CMD", "curl"] })), 1);
    // Where the data of 17 and earlier were.
    assert_eq!(plant("postgres", "volumes", json!(["pg-data:/var/lib/postgresql/data"])), 1);
    assert_eq!(plant("schema-registry", "tmpfs", json!([])), 1);
    assert_eq!(plant("postgres", "environment", json!({ "PG_PASSWORD": "x" })), 1);
    assert_eq!(plant("kafka-ui", "init", json!(false)), 1);
}

#[test]
fn the_integration_tests_use_the_same_images() {
    let devstack = file("tools/devstack/src/docker.rs");
    for service in ["kafka", "postgres", "schema-registry", "mailpit"] {
        let official = OFFICIAL.iter().find(|known| known.service == service).unwrap();
        let (_, tag) = official.image.rsplit_once(':').unwrap();
        assert!(devstack.contains(&format!("\"{tag}\"")), "{service}: not {tag}");
    }
}

#[test]
fn every_port_is_on_loopback_and_can_be_moved() {
    let example = file(".env.example");
    let mut taken = BTreeSet::new();
    for (name, service) in services() {
        for port in words(&service["ports"]) {
            let (address, variable, default, _) =
                published(&port).unwrap_or_else(|| panic!("{name}: {port} cannot be moved"));
            assert_eq!(address, "127.0.0.1", "{name}");
            assert!(taken.insert(default), "{name}: {default} is taken twice");
            let line = format!("{variable}={default}");
            assert!(example.lines().any(|text| text == line), ".env.example does not say {line}");
        }
    }
}

#[test]
fn the_example_of_an_environment_says_each_variable_and_its_default() {
    let text = file("docker-compose.yml");
    let used: BTreeSet<String> = text
        .split("${")
        .skip(1)
        .map(|text| text.split_once('}').unwrap().0.replacen(":-", "=", 1))
        .collect();
    let example = file(".env.example");
    let said: BTreeSet<String> = example
        .lines()
        .filter(|text| !text.starts_with('#') && !text.is_empty())
        .map(str::to_owned)
        .collect();
    assert_eq!(said, used);
}

#[test]
fn a_mirror_of_the_crates_is_put_in_place_of_their_index() {
    let text = file("deploy/Dockerfile").replace("\\\n", "");
    let step = text.lines().find(|line| line.starts_with("RUN if [ -n \"$CRATES_MIRROR\" ]"));
    let home = tempfile::tempdir().unwrap();
    let step = step.unwrap().trim_start_matches("RUN ");
    let ran = std::process::Command::new("sh")
        .args(["-c", step])
        .env("CARGO_HOME", home.path())
        .env("CRATES_MIRROR", "sparse+https://mirror.example/index/")
        .status();
    assert!(ran.unwrap().success());
    let config = std::fs::read_to_string(home.path().join("config.toml")).unwrap();
    let expected = "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\n\
                    registry = \"sparse+https://mirror.example/index/\"\n";
    assert_eq!(config, expected);
}

#[test]
fn every_container_is_contained() {
    for (name, service) in services() {
        let options = words(&service["security_opt"]);
        assert!(
            options.iter().any(|text| text == "no-new-privileges:true"),
            "{name} can gain rights"
        );
        assert!(service["mem_limit"].is_string(), "{name} has no limit of memory");
        // Grafana's image keeps seven programs and their data in one root.
        if name != "grafana" {
            assert_eq!(service["read_only"], true, "{name} writes its root");
            assert_eq!(service["cap_drop"], json!(["ALL"]), "{name} keeps capabilities");
        }
    }
}

#[test]
fn what_runs_without_a_profile_needs_less_than_four_gigabytes() {
    let limit = |service: &Value| {
        let text = service["mem_limit"].as_str().unwrap().to_owned();
        let number = |unit| text.strip_suffix(unit).and_then(|text| text.parse::<u64>().ok());
        number('m').or_else(|| number('g').map(|n| n * 1024)).unwrap()
    };
    let all: u64 =
        services().values().filter(|value| value.get("profiles").is_none()).map(limit).sum();
    assert!(all < MEMORY_MIB_MAX, "{all} MiB");
}

#[test]
fn who_stays_says_how_he_is_and_who_does_not_is_waited_for() {
    let services = services();
    let waited_for = |name: &str| {
        services
            .values()
            .any(|other| other["depends_on"][name]["condition"] == "service_completed_successfully")
    };
    for (name, service) in &services {
        let stays = service["restart"] == "unless-stopped";
        let profiles = [json!(["load"]), json!(["audit"]), json!(["sagactl"])];
        let asked_for = profiles.contains(&service["profiles"]);
        let checked = service["healthcheck"]["test"].is_array();
        assert_eq!(stays, checked, "{name}");
        assert!(stays || asked_for || waited_for(name), "{name}: `up --wait` would call it dead");
    }
}

#[test]
fn the_tools_ask_the_ports_that_the_file_publishes() {
    let services = services();
    let port = |service: &str, variable: &str| {
        let ports = words(&services[service]["ports"]);
        let defaults = ports.iter().filter_map(|port| published(port));
        let default = defaults.into_iter().find(|(_, name, ..)| *name == variable);
        default.unwrap_or_else(|| panic!("{service} publishes no {variable}")).2
    };
    let url =
        |service: &str, variable: &str| format!("http://127.0.0.1:{}", port(service, variable));
    let usual = SystemAddresses::compose();
    for (service, word) in
        ServiceName::ALL.into_iter().zip(["ORDERS", "INVENTORY", "PAYMENTS", "NOTIFY"])
    {
        let parts = &usual.services[&service];
        assert_eq!(parts.url, url(service.name(), &format!("{word}_PORT")));
        assert_eq!(parts.admin_url, url(service.name(), &format!("{word}_ADMIN_PORT")));
    }
    assert_eq!(usual.gateway, url("gateway", "GATEWAY_PORT"));
    assert_eq!(usual.mail_api, url("mailpit", "MAIL_PORT"));
    assert_eq!(usual.schema_registry, url("schema-registry", "REGISTRY_PORT") + "/apis/ccompat/v7");
    assert_eq!(usual.kafka_brokers, format!("127.0.0.1:{}", port("kafka", "KAFKA_PORT")));
}

#[test]
fn each_setting_of_the_operators_containers_is_one_that_sagactl_reads() {
    let services = services();
    let read = variables(&CommandLine::command());
    // Of the system, and of the text that it prints.
    let others = ["TMPDIR", "SAGACTL_INVOKED_AS"];
    for name in ["setup", "sagactl", "audit"] {
        let settings = services[name]["environment"].as_object().unwrap();
        for setting in settings.keys().filter(|setting| !others.contains(&setting.as_str())) {
            assert!(read.contains(setting), "{name}: {setting}");
        }
    }
    let sagactl = &services["sagactl"]["environment"];
    let named = ServiceName::ALL.map(|service| json!(format!("http://{}:9000", service.name())));
    let given = ["ORDERS", "INVENTORY", "PAYMENTS", "NOTIFY"]
        .map(|word| sagactl[format!("{word}_ADMIN_URL")].clone());
    assert_eq!(given, named);
    assert_eq!(sagactl["ORDERS_URL"], "http://order-service:8000");
    assert_eq!(sagactl["PAYMENTS_URL"], "http://payment-service:8000");
    assert_eq!(mounted(&services["sagactl"]), Vec::<String>::new(), "it sees no password");
}

#[test]
fn no_password_stands_in_the_file() {
    for (name, service) in services() {
        let settings = service["environment"].as_object().cloned().unwrap_or_default();
        for (setting, value) in settings {
            let secret = ["PASSWORD", "SECRET", "TOKEN", "API_KEY"]
                .iter()
                .any(|text| setting.contains(text));
            assert!(!secret || setting.ends_with("_FILE"), "{name}: {setting}");
            let url = value.as_str().unwrap_or_default();
            assert!(
                !url.split_once("://").is_some_and(|(_, rest)| rest.contains('@')),
                "{name}: {setting}"
            );
        }
    }
}
