//! libunftp's storage backend for one session: the other end of `control`. It ignores the streams that libunftp
//! offers, takes the client's own data connection from the session, and moves files between that and the store.

use std::fmt::Debug;
use std::future::Future;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use async_trait::async_trait;
use libunftp::ServerBuilder;
use libunftp::options::Binder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tracing::Instrument;
use unftp_core::storage::{Error, ErrorKind, Fileinfo, Metadata, Result, StorageBackend};

use super::Front;
use super::authenticator::{SessionAuthenticator, SessionUser};
use super::failure::{failure, kind, transfer_result};
use super::listing::{self, Format, Selection};
use super::metered::Metered;
use crate::files::{self, Files, VirtualPath};
use crate::metrics::{ByteCount, Direction, TransferResult};
use crate::session::{Session, Transfer, TransferKind};
use crate::storage::{self, Entry, Listed, UploadMode};

/// The longest directory that STAT shows: its reply is held in memory and sent over the control connection.
const LONGEST_STAT: usize = 1000;

/// libunftp ends a session that is idle for this long; the edge's own `ftp.idle_timeout` always comes first.
const NEVER: u64 = 366 * 24 * 3600;

/// Runs libunftp for `session` on its end of the loopback pair, until that is closed.
pub(super) fn serve<B: Binder + 'static>(
    front: &Front,
    session: &Arc<Session>,
    binder: B,
    stream: TcpStream,
) -> impl Future<Output = ()> + Send + use<B> {
    let login = Arc::new(SessionAuthenticator {
        auth: Arc::clone(&front.auth),
        session: Arc::clone(session),
        metrics: Arc::clone(&front.metrics),
    });
    let backend = Backend { front: front.clone(), session: Arc::clone(session), files: None };
    let server =
        ServerBuilder::with_user_detail_provider(Box::new(move || backend.clone()), Arc::clone(&login) as _)
            .authenticator(login)
            .binder(binder)
            .idle_session_timeout(NEVER)
            .metrics()
            .build();
    async move {
        match server {
            Ok(server) => {
                if let Err(error) = server.service(stream).await {
                    tracing::warn!(%error, "control front end failed");
                }
            }
            Err(error) => tracing::error!(%error, "control front end refused its configuration"),
        }
    }
}

#[derive(Clone, Debug)]
struct Backend {
    front: Front,
    session: Arc<Session>,
    files: Option<Files>,
}

/// What libunftp wants to know of a file.
#[derive(Clone, Debug)]
pub(super) struct FileMetadata(Entry);

impl Metadata for FileMetadata {
    fn len(&self) -> u64 {
        self.0.size()
    }

    fn is_dir(&self) -> bool {
        self.0.is_directory()
    }

    fn is_file(&self) -> bool {
        !self.0.is_directory()
    }

    fn is_symlink(&self) -> bool {
        false
    }

    fn modified(&self) -> Result<SystemTime> {
        self.0.modified.map(Into::into).ok_or_else(|| ErrorKind::PermanentFileNotAvailable.into())
    }

    fn gid(&self) -> u32 {
        0
    }

    fn uid(&self) -> u32 {
        0
    }
}

impl Backend {
    fn files(&self) -> Result<&Files> {
        // libunftp calls only after login, which set them.
        self.files.as_ref().ok_or_else(|| ErrorKind::PermissionDenied.into())
    }

    /// Waits for `work` within the session's span, and leaves the reason of a failure with the session.
    async fn answer<T>(&self, work: impl Future<Output = files::Result<T>>) -> Result<T> {
        async {
            work.await.map_err(|error| {
                let verb = self.session.verb();
                let failure = failure(verb, &error);
                if transfer_result(&error) == TransferResult::StoreError {
                    tracing::warn!(verb, error = &error as &dyn std::error::Error, "the store failed");
                } else {
                    tracing::debug!(verb, code = failure.code, reason = failure.text, "command failed");
                }
                self.session.fail(failure);
                Error::from(kind(&error))
            })
        }
        .instrument(self.session.span.clone())
        .await
    }

    /// Waits for `work` that changes files, and leaves a line in the log when it has.
    async fn change(&self, path: &VirtualPath, work: impl Future<Output = files::Result<()>>) -> Result<()> {
        self.answer(async {
            work.await?;
            tracing::info!(verb = self.session.verb(), path = %path, "done");
            Ok(())
        })
        .await
    }

