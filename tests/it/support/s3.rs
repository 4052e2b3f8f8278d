//! An S3 server in this process: s3s-fs over HTTP, with a bucket that tests can look into as a folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s::{S3Result, s3_error};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const BUCKET: &str = "bucket";
const ACCESS_KEY: &str = "test-access-key";
const SECRET_KEY: &str = "test-secret-key";

/// The server; it ends when this is dropped.
pub(crate) struct S3Server {
    root: TempDir,
    address: SocketAddr,
    refusing: Arc<AtomicBool>,
    runtime: Option<Runtime>,
}

impl S3Server {
    /// The URL of the bucket.
    pub(crate) const URL: &str = "s3://bucket";

    /// A server with one empty bucket.
    pub(crate) fn start() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(root.path().join(BUCKET)).expect("a writable folder");
        let refusing = Arc::new(AtomicBool::new(false));
        let service = {
            let files = s3s_fs::FileSystem::new(root.path()).expect("an existing folder");
            let mut builder = S3ServiceBuilder::new(files);
            builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
            builder.set_access(Gate { root: root.path().to_owned(), refusing: Arc::clone(&refusing) });
            builder.build()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads for the server");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                // What it has begun it finishes, also when its client is killed meanwhile; s3s-fs alone would leave a
                // multipart upload that is half completed.
                let service = service_fn(move |request: Request<Incoming>| {
                    let service = service.clone();
                    let request = request.map(s3s::Body::http_body_unsync);
                    async move {
                        tokio::spawn(async move { service.call(request).await }).await.expect("no panic")
                    }
                });
                tokio::spawn(async move {
                    // A client that goes away is none of the server's business.
                    let _ = stream.set_nodelay(true);
                    let _ = Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { root, address, refusing, runtime: Some(runtime) }
    }

    /// What a client needs beside the URL, in `object_store`'s option names.
    pub(crate) fn options(&self) -> Vec<(String, String)> {
        [
            ("aws_endpoint", format!("http://{}", self.address)),
            ("aws_allow_http", "true".to_owned()),
            ("aws_region", "us-east-1".to_owned()),
            ("aws_access_key_id", ACCESS_KEY.to_owned()),
            ("aws_secret_access_key", SECRET_KEY.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// The folder that holds the bucket's objects, one file each.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.root.path().join(BUCKET)
    }

    /// What the server keeps beside the objects for uploads that are not complete.
    pub(crate) fn open_uploads(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.path()).expect("the server's folder");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        // `.upload-ID.json` is an open multipart upload, `.upload_id-ID.part-N` one of its parts.
        names.filter(|name| name.starts_with(".upload")).collect()
    }

    /// From now on every request is answered with 403, or no longer is.
    pub(crate) fn refuse(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::SeqCst);
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Decides over each request before s3s-fs sees it.
struct Gate {
    root: PathBuf,
    refusing: Arc<AtomicBool>,
}

#[async_trait]
impl S3Access for Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        if self.refusing.load(Ordering::SeqCst) || cx.credentials().is_none() {
            return Err(s3_error!(AccessDenied));
        }
        // Objects are files here, so s3s-fs fails with 500 where a key names a folder; S3 knows no folders.
        if let Some((bucket, key)) = cx.s3_path().as_object()
            && matches!(cx.s3_op().name(), "GetObject" | "HeadObject" | "CopyObject")
            && is_folder(&self.root.join(bucket).join(key))
        {
            return Err(s3_error!(NoSuchKey));
        }
        // s3s-fs refuses to abort an upload that has ended; S3 does not know it any more.
        let id = cx
            .uri()
            .query()
            .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("uploadId=")));
        if let ("AbortMultipartUpload", Some(id)) = (cx.s3_op().name(), id)
            && !self.root.join(format!(".upload-{id}.json")).exists()
        {
            return Err(s3_error!(NoSuchUpload));
        }
        Ok(())
    }
}

fn is_folder(path: &Path) -> bool {
    path.is_dir()
}
