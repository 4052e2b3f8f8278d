//! The admin token: who has shown it, in a header or with the cookie that signing in gives.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::http::{HeaderMap, HeaderValue, header};
use chrono::Utc;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::config::read_admin_token;

const COOKIE: &str = "bucketport_status";
/// How long a person stays signed in.
const SIGNED_IN: Duration = Duration::from_hours(12);
/// How long a wrong token waits for its answer.
const WRONG: Duration = Duration::from_secs(1);
/// How long after a wrong token the next one is weighed, whoever shows it and over whichever connection. Who sees no answer at
/// once knows that a token was wrong and can go on over another connection: it is this that bounds guesses.
const AFTER_WRONG: Duration = Duration::from_millis(50);
/// How long a token may wait to be weighed. If all connections that there may be show wrong ones, the last one waits for less.
const TURN: Duration = Duration::from_secs(8);
/// A file on a network that hangs must not hold a request.
const READ: Duration = Duration::from_secs(5);

/// The token in a file, which is read each time that somebody shows one: what is in the file counts from then on.
#[derive(Debug)]
pub(super) struct AdminToken {
    file: PathBuf,
    /// When the next token may be weighed. Those who show one wait for each other here, in the order in which they came.
    next: Mutex<Instant>,
}

/// So many wrong tokens are shown that this one was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// What a request has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Nothing,
    /// A token that is not the one.
    Wrong,
    /// The token, in a header, which no other site can make a browser send.
    Token,
    /// The cookie.
    Cookie,
}

impl AdminToken {
    pub(super) fn new(file: PathBuf) -> Self {
        Self { file, next: Mutex::new(Instant::now()) }
    }

    /// What these headers show. A wrong token takes a second.
    pub(super) async fn shown(&self, headers: &HeaderMap) -> Result<Shown, Busy> {
        match headers.get(header::AUTHORIZATION) {
            Some(value) if self.is(bearer(value)).await? => Ok(Shown::Token),
            Some(_) => Ok(Shown::Wrong),
            None => Ok(self.signed_in(headers).await),
        }
    }

    /// Whether these headers, which have shown the token, still do. That is no guess and waits for nobody.
    pub(super) async fn holds(&self, headers: &HeaderMap) -> bool {
        match headers.get(header::AUTHORIZATION) {
            Some(value) => self.equals(bearer(value)).await,
            None => self.signed_in(headers).await == Shown::Cookie,
        }
    }

    async fn signed_in(&self, headers: &HeaderMap) -> Shown {
        let Some(cookie) = cookie(headers) else { return Shown::Nothing };
        // One that has expired, or was made with a token from before, is no attempt to guess anything.
        match self.read().await {
            Some(token) if is_signed(&token, cookie) => Shown::Cookie,
            Some(_) | None => Shown::Nothing,
        }
    }

    /// Whether this is the token. If not, that takes a second, and a moment of all others who show one.
    pub(super) async fn is(&self, given: &str) -> Result<bool, Busy> {
        let right = timeout(TURN, self.weighed(given)).await.map_err(|_| Busy)?;
        if !right {
            sleep(WRONG).await;
        }
        Ok(right)
    }

    /// Who goes before this tells has learned nothing, and who goes later has used up the moment.
    async fn weighed(&self, given: &str) -> bool {
        let mut next = self.next.lock().await;
        sleep_until(*next).await;
        let right = self.equals(given).await;
        if !right {
            *next = Instant::now() + AFTER_WRONG;
        }
        right
    }

    async fn equals(&self, given: &str) -> bool {
        let token = self.read().await;
        token.is_some_and(|token| token.expose_secret().as_bytes().ct_eq(given.as_bytes()).into())
    }

    /// The `Set-Cookie` of somebody who has shown the token. It does not hold the token.
    pub(super) async fn sign_in(&self) -> Option<String> {
        let token = self.read().await?;
        let expires = Utc::now().timestamp() + i64::try_from(SIGNED_IN.as_secs()).unwrap_or(i64::MAX);
        let tag = hex(hmac::sign(&key(&token), message(expires).as_bytes()).as_ref());
        Some(format!(
            "{COOKIE}={expires}.{tag}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict",
            SIGNED_IN.as_secs()
        ))
    }

    /// The `Set-Cookie` that takes it back.
    pub(super) fn sign_out() -> String {
        format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict")
    }

    /// None while the file has no token, which is logged: then nobody is let in.
    async fn read(&self) -> Option<SecretString> {
        let file = self.file.clone();
        let reading = tokio::task::spawn_blocking(move || read_admin_token(&file));
        let problem = match timeout(READ, reading).await {
            Ok(Ok(Ok(token))) => return Some(token),
            Ok(Ok(Err(error))) => error,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "reading it takes too long".to_owned(),
        };
        tracing::warn!(error = problem, "no admin token");
        None
    }
}

/// Whether a request that comes with the cookie was made by our own page: a cookie is sent for other ports of this host as well,
/// but browsers say who asks whenever something is to be changed. Behind a proxy that does not pass on `Host` only
/// `Sec-Fetch-Site` tells, which no script can set; some browsers leave it out where there is no TLS.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let origin = text("origin").and_then(|origin| Some(origin.split_once("://")?.1));
    origin.is_some() && origin == text("host")
}

/// The token in an `Authorization`; empty, which no token is, if there is none.
fn bearer(authorization: &HeaderValue) -> &str {
    let parts = authorization.to_str().ok().and_then(|value| value.split_once(' '));
    parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map_or("", |(_, token)| token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    pairs.flat_map(|value| value.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then_some(value)
    })
}

