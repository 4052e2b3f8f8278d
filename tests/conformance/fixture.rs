//! A store to run the suite on, empty at first, and what the cases do with it again and again.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use bucketport::config::{
    Home, Networks, Permissions, Profile, StoreConfig, StoreDriver, TransferConfig, UserLimits, UserSource,
    View,
};
use bucketport::data::Abort;
use bucketport::files::Files;
use bucketport::metrics::Metrics;
use bucketport::shutdown::Shutdown;
use bucketport::storage::{
    Budget, EntryKind, Listed, PlannedUpload, Result, Store, StorePath, Stores, UploadMode,
};
use bucketport::user::User;
use bytes::Bytes;
use secrecy::SecretString;
use tempfile::TempDir;

use crate::data::{FakeData, Step, assert_same, in_odd_chunks};
use crate::gcs::GcsServer;
use crate::server::{ACCESS_KEY, BUCKET, Faults, SECRET_KEY, Server};

/// What a session does in two steps, since it can refuse an upload between them.
pub(crate) trait PlansUploads {
    /// Checks that an upload to `path` is possible, and makes it ready.
    async fn plan_upload(&self, path: &StorePath, mode: UploadMode) -> Result<PlannedUpload>;
}

impl PlansUploads for Arc<Store> {
    async fn plan_upload(&self, path: &StorePath, mode: UploadMode) -> Result<PlannedUpload> {
        self.check_upload(path, mode).await?.take_up().await
    }
}

/// The smallest that S3 takes.
pub(crate) const PART: usize = 5 * 1024 * 1024;
const MEMORY: u64 = 64 * 1024 * 1024;
const NAME: &str = "landing";

/// Where the store keeps its objects.
enum Place {
    Memory,
    Local(TempDir),
    S3(Server),
    Gcs(GcsServer, StoreDriver),
    Endpoint {
        url: String,
        driver: StoreDriver,
        options: BTreeMap<String, SecretString>,
        longest_name: Option<usize>,
    },
}

/// What differs between gateways to one place.
#[derive(Clone, Copy)]
struct Settings {
    memory: u64,
    resume_window: Duration,
    storage_class: &'static str,
    tag: Option<(&'static str, &'static str)>,
}

const SETTINGS: Settings =
    Settings { memory: MEMORY, resume_window: Duration::ZERO, storage_class: "", tag: None };

/// A store, and the directory in it that a case has for itself.
pub(crate) struct Fixture {
    place: Arc<Place>,
    settings: Settings,
    stores: Stores,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
    home: String,
}

/// A directory's entries: files with their sizes, directories with none.
pub(crate) type Entries = BTreeMap<String, Option<u64>>;

impl Fixture {
    pub(crate) async fn on_memory() -> Option<Self> {
        std::future::ready(Some(Self::open(Arc::new(Place::Memory), SETTINGS, ""))).await
    }

    pub(crate) async fn on_local() -> Option<Self> {
        let folder = TempDir::new().expect("a temporary folder");
        std::future::ready(Some(Self::open(Arc::new(Place::Local(folder)), SETTINGS, ""))).await
    }

    /// `s3s-fs`.
    pub(crate) async fn on_s3() -> Option<Self> {
        Some(Self::open(Arc::new(Place::S3(Server::folder().await)), SETTINGS, ""))
    }

    /// An S3 server with flat keys.
    pub(crate) async fn on_s3_flat() -> Option<Self> {
        Some(Self::open(Arc::new(Place::S3(Server::flat().await)), SETTINGS, ""))
    }

    /// Google Cloud Storage.
    pub(crate) async fn on_gcs() -> Option<Self> {
        let place = Place::Gcs(GcsServer::start().await, StoreDriver::ObjectStore);
        Some(Self::open(Arc::new(place), SETTINGS, ""))
    }

    /// The same through `unftp-sbe-gcs`.
    pub(crate) async fn on_gcs_streamed() -> Option<Self> {
        let place = Place::Gcs(GcsServer::start().await, StoreDriver::UnftpSbeGcs);
        Some(Self::open(Arc::new(place), SETTINGS, ""))
    }

