//! Traces: the spans of a session at a collector, and collectors that are of no use.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener as Bound};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::support::{S3Server, Setup};

/// How long a gateway may take to stop, whatever its collector does.
const STOP: Duration = Duration::from_secs(20);

#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Span>>>);

/// A collector in this process; it ends when this is dropped.
struct Collector {
    address: SocketAddr,
    spans: Spans,
    _runtime: Runtime,
}

impl Collector {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("threads for the collector");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let (address, spans) = (listener.local_addr().expect("bound"), Spans::default());
        let router = Router::new().route("/v1/traces", post(take)).with_state(spans.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, spans, _runtime: runtime }
    }

    fn spans(&self) -> Vec<Span> {
        self.spans.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn take(State(spans): State<Spans>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    let received = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    let received = received.flat_map(|scope| scope.spans);
    spans.0.lock().unwrap_or_else(PoisonError::into_inner).extend(received);
}

fn traced(address: SocketAddr) -> Setup {
    Setup::default().env("BUCKETPORT_TRACES__OTLP_ENDPOINT", &format!("http://{address}"))
}

fn attributes(span: &Span) -> HashMap<&str, String> {
    let shown = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = span
        .attributes
        .iter()
        .filter_map(|pair| Some((pair.key.as_str(), shown(pair.value.as_ref()?.value.as_ref()?))));
    pairs.collect()
}

/// The only span of this name with this attribute.
#[track_caller]
fn only<'s>(spans: &'s [Span], name: &str, (key, value): (&str, &str)) -> &'s Span {
    let found = |span: &&Span| span.name == name && attributes(span).get(key).is_some_and(|v| v == value);
    let found: Vec<&Span> = spans.iter().filter(found).collect();
    assert_eq!(found.len(), 1, "{name} {key}={value} in {spans:#?}");
    found[0]
}

#[test]
fn an_upload_is_a_request_in_a_transfer_in_a_command_in_a_session() {
    let (collector, server) = (Collector::start(), S3Server::start());
    let gateway = traced(collector.address).s3(&server).start();
    let mut raw = gateway.login();
    raw.stor("report.csv", b"12345");
    raw.refused("RETR missing", 550);
    raw.expect("QUIT", 221);
    gateway.wait_for_log("session ends");
    // What has not been sent yet is sent at the end.
    gateway.signal(Signal::SIGTERM);
    assert!(gateway.ended(STOP).success());

    let spans = collector.spans();
    let session = only(&spans, "session", ("user", "demo"));
    let command = only(&spans, "command", ("verb", "STOR"));
    let transfer = only(&spans, "transfer", ("path", "/report.csv"));
    let request = only(&spans, "store request", ("operation", "put"));
    assert!(session.parent_span_id.is_empty());
    for (inner, outer) in [(command, session), (transfer, command), (request, transfer)] {
        assert_eq!(inner.parent_span_id, outer.span_id, "{} in {}", inner.name, outer.name);
        assert_eq!(inner.trace_id, session.trace_id);
        assert!(outer.start_time_unix_nano <= inner.start_time_unix_nano, "{}", inner.name);
        assert!(inner.end_time_unix_nano <= outer.end_time_unix_nano, "{}", inner.name);
    }
    let of = |span, key: &str| attributes(span).get(key).cloned().unwrap_or_default();
    assert_eq!(of(session, "id"), "1");
    assert!(of(session, "peer").starts_with("127.0.0.1:"));
    let about = ["direction", "user", "store", "bytes", "result"].map(|key| of(transfer, key));
    assert_eq!(about, ["upload", "demo", "main", "5", "ok"]);
    assert_eq!((of(request, "store"), of(request, "outcome")), ("main".to_owned(), "ok".to_owned()));
    assert_eq!(of(only(&spans, "transfer", ("path", "/missing")), "result"), "rejected");
    // Passwords are nobody's business, and lines of the log are no events.
    assert!(!format!("{spans:?}").contains("secret"), "{spans:#?}");
    assert!(spans.iter().all(|span| span.events.is_empty()), "{spans:#?}");
    // The log is what it is without traces.
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("transfer ended")).expect("the transfer's line");
    assert!(line.contains("session{id=1 "), "{line}");
    assert!(!log.contains("command{") && !log.contains("transfer{") && !log.contains("request{"), "{log}");
}

/// Whether `inner` is below `outer`.
fn is_in(spans: &[Span], inner: &Span, outer: &Span) -> bool {
    let parent = spans.iter().find(|span| span.span_id == inner.parent_span_id);
    inner.parent_span_id == outer.span_id || parent.is_some_and(|parent| is_in(spans, parent, outer))
}

#[test]
fn what_other_tasks_ask_of_the_store_is_in_the_transfer() {
    let (collector, server) = (Collector::start(), S3Server::start());
    let gateway = traced(collector.address).transfer("part_size = \"5MiB\"").s3(&server).start();
    let mut raw = gateway.login();
    let large = vec![b'x'; 12 << 20];
    raw.stor("large.bin", &large);
    assert_eq!(raw.retr("large.bin"), large);
    raw.expect("QUIT", 221);
    gateway.wait_for_log("session ends");
    gateway.signal(Signal::SIGTERM);
    assert!(gateway.ended(STOP).success());

    let spans = collector.spans();
    for (direction, operations) in [
        ("upload", ["create_multipart", "put_part", "complete_multipart", "put", "delete"].as_slice()),
        ("download", &["get"]),
    ] {
        let transfer = only(&spans, "transfer", ("direction", direction));
        for operation in operations {
            let is_one = |span: &&Span| attributes(span).get("operation").is_some_and(|o| o == operation);
            let requests: Vec<&Span> = spans.iter().filter(is_one).collect();
            assert!(!requests.is_empty(), "{operation} in {spans:#?}");
            for request in requests {
                assert!(is_in(&spans, request, transfer), "{request:#?}");
                assert!(request.end_time_unix_nano <= transfer.end_time_unix_nano, "{request:#?}");
            }
        }
    }
}

#[test]
fn sessions_that_are_not_sampled_are_not_sent() {
    let collector = Collector::start();
    let json = "format = \"json\"\nlevel = \"info\"";
    let gateway = traced(collector.address).env("BUCKETPORT_TRACES__SAMPLE_RATIO", "0.0").log(json).start();
    gateway.login().stor("x", b"12345");
    gateway.signal(Signal::SIGTERM);
    assert!(gateway.ended(STOP).success());
    assert_eq!(collector.spans(), []);
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("transfer ended")).expect("the transfer's line");
    assert!(line.contains("\"span\":{\"id\":1,"), "{line}");
}

#[test]
fn a_collector_that_does_not_answer_holds_up_nothing() {
    // Bound and never accepted from.
    let silent = Bound::bind("127.0.0.1:0").expect("a free port");
    let gateway = traced(silent.local_addr().expect("bound")).start();
    let begun = Instant::now();
    let mut raw = gateway.login();
    // More than the queue holds, and all of them at once.
    for _ in 0..6000 {
        raw.send("NOOP");
    }
    for _ in 0..6000 {
        raw.reply_is(200);
    }
    raw.stor("x", b"12345");
    assert_eq!(gateway.file("x"), b"12345");
    gateway.wait_for_log("traces not delivered, and dropped");
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    gateway.signal(Signal::SIGTERM);
    assert!(gateway.ended(STOP).success());
    // Once a minute, although several batches were not taken.
    assert_eq!(gateway.log().matches("traces not delivered").count(), 1, "{}", gateway.log());
}
