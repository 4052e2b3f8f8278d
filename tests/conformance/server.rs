//! An S3 server in this process: s3s over HTTP on a free port, behind a layer that can make its requests fail.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::response::Parts;
use axum::http::{Method, Response, StatusCode};
use axum::serve::ListenerExt;
use bytes::Bytes;
use futures::stream;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Notify, RwLock};
use tokio_util::task::AbortOnDropHandle;

use crate::flat::FlatBucket;

pub(crate) const BUCKET: &str = "conformance";
pub(crate) const ACCESS_KEY: &str = "conformance-key";
pub(crate) const SECRET_KEY: &str = "conformance-secret";

/// A request, as the faults tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Put,
    Copy,
    CreateMultipart,
    PutPart,
    CompleteMultipart,
    AbortMultipart,
    Get,
    Head,
    List,
    Delete,
    /// GCS: an object in one streaming request.
    Stream,
    /// GCS: what the JSON API says of an object.
    Item,
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It is not done, and this status is the answer.
    Status(u16),
    /// It is not done, and this status and body are the answer.
    Answer(u16, &'static str),
    /// It is not done, and there is no answer.
    Hang,
    /// It is not done, and the connection is reset.
    Reset,
    /// It is done when this has come.
    DoneAfter(Arc<Notify>),
    /// It is done, and the answer waits for this.
    AnswerAfter(Arc<Notify>),
    /// It is done, and this status is the answer, without a body.
    DoneBut(u16),
    /// It is done, and the connection is reset.
    DoneThenReset,
    /// It is done, and the answer is what this makes of it.
    Edited(Edit),
}

/// Makes another answer of the head and the body of one.
pub(crate) type Edit = fn(Parts, &Bytes) -> Response<Body>;

#[derive(Debug)]
struct Rule {
    call: Call,
    /// This many are served before the first that fails.
    skip: usize,
    times: usize,
    fault: Fault,
}

/// The faults that are still to come, and every call that was made.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Mutex<Vec<Rule>>,
    calls: Mutex<Vec<Call>>,
}

impl Faults {
    /// The next `times` calls of this kind, after `skip` that are served, meet `fault`.
    pub(crate) fn add(&self, call: Call, skip: usize, times: usize, fault: Fault) {
        self.rules.lock().expect("not poisoned").push(Rule { call, skip, times, fault });
    }

    /// How many calls of this kind arrived so far, failed ones included.
    pub(crate) fn count(&self, call: Call) -> usize {
        self.calls.lock().expect("not poisoned").iter().filter(|seen| **seen == call).count()
    }

    /// No more faults.
    pub(crate) fn clear(&self) {
        self.rules.lock().expect("not poisoned").clear();
    }

    /// What is to happen to the call that has just arrived.
    pub(crate) fn next(&self, call: Call) -> Option<Fault> {
        self.calls.lock().expect("not poisoned").push(call);
        let mut rules = self.rules.lock().expect("not poisoned");
        let rule = rules.iter_mut().find(|rule| rule.call == call && rule.times > 0)?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        Some(rule.fault.clone())
    }
}

/// Where the server keeps its objects.
enum Backing {
    Folder(TempDir),
    Flat(FlatBucket),
}

/// A running server; dropping it ends it.
pub(crate) struct Server {
    address: SocketAddr,
    backing: Backing,
    pub(crate) faults: Arc<Faults>,
    _serving: AbortOnDropHandle<()>,
}

impl Server {
    /// `s3s-fs`, which keeps a bucket as a folder.
    pub(crate) async fn folder() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("an empty folder");
        let files = s3s_fs::FileSystem::new(folder.path()).expect("a folder");
        let bucket = folder.path().join(BUCKET);
        Self::start(S3ServiceBuilder::new(files), Backing::Folder(folder), Some(bucket)).await
    }

    /// A bucket in memory with flat keys.
    pub(crate) async fn flat() -> Self {
        let bucket = FlatBucket::default();
        Self::start(S3ServiceBuilder::new(bucket.clone()), Backing::Flat(bucket), None).await
    }

    async fn start(mut service: S3ServiceBuilder, backing: Backing, bucket: Option<PathBuf>) -> Self {
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let faults = Arc::<Faults>::default();
        let layer = Layer {
            service: service.build(),
            faults: Arc::clone(&faults),
            bucket,
            writes: Arc::new(RwLock::new(())),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let listener = listener.tap_io(|connection| {
            connection.set_nodelay(true).expect("a TCP socket");
            // When the server closes it, it is reset: a client takes an end in order for a request never sent.
            connection.set_zero_linger().expect("a TCP socket");
        });
        let router = Router::new().fallback(handle).with_state(layer);
        let serving =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("serves until dropped") });
        Self { address, backing, faults, _serving: AbortOnDropHandle::new(serving) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bucket, if its keys are flat.
    pub(crate) fn bucket(&self) -> Option<&FlatBucket> {
        match &self.backing {
            Backing::Flat(bucket) => Some(bucket),
            Backing::Folder(_) => None,
        }
    }

    /// Multipart uploads that are neither completed nor aborted, and parts of which no upload is left.
    pub(crate) fn open_uploads(&self) -> usize {
        match &self.backing {
            Backing::Flat(bucket) => bucket.open_uploads(),
            Backing::Folder(folder) => {
                names(folder.path()).filter(|name| name.starts_with(".upload")).count()
            }
        }
    }
}

fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

#[derive(Clone)]
struct Layer {
    service: S3Service,
    faults: Arc<Faults>,
    /// The folder of `s3s-fs`'s bucket.
    bucket: Option<PathBuf>,
    /// `s3s-fs` writes an object and its etag one after the other; readers must see both or neither.
    writes: Arc<RwLock<()>>,
}

async fn handle(State(layer): State<Layer>, request: Request) -> Response<Body> {
    let call = classify(&request);
    let fault = layer.faults.next(call);
    let request = match before(fault.as_ref(), request).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    if matches!(call, Call::Get | Call::Head) && layer.is_directory(request.uri().path()) {
        return answer(404, "");
    }
    let request = request.map(s3s::Body::http_body_unsync);
    let response = match call {
        Call::Put | Call::Copy | Call::CompleteMultipart | Call::Delete => {
            let _alone = layer.writes.write().await;
            layer.service.call(request).await
        }
        Call::Get | Call::Head => {
            let _with_other_readers = layer.writes.read().await;
            layer.service.call(request).await
        }
        Call::CreateMultipart | Call::PutPart | Call::AbortMultipart | Call::List => {
            layer.service.call(request).await
        }
        Call::Stream | Call::Item => unreachable!("not in S3's protocol"),
    };
    after(fault, response.expect("s3s answers").map(Body::new)).await
}

/// What a fault makes of a request that is not done yet: an answer, or the request, which is to be done.
pub(crate) async fn before(fault: Option<&Fault>, request: Request) -> Result<Request, Response<Body>> {
    match fault {
        // The body is not waited for: a client may still be sending it when it hears.
        Some(Fault::Status(code)) => return Err(answer(*code, "")),
        Some(Fault::Answer(code, body)) => {
            take(request).await;
            return Err(answer(*code, body));
        }
        Some(Fault::Hang) => {
            take(request).await;
            tokio::time::sleep(Duration::from_mins(10)).await;
            return Err(answer(500, ""));
        }
        Some(Fault::Reset) => {
            take(request).await;
            return Err(reset());
        }
        Some(Fault::DoneAfter(go)) => go.notified().await,
        Some(Fault::AnswerAfter(_) | Fault::DoneBut(_) | Fault::DoneThenReset | Fault::Edited(_)) | None => {}
    }
    Ok(request)
}

/// What a fault makes of the answer to a request that was done.
pub(crate) async fn after(fault: Option<Fault>, response: Response<Body>) -> Response<Body> {
    match fault {
        Some(Fault::AnswerAfter(go)) => go.notified().await,
        Some(Fault::DoneBut(code)) => return answer(code, ""),
        Some(Fault::DoneThenReset) => return reset(),
        Some(Fault::Edited(edit)) => {
            let (parts, body) = response.into_parts();
            return edit(parts, &axum::body::to_bytes(body, usize::MAX).await.expect("from memory"));
        }
        // The others were met before it was done.
        Some(Fault::Status(_) | Fault::Answer(..) | Fault::Hang | Fault::Reset | Fault::DoneAfter(_))
        | None => {}
    }
    response
}

impl Layer {
    /// `s3s-fs` takes a directory on its disk for an object.
    fn is_directory(&self, path: &str) -> bool {
        let Some(bucket) = &self.bucket else { return false };
        let path = percent_decode(path);
        let key = path.trim_start_matches('/').strip_prefix(BUCKET).unwrap_or_default();
        bucket.join(key.trim_start_matches('/')).is_dir()
    }
}

pub(crate) fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let encoded = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| first == b'%');
        bytes.push(encoded.unwrap_or(first));
        rest = if encoded.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).expect("keys are UTF-8")
}

fn classify(request: &Request) -> Call {
    let query = request.uri().query().unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match *request.method() {
        Method::HEAD => Call::Head,
        Method::GET if has("list-type") => Call::List,
        Method::GET => Call::Get,
        Method::PUT if has("partNumber") => Call::PutPart,
        Method::PUT if request.headers().contains_key("x-amz-copy-source") => Call::Copy,
        Method::PUT => Call::Put,
        Method::POST if has("uploads") => Call::CreateMultipart,
        Method::POST if has("uploadId") => Call::CompleteMultipart,
        Method::POST if has("delete") => Call::Delete,
        Method::DELETE if has("uploadId") => Call::AbortMultipart,
        Method::DELETE => Call::Delete,
        _ => panic!("a request that nobody expects: {request:?}"),
    }
}

/// Takes the body, so that the client has sent everything.
pub(crate) async fn take(request: Request) {
    let _ = axum::body::to_bytes(request.into_body(), usize::MAX).await;
}

pub(crate) fn answer(code: u16, body: &'static str) -> Response<Body> {
    let status = StatusCode::from_u16(code).expect("a status code");
    Response::builder().status(status).body(Body::from(body)).expect("a plain answer")
}

/// A body that fails at once: the connection is closed before the head of the answer is sent.
pub(crate) fn reset() -> Response<Body> {
    let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    Response::new(Body::from_stream(stream::iter([Err::<Bytes, _>(lost)])))
}
