//! Builds the configured stores: URL and options as `object_store` documents them, its credential chains, our
//! timeouts and retries.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::memory::InMemory;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStoreScheme, RetryConfig};
use secrecy::ExposeSecret;

use super::budget::Budget;
use super::driver::{
    Bucket, Driver, Durability, Folder, Instrumented, Names, OnePage, StreamedBucket, Wire, connect_gcs,
};
use super::path::StorePath;
use super::store::Store;
use crate::config::{ConfigError, StoreConfig, StoreDriver, TransferConfig};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// Whole requests have no time limit, because a client may take hours for a download; silence has one. It covers the
/// sending of one part as well: 8 MiB in two minutes is 70 KB/s.
const NO_TIMEOUT: &str = "7days";
const READ_TIMEOUT: &str = "120s";
const CONNECT_TIMEOUT: &str = "5s";
/// An unused connection holds up to 400 KiB that it has read into: after two hundred downloads that were 55 MiB for the
/// 90 seconds which the HTTP client keeps them by itself. S3 closes them after some 20 seconds anyway.
const POOL_IDLE_TIMEOUT: &str = "20s";
/// Kept below the five minutes for which a signed request stays valid.
const RETRY: Duration = Duration::from_mins(3);
/// With pauses that begin at half a second and grow at random, this spans about half a minute: the restart of a store is
/// waited out. The client's default of ten retries from a tenth of a second on mostly gives up within three seconds.
const MAX_RETRIES: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(500);

const S3_ENDPOINTS: [AmazonS3ConfigKey; 2] = [AmazonS3ConfigKey::Endpoint, AmazonS3ConfigKey::S3Endpoint];
/// A single DELETE answers with a status; `DeleteObjects` answers 200 and says in its body what it has not done, which
/// the client takes for a failure of its own whenever a key has a word such as `InternalError` in it.
const S3_DEFAULTS: [(AmazonS3ConfigKey, &str); 1] = [(AmazonS3ConfigKey::DisableBulkDelete, "true")];

/// Every configured store, by name.
#[derive(Clone, Debug)]
pub struct Stores(Arc<BTreeMap<String, Arc<Store>>>);

impl Stores {
    /// Builds every store, or reports every key that is wrong. Folders of local stores are made; no cloud is asked.
    pub fn build(
        configured: &BTreeMap<String, StoreConfig>,
        transfer: &TransferConfig,
        budget: &Arc<Budget>,
        metrics: &Arc<Metrics>,
        shutdown: &Shutdown,
    ) -> Result<Self, Vec<ConfigError>> {
        let shared = Shared { transfer, budget, shutdown };
        let mut stores = BTreeMap::new();
        let mut errors = Vec::new();
        for (name, config) in configured {
            let opened = connect(name, config)
                .and_then(|backend| Ok((backend.driver(name, config, &shared)?, prefix(name, config)?)));
            match opened {
                Ok((driver, root)) => {
                    let driver: Arc<dyn Driver> =
                        Arc::new(Instrumented::new(driver, name, Arc::clone(metrics)));
                    let store = Store {
                        name: name.clone(),
                        whole: Arc::clone(&driver),
                        driver,
                        home: root.clone(),
                        root,
                        marker: config.directory_marker.clone(),
                        overwrite: config.overwrite,
                        check_parents: config.check_parents,
                        largest_copy: None,
                        resume_window: config.resume_window,
                        owner: None,
                        address: None,
                        budget: Arc::clone(budget),
                        shutdown: shutdown.clone(),
                    };
                    stores.insert(name.clone(), Arc::new(store));
                }
                Err(wrong) => errors.extend(wrong),
            }
        }
        if errors.is_empty() { Ok(Self(Arc::new(stores))) } else { Err(errors) }
    }

    /// The store named `name`.
    pub fn find(&self, name: &str) -> Option<&Arc<Store>> {
        self.0.get(name)
    }

    /// All stores, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Store>> {
        self.0.values()
    }
}

/// Every error in the stores' URLs and options, without touching a store.
pub fn check(configured: &BTreeMap<String, StoreConfig>) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    for (name, config) in configured {
        errors.extend(connect(name, config).err().unwrap_or_default());
        errors.extend(prefix(name, config).err().unwrap_or_default());
    }
    errors
}

/// A client for a store that has not been used yet.
enum Backend {
    S3(object_store::aws::AmazonS3),
    Gcs(object_store::gcp::GoogleCloudStorage),
    StreamedGcs(object_store::gcp::GoogleCloudStorage, Box<unftp_sbe_gcs::CloudStorage>),
    Azure(object_store::azure::MicrosoftAzure),
    Local(std::path::PathBuf),
    Memory,
}

