//! The services on a machine's own network that are asked for credentials when none are configured: where a container
//! cannot reach them they say nothing, and nobody shall wait for that.

use std::time::Duration;

use object_store::client::{HttpClient, HttpError, HttpErrorKind, HttpRequest, HttpResponse};
use tokio::time::timeout;

/// A metadata service answers within milliseconds, for a first token within a few seconds or, where a container cannot reach
/// it, never.
const PATIENCE: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(5)];

/// Where credentials were to come from.
#[derive(Debug, thiserror::Error)]
#[error(
    "no credentials are configured and the {service} does not answer; in a container, see whether it may be reached \
     (on EC2 a hop limit of 2)"
)]
struct Silent {
    service: &'static str,
}

/// Asks `service` by `request`, and fails soon if it is silent.
pub(super) async fn ask(
    client: &HttpClient,
    service: &'static str,
    request: HttpRequest,
) -> Result<HttpResponse, HttpError> {
    for patience in PATIENCE {
        if let Ok(Ok(response)) = timeout(patience, client.execute(request.clone())).await {
            return Ok(response);
        }
    }
    let silent = Silent { service };
    tracing::warn!(service, "{silent}");
    // Not tried again: the client waits.
    Err(HttpError::new(HttpErrorKind::Unknown, silent))
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
