//! An S3 server in this process, and the raw client that the gateway is measured against.

use std::io::Read;
use std::net::SocketAddr;
use std::time::Instant;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use object_store::ObjectStoreExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::server::folder;

const PART: usize = 8 * 1024 * 1024;
const WINDOW: usize = 4;

pub(crate) struct Running {
    runtime: Runtime,
    address: SocketAddr,
    folder: TempDir,
}

impl Running {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().expect("runtime");
        let folder = folder();
        std::fs::create_dir(folder.path().join("bench")).expect("bucket");
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).expect("file system"));
        builder.set_auth(SimpleAuth::from_single("bench", "bench-secret"));
        let service = builder.build();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("bind");
        let address = listener.local_addr().expect("address");
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                let service = service.clone();
                tokio::spawn(async move {
                    stream.set_nodelay(true).ok();
                    Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        Self { runtime, address, folder }
    }

    /// The gateway's configuration for this server.
    pub(crate) fn config(&self, memory: &str) -> String {
        format!(
            "[transfer]\nmemory = \"{memory}\"\n\
             [stores.s3]\nurl = \"s3://bench\"\n[stores.s3.options]\naws_endpoint = \"http://{}\"\n\
             aws_access_key_id = \"bench\"\naws_secret_access_key = \"bench-secret\"\n",
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

    fn client(&self) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_endpoint(format!("http://{}", self.address))
            .with_allow_http(true)
            .with_bucket_name("bench")
            .with_access_key_id("bench")
            .with_secret_access_key("bench-secret")
            .build()
            .expect("client")
    }

    pub(crate) fn size(&self, name: &str) -> u64 {
        std::fs::metadata(self.folder.path().join("bench").join(name)).expect("object").len()
    }

    /// Whether the object is exactly `expected`.
    pub(crate) fn holds(&self, name: &str, mut expected: impl Read) -> bool {
        let mut object = std::fs::File::open(self.folder.path().join("bench").join(name)).expect("object");
        let (mut ours, mut theirs) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        loop {
            let read = object.read(&mut ours).expect("object");
            if read == 0 {
                return expected.read(&mut theirs).expect("pattern") == 0;
            }
            expected.read_exact(&mut theirs[..read]).expect("pattern");
            if ours[..read] != theirs[..read] {
                return false;
            }
        }
    }
}