/// What all stores share.
struct Shared<'a> {
    transfer: &'a TransferConfig,
    budget: &'a Arc<Budget>,
    shutdown: &'a Shutdown,
}

impl Backend {
    fn driver(
        self,
        name: &str,
        config: &StoreConfig,
        shared: &Shared<'_>,
    ) -> Result<Arc<dyn Driver>, Vec<ConfigError>> {
        let Shared { transfer, budget, shutdown } = *shared;
        Ok(match self {
            Self::S3(client) => {
                Arc::new(Bucket::new(client.clone(), client, Names::Any, config, transfer, budget, shutdown))
            }
            Self::Gcs(client) => {
                Arc::new(Bucket::new(client.clone(), client, Names::Gcs, config, transfer, budget, shutdown))
            }
            Self::StreamedGcs(client, uploads) => {
                let bucket =
                    Bucket::new(client.clone(), client, Names::Gcs, config, transfer, budget, shutdown);
                Arc::new(StreamedBucket::new(bucket, *uploads, shutdown))
            }
            Self::Azure(client) => Arc::new(Bucket::new(
                client.clone(),
                client,
                Names::Azure,
                config,
                transfer,
                budget,
                shutdown,
            )),
            Self::Memory => {
                let objects = InMemory::new();
                Arc::new(Bucket::new(
                    objects.clone(),
                    OnePage(objects),
                    Names::Any,
                    config,
                    transfer,
                    budget,
                    shutdown,
                ))
            }
            Self::Local(path) => {
                let durability = if config.fsync { Durability::flushed() } else { Durability::Written };
                Arc::new(Folder::open(&path, durability, budget).map_err(|error| {
                    let message = format!("cannot use the folder {}: {error}", path.display());
                    vec![error_at(name, "url", message)]
                })?)
            }
        })
    }
}

