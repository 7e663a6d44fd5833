//! Each server of a stack does what it is there for.

use devstack::{
    ServerSource, ServerStack, SilentProgress, StackPart, TestWait, WantedParts, database, shared,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::kafka::Topic;

#[tokio::test]
async fn kafka_gives_back_what_it_was_given() {
    let topic = Topic::new(&shared().await.urls().brokers).await;
    topic.say(&["one", "two", "three"]).await;
    assert_eq!(topic.hear(3).await, ["one", "two", "three"]);
}

#[tokio::test]
async fn postgres_is_version_18_and_counts_statements() {
    let mut connection = PgConnection::connect(&database("version").await).await.unwrap();
    let query = "SELECT current_setting('server_version_num')::int, current_setting('max_connections')::int";
    let row = sqlx::query(query).fetch_one(&mut connection).await.unwrap();
    assert_eq!(row.get::<i32, _>(0) / 10_000, 18);
    assert_eq!(row.get::<i32, _>(1), 400);
    sqlx::query("CREATE EXTENSION pg_stat_statements").execute(&mut connection).await.unwrap();
    let query = "SELECT count(*) FROM pg_stat_statements";
    let counted: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await.unwrap();
    assert!(counted > 0);
}

#[tokio::test]
async fn each_test_has_an_empty_database_of_its_own() {
    let [one, other] = [database("same name").await, database("same name").await];
    assert_ne!(one, other);
    let mut one = PgConnection::connect(&one).await.unwrap();
    sqlx::query("CREATE TABLE mine ()").execute(&mut one).await.unwrap();
    let mut other = PgConnection::connect(&other).await.unwrap();
    let query = "SELECT to_regclass('mine') IS NULL";
    let absent: bool = sqlx::query_scalar(query).fetch_one(&mut other).await.unwrap();
    assert!(absent);
}

#[tokio::test]
async fn the_registry_keeps_a_schema_under_confluents_api() {
    let registry = &shared().await.urls().registry;
    let subject = format!("{}value", devstack::unique_prefix());
    let schema = json!({"type": "record", "name": "Told", "fields": []}).to_string();
    let answer = client()
        .post(format!("{registry}/subjects/{subject}/versions"))
        .json(&json!({ "schema": schema }))
        .send()
        .await
        .unwrap();
    let answer: Value = answer.error_for_status().unwrap().json().await.unwrap();
    let id = answer["id"].as_u64().unwrap();
    let answer = client().get(format!("{registry}/schemas/ids/{id}")).send().await.unwrap();
    let kept: Value = answer.error_for_status().unwrap().json().await.unwrap();
    let kept: Value = serde_json::from_str(kept["schema"].as_str().unwrap()).unwrap();
    assert_eq!(kept["name"], "Told");
}

#[tokio::test]
async fn what_is_mailed_can_be_read() {
    let urls = shared().await.urls();
    let reader = format!("{}reader@example.org", devstack::unique_prefix());
    mail(&urls.smtp, &reader).await;
    let mut patience = TestWait::until("the mail is there");
    let found = loop {
        let search = client().get(format!("{}/api/v1/search", urls.mail_api));
        let found = search.query(&[("query", format!("to:{reader}"))]).send().await.unwrap();
        let found: Value = found.error_for_status().unwrap().json().await.unwrap();
        if found["messages_count"] != 0 {
            break found;
        }
        patience.look_again("nothing").await;
    };
    assert_eq!(found["messages_count"], 1);
    assert_eq!(found["messages"][0]["Subject"], "Heard");
}

#[tokio::test]
async fn the_mail_servers_page_has_its_script_and_says_the_version_of_the_image() {
    let wanted = WantedParts::of(&[StackPart::Mail]).forgetful();
    let stack = ServerStack::start(ServerSource::Native, wanted, &SilentProgress).await.unwrap();
    let api = &stack.urls().mail_api;
    let text = async |url: String| {
        let answer = client().get(url).send().await.unwrap();
        answer.error_for_status().unwrap().text().await.unwrap()
    };
    let page = text(format!("{api}/")).await;
    let (_, script) = page.split_once("src=\"").unwrap();
    let (script, _) = script.split_once('"').unwrap();
    let script = text(format!("{api}{script}")).await;
    assert!(script.contains("api/v1/messages"), "{script}");
    // The plain page stands in only where there is no npm: it has a few lines.
    let has = |program| std::process::Command::new(program).arg("--version").output().is_ok();
    assert!(script.len() > 100_000 || !(has("node") && has("npm")), "the plain page");
    let (_, version) = page.split_once("data-version=\"").unwrap();
    let compose = include_str!("../../../../docker-compose.yml");
    let (version, _) = version.split_once('"').unwrap();
    assert!(compose.contains(&format!("image: axllent/mailpit:{version}\n")), "{version}");
    stack.stop().await;
}

#[tokio::test]
async fn a_server_that_dies_is_reported_and_keeps_its_log_where_it_was_wanted() {
    let logs = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = listener.local_addr().unwrap().port();
    let wanted = WantedParts::of(&[StackPart::Mail])
        .forgetful()
        .near(&[(StackPart::Mail, taken)])
        .logging_to(logs.path().to_owned());
    let stack = ServerStack::start(ServerSource::Native, wanted, &SilentProgress).await.unwrap();
    let moved = stack.moved().await;
    assert_eq!((moved[0].part, moved[0].taken), (StackPart::Mail, taken));
    assert_eq!(moved[0].address, stack.urls().mail_api);
    assert_eq!(stack.ended().await, []);
    let [(_, root)] = stack.process_trees().await[..] else { panic!("one server was wanted") };
    let children = std::fs::read_to_string(format!("/proc/{root}/task/{root}/children")).unwrap();
    // Its supervisor starts the server first.
    let server: i32 = children.split_whitespace().next().unwrap().parse().unwrap();
    kill(Pid::from_raw(server), Signal::SIGKILL).unwrap();
    let mut patience = TestWait::until("its end is seen");
    let ended = loop {
        match stack.ended().await.pop() {
            Some(ended) => break ended,
            None => patience.look_again("it lives").await,
        }
    };
    assert_eq!((ended.part, ended.status.as_str()), (StackPart::Mail, "signal 9 (SIGKILL)"));
    assert_eq!(ended.log, logs.path().join("mail.log"));
    stack.start_part(StackPart::Mail).await.unwrap();
    assert_eq!(stack.ended().await, []);
    stack.stop().await;
    assert!(logs.path().join("mail.log").exists(), "it stays");
}

#[tokio::test]
async fn the_ui_lists_the_topics_and_shows_the_records_of_one() {
    let stack = shared().await;
    let topic = Topic::new(&stack.urls().brokers).await;
    topic.say(&["a record to be seen"]).await;
    let ui = stack.start_ui(&SilentProgress).await.unwrap();
    let link = format!("topics/{}/", topic.name());
    // It has its own limit for the broker's answer, which a broker that stands still may miss.
    let mut patience = TestWait::until("the topic is listed");
    loop {
        let index = client().get(&ui).send().await.unwrap();
        let status = index.status();
        if index.text().await.unwrap().contains(&link) {
            break;
        }
        patience.look_again(status).await;
    }
    let page = client().get(format!("{ui}{link}")).send().await.unwrap();
    let page = page.error_for_status().unwrap().text().await.unwrap();
    assert!(page.contains(&format!("{link}ws")), "{page}");
}

/// Speaks SMTP by hand.
async fn mail(server: &str, reader: &str) {
    let stream = BufReader::new(TcpStream::connect(server).await.unwrap());
    let mut answers = stream.lines();
    let to = format!("RCPT TO:<{reader}>\r\n");
    let body =
        format!("From: t@example.org\r\nTo: {reader}\r\nSubject: Heard\r\n\r\nSo it is.\r\n.\r\n");
    let talk = [
        ("220", "HELO localhost\r\n"),
        ("250", "MAIL FROM:<t@example.org>\r\n"),
        ("250", &to),
        ("250", "DATA\r\n"),
        ("354", &body),
        ("250", "QUIT\r\n"),
    ];
    for (expected, line) in talk {
        let answer = answers.next_line().await.unwrap().unwrap();
        assert!(answer.starts_with(expected), "{answer}");
        answers.get_mut().write_all(line.as_bytes()).await.unwrap();
    }
    assert!(answers.next_line().await.unwrap().unwrap().starts_with("221"));
}

fn client() -> reqwest::Client {
    // The second test to come here finds it installed.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::new()
}