    /// Runs a file transfer and accounts for it.
    async fn transfer<F>(
        &self,
        direction: Direction,
        path: &VirtualPath,
        work: impl FnOnce(Transfer, ByteCount) -> F,
    ) -> Result<u64>
    where
        F: Future<Output = files::Result<u64>>,
    {
        let transfer = self.session.take_transfer().ok_or(ErrorKind::LocalError)?;
        let store = self.files()?.store();
        let metrics = &self.front.metrics;
        let _active = metrics.transfer_active(direction);
        let begun = Instant::now();
        let moved = self.answer(async {
            let moved = work(transfer, metrics.transfer_bytes(direction, store)).await;
            let took = begun.elapsed();
            let result = moved.as_ref().map_or_else(transfer_result, |_| TransferResult::Ok);
            metrics.transfer_ended(direction, result, took);
            tracing::info!(
                direction = direction.label(),
                result = result.label(),
                store,
                path = %path,
                bytes = moved.as_ref().ok(),
                seconds = took.as_secs_f64(),
                "transfer ended"
            );
            moved
        });
        moved.await
    }

    /// Lists `path` on the client's data connection.
    async fn send_listing(&self, path: &Path, format: Format) -> Result<()> {
        let transfer = self.session.take_transfer().ok_or(ErrorKind::LocalError)?;
        let TransferKind::List { pattern, prefix } = transfer.kind else {
            return Err(ErrorKind::LocalError.into());
        };
        // Something that is no valid pattern can still be a name, which then matches nothing else.
        let pattern = pattern.map(|text| {
            glob::Pattern::new(&text).or_else(|_| glob::Pattern::new(&glob::Pattern::escape(&text)))
        });
        let selection = Selection { format, pattern: pattern.and_then(std::result::Result::ok), prefix };
        let path = virtual_path(path);
        let listing = async {
            let listed = self.list_path(&path).await?;
            if format == Format::Facts && matches!(listed, Some(Listed::File(_))) {
                return Err(storage::Error::NotADirectory.into());
            }
            let mut data = transfer.opener.open().await.map_err(storage::Error::from)?;
            let sent = tokio::select! {
                biased;
                () = transfer.abort.requested() => Err(storage::Error::from(transfer.abort.error()).into()),
                sent = listing::send(listed, &selection, data.as_mut()) => sent,
            };
            match sent {
                Ok(()) => Ok(data.finish().await.map_err(storage::Error::from)?),
                Err(error) => {
                    data.reset();
                    Err(error)
                }
            }
        };
        self.answer(listing).await
    }

    async fn list_path(&self, path: &VirtualPath) -> files::Result<Option<Listed>> {
        match &self.files {
            Some(files) => files.list(path).await,
            None => Ok(None),
        }
    }
}

/// The edge sends nothing but canonical paths, so this changes none.
fn virtual_path(path: &Path) -> VirtualPath {
    VirtualPath::root().resolve(&path.to_string_lossy()).unwrap_or_else(|_| VirtualPath::root())
}

#[async_trait]
impl StorageBackend<SessionUser> for Backend {
    type Metadata = FileMetadata;

    fn enter(&mut self, user: &SessionUser) -> std::io::Result<()> {
        self.files = Files::of(&user.0, &self.front.stores);
        if self.files.is_none() {
            return Err(std::io::Error::other("the user's store or home does not exist"));
        }
        Ok(())
    }

    async fn metadata<P: AsRef<Path> + Send + Debug>(
        &self,
        _user: &SessionUser,
        path: P,
    ) -> Result<FileMetadata> {
        let (files, path) = (self.files()?, virtual_path(path.as_ref()));
        self.answer(async {
            let entry = files.stat(&path).await?;
            // RFC 3659 sections 3 and 4: only files have a size and a modification time.
            if entry.is_directory() && matches!(self.session.verb(), "SIZE" | "MDTM") {
                return Err(storage::Error::IsADirectory.into());
            }
            Ok(FileMetadata(entry))
        })
        .await
    }

    async fn list<P: AsRef<Path> + Send + Debug>(
        &self,
        _user: &SessionUser,
        path: P,
    ) -> Result<Vec<Fileinfo<PathBuf, FileMetadata>>> {
        // MLSD: everything has been sent, so nothing is left for libunftp to send.
        self.send_listing(path.as_ref(), Format::Facts).await.map(|()| Vec::new())
    }

    async fn list_fmt<P>(&self, _user: &SessionUser, path: P) -> Result<Cursor<Vec<u8>>>
    where
        P: AsRef<Path> + Send + Debug,
    {
        self.send_listing(path.as_ref(), Format::Long).await.map(|()| Cursor::default())
    }

    async fn nlst<P>(&self, _user: &SessionUser, path: P) -> std::io::Result<Cursor<Vec<u8>>>
    where
        P: AsRef<Path> + Send + Debug,
    {
        let sent = self.send_listing(path.as_ref(), Format::Names).await;
        sent.map(|()| Cursor::default()).map_err(std::io::Error::other)
    }

