//! Where a user's paths lead: to which folder of which store, what holds there, and what is never the store's to say.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::config::{NamePattern, NoFolder, Rules, UserSource, below};
use crate::path::VirtualPath;
use crate::storage::{self, Store, StorePath, Stores};
use crate::user::User;

/// Why a user has no files.
#[derive(Debug, thiserror::Error)]
pub enum NoFiles {
    /// It came after the start.
    #[error("there is no store `{0}`")]
    Store(String),
    /// The home does not go with the name.
    #[error(transparent)]
    Folder(#[from] NoFolder),
    /// The store cannot hold it, or keeps it for itself.
    #[error("`{0}` cannot be a folder in the store")]
    Home(String),
    /// What holds for the one would not hold for the other.
    #[error("`{0}` and `{1}` overlap in their store")]
    Overlap(StorePath, StorePath),
}

/// One user's tree, as it was at the login.
#[derive(Debug)]
pub(super) struct Tree {
    user: Arc<User>,
    /// Of each mount of the user's view, in the same order.
    places: Vec<Place>,
}

/// A folder of a store.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) store: Arc<Store>,
    home: StorePath,
}

impl Tree {
    /// The tree of `user`, who is at the address `client` and has logged in at `now`.
    pub(super) fn of(
        user: &Arc<User>,
        client: IpAddr,
        stores: &Stores,
        now: DateTime<Utc>,
    ) -> Result<Self, NoFiles> {
        let mut places: Vec<Place> = Vec::new();
        for mount in &user.profile.view.mounts {
            let store = stores.find(&mount.store).ok_or_else(|| NoFiles::Store(mount.store.clone()))?;
            let folder = mount.home.of(&user.name, now)?;
            // A name that is a user's own choice must not lead to the records of the gateway.
            let home = store.root().join(&folder).ok();
            let home = home.filter(|_| !folder.split('/').any(|segment| store.reserves(segment)));
            let Some(home) = home else { return Err(NoFiles::Home(folder)) };
            // Two templates can come to one folder.
            if let Some(other) = places.iter().find(|other| other.overlaps(&mount.store, &home)) {
                return Err(NoFiles::Overlap(other.home.clone(), home));
            }
            let store = store.within(&home).owned_by(&user.name).used_from(client);
            // Anybody may be this user, so nobody has a broken upload of their own.
            let store = if user.source == UserSource::Anonymous { store.keeping_nothing() } else { store };
            places.push(Place { store: Arc::new(store), home });
        }
        Ok(Self { user: Arc::clone(user), places })
    }

    pub(super) fn user(&self) -> &str {
        &self.user.name
    }

    /// What holds at `path`.
    pub(super) fn rules(&self, path: &VirtualPath) -> &Rules {
        self.user.profile.view.rules(path.relative())
    }

    /// Whether what holds below `path` is not everywhere what holds at it.
    pub(super) fn has_rules_below(&self, path: &VirtualPath) -> bool {
        let mut folders = self.user.profile.view.folders.iter();
        folders.any(|folder| below(&folder.path, path.relative()).is_some_and(|rest| !rest.is_empty()))
    }

    /// Whether something holds at `path`, or below it, that does not hold beside it.
    pub(super) fn has_own_rules(&self, path: &VirtualPath) -> bool {
        let mut folders = self.user.profile.view.folders.iter();
        folders.any(|folder| below(&folder.path, path.relative()).is_some())
    }

    /// The folder of a store that holds `path`, and the rest of the path in it. None where there are only mounts.
    pub(super) fn place(&self, path: &VirtualPath) -> Option<(&Place, usize)> {
        let mut mounts = self.user.profile.view.mounts.iter().zip(&self.places);
        mounts.find_map(|(mount, place)| {
            let rest = below(path.relative(), &mount.path)?;
            Some((place, path.relative().len() - rest.len()))
        })
    }

    /// Whether the configuration makes `path` a directory, whatever is in a store: the root, a mount, what is above one.
    pub(super) fn is_fixed(&self, path: &VirtualPath) -> bool {
        path.is_root() || self.is_fixed_at(path.relative())
    }

    fn is_fixed_at(&self, path: &str) -> bool {
        let mut mounts = self.user.profile.view.mounts.iter();
        path.is_empty() || mounts.any(|mount| below(&mount.path, path).is_some())
    }

    /// The names in the directory at `path` that the configuration makes directories.
    pub(super) fn fixed_in(&self, path: &VirtualPath) -> BTreeSet<&str> {
        self.user.profile.view.mounts.iter().filter_map(|mount| child(&mount.path, path)).collect()
    }

    /// The names in the directory at `path` that may have other rights than other names there.
    pub(super) fn special_in(&self, path: &VirtualPath) -> BTreeSet<&str> {
        let folders = &self.user.profile.view.folders;
        let mut names = self.fixed_in(path);
        names.extend(folders.iter().filter_map(|folder| child(&folder.path, path)));
        names
    }

    /// The pattern that hides `path`, or something above it.
    pub(super) fn hidden_by(&self, path: &VirtualPath) -> Option<&NamePattern> {
        let names = |(directory, name)| find(&self.user.profile.view.rules(directory).hide, name);
        self.names(path).find_map(names)
    }

    /// The pattern that denies `path`, or something above it.
    pub(super) fn denied_by(&self, path: &VirtualPath) -> Option<&NamePattern> {
        let names = |(directory, name)| find(&self.user.profile.view.rules(directory).deny_names, name);
        self.names(path).find_map(names)
    }

    /// Whether the name of a new file at `path` is one of those that are allowed, if only some are.
    pub(super) fn allows_name(&self, path: &VirtualPath) -> bool {
        let directory = path.relative().rsplit_once('/').map_or("", |(directory, _)| directory);
        let allowed = &self.user.profile.view.rules(directory).allow_names;
        allowed.is_empty() || find(allowed, path.file_name()).is_some()
    }

    /// Whether something in `path` is the gateway's own.
    pub(super) fn is_reserved(&self, path: &VirtualPath) -> bool {
        self.place(path).is_some_and(|(place, at)| {
            path.relative()[at..].split('/').any(|segment| place.store.reserves(segment))
        })
    }

    /// The names that make up `path`, each with the directory that it is in. Not those that the configuration has made.
    fn names<'a>(&'a self, path: &'a VirtualPath) -> impl Iterator<Item = (&'a str, &'a str)> {
        let path = path.relative();
        let has_patterns = self.user.profile.view.folders.iter().any(|folder| folder.rules.has_patterns());
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.filter(move |&end| has_patterns && !self.is_fixed_at(&path[..end])).map(move |end| {
            let (directory, name) = path[..end].rsplit_once('/').unwrap_or(("", &path[..end]));
            (directory, name)
        })
    }
}

impl Place {
    /// The key of what is at `relative` in it.
    pub(super) fn key(&self, relative: &str) -> storage::Result<StorePath> {
        self.home.join(relative)
    }

    fn overlaps(&self, store: &str, home: &StorePath) -> bool {
        let (one, other) = (self.home.as_str(), home.as_str());
        self.store.name() == store && (below(one, other).is_some() || below(other, one).is_some())
    }
}

fn find<'a>(patterns: &'a [NamePattern], name: &str) -> Option<&'a NamePattern> {
    patterns.iter().find(|pattern| pattern.matches(name))
}

/// The name in `directory` of what leads to `path`, if that is below it.
fn child<'a>(path: &'a str, directory: &VirtualPath) -> Option<&'a str> {
    below(path, directory.relative())?.split('/').next().filter(|name| !name.is_empty())
}