    /// The endpoint that the environment names, if it names one.
    pub(crate) async fn on_endpoint() -> Option<Self> {
        static SKIPPED: Once = Once::new();
        let Ok(url) = std::env::var("BUCKETPORT_CONFORMANCE_URL") else {
            // Straight to the descriptor: the harness swallows what a test prints when it passes.
            SKIPPED.call_once(|| {
                let _ =
                    writeln!(std::io::stderr(), "endpoint::* skipped: BUCKETPORT_CONFORMANCE_URL is not set");
            });
            return None;
        };
        // Not a home in a store that all cases share: the janitor of one would take away the records of others.
        let url = format!("{}/conformance-{:016x}", url.trim_end_matches('/'), rand::random::<u64>());
        let options = std::env::var("BUCKETPORT_CONFORMANCE_OPTIONS").unwrap_or_default();
        let options = options.lines().filter(|line| !line.trim().is_empty()).map(|line| {
            let (key, value) =
                line.split_once('=').expect("BUCKETPORT_CONFORMANCE_OPTIONS holds lines key=value");
            (key.trim().to_owned(), SecretString::from(value.trim()))
        });
        let driver = match std::env::var("BUCKETPORT_CONFORMANCE_DRIVER").as_deref() {
            Ok("unftp-sbe-gcs") => StoreDriver::UnftpSbeGcs,
            Ok("object_store" | "") | Err(_) => StoreDriver::ObjectStore,
            Ok(other) => panic!("BUCKETPORT_CONFORMANCE_DRIVER is {other}"),
        };
        let longest_name = std::env::var("BUCKETPORT_CONFORMANCE_LONGEST_NAME").ok();
        let longest_name = longest_name
            .map(|bytes| bytes.parse().expect("BUCKETPORT_CONFORMANCE_LONGEST_NAME is a number of bytes"));
        let place = Place::Endpoint { url, driver, options: options.collect(), longest_name };
        std::future::ready(Some(Self::open(Arc::new(place), SETTINGS, ""))).await
    }

    fn open(place: Arc<Place>, settings: Settings, home: &str) -> Self {
        let (url, options) = place.address();
        Self::connect(place, settings, home, &url, options)
    }

    fn connect(
        place: Arc<Place>,
        settings: Settings,
        home: &str,
        url: &str,
        options: BTreeMap<String, SecretString>,
    ) -> Self {
        let config = Self::config(&place, settings, url, options);
        Self::connect_as(place, settings, home, config)
    }

    fn config(
        place: &Place,
        settings: Settings,
        url: &str,
        options: BTreeMap<String, SecretString>,
    ) -> StoreConfig {
        StoreConfig {
            driver: place.driver(),
            resume_window: settings.resume_window,
            storage_class: settings.storage_class.to_owned(),
            tags: settings.tag.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            options,
            ..StoreConfig::at(url.parse().expect("a URL"))
        }
    }

    fn connect_as(place: Arc<Place>, settings: Settings, home: &str, config: StoreConfig) -> Self {
        let memory = settings.memory;
        let transfer =
            TransferConfig { memory, part_size: PART as u64, upload_concurrency: 4, download_concurrency: 4 };
        let metrics = Arc::new(Metrics::new([NAME], []));
        let shutdown = Shutdown::new(tokio::runtime::Handle::current());
        let budget = Budget::new(usize::try_from(memory).expect("fits"), Arc::clone(&metrics));
        let configured = BTreeMap::from([(NAME.to_owned(), config)]);
        let stores =
            Stores::build(&configured, &transfer, &budget, &metrics, &shutdown).expect("right options");
        Self { place, settings, stores, metrics, shutdown, home: home.to_owned() }
    }

    /// The same place through a gateway that keeps what arrived of broken uploads for so long. In memory it is another
    /// place.
    pub(crate) fn keeping(&self, resume_window: Duration) -> Self {
        Self::open(Arc::clone(&self.place), Settings { resume_window, ..self.settings }, &self.home)
    }

    /// The same place through a gateway that wants this storage class and tag on its uploads.
    pub(crate) fn labelling(&self, storage_class: &'static str, tag: (&'static str, &'static str)) -> Self {
        let settings = Settings { storage_class, tag: Some(tag), ..self.settings };
        Self::open(Arc::clone(&self.place), settings, &self.home)
    }

