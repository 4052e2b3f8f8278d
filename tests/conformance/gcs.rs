//! Google Cloud Storage in this process: the XML API as `object_store` speaks it, and what of the JSON API
//! `unftp-sbe-gcs` speaks, behind the same faults as the S3 servers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum::serve::ListenerExt;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, SecondsFormat, Utc};
use md5::{Digest, Md5};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::server::{BUCKET, Call, Faults, after, answer, before, percent_decode};

/// Google refuses smaller parts, except the last.
const SMALLEST_PART: usize = 5 * 1024 * 1024;
const METADATA: &str = "x-goog-meta-";
const UPLOADS: &str = "/upload/storage/v1/b/";
const ITEMS: &str = "/storage/v1/b/";

/// A running server; dropping it ends it.
pub(crate) struct GcsServer {
    address: SocketAddr,
    bucket: GcsBucket,
    pub(crate) faults: Arc<Faults>,
    _serving: AbortOnDropHandle<()>,
}

/// One bucket in memory; clones share it.
#[derive(Clone, Default)]
struct GcsBucket(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    objects: BTreeMap<String, Stored>,
    uploads: BTreeMap<String, Open>,
    /// The last generation or upload that was made.
    last: u64,
    /// Requests whose body broke off.
    broken: usize,
}

#[derive(Clone)]
struct Stored {
    bytes: Bytes,
    /// None of an object of several parts.
    md5: Option<[u8; 16]>,
    generation: u64,
    modified: DateTime<Utc>,
    metadata: HeaderMap,
}

/// A multipart upload.
struct Open {
    parts: BTreeMap<u32, Bytes>,
    metadata: HeaderMap,
}

