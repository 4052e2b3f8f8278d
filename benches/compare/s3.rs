//! Buckets to measure with, in this process or of a `MinIO`, and the raw client that the gateway is measured against.

use std::convert::Infallible;
use std::fmt::Write;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use object_store::ObjectStoreExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::server::{folder, free_address};

pub(crate) const PART: usize = 8 * 1024 * 1024;
pub(crate) const WINDOW: usize = 4;
/// Keys below `many/`, which are there for listings alone.
pub(crate) const MANY: usize = 200_000;
const PAGE: usize = 1000;
const KEY: &str = "bench-key";
const SECRET: &str = "bench-secret";

pub(crate) struct Bucket {
    runtime: Runtime,
    address: SocketAddr,
    _folder: TempDir,
    /// Milliseconds before each request is looked at.
    delay: Arc<AtomicU64>,
    process: Option<Child>,
}

impl Bucket {
    /// On a server in this process.
    pub(crate) fn in_process() -> Self {
        let runtime = Runtime::new().expect("runtime");
        let folder = folder();
        std::fs::create_dir(folder.path().join("bench")).expect("bucket");
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).expect("file system"));
        builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("bind");
        let address = listener.local_addr().expect("address");
        let delay = Arc::new(AtomicU64::new(0));
        runtime.spawn(serve(listener, builder.build(), Arc::clone(&delay)));
        Self { runtime, address, _folder: folder, delay, process: None }
    }

    /// On the `MinIO` whose binary `BENCH_MINIO` names.
    pub(crate) fn minio() -> Option<Self> {
        let binary = std::env::var_os("BENCH_MINIO")?;
        let (folder, address) = (folder(), free_address());
        // Its buckets are the folders that it finds.
        std::fs::create_dir(folder.path().join("bench")).expect("bucket");
        let mut command = Command::new(binary);
        command.args(["server", "--address", &address.to_string()]).arg(folder.path());
        command.envs([("MINIO_ROOT_USER", KEY), ("MINIO_ROOT_PASSWORD", SECRET), ("MINIO_UPDATE", "off")]);
        command.env("MINIO_BROWSER", "off").stdout(Stdio::null()).stderr(Stdio::null());
        let process = Some(command.spawn().expect("MinIO"));
        let runtime = Runtime::new().expect("runtime");
        let bucket = Self { runtime, address, _folder: folder, delay: Arc::default(), process };
        let deadline = Instant::now() + Duration::from_mins(1);
        while bucket.runtime.block_on(bucket.client().put(&Path::from("probe"), "".into())).is_err() {
            assert!(Instant::now() < deadline, "MinIO does not serve its bucket");
        }
        Some(bucket)
    }

    /// Lets each request wait before it is looked at.
    pub(crate) fn delay(&self, delay: Duration) {
        self.delay.store(u64::try_from(delay.as_millis()).expect("fits"), Ordering::Relaxed);
    }

    /// The gateway's configuration for this bucket, with `more` keys of the store.
    pub(crate) fn config(&self, memory: &str, more: &str) -> String {
        format!(
            "[transfer]\nmemory = \"{memory}\"\n\
             [stores.s3]\nurl = \"s3://bench\"\n{more}\n[stores.s3.options]\naws_endpoint = \"http://{}\"\n\
             aws_access_key_id = \"{KEY}\"\naws_secret_access_key = \"{SECRET}\"\n",
            self.address
        )
    }

    /// Uploads `size` zeros with the raw client and returns MB/s.
    pub(crate) fn raw_upload(&self, name: &str, size: u64) -> f64 {
        let store = self.client();
        let begun = Instant::now();
        self.runtime.block_on(async {
            let mut upload = store.put_multipart(&Path::from(name)).await.expect("create");
            let mut parts: JoinSet<object_store::Result<()>> = JoinSet::new();
            let mut left = usize::try_from(size).expect("fits");
            while left > 0 {
                while parts.len() >= WINDOW {
                    parts.join_next().await.expect("a part").expect("task").expect("part");
                }
                let part = left.min(PART);
                parts.spawn(upload.put_part(vec![0_u8; part].into()));
                left -= part;
            }
            while let Some(part) = parts.join_next().await {
                part.expect("task").expect("part");
            }
            upload.complete().await.expect("complete");
        });
        size as f64 / 1e6 / begun.elapsed().as_secs_f64()
    }

    /// Downloads an object with the raw client, in the gateway's ranges, and returns MB/s.
    pub(crate) fn raw_download(&self, name: &str, size: u64) -> f64 {
        let (store, path) = (Arc::new(self.client()), Path::from(name));
        let begun = Instant::now();
        self.runtime.block_on(async {
            let ranges = (0..size).step_by(PART).map(|start| start..size.min(start + PART as u64));
            let read = stream::iter(ranges).map(|range| {
                let (store, path) = (Arc::clone(&store), path.clone());
                async move { store.get_range(&path, range).await.expect("range").len() as u64 }
            });
            let total = read.buffered(WINDOW).fold(0, async |sum, read| sum + read).await;
            assert_eq!(total, size);
        });
        size as f64 / 1e6 / begun.elapsed().as_secs_f64()
    }

    /// How long the raw client takes for the first page below `many/`, in seconds.
    pub(crate) fn raw_first_page(&self) -> f64 {
        let store = self.client();
        let begun = Instant::now();
        let options = PaginatedListOptions { delimiter: Some("/".into()), ..Default::default() };
        let page = self.runtime.block_on(store.list_paginated(Some("many/"), options)).expect("page");
        assert_eq!(page.result.objects.len(), PAGE);
        begun.elapsed().as_secs_f64()
    }

    /// Whether the object is exactly `expected`.
    pub(crate) fn holds(&self, name: &str, mut expected: impl Read) -> bool {
        self.runtime.block_on(async {
            let mut object =
                self.client().get(&Path::from(name)).await.expect("object").into_stream().into_stream();
            let mut theirs = Vec::new();
            while let Some(ours) = object.try_next().await.expect("object") {
                theirs.resize(ours.len(), 0);
                if expected.read_exact(&mut theirs).is_err() || ours != theirs {
                    return false;
                }
            }
            expected.read(&mut [0; 8]).expect("pattern") == 0
        })
    }

    fn client(&self) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(format!("http://{}", self.address))
            .with_allow_http(true)
            .with_bucket_name("bench")
            .with_access_key_id(KEY)
            .with_secret_access_key(SECRET)
            .build()
            .expect("client")
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill().ok();
            process.wait().ok();
        }
    }
}

