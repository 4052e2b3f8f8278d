//! A webhook: one HTTP request for each event, and what its answer means.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use chrono::Utc;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

use crate::config::WebhookConfig;

/// When the request was made, in seconds since 1970, which the signature covers.
const TIMESTAMP: &str = "x-bucketport-timestamp";
const SIGNATURE: &str = "x-bucketport-signature";

/// How much of an answer's body is read, so that its connection can be used again.
const LARGEST_ANSWER: usize = 64 << 10;
/// An unused connection is kept for so long.
const IDLE: Duration = Duration::from_secs(20);
/// A key or token is not longer than this.
const LARGEST_SECRET: u64 = 64 << 10;

/// Takes events over HTTP.
#[derive(Debug)]
pub(super) struct Webhook {
    client: Client,
    config: WebhookConfig,
}

/// Why an event was not taken. The words hold no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The endpoint has said so.
    #[error("answered {0}")]
    Refused(u16),
    /// There was no connection to the endpoint.
    #[error("{0}")]
    Unreached(String),
    /// There was one, but no answer.
    #[error("{0}")]
    Unanswered(String),
    /// It took longer than `timeout`, the reading of the files included.
    #[error("no answer in time")]
    Late,
    /// The key or the token cannot be had.
    #[error("{0}")]
    Secret(String),
}

impl Webhook {
    /// Fails if there is no TLS to be had.
    pub(super) fn new(config: WebhookConfig) -> Result<Self, reqwest::Error> {
        // Semantics decision: where events go is in the configuration alone. A redirect is a failure, and proxies that the
        // environment names are not used.
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("bucketport/", env!("CARGO_PKG_VERSION")));
        Ok(Self { client: client.build()?, config })
    }

    /// Posts `body` once, within the timeout. Only an answer of 200 to 299 says that it was taken.
    pub(super) async fn deliver(&self, body: Bytes) -> Result<(), Failure> {
        let until = Instant::now() + self.config.timeout;
        let mut answer = timeout_at(until, self.post(body)).await.map_err(|_| Failure::Late)??;
        let status = answer.status();
        let reading = async {
            let mut read = 0;
            while let Ok(Some(piece)) = answer.chunk().await {
                read += piece.len();
                if read > LARGEST_ANSWER {
                    break;
                }
            }
        };
        // What it says matters to nobody, nor whether all of it comes in time.
        let _ = timeout_at(until, reading).await;
        if status.is_success() { Ok(()) } else { Err(Failure::Refused(status.as_u16())) }
    }

    async fn post(&self, body: Bytes) -> Result<Response, Failure> {
        let headers = self.headers(&body).await?;
        let url: Url = self.config.url.clone();
        self.client.post(url).headers(headers).body(body).send().await.map_err(failed)
    }

    /// The files are read each time, so that they can be replaced while the gateway runs.
    async fn headers(&self, body: &[u8]) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json"));
        if let Some(file) = &self.config.bearer_token_file {
            let token = read(file).await?;
            let token = std::str::from_utf8(token.expose_secret()).unwrap_or_default();
            let shown = SecretString::from(format!("Bearer {token}"));
            let value = HeaderValue::from_str(shown.expose_secret());
            let mut value = value.map_err(|_| unusable(file, "is no token"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if let Some(file) = &self.config.secret_file {
            let timestamp = Utc::now().timestamp();
            let signature = sign(read(file).await?.expose_secret(), timestamp, body);
            headers.insert(TIMESTAMP, timestamp.into());
            let signature = HeaderValue::from_str(&signature).map_err(|_| unusable(file, "is no key"))?;
            headers.insert(SIGNATURE, signature);
        }
        Ok(headers)
    }
}

/// `sha256=` and the HMAC-SHA256 of the timestamp, a full stop and the body.
fn sign(key: &[u8], timestamp: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(format!("{timestamp}.").as_bytes());
    context.update(body);
    let mut text = "sha256=".to_owned();
    for byte in context.sign().as_ref() {
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text
}

/// What is in the file, without a line end.
async fn read(file: &Path) -> Result<SecretSlice<u8>, Failure> {
    let failed = |error: std::io::Error| unusable(file, &format!("cannot be read: {error}"));
    let mut content = Vec::new();
    let opened = tokio::fs::File::open(file).await.map_err(failed)?;
    opened.take(LARGEST_SECRET + 1).read_to_end(&mut content).await.map_err(failed)?;
    if content.len() as u64 > LARGEST_SECRET {
        return Err(unusable(file, "is too long"));
    }
    content.truncate(content.trim_ascii_end().len());
    if content.is_empty() { Err(unusable(file, "is empty")) } else { Ok(content.into()) }
}

fn unusable(file: &Path, why: &str) -> Failure {
    Failure::Secret(format!("{} {why}", file.display()))
}

/// The URL, which may hold a secret, is not in it.
fn failed(error: reqwest::Error) -> Failure {
    let connecting = error.is_connect() && !error.is_timeout();
    let error = error.without_url();
    let mut words = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        words = format!("{words}: {inner}");
        source = inner.source();
    }
    if connecting { Failure::Unreached(words) } else { Failure::Unanswered(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked out with OpenSSL: `printf '1700000000.{"id":1}' | openssl dgst -sha256 -hmac 'key'`.
    #[test]
    fn the_signature_is_that_of_others() {
        let signature = sign(b"key", 1_700_000_000, br#"{"id":1}"#);
        assert_eq!(signature, "sha256=1d542af0cd7355fefa5c19021ad89d3e2afd77ebff5448db280f180e013d2651");
    }

    #[tokio::test]
    async fn a_file_loses_its_line_end() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "key\r\n").expect("writable");
        assert_eq!(read(file.path()).await.expect("a key").expose_secret(), b"key");
        std::fs::write(file.path(), "\n").expect("writable");
        assert!(read(file.path()).await.is_err());
    }

    /// A length that is asked for before says nothing: `/dev/zero` has none.
    #[tokio::test]
    async fn a_file_without_an_end_is_a_failure() {
        let endless = read(Path::new("/dev/zero")).await.expect_err("too long").to_string();
        assert_eq!(endless, "/dev/zero is too long");
    }
}