    async fn list_vec<P>(&self, _user: &SessionUser, path: P) -> Result<Vec<String>>
    where
        P: AsRef<Path> + Send + Debug,
    {
        let shown = virtual_path(path.as_ref());
        self.answer(async {
            let mut lines = vec![format!("Status of {shown}:")];
            let now = chrono::Utc::now();
            let mut add = |entry: &Entry| {
                let mut line = String::new();
                listing::long(entry, now, &mut line);
                lines.push(line);
                lines.len() <= LONGEST_STAT
            };
            match self.list_path(&shown).await? {
                None => {}
                Some(Listed::File(entry)) => {
                    add(&entry);
                }
                Some(Listed::Directory(mut listing)) => {
                    while let Some(page) = listing.next_page().await? {
                        if !page.iter().all(&mut add) {
                            lines.push("The rest is left out; use LIST".to_owned());
                            break;
                        }
                    }
                }
            }
            lines.push("End of status".to_owned());
            Ok(lines)
        })
        .await
    }

    async fn get_into<'a, P, W>(
        &self,
        _user: &SessionUser,
        path: P,
        _start: u64,
        _output: &'a mut W,
    ) -> Result<u64>
    where
        W: AsyncWrite + Unpin + Sync + Send + ?Sized,
        P: AsRef<Path> + Send + Debug,
    {
        let path = virtual_path(path.as_ref());
        let files = self.files()?;
        self.transfer(Direction::Download, &path, async |transfer, bytes| {
            let TransferKind::Retrieve { offset } = transfer.kind else { return Err(misrouted()) };
            let plan = files.plan_download(&path, offset).await?;
            let data = Metered::open(transfer.opener.open().await, bytes)?;
            Ok(plan.run(data, &transfer.abort).await?)
        })
        .await
    }

    async fn get<P: AsRef<Path> + Send + Debug>(
        &self,
        _user: &SessionUser,
        _path: P,
        _start: u64,
    ) -> Result<Box<dyn AsyncRead + Send + Sync + Unpin>> {
        // Only `SITE MD5` and the default `get_into` call this, and neither is reachable.
        Err(ErrorKind::CommandNotImplemented.into())
    }

    async fn put<P: AsRef<Path> + Send + Debug, R: AsyncRead + Send + Sync + Unpin + 'static>(
        &self,
        _user: &SessionUser,
        _input: R,
        path: P,
        _start: u64,
    ) -> Result<u64> {
        let path = virtual_path(path.as_ref());
        let files = self.files()?;
        let direction = if self.session.verb() == "APPE" { Direction::Append } else { Direction::Upload };
        self.transfer(direction, &path, async |transfer, bytes| {
            let mode = match transfer.kind {
                TransferKind::Append => UploadMode::Append,
                TransferKind::Store { offset: 0 } => UploadMode::Replace,
                TransferKind::Store { offset } => UploadMode::From(offset),
                TransferKind::Retrieve { .. } | TransferKind::List { .. } => return Err(misrouted()),
            };
            let plan = files.plan_upload(&path, mode).await?;
            let data = Metered::open(transfer.opener.open().await, bytes)?;
            Ok(plan.run(data, &transfer.abort).await?)
        })
        .await
    }

    async fn del<P: AsRef<Path> + Send + Debug>(&self, _user: &SessionUser, path: P) -> Result<()> {
        let path = virtual_path(path.as_ref());
        self.change(&path, self.files()?.delete(&path)).await
    }

    async fn mkd<P: AsRef<Path> + Send + Debug>(&self, _user: &SessionUser, path: P) -> Result<()> {
        let path = virtual_path(path.as_ref());
        self.change(&path, self.files()?.make_directory(&path)).await
    }

    async fn rename<P: AsRef<Path> + Send + Debug>(&self, _user: &SessionUser, from: P, to: P) -> Result<()> {
        let (from, to) = (virtual_path(from.as_ref()), virtual_path(to.as_ref()));
        let files = self.files()?;
        self.answer(async {
            files.rename(&from, &to).await?;
            tracing::info!(verb = "RNTO", path = %from, to = %to, "done");
            Ok(())
        })
        .await
    }

    async fn rmd<P: AsRef<Path> + Send + Debug>(&self, _user: &SessionUser, path: P) -> Result<()> {
        let path = virtual_path(path.as_ref());
        self.change(&path, self.files()?.remove_directory(&path)).await
    }

    async fn cwd<P: AsRef<Path> + Send + Debug>(&self, _user: &SessionUser, path: P) -> Result<()> {
        self.answer(self.files()?.enter(&virtual_path(path.as_ref()))).await
    }
}

/// A transfer of another kind than the command's: a fault of ours that must not move a byte.
fn misrouted() -> files::Error {
    storage::Error::NotSupported("this transfer").into()
}