impl GcsServer {
    pub(crate) async fn start() -> Self {
        let (bucket, faults) = (GcsBucket::default(), Arc::<Faults>::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let listener = listener.tap_io(|connection| {
            connection.set_nodelay(true).expect("a TCP socket");
            connection.set_zero_linger().expect("a TCP socket");
        });
        let router = Router::new().fallback(handle).with_state((bucket.clone(), Arc::clone(&faults)));
        let serving =
            tokio::spawn(async move { axum::serve(listener, router).await.expect("serves until dropped") });
        Self { address, bucket, faults, _serving: AbortOnDropHandle::new(serving) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Multipart uploads that are neither completed nor aborted.
    pub(crate) fn open_uploads(&self) -> usize {
        self.bucket.contents().uploads.len()
    }

    /// Requests whose body did not end in order.
    pub(crate) fn broken_bodies(&self) -> usize {
        self.bucket.contents().broken
    }
}

async fn handle(
    State((bucket, faults)): State<(GcsBucket, Arc<Faults>)>,
    request: Request,
) -> Response<Body> {
    let call = classify(&request);
    let fault = faults.next(call);
    let request = match before(fault.as_ref(), request).await {
        Ok(request) => request,
        Err(response) => return response,
    };
    let response = serve(&bucket, call, request).await;
    after(fault, response.unwrap_or_else(|(code, body)| answer(code, body))).await
}

fn classify(request: &Request) -> Call {
    let path = request.uri().path();
    let query = Query::of(request);
    match *request.method() {
        Method::POST if path.starts_with(UPLOADS) => Call::Stream,
        Method::GET if path.starts_with(ITEMS) => Call::Item,
        Method::HEAD => Call::Head,
        Method::GET if query.get("list-type").is_some() => Call::List,
        Method::GET => Call::Get,
        Method::PUT if query.get("partNumber").is_some() => Call::PutPart,
        Method::PUT if request.headers().contains_key("x-goog-copy-source") => Call::Copy,
        Method::PUT => Call::Put,
        Method::POST if query.get("uploads").is_some() => Call::CreateMultipart,
        Method::POST if query.get("uploadId").is_some() => Call::CompleteMultipart,
        Method::DELETE if query.get("uploadId").is_some() => Call::AbortMultipart,
        Method::DELETE => Call::Delete,
        _ => panic!("a request that nobody expects: {request:?}"),
    }
}

struct Query(BTreeMap<String, String>);

impl Query {
    fn of(request: &Request) -> Self {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        Self(url::form_urlencoded::parse(query).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

type Served = Result<Response<Body>, (u16, &'static str)>;

const NO_SUCH_KEY: (u16, &str) = (404, "<Error><Code>NoSuchKey</Code></Error>");
const NO_SUCH_UPLOAD: (u16, &str) = (404, "<Error><Code>NoSuchUpload</Code></Error>");
const PRECONDITION: (u16, &str) = (412, "<Error><Code>PreconditionFailed</Code></Error>");
const INVALID: (u16, &str) = (400, "<Error><Code>InvalidArgument</Code></Error>");

async fn serve(bucket: &GcsBucket, call: Call, request: Request) -> Served {
    let query = Query::of(&request);
    let path = request.uri().path();
    let key = match call {
        Call::Stream => query.get("name").unwrap_or_default().to_owned(),
        Call::Item => percent_decode(path.strip_prefix(&format!("{ITEMS}{BUCKET}/o/")).ok_or(NO_SUCH_KEY)?),
        _ => percent_decode(path.strip_prefix(&format!("/{BUCKET}")).ok_or(NO_SUCH_KEY)?)
            .trim_start_matches('/')
            .to_owned(),
    };
    let headers = request.headers().clone();
    // A body that ends early is an error here, and then nothing is stored.
    let body = to_bytes(request.into_body(), usize::MAX).await;
    let mut contents = bucket.contents();
    contents.broken += usize::from(body.is_err());
    let body = body.map_err(|_| INVALID)?;
    match call {
        Call::Stream => {
            contents.put(&key, body, HeaderMap::new());
            Ok(json(&contents.item(&key)?))
        }
        Call::Item => Ok(json(&contents.item(&key)?)),
        Call::Head | Call::Get => contents.get(&key, &headers),
        Call::List => Ok(xml(contents.list(&query))),
        Call::Put => {
            contents.require_generation(&key, &headers)?;
            let stored = contents.put(&key, body, metadata(&headers));
            Ok(described(stored).body(Body::empty()).expect("plain headers"))
        }
        Call::Copy => {
            contents.require_generation(&key, &headers)?;
            let source = headers["x-goog-copy-source"].to_str().map(percent_decode).map_err(|_| INVALID)?;
            let source = source.strip_prefix(&format!("{BUCKET}/")).ok_or(NO_SUCH_KEY)?;
            let Stored { bytes, md5, metadata, .. } =
                contents.objects.get(source).cloned().ok_or(NO_SUCH_KEY)?;
            contents.put(&key, bytes, metadata).md5 = md5;
            Ok(xml("<CopyObjectResult/>".to_owned()))
        }
        Call::Delete => {
            contents.objects.remove(&key).ok_or(NO_SUCH_KEY)?;
            Ok(answer(204, ""))
        }
        Call::CreateMultipart => {
            contents.last += 1;
            let id = format!("upload-{}", contents.last);
            let open = Open { parts: BTreeMap::new(), metadata: metadata(&headers) };
            contents.uploads.insert(id.clone(), open);
            let result = format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            );
            Ok(xml(result))
        }
        Call::PutPart => {
            let number = query.get("partNumber").and_then(|number| number.parse().ok()).ok_or(INVALID)?;
            let open = contents.uploads.get_mut(query.get("uploadId").unwrap_or_default());
            open.ok_or(NO_SUCH_UPLOAD)?.parts.insert(number, body);
            let part = Response::builder().header(header::ETAG, format!("\"part-{number}\""));
            Ok(part.body(Body::empty()).expect("plain headers"))
        }
        Call::CompleteMultipart => {
            let stored = contents.complete(&key, query.get("uploadId").unwrap_or_default(), &body)?;
            let result = format!(
                "<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>",
                escaped(&stored.etag())
            );
            Ok(xml(result))
        }
        Call::AbortMultipart => {
            let id = query.get("uploadId").unwrap_or_default();
            contents.uploads.remove(id).map(|_| answer(204, "")).ok_or(NO_SUCH_UPLOAD)
        }
    }
}

impl GcsBucket {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().expect("no test panics while it holds the lock")
    }
}

impl Contents {
    fn put(&mut self, key: &str, bytes: Bytes, metadata: HeaderMap) -> &mut Stored {
        self.last += 1;
        let md5 = Some(Md5::digest(&bytes).into());
        let stored = Stored { bytes, md5, generation: self.last, modified: Utc::now(), metadata };
        self.objects.insert(key.to_owned(), stored);
        self.objects.get_mut(key).expect("just put there")
    }

    /// `x-goog-if-generation-match`; 0 is none.
    fn require_generation(&self, key: &str, headers: &HeaderMap) -> Result<(), (u16, &'static str)> {
        let wanted = headers.get("x-goog-if-generation-match").and_then(|wanted| wanted.to_str().ok());
        let there = self.objects.get(key).map_or(0, |stored| stored.generation);
        if wanted.is_some_and(|wanted| wanted != there.to_string()) { Err(PRECONDITION) } else { Ok(()) }
    }

    fn get(&self, key: &str, headers: &HeaderMap) -> Served {
        let stored = self.objects.get(key).ok_or(NO_SUCH_KEY)?;
        let bare = |etag: &str| etag.trim_matches('"').to_owned();
        let wanted = headers.get(header::IF_MATCH).and_then(|wanted| wanted.to_str().ok());
        if wanted.is_some_and(|wanted| bare(wanted) != bare(&stored.etag())) {
            return Err(PRECONDITION);
        }
        let mut response = described(stored);
        for (name, value) in &stored.metadata {
            response = response.header(name, value);
        }
        let size = stored.bytes.len();
        let mut bytes = stored.bytes.clone();
        let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes="));
        if let Some((from, to)) = range.and_then(|range| range.split_once('-')) {
            let from = from.parse().map_err(|_| INVALID)?;
            let to = to.parse().map_or(size, |last: usize| size.min(last + 1));
            if from >= size {
                return Err((416, "<Error><Code>InvalidRange</Code></Error>"));
            }
            bytes = bytes.slice(from..to);
            response = response
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, format!("bytes {from}-{}/{size}", to - 1));
        }
        Ok(response.header(header::CONTENT_LENGTH, bytes.len()).body(bytes.into()).expect("plain headers"))
    }

    /// `GET /bucket?list-type=2`.
    fn list(&self, query: &Query) -> String {
        let prefix = query.get("prefix").unwrap_or_default();
        let limit = query.get("max-keys").and_then(|limit| limit.parse().ok()).unwrap_or(1000).min(1000);
        let after = query.get("continuation-token").or(query.get("start-after")).unwrap_or_default();
        let (mut entries, mut count, mut last) = (String::new(), 0, String::new());
        let mut token = String::new();
        let keys = self.objects.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        for (key, stored) in keys.filter(|(key, _)| key.starts_with(prefix)) {
            let group = query.get("delimiter").and_then(|delimiter| {
                let end = prefix.len() + key[prefix.len()..].find(delimiter)? + delimiter.len();
                Some(&key[..end])
            });
            // A page that ended with a group resumes behind all of it.
            if group.is_some_and(|group| group == last || group == after) {
                continue;
            }
            if count == limit {
                token = format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(&last));
                break;
            }
            count += 1;
            group.unwrap_or(key).clone_into(&mut last);
            let entry = match group {
                Some(group) => {
                    format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escaped(group))
                }
                None => format!(
                    "<Contents><Key>{}</Key><Size>{}</Size><LastModified>{}</LastModified><ETag>{}</ETag></Contents>",
                    escaped(key),
                    stored.bytes.len(),
                    stored.modified.to_rfc3339_opts(SecondsFormat::Millis, true),
                    escaped(&stored.etag()),
                ),
            };
            entries.push_str(&entry);
        }
        format!("<ListBucketResult>{token}{entries}</ListBucketResult>")
    }

    fn complete(&mut self, key: &str, id: &str, body: &[u8]) -> Result<&Stored, (u16, &'static str)> {
        let open = self.uploads.get(id).ok_or(NO_SUCH_UPLOAD)?;
        let body = std::str::from_utf8(body).map_err(|_| INVALID)?;
        let named = body
            .split("<PartNumber>")
            .skip(1)
            .map(|rest| rest.split('<').next().and_then(|number| number.parse().ok()).ok_or(INVALID));
        let named = named.collect::<Result<Vec<u32>, _>>()?;
        let mut bytes = BytesMut::new();
        for (index, number) in named.iter().enumerate() {
            let part = open.parts.get(number).ok_or((400, "<Error><Code>InvalidPart</Code></Error>"))?;
            if part.len() < SMALLEST_PART && index + 1 < named.len() {
                return Err((400, "<Error><Code>EntityTooSmall</Code></Error>"));
            }
            bytes.extend_from_slice(part);
        }
        let metadata = self.uploads.remove(id).expect("just found").metadata;
        let stored = self.put(key, bytes.freeze(), metadata);
        stored.md5 = None;
        Ok(stored)
    }

    /// What the JSON API says of an object.
    fn item(&self, key: &str) -> Result<serde_json::Value, (u16, &'static str)> {
        let stored = self.objects.get(key).ok_or(NO_SUCH_KEY)?;
        let mut item = serde_json::json!({
            "name": key,
            "size": stored.bytes.len().to_string(),
            "updated": stored.modified.to_rfc3339_opts(SecondsFormat::Millis, true),
        });
        if let Some(md5) = stored.md5 {
            item["md5Hash"] = BASE64_STANDARD.encode(md5).into();
        }
        Ok(item)
    }
}

impl Stored {
    fn etag(&self) -> String {
        match self.md5 {
            Some(md5) => format!("\"{:032x}\"", u128::from_be_bytes(md5)),
            None => format!("\"parts-{}\"", self.generation),
        }
    }
}

fn described(stored: &Stored) -> axum::http::response::Builder {
    Response::builder()
        .header(header::ETAG, stored.etag())
        .header(header::LAST_MODIFIED, stored.modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .header("x-goog-generation", stored.generation)
}

fn metadata(headers: &HeaderMap) -> HeaderMap {
    let own = headers.iter().filter(|(name, _)| name.as_str().starts_with(METADATA));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn xml(body: String) -> Response<Body> {
    Response::new(body.into())
}

fn json(body: &serde_json::Value) -> Response<Body> {
    let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
    response.body(body.to_string().into()).expect("plain headers")
}

fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        c if c.is_control() => format!("&#{};", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}