async fn serve(listener: tokio::net::TcpListener, files: S3Service, delay: Arc<AtomicU64>) {
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        stream.set_nodelay(true).ok();
        let (files, delay) = (files.clone(), Arc::clone(&delay));
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (files, delay) = (files.clone(), Duration::from_millis(delay.load(Ordering::Relaxed)));
            async move {
                tokio::time::sleep(delay).await;
                match page(request.uri().query().unwrap_or_default()) {
                    Some(page) => Ok::<_, Infallible>(hyper::Response::new(Body::from(page))),
                    None => Ok(files.call(request.map(Body::from)).await.expect("answer")),
                }
            }
        });
        tokio::spawn(async move {
            Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

/// The answer to a listing of `many/`. The server of files would walk through all of them for each page.
fn page(query: &str) -> Option<String> {
    let of: std::collections::HashMap<_, _> =
        query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    if of.get("list-type") != Some(&"2")
        || of.get("prefix").map(|prefix| prefix.replace("%2F", "/")).as_deref() != Some("many/")
    {
        return None;
    }
    let start = of.get("continuation-token").map_or(0, |token| token.parse::<usize>().expect("our token"));
    let wanted = of.get("max-keys").map_or(PAGE, |keys| keys.parse::<usize>().expect("a number").min(PAGE));
    let end = MANY.min(start + wanted);
    let mut keys = String::new();
    for n in start..end {
        write!(
            keys,
            "<Contents><Key>many/file-{n:06}.dat</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>\
             <ETag>&quot;{n:032x}&quot;</ETag><Size>{n}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )
        .expect("text");
    }
    let token = if end < MANY {
        format!("<NextContinuationToken>{end}</NextContinuationToken>")
    } else {
        String::new()
    };
    Some(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult><Name>bench</Name><Prefix>many/</Prefix>\
         <KeyCount>{}</KeyCount><MaxKeys>{wanted}</MaxKeys><IsTruncated>{}</IsTruncated>{token}{keys}</ListBucketResult>",
        end - start,
        end < MANY
    ))
}