    /// The same place through another gateway of the same kind. In memory it is the same gateway.
    pub(crate) fn replica(&self) -> Self {
        let replica = Self::open(Arc::clone(&self.place), self.settings, &self.home);
        match *self.place {
            Place::Memory => Self {
                stores: self.stores.clone(),
                metrics: Arc::clone(&self.metrics),
                shutdown: self.shutdown.clone(),
                ..replica
            },
            _ => replica,
        }
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The records that the gateway has in the store, each as its kind and name.
    pub(crate) async fn records(&self) -> Vec<String> {
        let hidden = self.store().root().join(".bucketport").expect("a plain name");
        let mut folders = vec![String::new()];
        let mut records = Vec::new();
        while let Some(folder) = folders.pop() {
            let path = hidden.join(folder.trim_end_matches('/')).expect("listed");
            let Ok(Listed::Directory(mut listing)) = self.store().list(&path).await else { continue };
            while let Some(page) = listing.next_page().await.expect("a listing") {
                for entry in page {
                    match entry.kind {
                        EntryKind::Directory => folders.push(format!("{folder}{}/", entry.name)),
                        EntryKind::File { .. } => records.push(format!("{folder}{}", entry.name)),
                    }
                }
            }
        }
        records
    }

    /// The same place through a gateway that has only `memory` bytes for transfers. In memory it is another place.
    pub(crate) fn with_memory(&self, memory: u64) -> Self {
        Self::open(Arc::clone(&self.place), Settings { memory, ..self.settings }, &self.home)
    }

    /// The same place with another configuration. In memory it is another place.
    pub(crate) fn with(&self, change: impl FnOnce(&mut StoreConfig)) -> Self {
        let (url, options) = self.place.address();
        let mut config = Self::config(&self.place, self.settings, &url, options);
        change(&mut config);
        Self::connect_as(Arc::clone(&self.place), self.settings, &self.home, config)
    }

    /// The same place through another gateway.
    pub(crate) fn again(&self) -> Self {
        self.with_memory(MEMORY)
    }

    /// Tells the gateway to stop.
    pub(crate) fn stop(&self) {
        self.shutdown.stop_now();
    }

    /// Fails if any is left.
    pub(crate) async fn assert_no_records(&self) {
        assert_eq!(self.records().await, [""; 0], "records stay");
    }

    /// The same place with one more option.
    pub(crate) fn with_option(&self, key: &str, value: &str) -> Self {
        let (url, mut options) = self.place.address();
        options.insert(key.to_owned(), value.into());
        Self::connect(Arc::clone(&self.place), self.settings, &self.home, &url, options)
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        self.stores.find(NAME).expect("the only store")
    }

    /// The server behind the store, if it is one of ours.
    pub(crate) fn server(&self) -> Option<&Server> {
        match &*self.place {
            Place::S3(server) => Some(server),
            _ => None,
        }
    }

    /// The Google Cloud Storage behind the store, if it is ours.
    pub(crate) fn gcs(&self) -> Option<&GcsServer> {
        match &*self.place {
            Place::Gcs(server, _) => Some(server),
            _ => None,
        }
    }

    /// What may be made to happen to the requests to a server of ours.
    pub(crate) fn faults(&self) -> &Arc<Faults> {
        match &*self.place {
            Place::S3(server) => &server.faults,
            Place::Gcs(server, _) => &server.faults,
            Place::Memory | Place::Local(_) | Place::Endpoint { .. } => panic!("no server of ours"),
        }
    }

    /// Multipart uploads that a server of ours holds open.
    pub(crate) fn open_uploads(&self) -> usize {
        match &*self.place {
            Place::S3(server) => server.open_uploads(),
            Place::Gcs(server, _) => server.open_uploads(),
            Place::Memory | Place::Local(_) | Place::Endpoint { .. } => 0,
        }
    }

    /// The folder of a local store.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match &*self.place {
            Place::Local(folder) => Some(folder.path()),
            _ => None,
        }
    }

    /// Whether keys end up as file names, with the limits of those.
    pub(crate) fn keeps_files(&self) -> bool {
        match &*self.place {
            Place::Local(_) => true,
            Place::S3(server) => server.bucket().is_none(),
            Place::Memory | Place::Gcs(..) | Place::Endpoint { .. } => false,
        }
    }

    /// Whether the store is documented to keep `name`, which the others do.
    pub(crate) fn keeps_name(&self, name: &str) -> bool {
        // <https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata>
        let azure = ["az:", "azure:", "abfs:", "abfss:"];
        let azure = azure.iter().any(|scheme| self.place.address().0.starts_with(scheme));
        !azure || !(name.contains('\\') || name.ends_with('.'))
    }

    /// The longest name between two slashes that the endpoint is documented to take, if its limit is less than a key's.
    pub(crate) fn longest_name(&self) -> Option<usize> {
        let Place::Endpoint { longest_name, .. } = &*self.place else { return None };
        *longest_name
    }

    /// What a user sees whose home is the case's directory.
    pub(crate) fn files(&self) -> Files {
        self.files_of(Permissions::all())
    }

    pub(crate) fn files_of(&self, permissions: Permissions) -> Files {
        let user = User {
            name: "acme".to_owned(),
            profile: Profile {
                view: View::of(NAME, Home::try_from(self.home.clone()).expect("a folder"), permissions),
                allow_from: Networks::default(),
                on_control_lost: None,
                limits: UserLimits::default(),
            },
            source: UserSource::Inline,
        };
        Files::of(&Arc::new(user), Ipv4Addr::LOCALHOST.into(), &self.stores).expect("the store exists")
    }

    /// The path of `name` in the case's directory, which is the empty name.
    pub(crate) fn path(&self, name: &str) -> StorePath {
        let home = self.store().root().join(&self.home).expect("a plain name");
        home.join(name).unwrap_or_else(|error| panic!("{name:?}: {error}"))
    }

    pub(crate) async fn upload(&self, name: &str, mode: UploadMode, bytes: &Bytes) -> Result<u64> {
        self.upload_script(name, mode, in_odd_chunks(bytes)).await
    }

    pub(crate) async fn upload_script(&self, name: &str, mode: UploadMode, script: Vec<Step>) -> Result<u64> {
        let planned = self.store().plan_upload(&self.path(name), mode).await?;
        let (data, seen) = FakeData::uploads(script);
        let result = planned.run(data, &Abort::new()).await;
        assert!(
            !seen.lock().expect("not poisoned").finished,
            "only a download's end is announced to the client"
        );
        result.map(|stored| stored.taken)
    }

    /// Puts a file there.
    pub(crate) async fn put(&self, name: &str, bytes: &Bytes) {
        let taken = self.upload(name, UploadMode::Replace, bytes).await;
        let taken = taken.unwrap_or_else(|error| panic!("{name:?}: {error:?}"));
        assert_eq!(taken, bytes.len() as u64, "{name:?}");
    }

    pub(crate) async fn download(&self, name: &str, offset: u64) -> Result<Vec<u8>> {
        let planned = self.store().plan_download(&self.path(name), offset).await?;
        let (data, seen) = FakeData::downloads();
        let sent = planned.run(data, &Abort::new()).await?;
        let mut seen = seen.lock().expect("not poisoned");
        assert!(seen.finished && !seen.reset, "a whole download ends in order");
        assert_eq!(sent, seen.received.len() as u64);
        Ok(std::mem::take(&mut seen.received))
    }

    /// Fails unless the file is there and holds just these bytes.
    pub(crate) async fn assert_holds(&self, name: &str, bytes: &[u8]) {
        let held = self.download(name, 0).await.unwrap_or_else(|error| panic!("{name:?}: {error:?}"));
        assert_same(&held, bytes, name);
        let entry = self.store().stat(&self.path(name)).await.expect("it was just read");
        assert_eq!(entry.kind, EntryKind::File { size: bytes.len() as u64 }, "{name:?}");
    }

    /// Fails if a file or directory is there.
    pub(crate) async fn assert_missing(&self, name: &str) {
        assert_err!(self.store().stat(&self.path(name)).await, NotFound);
        assert_err!(self.download(name, 0).await, NotFound);
    }

    /// The entries of a directory; each must come once.
    pub(crate) async fn entries(&self, name: &str) -> Result<Entries> {
        let Listed::Directory(mut listing) = self.store().list(&self.path(name)).await? else {
            panic!("{name:?} is a file");
        };
        let mut entries = Entries::new();
        while let Some(page) = listing.next_page().await? {
            for entry in page {
                let size = match entry.kind {
                    EntryKind::File { size } => Some(size),
                    EntryKind::Directory => None,
                };
                let before = entries.insert(entry.name.clone(), size);
                assert_eq!(before, None, "{:?} is listed twice", entry.name);
            }
        }
        Ok(entries)
    }

    /// Fails if an ended upload has left anything but its object.
    pub(crate) async fn assert_nothing_left(&self) {
        assert!(self.shutdown.work_done(Duration::from_secs(20)).await, "the clean-up never ended");
        match &*self.place {
            Place::Local(folder) => assert_eq!(staged(folder.path()), [""; 0].map(PathBuf::from)),
            Place::S3(_) | Place::Gcs(..) | Place::Memory | Place::Endpoint { .. } => {
                assert_eq!(self.open_uploads(), 0, "multipart uploads stay open");
            }
        }
        // Another gateway may be at it still.
        let mut records = self.records().await;
        for _ in 0..500 {
            if records.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            records = self.records().await;
        }
        assert_eq!(records, [""; 0], "records of what has ended");
        // A request that was given up frees its memory when its task has ended.
        for _ in 0..500 {
            if self.held() == "0" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("transfers that ended hold {} bytes of memory", self.held());
    }

    /// The gauge of bytes held by transfers.
    fn held(&self) -> String {
        self.metric("bucketport_buffer_bytes")
    }

    /// The value of a metric, named with its labels.
    pub(crate) fn metric(&self, name: &str) -> String {
        let metrics = self.metrics.render();
        let value = metrics.split_once(&format!("\n{name} ")).and_then(|(_, rest)| rest.lines().next());
        value.unwrap_or_else(|| panic!("no {name}")).to_owned()
    }

    /// What every case ends with, passed or failed.
    pub(crate) async fn finish(self, result: std::result::Result<(), Box<dyn Any + Send>>) {
        if matches!(*self.place, Place::Endpoint { .. }) {
            self.clean().await;
        }
        match result {
            Ok(()) => self.assert_nothing_left().await,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Removes everything.
    pub(crate) async fn clean(&self) {
        let mut directories = vec![String::new()];
        let mut next = 0;
        while let Some(directory) = directories.get(next).cloned() {
            next += 1;
            for (name, size) in self.entries(&directory).await.unwrap_or_default() {
                let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
                match size {
                    None => directories.push(path),
                    // What cannot be cleaned must not hide why the case failed.
                    Some(_) => drop(self.store().delete(&self.path(&path)).await),
                }
            }
        }
        // A directory stands behind those that it is in.
        for directory in directories.iter().rev() {
            drop(self.store().remove_directory(&self.path(directory)).await);
        }
    }
}

/// A service account that asks nobody for a token.
const NO_ACCOUNT: &str =
    r#"{"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": true}"#;

impl Place {
    fn driver(&self) -> StoreDriver {
        match self {
            Self::Gcs(_, driver) | Self::Endpoint { driver, .. } => *driver,
            Self::Memory | Self::Local(_) | Self::S3(_) => StoreDriver::ObjectStore,
        }
    }

    fn address(&self) -> (String, BTreeMap<String, SecretString>) {
        match self {
            Self::Memory => ("memory:///".to_owned(), BTreeMap::new()),
            Self::Local(folder) => (format!("file://{}", folder.path().display()), BTreeMap::new()),
            // Static credentials: the default chain would ask the address of the instance's metadata.
            Self::S3(server) => {
                let options = [
                    ("aws_endpoint", server.url()),
                    ("aws_region", "us-east-1".to_owned()),
                    ("aws_access_key_id", ACCESS_KEY.to_owned()),
                    ("aws_secret_access_key", SECRET_KEY.to_owned()),
                ];
                let options = options.into_iter().map(|(key, value)| (key.to_owned(), value.into()));
                (format!("s3://{BUCKET}/pre/fix"), options.collect())
            }
            Self::Gcs(server, _) => {
                let options = [
                    ("google_base_url", server.url()),
                    ("google_service_account_key", NO_ACCOUNT.to_owned()),
                ];
                let options = options.into_iter().map(|(key, value)| (key.to_owned(), value.into()));
                (format!("gs://{BUCKET}/pre/fix"), options.collect())
            }
            Self::Endpoint { url, options, .. } => (url.clone(), options.clone()),
        }
    }
}

/// Files that a local store stages its uploads in.
fn staged(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("in a folder").to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            found.extend(staged(&path));
        } else if name.rsplit_once('#').is_some_and(|(_, digits)| digits.parse::<u32>().is_ok()) {
            found.push(path);
        }
    }
    found
}
