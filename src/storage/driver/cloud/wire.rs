//! What stands between `object_store` and HTTP. `object_store` believes a status, fails a whole page for one key, tries
//! again what cannot succeed, and keeps from its caller what the store said. So every answer is looked at here first.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, GetOptions};
use tokio::time::sleep;

use super::credentials::{self, Silence};
use super::page::{Dialect, Page};
use super::xml;
use crate::storage::answer::{Answer, Meaning};

/// The longest answer that says no, or says that it is done, which is read.
const LONGEST_ANSWER: usize = 64 * 1024;
/// The longest page of a listing: 1,000 keys of 1,024 bytes, each byte written as `&#xff;`, and what stands around them.
const LONGEST_PAGE: usize = 8 * 1024 * 1024;
/// Between the tries of a request that another one is in the way of; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// Stand for what an answer lacks and `object_store` insists on.
const NO_TIME: &str = "Thu, 01 Jan 1970 00:00:00 GMT";
const NO_SIZE: &str = "0";

/// Makes the HTTP clients of a store.
#[derive(Debug, Default)]
pub(in crate::storage) struct Wire(ReqwestConnector);

impl HttpConnector for Wire {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Checked { client: self.0.connect(options)?, silence: Silence::default() }))
    }
}

/// What the store has not said of an object; `object_store` was given something in its place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unsaid {
    pub(super) size: bool,
    pub(super) modified: bool,
    pub(super) version: bool,
}

/// Goes along with a request for an object, so that no other one is taken for it: tokens, too, are asked for with GET.
#[derive(Clone, Copy, Debug)]
struct ForObject;

/// How to ask for an object.
pub(super) fn for_object() -> GetOptions {
    let mut options = GetOptions::default();
    options.extensions.insert(ForObject);
    options
}

/// A client whose answers are looked at.
#[derive(Debug)]
struct Checked {
    client: HttpClient,
    /// Of the services that it asks for credentials.
    silence: Silence,
}

#[async_trait]
impl HttpService for Checked {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if let Some(service) = credentials::service(&request) {
            return self.silence.ask(&self.client, service, request).await;
        }
        let asked = Asked::of(&request);
        let mut pause = FIRST_PAUSE;
        loop {
            match self.ask(asked, request.clone()).await {
                // `object_store` would take it for a name that is taken.
                Err(Failure::Answered(answer))
                    if answer.meaning() == Meaning::Conflict && pause <= LAST_PAUSE =>
                {
                    sleep(pause).await;
                    pause *= 2;
                }
                answered => return answered.map_err(HttpError::from),
            }
        }
    }
}

/// Why there is no answer that says yes.
enum Failure {
    Answered(Answer),
    Http(HttpError),
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

impl From<Failure> for HttpError {
    /// `object_store` tries again after an error of one kind, and hands on what is behind the others at once.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Answered(answer) if answer.meaning() == Meaning::Busy => {
                Self::new(HttpErrorKind::Request, answer)
            }
            Failure::Answered(answer) => Self::new(HttpErrorKind::Unknown, answer),
            Failure::Http(error) => error,
        }
    }
}

impl Checked {
    async fn ask(&self, asked: Asked, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let response = self.client.execute(request).await?;
        if !response.status().is_success() {
            return refused(asked, response).await;
        }
        match asked.what {
            What::Listing(dialect) => listed(dialect, response).await,
            What::Change => done(response).await,
            What::Object => complete(response),
            What::Other => Ok(response),
        }
    }
}

/// What a request asks for, as far as its answer is to be looked at.
#[derive(Clone, Copy, Debug)]
struct Asked {
    what: What,
    /// Whether it was to be done under a condition only.
    conditional: bool,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// A page of keys.
    Listing(Dialect),
    /// A copy, a delete, or that a multipart upload becomes an object.
    Change,
    /// An object, or what the store says of it.
    Object,
    Other,
}

impl Asked {
    fn of(request: &HttpRequest) -> Self {
        let has = |name: &str| request.headers().contains_key(name);
        let query: Vec<_> = request.uri().query().unwrap_or_default().split('&').collect();
        let asks = |pair: &str| query.contains(&pair);
        let names = |name: &str| query.iter().any(|pair| pair.split('=').next() == Some(name));
        let what = match request.method().as_str() {
            "GET" if asks("list-type=2") => What::Listing(Dialect::S3),
            "GET" if asks("comp=list") => What::Listing(Dialect::Azure),
            "GET" | "HEAD" if request.extensions().get::<ForObject>().is_some() => What::Object,
            "PUT" if has("x-amz-copy-source") || has("x-goog-copy-source") || has("x-ms-copy-source") => {
                What::Change
            }
            "POST" if names("uploadId") => What::Change,
            "DELETE" => What::Change,
            _ => What::Other,
        };
        let conditional = ["if-none-match", "if-match", "x-goog-if-generation-match"].into_iter().any(has);
        Self { what, conditional }
    }
}

