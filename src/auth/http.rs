//! Asks a service over HTTP who may log in: a question in JSON, answered by a user or by a refusal.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand::SystemRandom;
use moka::sync::Cache;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::caller::Caller;
use super::granted::{Answer, Granted};
use super::secret_file;
use crate::config::{ConfigError, ConfigErrors, HttpAuth, UserSource};
use crate::tls::ClientCertificate;

/// Bytes of an answer; a user takes some hundred.
const LONGEST_ANSWER: usize = 64 * 1024;
/// Answers that are kept at one time.
const MOST_KEPT: u64 = 10_000;

/// The users of `[auth.http]`.
#[derive(Debug)]
pub(super) struct HttpUsers {
    config: HttpAuth,
    client: Client,
    kept: Kept,
}

#[derive(Serialize)]
struct Question<'a> {
    user: &'a str,
    password: &'a str,
    address: String,
    tls: Option<TlsFacts>,
}

#[derive(Serialize)]
struct TlsFacts {
    version: String,
    /// As the configuration writes them.
    client_certificate: Vec<String>,
}

impl HttpUsers {
    pub(super) fn new(config: HttpAuth) -> Result<Self, ConfigErrors> {
        if let Some(file) = &config.bearer_token_file {
            secret_file::read_now(file)
                .map_err(|error| ConfigError::new("auth.http.bearer_token_file", error))?;
        }
        // The service is asked itself and nobody else: no proxy and no other place gets to see a password.
        let client = Client::builder().no_proxy().redirect(redirect::Policy::none());
        // Whoever asks gives up in time, which ends the request.
        let client = client.build();
        let client = client
            .map_err(|error| ConfigError::new("auth.http", format!("{:#}", anyhow::Error::from(error))))?;
        let kept = Kept::new(&config)?;
        Ok(Self { config, client, kept })
    }

    /// What was answered to this question before, if that still holds. It does not wait.
    pub(super) fn kept(
        &self,
        name: &str,
        password: &SecretString,
        caller: Caller<'_>,
    ) -> Option<Arc<Granted>> {
        self.kept.answers.as_ref()?;
        self.kept.get(&self.kept.key(&question(name, password, caller).ok()?))
    }

    pub(super) async fn ask(&self, name: &str, password: &SecretString, caller: Caller<'_>) -> Answer {
        let question = question(name, password, caller)?;
        let key = self.kept.key(&question);
        // It may have been answered to another connection while this one waited for its turn.
        if let Some(granted) = self.kept.get(&key) {
            return Ok(Some(granted));
        }
        let mut request = self.client.post(self.config.url.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(file) = &self.config.bearer_token_file {
            request = request.header(AUTHORIZATION, bearer(file.clone()).await?);
        }
        let response = request.body(question).send().await.map_err(shown)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(None),
            status => return Err(format!("the answer was {status}")),
        }
        let answer = bounded(response).await?;
        let answered = self.config.schema.read_json(name, &answer);
        let answered = answered.map_err(|errors| format!("the user in the answer is not valid: {errors}"))?;
        let granted = Granted::new(name, answered, UserSource::Http);
        self.kept.keep(key, &granted);
        Ok(Some(granted))
    }
}

fn question(name: &str, password: &SecretString, caller: Caller<'_>) -> Result<Vec<u8>, String> {
    let question = Question {
        user: name,
        password: password.expose_secret(),
        address: caller.address.to_canonical().to_string(),
        tls: caller.tls_version.map(|version| TlsFacts {
            version: version.replace('_', "."),
            client_certificate: names(caller),
        }),
    };
    serde_json::to_vec(&question).map_err(|error| error.to_string())
}

/// The names in the certificate, while it is valid.
fn names(caller: Caller<'_>) -> Vec<String> {
    let valid = caller.certificate.filter(|certificate| !certificate.is_expired());
    valid.into_iter().flat_map(ClientCertificate::names).map(ToString::to_string).collect()
}

async fn bearer(file: PathBuf) -> Result<HeaderValue, String> {
    let token = secret_file::read(file).await?;
    let value = HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
    let mut value = value.map_err(|_| "the bearer token is not text for a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

async fn bounded(mut response: Response) -> Result<Vec<u8>, String> {
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(shown)? {
        if answer.len() + chunk.len() > LONGEST_ANSWER {
            return Err(format!("the answer is longer than {LONGEST_ANSWER} bytes"));
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer)
}

/// With its causes, and without the URL, which is in the configuration and may hold a key.
fn shown(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::from(error.without_url()))
}

/// Positive answers, for as long as they hold. Wrong passwords are asked about each time, so that a new one works at once.
struct Kept {
    answers: Option<Cache<[u8; 32], Arc<Granted>>>,
    /// So that what is in memory tells nothing of passwords to who has not this as well.
    key: hmac::Key,
}

impl Kept {
    fn new(config: &HttpAuth) -> Result<Self, ConfigErrors> {
        let answers = (!config.cache.is_zero())
            .then(|| Cache::builder().max_capacity(MOST_KEPT).time_to_live(config.cache).build());
        let key = hmac::Key::generate(HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| ConfigError::new("auth.http", "the system gives no random numbers"))?;
        Ok(Self { answers, key })
    }

    /// Of the whole question, so that an answer counts for the same password, address and certificate only.
    fn key(&self, question: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.key, question);
        tag.as_ref().try_into().expect("HMAC with SHA-256 has 32 bytes")
    }

    fn get(&self, key: &[u8; 32]) -> Option<Arc<Granted>> {
        self.answers.as_ref()?.get(key)
    }

    fn keep(&self, key: [u8; 32], granted: &Arc<Granted>) {
        if let Some(answers) = &self.answers {
            answers.insert(key, Arc::clone(granted));
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}
