//! The user's home in a store, and the permissions that every operation asks for.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::config::Permission;
use crate::data::{Content, DataError};
use crate::path::VirtualPath;
use crate::storage::{
    self, Dated, Entry, Existing, Listed, PlannedDownload, PlannedUpload, Store, StorePath, Stores,
    UploadMode,
};
use crate::user::User;

/// Why a user cannot have what they ask for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user lacks the permission.
    #[error("permission denied")]
    Denied(Permission),
    /// The root cannot be written, renamed or removed.
    #[error("not possible with the root directory")]
    Root,
    /// The name is one of the gateway's own.
    #[error("name is reserved")]
    Reserved,
    /// A fault of ours, such as a panic or a command that reached control other than the edge sent it.
    #[error("internal error: {0}")]
    Internal(String),
    /// The store says no.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl From<DataError> for Error {
    fn from(error: DataError) -> Self {
        storage::Error::from(error).into()
    }
}

/// The result of an operation on a user's files.
pub type Result<T> = std::result::Result<T, Error>;

/// One user's files.
#[derive(Clone, Debug)]
pub struct Files {
    user: Arc<User>,
    store: Arc<Store>,
    home: StorePath,
}

impl Files {
    /// The files of `user`, who is at the address `client`; none if the store or the home that the configuration names cannot be had.
    pub fn of(user: &Arc<User>, client: IpAddr, stores: &Stores) -> Option<Self> {
        let store = stores.find(&user.profile.store)?;
        let home = store.root().join(&user.profile.home).ok()?;
        let store = store.within(&home).owned_by(&user.name).used_from(client);
        Some(Self { user: Arc::clone(user), store: Arc::new(store), home })
    }

    /// The store that they are in.
    pub fn store(&self) -> &str {
        self.store.name()
    }

    /// The name of whose they are.
    pub fn user(&self) -> &str {
        &self.user.name
    }

    /// The file or directory at `path`.
    pub async fn stat(&self, path: &VirtualPath) -> Result<Entry> {
        self.look(path)?;
        if path.is_root() {
            return Ok(root());
        }
        Ok(self.store.stat(&self.key(path)?).await?)
    }

    /// The same for SIZE and MLST, by which clients learn where to go on: what was kept of this user's own upload goes
    /// before it.
    pub async fn progress(&self, path: &VirtualPath) -> Result<Entry> {
        self.look(path)?;
        if path.is_root() {
            return Ok(root());
        }
        Ok(self.store.progress(&self.key(path)?).await?)
    }

    fn look(&self, path: &VirtualPath) -> Result<()> {
        // Looking at a file belongs to reading and renaming it as much as to listing.
        let may_look =
            [Permission::Read, Permission::Rename].iter().any(|&p| self.user.profile.permissions.contains(p));
        if !may_look {
            self.allow(Permission::List)?;
        }
        self.visible(path)
    }

    /// Succeeds if `path` is a directory.
    pub async fn enter(&self, path: &VirtualPath) -> Result<()> {
        // A home exists even before anything was uploaded to it.
        if path.is_root() {
            return Ok(());
        }
        self.visible(path)?;
        let key = self.key(path)?;
        if self.store.is_directory(&key).await? {
            return Ok(());
        }
        let error = if self.store.exists(&key).await? {
            storage::Error::NotADirectory
        } else {
            storage::Error::NotFound
        };
        Err(error.into())
    }

