//! The admin token: who has shown it, in a header or with the cookie that signing in gives.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::http::{HeaderMap, header};
use chrono::Utc;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::time::{sleep, timeout};

use crate::config::read_admin_token;

const COOKIE: &str = "bucketport_status";
/// How long a person stays signed in.
const SIGNED_IN: Duration = Duration::from_hours(12);
/// How long a wrong token waits for its answer. With the bound on connections, this bounds guesses.
const WRONG: Duration = Duration::from_secs(1);
/// A file on a network that hangs must not hold a request.
const READ: Duration = Duration::from_secs(5);

/// The token in a file, which is read each time that somebody shows one: what is in the file counts from then on.
#[derive(Debug)]
pub(super) struct AdminToken {
    file: PathBuf,
}

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
        Self { file }
    }

    /// What these headers show. A wrong token takes a second.
    pub(super) async fn shown(&self, headers: &HeaderMap) -> Shown {
        let shown = self.weighed(headers).await;
        if shown == Shown::Wrong {
            sleep(WRONG).await;
        }
        shown
    }

    /// Whether these headers, which have shown the token, still do.
    pub(super) async fn holds(&self, headers: &HeaderMap) -> bool {
        matches!(self.weighed(headers).await, Shown::Token | Shown::Cookie)
    }

    async fn weighed(&self, headers: &HeaderMap) -> Shown {
        if let Some(authorization) = headers.get(header::AUTHORIZATION) {
            let bearer = authorization.to_str().ok().and_then(|value| {
                let (scheme, token) = value.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
            });
            return match bearer {
                Some(given) if self.equals(given).await => Shown::Token,
                Some(_) | None => Shown::Wrong,
            };
        }
        let Some(cookie) = cookie(headers) else { return Shown::Nothing };
        // One that has expired, or was made with a token from before, is no attempt to guess anything.
        match self.read().await {
            Some(token) if is_signed(&token, cookie) => Shown::Cookie,
            Some(_) | None => Shown::Nothing,
        }
    }

    /// Whether this is the token. If not, that takes a second.
    pub(super) async fn is(&self, given: &str) -> bool {
        let right = self.equals(given).await;
        if !right {
            sleep(WRONG).await;
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
        assert_eq!(token.shown(&with(header::COOKIE, &format!("a=b; {value}"))).await, Shown::Cookie);
        let (expires, tag) = value.split_once('.').expect("two parts");
        let later = expires.replace("bucketport_status=", "bucketport_status=9");
        for forged in [format!("{later}.{tag}"), format!("{expires}.00"), format!("{expires}.")] {
            assert_eq!(token.shown(&with(header::COOKIE, &forged)).await, Shown::Nothing, "{forged}");
        }
        std::fs::write(file.path(), "another-token-of-ours").expect("a writable file");
        assert_eq!(token.shown(&with(header::COOKIE, value)).await, Shown::Nothing);
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
        assert_eq!(token.shown(&bearer).await, Shown::Token);
        assert_eq!(token.shown(&HeaderMap::new()).await, Shown::Nothing);
        for wrong in ["Bearer 0123456789abcdeF", "Bearer ", "Basic 0123456789abcdef", "0123456789abcdef"] {
            assert_eq!(token.shown(&with(header::AUTHORIZATION, wrong)).await, Shown::Wrong, "{wrong}");
        }
        std::fs::write(file.path(), "").expect("a writable file");
        let begun = tokio::time::Instant::now();
        assert_eq!(token.shown(&bearer).await, Shown::Wrong);
        assert!(begun.elapsed() >= WRONG);
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
