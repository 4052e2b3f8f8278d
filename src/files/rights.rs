//! What a user may do with one path, as the fact `perm` tells it (RFC 3659 section 7.5.5).

use super::files::Files;
use crate::config::Permission;
use crate::path::VirtualPath;
use crate::storage::EntryKind;

/// What ties something to its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tie {
    None,
    /// It has rules of its own, or something in it has, which would not come along.
    Ruled,
    /// The configuration has made it.
    Fixed,
}

impl Files {
    /// What the user may do with a file or directory of this kind at `path`, whatever the store thinks of it.
    pub fn rights(&self, path: &VirtualPath, kind: EntryKind) -> String {
        let tie = if self.tree.is_fixed(path) {
            Tie::Fixed
        } else if self.tree.has_own_rules(path) {
            Tie::Ruled
        } else {
            Tie::None
        };
        self.rights_at(path, kind, tie)
    }

    /// The same of what is in the directory at `path` and not one of [`special_in`](Self::special_in).
    pub fn rights_in(&self, path: &VirtualPath, kind: EntryKind) -> String {
        self.rights_at(path, kind, Tie::None)
    }

    fn rights_at(&self, path: &VirtualPath, kind: EntryKind, tie: Tie) -> String {
        let may = |permission| self.may(path, permission);
        let is_stored = self.store(path).is_some();
        let rights = match kind {
            EntryKind::File { .. } => vec![
                ('a', may(Permission::Append)),
                ('d', may(Permission::Delete)),
                ('f', may(Permission::Rename)),
                ('r', may(Permission::Read)),
                ('w', may(Permission::Write) && self.may_overwrite(path)),
            ],
            EntryKind::Directory => vec![
                ('c', may(Permission::Write) && is_stored),
                ('d', may(Permission::Rmdir) && tie != Tie::Fixed),
                ('e', true),
                ('f', may(Permission::Rename) && tie == Tie::None),
                ('l', may(Permission::List)),
                ('m', may(Permission::Mkdir) && is_stored),
                ('p', may(Permission::Delete) && is_stored),
            ],
        };
        rights.into_iter().filter_map(|(letter, has)| has.then_some(letter)).collect()
    }

    /// The names in the directory at `path` that may have other rights than others there.
    pub fn special_in(&self, path: &VirtualPath) -> Vec<String> {
        self.tree.special_in(path).into_iter().map(str::to_owned).collect()
    }
}
