//! A client of `unftp-sbe-gcs` from the options of `object_store`, so that one configuration serves both.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use serde::Deserialize;
use unftp_sbe_gcs::CloudStorage;
use unftp_sbe_gcs::options::AuthMethod;

/// `object_store`'s default; the crate's own is another host.
const BASE_URL: &str = "https://storage.googleapis.com";

/// What the key of a service account says of itself. `disable_oauth` and `gcs_base_url` are `object_store`'s, for servers
/// that are not Google's.
#[derive(Deserialize)]
struct Account {
    #[serde(rename = "type", default)]
    kind: String,
    token_uri: Option<String>,
    gcs_base_url: Option<String>,
    #[serde(default)]
    disable_oauth: bool,
}

/// A client of `bucket` with the credentials that `options` holds or leads to, looked for where `object_store` looks.
/// Touches no network.
pub(in crate::storage) fn connect(
    bucket: &str,
    options: &GoogleCloudStorageBuilder,
) -> Result<CloudStorage, String> {
    let option = |key| options.get_config_value(&key);
    let key = match (option(GoogleConfigKey::ServiceAccount), option(GoogleConfigKey::ServiceAccountKey)) {
        (Some(path), _) => Some(read(Path::new(&path))?),
        (None, Some(key)) => Some(key.into_bytes()),
        (None, None) => {
            let named = option(GoogleConfigKey::ApplicationCredentials).map(PathBuf::from);
            named.or_else(application_default).map(|path| read(&path)).transpose()?
        }
    };
    let unsigned = option(GoogleConfigKey::SkipSignature).is_some_and(|value| value == "true");
    let (auth, base_url) = match key {
        _ if unsigned => (AuthMethod::None, None),
        None => (AuthMethod::WorkloadIdentity(None), None),
        Some(key) => {
            let account: Account = serde_json::from_slice(&key)
                .map_err(|_| "the credentials are no key of a service account".to_owned())?;
            let auth = match account {
                Account { disable_oauth: true, .. } => AuthMethod::None,
                Account { kind, .. } if kind == "authorized_user" => {
                    return Err(
                        "driver `unftp-sbe-gcs` takes a service account's key or workload identity, not a \
                                person's credentials"
                            .to_owned(),
                    );
                }
                Account { token_uri: None, .. } => {
                    return Err("the service account's key has no `token_uri`".to_owned());
                }
                Account { .. } => AuthMethod::ServiceAccountKey(key),
            };
            (auth, account.gcs_base_url)
        }
    };
    let base_url = option(GoogleConfigKey::BaseUrl).or(base_url).unwrap_or_else(|| BASE_URL.to_owned());
    let base_url = base_url.trim_end_matches('/');
    // It panics where the system has no certificates.
    catch_unwind(AssertUnwindSafe(|| CloudStorage::with_api_base(base_url, bucket, PathBuf::new(), auth)))
        .map_err(|_| "driver `unftp-sbe-gcs` needs the system's certificates, and there are none".to_owned())
}

/// Where `gcloud` leaves credentials, if it has.
fn application_default() -> Option<PathBuf> {
    let home = std::env::var_os("HOME")?;
    let path = Path::new(&home).join(".config/gcloud/application_default_credentials.json");
    path.exists().then_some(path)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read the credentials: {error}"))
}
