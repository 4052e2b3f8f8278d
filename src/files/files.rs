//! One user's files: what is asked of each operation before the store is, by where its paths lead.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::error::{Error, Result};
use super::listed::{Listed, Listing, directory};
use super::tree::{NoFiles, Tree};
use super::upload::{Naming, PossibleUpload, made_names};
use crate::config::{NamePattern, Permission};
use crate::data::Content;
use crate::path::VirtualPath;
use crate::storage::{self, Dated, Entry, Existing, PlannedDownload, Store, StorePath, Stores, UploadMode};
use crate::user::User;

/// Where a file or directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name of the store.
    pub store: String,
    /// The key in it.
    pub key: String,
}

/// One user's files.
#[derive(Clone, Debug)]
pub struct Files {
    pub(super) tree: Arc<Tree>,
}

/// What a new name is to be of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum New {
    File,
    Directory,
}

impl Files {
    /// The files of `user`, who is at the address `client` and logs in now.
    // Semantics decision: a session keeps the homes that its login has had, also over midnight. Who uploads and then renames
    // does both in one folder.
    pub fn of(user: &Arc<User>, client: IpAddr, stores: &Stores) -> std::result::Result<Self, NoFiles> {
        Ok(Self { tree: Arc::new(Tree::of(user, client, stores, Utc::now())?) })
    }

    /// The store that `path` is in; none where there are only mounts.
    pub fn store(&self, path: &VirtualPath) -> Option<&str> {
        self.tree.place(path).map(|(place, _)| place.store.name())
    }

    /// The name of whose they are.
    pub fn user(&self) -> &str {
        self.tree.user()
    }

    /// Where what the user sees at `path` is.
    pub fn place(&self, path: &VirtualPath) -> Result<Place> {
        let (store, key) = self.stored(path)?;
        Ok(Place { store: store.name().to_owned(), key: key.as_str().to_owned() })
    }

    /// The file or directory at `path`.
    pub async fn stat(&self, path: &VirtualPath) -> Result<Entry> {
        self.look(path)?;
        if self.tree.is_fixed(path) {
            return Ok(directory(path.file_name()));
        }
        let (store, key) = self.stored(path)?;
        if self.tree.rules(path).drop_box {
            return told_of_a_drop_box(store, &key).await;
        }
        Ok(store.stat(&key).await?)
    }

    /// The same for SIZE and MLST, by which clients learn where to go on: what was kept of this user's own upload goes
    /// before it.
    pub async fn progress(&self, path: &VirtualPath) -> Result<Entry> {
        self.look(path)?;
        if self.tree.is_fixed(path) {
            return Ok(directory(path.file_name()));
        }
        let (store, key) = self.stored(path)?;
        if self.tree.rules(path).drop_box {
            return match store.kept_progress(&key).await? {
                Some(kept) => Ok(kept),
                None => told_of_a_drop_box(store, &key).await,
            };
        }
        Ok(store.progress(&key).await?)
    }

    /// The same for RNFR.
    pub async fn stat_to_rename(&self, path: &VirtualPath) -> Result<Entry> {
        if !self.tree.rules(path).drop_box || self.tree.is_fixed(path) {
            return self.stat(path).await;
        }
        self.allow(path, Permission::Rename)?;
        self.visible(path)?;
        let (store, key) = self.stored(path)?;
        Ok(store.stat(&key).await?)
    }

    fn look(&self, path: &VirtualPath) -> Result<()> {
        // Looking at a file belongs to reading and renaming it as much as to listing. What may be looked at in a drop box is
        // told there.
        let may_look = [Permission::Read, Permission::Rename].iter().any(|&p| self.may(path, p));
        if !may_look && !self.tree.rules(path).drop_box {
            self.allow(path, Permission::List)?;
        }
        self.visible(path)
    }

