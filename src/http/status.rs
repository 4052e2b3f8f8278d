//! `/status`, `/status.json` and `/status/events`: the gateway for those who look on, and signing in to see more.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{AppendHeaders, IntoResponse, Response};
use futures::{StreamExt, stream};
use rand::distr::{Alphanumeric, SampleString};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::access;
use super::observer::Sight;
use super::page::{self, Account};
use super::server::{LONGEST, Peer};
use super::shared::Shared;
use super::token::AdminToken;

/// How often a page is kept up to date.
const PERIOD: Duration = Duration::from_secs(1);
/// A stream ends before its connection does, in order; browsers make another.
const LONGEST_STREAM: Duration = LONGEST.saturating_sub(Duration::from_secs(20));
/// What may be sent to sign in, and how long that may take.
const LARGEST_FORM: usize = 4096;
const FORM: Duration = Duration::from_secs(10);
/// The query with which the page says that a token was wrong.
const REFUSED: &str = "refused";

/// The page.
pub(super) async fn page(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Response> {
    let sight = access::sight(&shared, &headers, &peer).await?;
    let account = match (&shared.token, sight) {
        (None, _) => Account::Unavailable,
        (Some(_), Sight::Details) => Account::SignedIn,
        (Some(_), Sight::Numbers) if query.as_deref() == Some(REFUSED) => Account::Refused,
        (Some(_), Sight::Numbers) => Account::SignedOut,
    };
    let nonce = Alphanumeric.sample_string(&mut rand::rng(), 22);
    let look = shared.observer.look();
    let page = page::whole(&look.shown(sight).html, account, &nonce).into_string();
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        // Not `no-referrer`: browsers then say that a form comes from nowhere.
        (header::REFERRER_POLICY, "same-origin".to_owned()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, page))
}

/// The same as data.
pub(super) async fn json(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let sight = access::sight(&shared, &headers, &peer).await?;
    Ok(access::json(StatusCode::OK, &shared.observer.look().shown(sight).report))
}

/// The page's content each second, as JSON's text. It ends when what was shown for it is no token any more.
pub(super) async fn events(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let sight = access::sight(&shared, &headers, &peer).await?;
    let Some(place) = shared.streams.take(sight) else {
        let wait = [(header::RETRY_AFTER, "10")];
        return Ok((StatusCode::SERVICE_UNAVAILABLE, wait, "too many look on\n").into_response());
    };
    let shutdown = shared.observer.shutdown.clone();
    let end = async move {
        tokio::select! {
            () = shutdown.stopping() => {}
            () = sleep(LONGEST_STREAM) => {}
        }
    };
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let held = (place, peer.keep());
    let looks = stream::unfold(
        (ticks, shared, headers, held),
        move |(mut ticks, shared, headers, held)| async move {
            ticks.tick().await;
            if !access::still_has(&shared, &headers, sight).await {
                return None;
            }
            let event = Event::default().data(&shared.observer.look().shown(sight).event);
            Some((Ok::<_, Infallible>(event), (ticks, shared, headers, held)))
        },
    );
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((headers, Sse::new(looks.take_until(Box::pin(end)))).into_response())
}

/// Signs a person in who gives the token.
pub(super) async fn sign_in(
    State(shared): State<Shared>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Result<Response, StatusCode> {
    let token = shared.token.as_ref().ok_or(StatusCode::NOT_FOUND)?;
    let form = timeout(FORM, to_bytes(body, LARGEST_FORM)).await.map_err(|_| StatusCode::REQUEST_TIMEOUT)?;
    let form = form.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    let given = url::form_urlencoded::parse(&form).find(|(name, _)| name == "token").map(|(_, value)| value);
    let right = match token.is(given.as_deref().unwrap_or_default().trim()).await {
        Ok(right) => right,
        Err(busy) => return Ok(access::busy(busy)),
    };
    if !right {
        tracing::warn!(peer = %peer.address(), "wrong admin token");
        return Ok(to_page(&format!("?{REFUSED}"), None));
    }
    let cookie = token.sign_in().await.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    tracing::info!(peer = %peer.address(), "signed in to the status page");
    Ok(to_page("", Some(cookie)))
}

/// Takes back what signing in gave.
pub(super) async fn sign_out() -> Response {
    to_page("", Some(AdminToken::sign_out()))
}

/// Relative, so that it is right behind a proxy that serves the page below another path.
fn to_page(query: &str, cookie: Option<String>) -> Response {
    let location = [(header::LOCATION, format!("../status{query}"))];
    let cookies = AppendHeaders(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    (StatusCode::SEE_OTHER, location, cookies).into_response()
}
