//! What libunftp asks of a storage backend for the verbs that it knows itself.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::io::AsyncRead;
use unftp_core::storage::{ErrorKind, Fileinfo, Metadata, Result, StorageBackend};

use super::authenticator::SessionUser;
use super::command::Backend;
use super::listing;
use crate::config::EventType;
use crate::session::Operation;
use crate::storage::{self, Entry};

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

/// Transfers and listings go through the handler of `SITE XFER`, and the edge sends libunftp none of the commands that
/// would call these.
fn through_the_handler<T>() -> Result<T> {
    Err(ErrorKind::CommandNotImplemented.into())
}

#[async_trait]
impl StorageBackend<SessionUser> for Backend {
    type Metadata = FileMetadata;

    fn enter(&mut self, user: &SessionUser) -> std::io::Result<()> {
        self.enter(user.files.clone());
        Ok(())
    }

    async fn metadata<P: AsRef<Path> + Send + Debug>(
        &self,
        _user: &SessionUser,
        path: P,
    ) -> Result<FileMetadata> {
        let (pending, files) = self.take(path.as_ref())?;
        self.run(pending.operation, async {
            let looking = async {
                match pending.operation {
                    Operation::Size => files.progress(&pending.path).await,
                    Operation::Rnfr => files.stat_to_rename(&pending.path).await,
                    _ => files.stat(&pending.path).await,
                }
            };
            let entry = pending.abort.unless_requested(looking).await?;
            // RFC 3659 sections 3 and 4: only files have a size and a modification time.
            if entry.is_directory() && matches!(pending.operation, Operation::Size | Operation::Mdtm) {
                return Err(storage::Error::IsADirectory.into());
            }
            Ok(FileMetadata(entry))
        })
        .await
    }

    async fn list_vec<P>(&self, _user: &SessionUser, path: P) -> Result<Vec<String>>
    where
        P: AsRef<Path> + Send + Debug,
    {
        let (pending, files) = self.take(path.as_ref())?;
        let status = listing::status(files, &pending.path, self.session.names());
        let (lines, left_out) = self.run(pending.operation, pending.abort.unless_requested(status)).await?;
        self.count_left_out(files, &pending, left_out);
        Ok(lines)
    }

    async fn del<P: AsRef<Path> + Send + Debug>(&self, _user: &SessionUser, path: P) -> Result<()> {
        let (pending, files) = self.take(path.as_ref())?;
        self.change(EventType::Delete, &pending, files, async { files.delete(&pending.path) }).await
    }

    async fn mkd<P: AsRef<Path> + Send + Debug>(&self, _user: &SessionUser, path: P) -> Result<()> {
        let (pending, files) = self.take(path.as_ref())?;
        self.change(EventType::Mkdir, &pending, files, async { files.make_directory(&pending.path) }).await
    }

    async fn rename<P: AsRef<Path> + Send + Debug>(&self, _user: &SessionUser, from: P, to: P) -> Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        let (pending, files) = self.take_if(|pending| {
            to == Path::new(pending.path.as_str())
                && pending.from.as_ref().is_some_and(|path| from == Path::new(path.as_str()))
        })?;
        // `take_if` has seen it.
        let from = pending.from.as_ref().ok_or(ErrorKind::LocalError)?;
        self.change(EventType::Rename, &pending, files, files.rename(from, &pending.path)).await
    }

    async fn rmd<P: AsRef<Path> + Send + Debug>(&self, _user: &SessionUser, path: P) -> Result<()> {
        let (pending, files) = self.take(path.as_ref())?;
        self.change(EventType::Rmdir, &pending, files, async { files.remove_directory(&pending.path) }).await
    }

    async fn cwd<P: AsRef<Path> + Send + Debug>(&self, _user: &SessionUser, path: P) -> Result<()> {
        let (pending, files) = self.take(path.as_ref())?;
        self.run(pending.operation, pending.abort.unless_requested(files.enter(&pending.path))).await
    }

    async fn list<P: AsRef<Path> + Send + Debug>(
        &self,
        _user: &SessionUser,
        _path: P,
    ) -> Result<Vec<Fileinfo<PathBuf, FileMetadata>>> {
        through_the_handler()
    }

    async fn get<P: AsRef<Path> + Send + Debug>(
        &self,
        _user: &SessionUser,
        _path: P,
        _start: u64,
    ) -> Result<Box<dyn AsyncRead + Send + Sync + Unpin>> {
        through_the_handler()
    }

    async fn put<P: AsRef<Path> + Send + Debug, R: AsyncRead + Send + Sync + Unpin + 'static>(
        &self,
        _user: &SessionUser,
        _input: R,
        _path: P,
        _start: u64,
    ) -> Result<u64> {
        through_the_handler()
    }
}
