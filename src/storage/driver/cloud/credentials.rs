//! The services on a machine's own network that are asked for credentials when none are configured: where a container
//! cannot reach them they say nothing, and nobody shall wait for that.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use object_store::client::{HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse};
use tokio::time::{Instant, timeout};

/// A metadata service answers within milliseconds, for a first token within a few seconds or, where a container cannot reach
/// it, never.
const PATIENCE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(5)];

/// How much longer than the question took its silence is taken for that of whoever asks next. Those who want credentials wait
/// for the one who asks for them, and then ask one after the other; of two hosts, as Google's service has them, they ask the
/// first one again, which has been silent before the other was.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// Where credentials were to come from.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "no credentials are configured and the {service} does not answer; in a container, see whether it may be reached \
     (on EC2 a hop limit of 2)"
)]
struct Silent {
    service: &'static str,
}

/// The hosts that have said nothing lately, and until when they are taken to be silent. A client has two at most.
#[derive(Debug, Default)]
pub(super) struct Silence(Mutex<HashMap<String, Instant>>);

impl Silence {
    /// Asks `service` by `request`, and fails soon if it is silent: at once if it was so a moment ago.
    pub(super) async fn ask(
        &self,
        client: &HttpClient,
        service: &'static str,
        request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let silent = Silent { service };
        // Not tried again: the client waits.
        let failed = || HttpError::new(HttpErrorKind::Unknown, silent);
        let begun = Instant::now();
        if self.hosts(|hosts| hosts.get(&host).is_some_and(|until| begun < *until)) {
            return Err(failed());
        }
        for patience in PATIENCE {
            if let Ok(Ok(response)) = timeout(patience, client.execute(request.clone())).await {
                return Ok(response);
            }
        }
        self.hosts(|hosts| hosts.insert(host, Instant::now() + begun.elapsed() + AFTERWARDS));
        tracing::warn!(service, "{silent}");
        Err(failed())
    }

    fn hosts<T>(&self, use_them: impl FnOnce(&mut HashMap<String, Instant>) -> T) -> T {
        use_them(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The service that the request asks for credentials, if it is one on the machine's own network.
pub(super) fn service(request: &HttpRequest) -> Option<&'static str> {
    let has = |name: &str| request.headers().contains_key(name);
    let (host, path) = (request.uri().host().unwrap_or_default(), request.uri().path());
    if has("x-aws-ec2-metadata-token-ttl-seconds")
        || has("x-aws-ec2-metadata-token")
        || path.starts_with("/latest/meta-data/iam/security-credentials")
    {
        Some("EC2 instance metadata service")
    } else if ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"].contains(&host) {
        Some("container credentials service")
    } else if has("metadata-flavor") {
        Some("Google metadata server")
    } else if path.starts_with("/metadata/identity") && has("metadata") {
        Some("Azure instance metadata service")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use object_store::client::HttpService;

    use super::*;

    /// Never answers, and counts.
    #[derive(Debug, Default)]
    struct Mute(Arc<AtomicUsize>);

    #[async_trait]
    impl HttpService for Mute {
        async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_waited_for_a_silent_service_does_not_ask_it_again() {
        let asked = Arc::new(AtomicUsize::new(0));
        let client = HttpClient::new(Mute(Arc::clone(&asked)));
        let silence = Silence::default();
        let whole: Duration = PATIENCE.iter().sum();
        // How long the question takes, and whether the host is asked.
        for (host, waits, tries) in [
            ("first", whole, 2),
            ("first", Duration::ZERO, 0),
            ("second", whole, 2),
            ("first", Duration::ZERO, 0),
        ] {
            let mut request = HttpRequest::new(object_store::client::HttpRequestBody::empty());
            *request.uri_mut() = format!("http://{host}/").parse().expect("a URI");
            let (begun, before) = (Instant::now(), asked.load(Ordering::SeqCst));
            assert!(silence.ask(&client, "service", request).await.is_err());
            assert_eq!(begun.elapsed().as_secs(), waits.as_secs(), "{host}");
            assert_eq!(asked.load(Ordering::SeqCst) - before, tries, "{host}");
        }
        tokio::time::advance(whole + AFTERWARDS).await;
        let mut request = HttpRequest::new(object_store::client::HttpRequestBody::empty());
        *request.uri_mut() = "http://first/".parse().expect("a URI");
        assert!(silence.ask(&client, "service", request).await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 6, "asked again, since it may answer now");
    }
}