/// The three clouds' builders have the same methods, but no trait that says so.
macro_rules! cloud {
    ($builder:ty, $key:ty, $endpoints:expr, $defaults:expr, $name:expr, $config:expr) => {{
        let mut builder = <$builder>::from_env();
        for (key, value) in $defaults {
            builder = builder.with_config(key, value);
        }
        for (key, value) in [
            (ClientConfigKey::Timeout, NO_TIMEOUT),
            (ClientConfigKey::ReadTimeout, READ_TIMEOUT),
            (ClientConfigKey::ConnectTimeout, CONNECT_TIMEOUT),
            (ClientConfigKey::PoolIdleTimeout, POOL_IDLE_TIMEOUT),
        ] {
            builder = builder.with_config(<$key>::Client(key), value);
        }
        let mut errors = Vec::new();
        for (option, value) in &$config.options {
            match <$key>::from_str(&option.to_ascii_lowercase()) {
                Ok(key) => builder = builder.with_config(key, value.expose_secret()),
                Err(_) => errors.push(unknown_option($name, option)),
            }
        }
        // Who writes http:// means it.
        let endpoints = $endpoints.iter().filter_map(|key| builder.get_config_value(key));
        if endpoints.into_iter().any(|url| url.starts_with("http://"))
            && !$config.options.keys().any(|option| option.to_ascii_lowercase().ends_with("allow_http"))
        {
            builder = builder.with_config(<$key>::Client(ClientConfigKey::AllowHttp), "true");
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let backoff = BackoffConfig { init_backoff: FIRST_PAUSE, ..BackoffConfig::default() };
        let retry = RetryConfig { max_retries: MAX_RETRIES, retry_timeout: RETRY, backoff };
        let builder = builder.with_url($config.url.as_str()).with_http_connector(Wire::default());
        let built = builder.with_retry(retry).build();
        built
            .map_err(|error| vec![error_at($name, "options", without_values(&error.to_string(), $config))])?
    }};
}

fn connect(name: &str, config: &StoreConfig) -> Result<Backend, Vec<ConfigError>> {
    let (scheme, _) = ObjectStoreScheme::parse(&config.url)
        .map_err(|error| vec![error_at(name, "url", error.to_string())])?;
    match scheme {
        ObjectStoreScheme::AmazonS3 => Ok(Backend::S3(cloud!(
            AmazonS3Builder,
            AmazonS3ConfigKey,
            S3_ENDPOINTS,
            S3_DEFAULTS,
            name,
            config
        ))),
        ObjectStoreScheme::GoogleCloudStorage => {
            let client = cloud!(
                GoogleCloudStorageBuilder,
                GoogleConfigKey,
                [GoogleConfigKey::BaseUrl],
                [] as [(GoogleConfigKey, &str); 0],
                name,
                config
            );
            Ok(match config.driver {
                StoreDriver::ObjectStore => Backend::Gcs(client),
                StoreDriver::UnftpSbeGcs => {
                    Backend::StreamedGcs(client, Box::new(streamed_uploads(name, config)?))
                }
            })
        }
        ObjectStoreScheme::MicrosoftAzure => Ok(Backend::Azure(cloud!(
            MicrosoftAzureBuilder,
            AzureConfigKey,
            [AzureConfigKey::Endpoint],
            [] as [(AzureConfigKey, &str); 0],
            name,
            config
        ))),
        ObjectStoreScheme::Local => {
            no_options(name, config)?;
            let path = config.url.to_file_path();
            path.map(Backend::Local).map_err(|()| vec![error_at(name, "url", "not a path on this machine")])
        }
        ObjectStoreScheme::Memory => no_options(name, config).map(|()| Backend::Memory),
        _ => Err(vec![error_at(name, "url", "not the URL of a store that is supported")]),
    }
}

/// The second client of a bucket, with the options of the first, which have been found right.
fn streamed_uploads(
    name: &str,
    config: &StoreConfig,
) -> Result<unftp_sbe_gcs::CloudStorage, Vec<ConfigError>> {
    let options = config.options.iter().filter_map(|(option, value)| {
        Some((GoogleConfigKey::from_str(&option.to_ascii_lowercase()).ok()?, value.expose_secret()))
    });
    let builder = options
        .fold(GoogleCloudStorageBuilder::from_env(), |builder, (key, value)| builder.with_config(key, value));
    let bucket = config.url.host_str().unwrap_or_default();
    connect_gcs(bucket, &builder).map_err(|error| vec![error_at(name, "driver", error)])
}

/// The path in the URL is the prefix of all keys, except for a local folder, where it is the folder itself.
fn prefix(name: &str, config: &StoreConfig) -> Result<StorePath, Vec<ConfigError>> {
    let wrong = |error: String| vec![error_at(name, "url", error)];
    match ObjectStoreScheme::parse(&config.url).map_err(|error| wrong(error.to_string()))? {
        (ObjectStoreScheme::Local, _) => Ok(StorePath::root()),
        (_, prefix) => StorePath::root().join(prefix.as_ref()).map_err(|error| wrong(error.to_string())),
    }
}

/// The builders quote what they cannot parse, and any option may be a secret.
fn without_values(message: &str, config: &StoreConfig) -> String {
    config
        .options
        .values()
        .map(ExposeSecret::expose_secret)
        .filter(|value| !value.is_empty())
        .fold(message.to_owned(), |message, value| message.replace(value, "***"))
}

fn no_options(name: &str, config: &StoreConfig) -> Result<(), Vec<ConfigError>> {
    let errors: Vec<_> = config.options.keys().map(|option| unknown_option(name, option)).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn unknown_option(name: &str, option: &str) -> ConfigError {
    error_at(name, &format!("options.{option}"), "not an option of this kind of store")
}

fn error_at(name: &str, key: &str, message: impl Into<String>) -> ConfigError {
    ConfigError { key: format!("stores.{name}.{key}"), message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(url: &str, options: &[(&str, &str)]) -> BTreeMap<String, StoreConfig> {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        let config = StoreConfig { options, ..StoreConfig::at(url.parse().expect("a URL")) };
        BTreeMap::from([("landing".to_owned(), config)])
    }

    #[test]
    fn all_unknown_options_are_reported_with_their_keys() {
        let errors =
            check(&store("s3://bucket/in", &[("aws_region", "eu-west-1"), ("nope", "1"), ("neither", "2")]));
        let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(keys, ["stores.landing.options.neither", "stores.landing.options.nope"]);
    }

    #[test]
    fn values_of_options_stay_secret() {
        let errors = check(&store("s3://bucket", &[("timeout", "hunter2")]));
        assert!(!errors.is_empty());
        assert!(!format!("{errors:?}").contains("hunter2"), "{errors:?}");
    }

    #[test]
    fn the_kinds_of_store_are_known_by_their_urls() {
        for (url, options) in [
            ("s3://bucket/prefix", vec![]),
            ("gs://bucket", vec![]),
            ("az://container/in", vec![("azure_storage_account_name", "acme")]),
            ("file:///srv/data", vec![]),
            ("memory:///", vec![]),
        ] {
            assert_eq!(check(&store(url, &options)), [], "{url}");
        }
        assert_eq!(check(&store("http://host/bucket", &[])).len(), 1);
    }
}