fn is_signed(token: &SecretString, cookie: &str) -> bool {
    let parsed = cookie.split_once('.').and_then(|(expires, tag)| Some((expires.parse().ok()?, unhex(tag)?)));
    let Some((expires, tag)) = parsed else { return false };
    hmac::verify(&key(token), message(expires).as_bytes(), &tag).is_ok() && Utc::now().timestamp() < expires
}

fn key(token: &SecretString) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, token.expose_secret().as_bytes())
}

fn message(expires: i64) -> String {
    format!("bucketport status until {expires}")
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    if text.len().is_multiple_of(2) { text.as_bytes().chunks(2).map(pair).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::join_all;

    use super::*;

    fn token(text: &str) -> (tempfile::NamedTempFile, AdminToken) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("a writable file");
        let token = AdminToken::new(file.path().to_owned());
        (file, token)
    }

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header's value"))])
    }

    #[tokio::test]
    async fn the_cookie_holds_no_token_and_ends_with_it() {
        let (file, token) = token("0123456789abcdef\n");
        let set = token.sign_in().await.expect("a token");
        assert!(!set.contains("0123456789abcdef") && set.contains("HttpOnly; SameSite=Strict"), "{set}");
        let value = set.split(';').next().expect("a pair");
        assert_eq!(token.shown(&with(header::COOKIE, &format!("a=b; {value}"))).await, Ok(Shown::Cookie));
        let (expires, tag) = value.split_once('.').expect("two parts");
        let later = expires.replace("bucketport_status=", "bucketport_status=9");
        for forged in [format!("{later}.{tag}"), format!("{expires}.00"), format!("{expires}.")] {
            assert_eq!(token.shown(&with(header::COOKIE, &forged)).await, Ok(Shown::Nothing), "{forged}");
        }
        std::fs::write(file.path(), "another-token-of-ours").expect("a writable file");
        assert_eq!(token.shown(&with(header::COOKIE, value)).await, Ok(Shown::Nothing));
    }

    #[test]
    fn a_cookie_ends_after_its_time() {
        let token = SecretString::from("0123456789abcdef");
        let signed = |expires: i64| {
            format!("{expires}.{}", hex(hmac::sign(&key(&token), message(expires).as_bytes()).as_ref()))
        };
        let now = Utc::now().timestamp();
        assert!(is_signed(&token, &signed(now + 60)));
        assert!(!is_signed(&token, &signed(now - 1)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_file_counts_as_it_is_and_wrong_tokens_take_their_time() {
        let (file, token) = token("0123456789abcdef");
        let bearer = with(header::AUTHORIZATION, "Bearer 0123456789abcdef");
        assert_eq!(token.shown(&bearer).await, Ok(Shown::Token));
        assert_eq!(token.shown(&HeaderMap::new()).await, Ok(Shown::Nothing));
        for wrong in ["Bearer 0123456789abcdeF", "Bearer ", "Basic 0123456789abcdef", "0123456789abcdef"] {
            assert_eq!(token.shown(&with(header::AUTHORIZATION, wrong)).await, Ok(Shown::Wrong), "{wrong}");
        }
        std::fs::write(file.path(), "").expect("a writable file");
        let begun = tokio::time::Instant::now();
        assert_eq!(token.shown(&bearer).await, Ok(Shown::Wrong));
        assert!(begun.elapsed() >= WRONG);
    }

    /// Who gets no answer at once knows enough, and need not stay for it.
    #[tokio::test(start_paused = true)]
    async fn who_goes_on_over_another_connection_guesses_no_faster() {
        let (_file, token) = token("0123456789abcdef");
        let begun = Instant::now();
        for _ in 0..2 {
            assert_eq!(token.is("0123456789abcdef").await, Ok(true));
        }
        assert!(begun.elapsed() < AFTER_WRONG, "who has the token waits for nothing");
        let wrong =
            || timeout(AFTER_WRONG / 2, token.is("guessed")).map(|answered| assert!(answered.is_err()));
        wrong().await;
        assert_eq!(token.is("0123456789abcdef").await, Ok(true));
        assert!(begun.elapsed() >= AFTER_WRONG);
        // Over many connections at once, and who comes after them has a turn as well.
        let begun = Instant::now();
        let guesses = (0..30).map(|_| token.is("guessed"));
        let (guesses, right) = tokio::join!(join_all(guesses), async {
            let right = token.is("0123456789abcdef").await;
            (right, begun.elapsed())
        });
        assert!(guesses.iter().all(|guess| *guess == Ok(false)));
        assert_eq!(right.0, Ok(true));
        assert!((30 * AFTER_WRONG..31 * AFTER_WRONG).contains(&right.1), "{:?}", right.1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_does_not_come_is_told() {
        let (_file, token) = token("0123456789abcdef");
        let others = token.next.lock().await;
        assert_eq!(token.is("0123456789abcdef").await, Err(Busy));
        drop(others);
        assert_eq!(token.is("0123456789abcdef").await, Ok(true));
    }

    #[test]
    fn only_our_own_origin_is_the_same() {
        for (origin, host, same) in [
            (Some("http://gate:8080"), "gate:8080", true),
            (Some("https://gate"), "gate", true),
            (Some("http://gate:3000"), "gate:8080", false),
            (Some("http://evil"), "gate:8080", false),
            (Some("null"), "gate:8080", false),
            (None, "gate:8080", false),
        ] {
            let mut headers = with(header::HOST, host);
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().expect("a header's value"));
            }
            assert_eq!(is_same_origin(&headers), same, "{origin:?}");
        }
    }
}