    /// Lists the directory at `path`, or describes the file there.
    pub async fn list(&self, path: &VirtualPath) -> Result<Option<Listed>> {
        self.allow(Permission::List)?;
        self.visible(path)?;
        match self.store.list(&self.key(path)?).await {
            Ok(listed) => Ok(Some(listed)),
            // A home exists even before anything was uploaded to it.
            Err(storage::Error::NotFound) if path.is_root() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a directory.
    pub async fn make_directory(&self, path: &VirtualPath) -> Result<()> {
        self.allow(Permission::Mkdir)?;
        self.writable(path)?;
        Ok(self.store.make_directory(&self.key(path)?).await?)
    }

    /// Removes an empty directory.
    pub async fn remove_directory(&self, path: &VirtualPath) -> Result<()> {
        self.allow(Permission::Rmdir)?;
        self.writable(path)?;
        Ok(self.store.remove_directory(&self.key(path)?).await?)
    }

    /// Deletes a file.
    pub async fn delete(&self, path: &VirtualPath) -> Result<()> {
        self.allow(Permission::Delete)?;
        self.visible(path)?;
        self.writable(path)?;
        Ok(self.store.delete(&self.key(path)?).await?)
    }

    /// Gives a file another name.
    pub async fn rename(&self, from: &VirtualPath, to: &VirtualPath) -> Result<()> {
        self.allow(Permission::Rename)?;
        for path in [from, to] {
            self.writable(path)?;
        }
        let existing = if self.may_overwrite() { Existing::Replace } else { Existing::Refuse };
        Ok(self.store.rename(&self.key(from)?, &self.key(to)?, existing).await?)
    }

    /// Gives the file at `path` this time, if its store keeps times that are not its own. It belongs to uploading: clients set
    /// the time of what they have just sent.
    pub async fn set_modified(&self, path: &VirtualPath, time: DateTime<Utc>) -> Result<Dated> {
        self.allow(Permission::Write)?;
        self.writable(path)?;
        Ok(self.store.set_modified(&self.key(path)?, time).await?)
    }

    /// Checks that an upload of this kind and content to `path` is allowed and possible.
    pub async fn plan_upload(
        &self,
        path: &VirtualPath,
        mode: UploadMode,
        content: Content,
    ) -> Result<PlannedUpload> {
        self.allow(if mode == UploadMode::Append { Permission::Append } else { Permission::Write })?;
        self.writable(path)?;
        let mode = match mode {
            UploadMode::Replace if !self.may_overwrite() => UploadMode::Create,
            // Going on with what was kept of an upload changes no file that is there.
            UploadMode::From(offset)
                if !self.may_overwrite() && self.store.keeps(&self.key(path)?).await? =>
            {
                UploadMode::Continue(offset)
            }
            // Taking up an upload again changes a file that is there.
            UploadMode::From(_) => {
                self.allow(Permission::Overwrite)?;
                if !self.store.allows_overwrite() {
                    return Err(storage::Error::AlreadyExists.into());
                }
                mode
            }
            UploadMode::Replace | UploadMode::Create | UploadMode::Append | UploadMode::Continue(_) => mode,
        };
        let path = self.key(path)?;
        Ok(match content {
            Content::AsSent => self.store.plan_upload(&path, mode).await?,
            Content::Converted => self.store.plan_converted_upload(&path, mode).await?,
        })
    }

    /// Opens the file at `path` from byte `offset` on.
    pub async fn plan_download(&self, path: &VirtualPath, offset: u64) -> Result<PlannedDownload> {
        self.allow(Permission::Read)?;
        self.visible(path)?;
        if path.is_root() {
            return Err(storage::Error::IsADirectory.into());
        }
        Ok(self.store.plan_download(&self.key(path)?, offset).await?)
    }

    /// What the user may do with a file or directory (RFC 3659 section 7.5.5), whatever the store thinks of it. The root is the
    /// one without a name.
    pub fn rights(&self, name: &str, kind: storage::EntryKind) -> String {
        let may = |permission| self.user.profile.permissions.contains(permission);
        let rights = match kind {
            storage::EntryKind::File { .. } => vec![
                ('a', may(Permission::Append)),
                ('d', may(Permission::Delete)),
                ('f', may(Permission::Rename)),
                ('r', may(Permission::Read)),
                ('w', may(Permission::Write) && self.may_overwrite()),
            ],
            storage::EntryKind::Directory => vec![
                ('c', may(Permission::Write)),
                ('d', may(Permission::Rmdir) && !name.is_empty()),
                ('e', true),
                ('f', may(Permission::Rename) && !name.is_empty()),
                ('l', may(Permission::List)),
                ('m', may(Permission::Mkdir)),
                ('p', may(Permission::Delete)),
            ],
        };
        rights.into_iter().filter_map(|(letter, has)| has.then_some(letter)).collect()
    }

    fn allow(&self, permission: Permission) -> Result<()> {
        if self.user.profile.permissions.contains(permission) {
            Ok(())
        } else {
            Err(Error::Denied(permission))
        }
    }

    fn may_overwrite(&self) -> bool {
        self.store.allows_overwrite() && self.user.profile.permissions.contains(Permission::Overwrite)
    }

    /// What the gateway keeps for itself is not there, whatever is asked of it.
    fn visible(&self, path: &VirtualPath) -> Result<()> {
        if self.is_reserved(path) { Err(storage::Error::NotFound.into()) } else { Ok(()) }
    }

    fn writable(&self, path: &VirtualPath) -> Result<()> {
        if path.is_root() {
            return Err(Error::Root);
        }
        if self.is_reserved(path) { Err(Error::Reserved) } else { Ok(()) }
    }

    fn is_reserved(&self, path: &VirtualPath) -> bool {
        path.segments().any(|segment| self.store.reserves(segment))
    }

    fn key(&self, path: &VirtualPath) -> Result<StorePath> {
        Ok(self.home.join(path.relative())?)
    }
}

fn root() -> Entry {
    Entry { name: String::new(), kind: storage::EntryKind::Directory, modified: None }
}