/// What an answer that says no is for `object_store`.
async fn refused(asked: Asked, response: HttpResponse) -> Result<HttpResponse, Failure> {
    let status = response.status().as_u16();
    if (300..400).contains(&status) {
        return Ok(response);
    }
    let named = ["x-ms-error-code", "x-minio-error-code", "x-amz-error-code"];
    let named = named.into_iter().find_map(|name| response.headers().get(name)?.to_str().ok());
    let named = named.unwrap_or_default().to_owned();
    let (parts, body) = response.into_parts();
    // Its beginning is long enough for any error.
    let body = read(body, LONGEST_ANSWER).await?;
    let (code, message) = xml::error(&body).unwrap_or((named, String::new()));
    let answer = Answer::new(status, &code, &message);
    // `object_store` knows these: nothing is there, and a condition does not hold.
    let understood = match status {
        404 | 412 => answer.meaning() != Meaning::NoBucket,
        409 => asked.conditional && answer.meaning() == Meaning::Exists,
        _ => false,
    };
    if understood { Ok(HttpResponse::from_parts(parts, body.into())) } else { Err(Failure::Answered(answer)) }
}

/// The answer to a listing; its page goes along as an extension. `object_store` itself would fail for one key that it
/// cannot name or one time that it cannot read, and does not tell that a page was cut short.
async fn listed(dialect: Dialect, response: HttpResponse) -> Result<HttpResponse, Failure> {
    let (mut parts, body) = response.into_parts();
    let body = whole(body, LONGEST_PAGE).await?;
    no_error(parts.status.as_u16(), &body)?;
    if xml::root(&body).as_deref() != Some(dialect.root()) {
        let unreadable = Unreadable("it is no listing".to_owned());
        return Err(HttpError::new(HttpErrorKind::Decode, unreadable).into());
    }
    let page = Page::parse(dialect, &body)
        .map_err(|error| HttpError::new(HttpErrorKind::Decode, Unreadable(error.to_string())))?;
    parts.extensions.insert(page);
    Ok(HttpResponse::from_parts(parts, Bytes::from_static(dialect.empty_page()).into()))
}

/// That something is done. `object_store` takes it for an error if a name in it has `InternalError` or `SlowDown` in it, so
/// it gets no names.
async fn done(response: HttpResponse) -> Result<HttpResponse, Failure> {
    let pending = response.headers().get("x-ms-copy-status").is_some_and(|status| status != "success");
    if pending {
        // Azure copies within an account before it answers; whatever this is, it is not a copy yet.
        return Err(Failure::Answered(Answer::new(response.status().as_u16(), "CopyPending", "")));
    }
    let (parts, body) = response.into_parts();
    let body = whole(body, LONGEST_ANSWER).await?;
    no_error(parts.status.as_u16(), &body)?;
    let body = xml::without_names(&body).unwrap_or(body);
    Ok(HttpResponse::from_parts(parts, body.into()))
}

/// Fails if `body` is an error: an answer of 200 can hold one.
fn no_error(status: u16, body: &[u8]) -> Result<(), Failure> {
    match xml::error(body) {
        Some((code, message)) => Err(Failure::Answered(Answer::new(status, &code, &message))),
        None => Ok(()),
    }
}

/// `response` with what it lacks of an object's facts, and a note of that.
fn complete(mut response: HttpResponse) -> Result<HttpResponse, Failure> {
    let mut unsaid = Unsaid::default();
    let headers = response.headers_mut();
    // Who says neither speaks of no object, whatever the status.
    if !headers.contains_key("etag") && !headers.contains_key("last-modified") {
        return Err(Failure::Answered(Answer::new(
            response.status().as_u16(),
            "",
            "it says nothing of an object",
        )));
    }
    // `object_store` fails for a header that is not ASCII, and with it everything that concerns the object.
    let unreadable: Vec<_> =
        headers.iter().filter(|(_, value)| value.to_str().is_err()).map(|(name, _)| name.clone()).collect();
    for name in unreadable {
        headers.remove(name);
    }
    let readable = headers.get("last-modified").and_then(|time| time.to_str().ok());
    if readable.is_none_or(|time| chrono::DateTime::parse_from_rfc2822(time).is_err()) {
        unsaid.modified = true;
        headers.insert("last-modified", NO_TIME.parse().expect("plain text"));
    }
    if !headers.contains_key("etag") {
        unsaid.version = true;
        // Another one each time: `object_store` goes on with a body that broke where the etag is the same.
        headers.insert("etag", rand::random::<u64>().into());
    }
    if !headers.contains_key("content-length") {
        // A range says the whole size elsewhere.
        unsaid.size = !headers.contains_key("content-range");
        headers.insert("content-length", NO_SIZE.parse().expect("plain text"));
    }
    response.extensions_mut().insert(unsaid);
    Ok(response)
}

/// An answer that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the store's answer cannot be read: {0}")]
struct Unreadable(String);

/// All of `body`, which may have up to `limit` bytes.
async fn whole(body: HttpResponseBody, limit: usize) -> Result<Bytes, HttpError> {
    let bytes = read(body, limit).await?;
    if bytes.len() > limit {
        let long = Unreadable(format!("it is longer than {limit} bytes"));
        return Err(HttpError::new(HttpErrorKind::Decode, long));
    }
    Ok(bytes)
}

/// The bytes of `body` up to `limit`, and then to the end of a piece.
async fn read(body: HttpResponseBody, limit: usize) -> Result<Bytes, HttpError> {
    let mut pieces = body.bytes_stream();
    let mut bytes = BytesMut::new();
    while bytes.len() <= limit
        && let Some(piece) = pieces.next().await
    {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes.freeze())
}