    /// Succeeds if `path` is a directory.
    pub async fn enter(&self, path: &VirtualPath) -> Result<()> {
        // A home exists even before anything was uploaded to it.
        if self.tree.is_fixed(path) {
            return Ok(());
        }
        self.visible(path)?;
        let (store, key) = self.stored(path)?;
        if store.is_directory(&key).await? {
            return Ok(());
        }
        let tells = !self.tree.rules(path).drop_box;
        let error = if tells && store.exists(&key).await? {
            storage::Error::NotADirectory
        } else {
            storage::Error::NotFound
        };
        Err(error.into())
    }

    /// Lists the directory at `path`, or describes the file there.
    pub async fn list(&self, path: &VirtualPath) -> Result<Listed> {
        self.allow(path, Permission::List)?;
        self.visible(path)?;
        let directory = |pages| Ok(Listed::Directory(Listing::new(&self.tree, path, pages)));
        let is_fixed = self.tree.is_fixed(path);
        if is_fixed && self.store(path).is_none() {
            return directory(None);
        }
        let (store, key) = self.stored(path)?;
        match store.list(&key).await {
            Ok(storage::Listed::Directory(pages)) => directory(Some(pages)),
            Ok(storage::Listed::File(entry)) if !is_fixed => Ok(Listed::File(entry)),
            // A home exists even before anything was uploaded to it, and what is above a mount hides a file.
            Ok(storage::Listed::File(_)) | Err(storage::Error::NotFound) if is_fixed => directory(None),
            Ok(storage::Listed::File(entry)) => Ok(Listed::File(entry)),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes a directory. Here and in what follows, whatever refuses it without the store's doing does so before there is
    /// anything to wait for, and nothing is done before that.
    pub fn make_directory(&self, path: &VirtualPath) -> Result<impl Change + use<>> {
        self.allow(path, Permission::Mkdir)?;
        self.writable(path)?;
        self.allow_name(path, New::Directory)?;
        let (store, key) = self.owned(path)?;
        Ok(async move { Ok(store.make_directory(&key).await?) })
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self, path: &VirtualPath) -> Result<impl Change + use<>> {
        self.allow(path, Permission::Rmdir)?;
        self.shown(path)?;
        self.writable(path)?;
        let (store, key) = self.owned(path)?;
        Ok(async move { Ok(store.remove_directory(&key).await?) })
    }

    /// Deletes a file.
    pub fn delete(&self, path: &VirtualPath) -> Result<impl Change + use<>> {
        self.allow(path, Permission::Delete)?;
        self.visible(path)?;
        self.writable(path)?;
        let (store, key) = self.owned(path)?;
        Ok(async move { Ok(store.delete(&key).await?) })
    }

    /// Gives a file or directory another name. What may have it can depend on which of both it is.
    pub async fn rename(&self, from: &VirtualPath, to: &VirtualPath) -> Result<impl Change + use<>> {
        for path in [from, to] {
            self.allow(path, Permission::Rename)?;
        }
        self.shown(from)?;
        for path in [from, to] {
            self.writable(path)?;
        }
        let ((store, from_key), (to_store, to_key)) = (self.owned(from)?, self.owned(to)?);
        if !Arc::ptr_eq(&store, &to_store) {
            return Err(Error::AcrossMounts);
        }
        // Semantics decision: what is below a directory stays under the rules that it is under. To tell which of it may
        // move, all of it would have to be looked at.
        if self.tree.has_rules_below(from) || self.tree.has_rules_below(to) {
            return Err(Error::AcrossRules);
        }
        self.allow_name(to, New::Directory)?;
        let is_across = !std::ptr::eq(self.tree.rules(from), self.tree.rules(to));
        // A new name must not make readable what is not.
        if is_across && self.may(to, Permission::Read) {
            self.allow(from, Permission::Read)?;
        }
        let as_file = self.allow_name(to, New::File);
        if is_across || as_file.is_err() {
            if store.exists(&from_key).await? {
                as_file?;
            } else if is_across && store.is_directory(&from_key).await? {
                return Err(Error::AcrossRules);
            }
        }
        let existing = if self.may_overwrite(to) { Existing::Replace } else { Existing::Refuse };
        Ok(async move { Ok(store.rename(&from_key, &to_key, existing).await?) })
    }

    /// Gives the file at `path` this time, if its store keeps times that are not its own. It belongs to uploading: clients set
    /// the time of what they have just sent.
    pub async fn set_modified(&self, path: &VirtualPath, time: DateTime<Utc>) -> Result<Dated> {
        self.allow(path, Permission::Write)?;
        self.shown(path)?;
        self.writable(path)?;
        // Semantics decision: a drop box does not tell whether the file is there, and whose it is is not known.
        if self.tree.rules(path).drop_box {
            return Ok(Dated::ByUpload);
        }
        let (store, key) = self.stored(path)?;
        Ok(store.set_modified(&key, time).await?)
    }

    /// Checks that an upload of this kind and content to `path` is allowed and possible.
    pub async fn check_upload(
        &self,
        path: &VirtualPath,
        mode: UploadMode,
        content: Content,
    ) -> Result<PossibleUpload> {
        let rules = self.tree.rules(path);
        let is_append = mode == UploadMode::Append;
        // An APPE that goes on with an upload adds to no file that is there.
        let may_go_on = is_append && rules.drop_box && !self.may(path, Permission::Append);
        self.allow(path, if is_append && !may_go_on { Permission::Append } else { Permission::Write })?;
        self.writable(path)?;
        self.allow_name(path, New::File)?;
        let (store, key) = self.stored(path)?;
        let mode = match mode {
            UploadMode::Append if may_go_on => match store.kept_progress(&key).await? {
                Some(kept) => UploadMode::Continue(kept.size()),
                None => return Err(Error::Denied(Permission::Append)),
            },
            UploadMode::Replace if rules.unique_names || !self.may_overwrite(path) => UploadMode::Create,
            // Going on with what was kept of an upload changes no file that is there.
            UploadMode::From(offset) if !self.may_overwrite(path) && store.keeps(&key).await? => {
                UploadMode::Continue(offset)
            }
            // Where names are unique, a file that is there is somebody else's, and nothing of it may go into this one.
            UploadMode::From(offset) if rules.unique_names => {
                if !store.keeps(&key).await? {
                    return Err(storage::Error::NotSupported("uploads begin anew here").into());
                }
                UploadMode::Continue(offset)
            }
            // Taking up an upload again changes a file that is there.
            UploadMode::From(_) => {
                self.allow(path, Permission::Overwrite)?;
                if !store.allows_overwrite() {
                    return Err(storage::Error::AlreadyExists.into());
                }
                mode
            }
            UploadMode::Replace | UploadMode::Create | UploadMode::Append | UploadMode::Continue(_) => mode,
        };
        let is_unique = rules.unique_names && mode == UploadMode::Create;
        match check(store, &key, mode, content).await {
            Err(storage::Error::AlreadyExists) if is_unique => {
                Box::pin(self.check_beside(path, content)).await
            }
            possible => {
                let naming = if is_unique { Naming::Unique } else { Naming::Given };
                Ok(PossibleUpload { upload: possible?, naming })
            }
        }
    }

    /// The upload to `path`, which is taken, under a name of its own.
    async fn check_beside(&self, path: &VirtualPath, content: Content) -> Result<PossibleUpload> {
        for name in made_names(path.file_name()) {
            let made = path.parent().resolve(&name);
            let made = made.map_err(|_| storage::Error::NameNotAllowed("holds a control character"))?;
            // A name that was made is a new name like others, and must not lead to where something else holds.
            let is_fine = self.writable(&made).is_ok()
                && self.allow_name(&made, New::File).is_ok()
                && std::ptr::eq(self.tree.rules(&made), self.tree.rules(path));
            if !is_fine {
                continue;
            }
            let (store, key) = self.stored(&made)?;
            match check(store, &key, UploadMode::Create, content).await {
                Err(storage::Error::AlreadyExists | storage::Error::NameNotAllowed(_)) => {}
                possible => return Ok(PossibleUpload { upload: possible?, naming: Naming::Made(made) }),
            }
        }
        Err(storage::Error::AlreadyExists.into())
    }

    /// Opens the file at `path` from byte `offset` on.
    pub async fn plan_download(&self, path: &VirtualPath, offset: u64) -> Result<PlannedDownload> {
        self.allow(path, Permission::Read)?;
        self.visible(path)?;
        if self.tree.is_fixed(path) {
            return Err(storage::Error::IsADirectory.into());
        }
        let (store, key) = self.stored(path)?;
        Ok(store.plan_download(&key, offset).await?)
    }

    pub(super) fn may(&self, path: &VirtualPath, permission: Permission) -> bool {
        self.tree.rules(path).permissions.contains(permission)
    }

    fn allow(&self, path: &VirtualPath, permission: Permission) -> Result<()> {
        if self.may(path, permission) { Ok(()) } else { Err(Error::Denied(permission)) }
    }

    pub(super) fn may_overwrite(&self, path: &VirtualPath) -> bool {
        let allows = self.tree.place(path).is_some_and(|(place, _)| place.store.allows_overwrite());
        allows && self.may(path, Permission::Overwrite)
    }

    /// What the gateway keeps for itself, and what is hidden, is not there, whatever is asked of it.
    fn visible(&self, path: &VirtualPath) -> Result<()> {
        if self.tree.is_reserved(path) {
            return Err(storage::Error::NotFound.into());
        }
        self.shown(path)
    }

    fn shown(&self, path: &VirtualPath) -> Result<()> {
        if self.tree.hidden_by(path).is_some() { Err(storage::Error::NotFound.into()) } else { Ok(()) }
    }

    fn writable(&self, path: &VirtualPath) -> Result<()> {
        if path.is_root() {
            return Err(Error::Root);
        }
        if self.tree.is_fixed(path) {
            return Err(Error::Mounted);
        }
        if self.store(path).is_none() {
            return Err(Error::OutsideOfMounts);
        }
        if self.tree.is_reserved(path) { Err(Error::Reserved) } else { Ok(()) }
    }

    /// Whether the user's rules let something new have the name `path`.
    // Semantics decision: what is hidden cannot be written either, or its writer could neither find it nor rename it.
    fn allow_name(&self, path: &VirtualPath, new: New) -> Result<()> {
        let refused =
            |pattern: &NamePattern, key| Error::Name(format!("it matches `{}` of {key}", pattern.as_str()));
        if let Some(pattern) = self.tree.denied_by(path) {
            return Err(refused(pattern, "deny_names"));
        }
        if let Some(pattern) = self.tree.hidden_by(path) {
            return Err(refused(pattern, "hide"));
        }
        if new == New::File && !self.tree.allows_name(path) {
            return Err(Error::Name("it matches nothing of allow_names".to_owned()));
        }
        Ok(())
    }

    /// The store that holds `path`, and its key there.
    fn stored(&self, path: &VirtualPath) -> Result<(&Arc<Store>, StorePath)> {
        let (place, at) = self.tree.place(path).ok_or(storage::Error::NotFound)?;
        Ok((&place.store, place.key(&path.relative()[at..])?))
    }

    fn owned(&self, path: &VirtualPath) -> Result<(Arc<Store>, StorePath)> {
        self.stored(path).map(|(store, key)| (Arc::clone(store), key))
    }
}

/// A change that is allowed and has not begun.
pub trait Change: Future<Output = Result<()>> + Send + 'static {}

impl<F: Future<Output = Result<()>> + Send + 'static> Change for F {}

/// What may be told of `path` in a drop box: directories can be entered, so they are no secret. Files that are there and
/// files that are not have one reply.
async fn told_of_a_drop_box(store: &Store, key: &StorePath) -> Result<Entry> {
    if store.is_directory(key).await? {
        Ok(directory(key.file_name()))
    } else {
        Err(Error::Denied(Permission::List))
    }
}

async fn check(
    store: &Arc<Store>,
    key: &StorePath,
    mode: UploadMode,
    content: Content,
) -> storage::Result<storage::PossibleUpload> {
    match content {
        Content::AsSent => store.check_upload(key, mode).await,
        Content::Converted => store.check_converted_upload(key, mode).await,
    }
}
