use std::time::Duration;

use axum::routing::get;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
};

use super::*;

/// As long as a machine may stand still: for what the test does not mean to come to its limit.
const PATIENCE: Duration = Duration::from_mins(5);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = bind("test", "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Limits that no client comes to by being slow.
fn patient() -> HttpSettings {
    HttpSettings {
        request_limit: PATIENCE,
        header_limit: PATIENCE,
        idle_limit: PATIENCE,
        write_limit: PATIENCE,
        stop_limit: PATIENCE,
        ..HttpSettings::default()
    }
}

/// The same for all but a request's head.
fn hasty() -> HttpSettings {
    HttpSettings { header_limit: Duration::from_millis(200), ..patient() }
}

/// Serves while the test talks to the server; then stops it.
async fn serving<T>(
    settings: HttpSettings,
    router: Router,
    talk: impl AsyncFnOnce(SocketAddr, CancellationToken) -> T,
) -> T {
    let (listener, address) = listener().await;
    let stop = CancellationToken::new();
    let talk = async {
        let said = tokio::time::timeout(PATIENCE, talk(address, stop.clone())).await.unwrap();
        stop.cancel();
        said
    };
    let (served, said) = tokio::join!(serve(listener, router, settings, stop.clone()), talk);
    served.unwrap();
    said
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(REQUEST).await.unwrap();
    answer(stream).await
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "it hung up: {answer:?}");
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_hung_up_on() {
    serving(hasty(), hello(), async |address, _stop| {
        let mut slow = TcpStream::connect(address).await.unwrap();
        // Its limit may be over before it has said anything: then it is hung up on with a reset.
        drop(slow.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nx-slow: ").await);
        drop(slow.read_to_end(&mut Vec::new()).await);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_drips_its_head_is_hung_up_on_all_the_same() {
    serving(hasty(), hello(), async |address, _stop| {
        let (mut reads, mut writes) = TcpStream::connect(address).await.unwrap().into_split();
        drop(writes.write_all(b"GET / HTTP/1.1\r\n").await);
        let mut rest = Vec::new();
        let hung_up = reads.read_to_end(&mut rest);
        let drips = async {
            let mut drop = tokio::time::interval(Duration::from_millis(10));
            while writes.write_all(b"x-drop: 1\r\n").await.is_ok() {
                drop.tick().await;
            }
        };
        tokio::select! {
            _ = hung_up => (),
            () = drips => (),
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_never_ends_its_body_is_answered_and_hung_up_on() {
    let limits = HttpSettings { request_limit: Duration::from_millis(200), ..patient() };
    let echo = Router::new().route("/", axum::routing::post(async |_body: String| "hello"));
    serving(limits.clone(), crate::http::finish(echo, &limits), async |address, _stop| {
        let mut slow = TcpStream::connect(address).await.unwrap();
        let head = b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n{";
        slow.write_all(head).await.unwrap();
        let mut answer = String::new();
        slow.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("/problems/timeout"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn more_connections_than_there_is_room_for_wait_their_turn() {
    let one = HttpSettings { connections_max: 1, ..patient() };
    serving(one, hello(), async |address, _stop| {
        let mut first = TcpStream::connect(address).await.unwrap();
        ask(&mut first).await;
        let mut second = TcpStream::connect(address).await.unwrap();
        second.write_all(REQUEST).await.unwrap();
        // The first one is still served, the second one when the limit allows it.
        ask(&mut first).await;
        drop(first);
        answer(&mut second).await;
    })
    .await;
}

#[tokio::test]
async fn a_server_that_stops_finishes_what_it_began_and_takes_nothing_new() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (begun, go_on) = (Arc::clone(&begun), Arc::clone(&go_on));
        async move || {
            begun.notify_one();
            go_on.notified().await;
            "hello"
        }
    };
    let router = Router::new().route("/", get(handler));
    serving(patient(), router, async move |address, stop| {
        let mut client = TcpStream::connect(address).await.unwrap();
        let mut idle = TcpStream::connect(address).await.unwrap();
        client.write_all(REQUEST).await.unwrap();
        begun.notified().await;
        stop.cancel();
        // Idle connections are closed; nobody new gets in.
        assert_eq!(idle.read(&mut [0]).await.unwrap_or(0), 0);
        TcpStream::connect(address).await.unwrap_err();
        go_on.notify_one();
        assert!(answer(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
    })
    .await;
}

#[tokio::test]
async fn a_request_that_does_not_end_does_not_keep_the_server_from_stopping() {
    let router = Router::new().route("/", get(std::future::pending::<&'static str>));
    let short = HttpSettings { stop_limit: Duration::from_millis(100), ..patient() };
    serving(short, router, async |address, stop| {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(REQUEST).await.unwrap();
        stop.cancel();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap_or(0)
    })
    .await;
}

#[tokio::test]
async fn a_caller_who_asks_too_often_is_refused_and_told_when_to_come_back() {
    let number = |n| std::num::NonZeroU32::new(n).unwrap();
    let rate = super::super::RateLimit { per_second: number(1), burst: number(3) };
    let limited = HttpSettings { rate: Some(rate), ..patient() };
    let router = super::super::finish(hello(), &limited);
    serving(limited, router, async |address, _stop| {
        // Three hundred requests in one go: however slow the machine is, they do not take five
        // minutes.
        let mut stream = TcpStream::connect(address).await.unwrap();
        let last = b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
        stream.write_all(&[REQUEST.repeat(299), last.to_vec()].concat()).await.unwrap();
        let mut answers = Vec::new();
        stream.read_to_end(&mut answers).await.unwrap();
        let answers = String::from_utf8(answers).unwrap();
        let count = |what: &str| answers.matches(what).count();
        assert!(count("HTTP/1.1 200") >= 3, "{answers}");
        let refused = count("HTTP/1.1 429");
        assert!(refused > 0, "{answers}");
        assert_eq!(count("retry-after: 1\r\n"), refused);
        assert_eq!(count("\"type\":\"/problems/rate-limited\""), refused);
    })
    .await;
}

#[test]
fn idle_connections_outlive_those_of_the_usual_balancers() {
    let limits = HttpSettings::default();
    assert_eq!(limits.idle_limit, Duration::from_secs(75));
    assert_eq!(limits.header_limit, Duration::from_secs(20));
    assert_eq!(limits.write_limit, Duration::from_secs(30));
}

/// Short, but long enough for what the test does before.
const SHORT: Duration = Duration::from_millis(500);

#[tokio::test]
async fn an_idle_connection_is_kept_longer_than_a_head_may_take() {
    serving(hasty(), hello(), async |address, _stop| {
        let mut fresh = TcpStream::connect(address).await.unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        ask(&mut client).await;
        // One after the other: both have been idle for as long as a head may take, and longer.
        for _head in 0..2 {
            let mut slow = TcpStream::connect(address).await.unwrap();
            slow.write_all(&REQUEST[..1]).await.unwrap();
            assert_eq!(slow.read(&mut [0]).await.unwrap_or(0), 0, "its time is over");
        }
        for idle in [&mut fresh, &mut client] {
            ask(idle).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_idle_for_too_long_is_closed_without_a_word() {
    let limits = HttpSettings { idle_limit: SHORT, ..patient() };
    serving(limits, hello(), async |address, _stop| {
        let mut fresh = TcpStream::connect(address).await.unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        ask(&mut client).await;
        for idle in [&mut fresh, &mut client] {
            let mut rest = Vec::new();
            idle.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"");
        }
    })
    .await;
}

#[tokio::test]
async fn a_head_that_has_begun_and_a_request_that_is_worked_on_are_not_idle() {
    let go_on = Arc::new(Notify::new());
    let handler = {
        let go_on = Arc::clone(&go_on);
        async move || {
            go_on.notified().await;
            "hello"
        }
    };
    let limits = HttpSettings { idle_limit: SHORT, ..patient() };
    serving(limits, Router::new().route("/", get(handler)), async move |address, _stop| {
        let mut client = TcpStream::connect(address).await.unwrap();
        let (head, rest) = REQUEST.split_at(1);
        for part in [head, rest] {
            client.write_all(part).await.unwrap();
            // Another one comes to its end in the meantime.
            let mut idle = TcpStream::connect(address).await.unwrap();
            assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
        }
        go_on.notify_one();
        assert!(answer(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
    })
    .await;
}

#[tokio::test]
async fn a_server_that_stops_closes_what_is_idle_after_an_answer_at_once() {
    serving(patient(), hello(), async |address, stop| {
        let mut client = TcpStream::connect(address).await.unwrap();
        ask(&mut client).await;
        stop.cancel();
        assert_eq!(client.read(&mut [0]).await.unwrap_or(0), 0);
    })
    .await;
}

/// More than the buffers of both ends hold.
const MUCH: usize = 64 * 1024 * 1024;

/// A client with a tiny buffer, which has asked.
async fn small(address: SocketAddr, requests: usize) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut client = socket.connect(address).await.unwrap();
    client.write_all(&REQUEST.repeat(requests)).await.unwrap();
    client
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_cut_off_and_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let limits = HttpSettings { write_limit: SHORT, ..patient() };
    let router = Router::new().route("/", get(async || vec![b'x'; MUCH]));
    serving(limits, router, async |address, _stop| {
        let mut deaf = small(address, 3).await;
        // It goes on asking until it is told by a reset.
        while deaf.write_all(REQUEST).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let page = recorder.handle().render();
    assert!(page.contains("http_connections_cut_total{why=\"write\"} 1"), "{page}");
}

#[tokio::test]
async fn a_client_that_reads_slowly_but_reads_is_served_to_the_end() {
    const SOME: usize = 8 * 1024 * 1024;
    // The answer is out of the handler's hands at once, and then longer on its way than a
    // connection may be idle.
    let limits = HttpSettings { idle_limit: Duration::from_millis(20), ..patient() };
    let router = Router::new().route("/", get(async || vec![b'x'; SOME]));
    serving(limits, router, async |address, _stop| {
        let mut slow = small(address, 1).await;
        let (mut read, mut piece) = (0, vec![0; 4_096]);
        while let n @ 1.. = slow.read(&mut piece).await.unwrap() {
            read += n;
        }
        assert!(read > SOME, "{read}");
    })
    .await;
}
