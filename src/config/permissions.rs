//! What a user may do, as a small set.

use std::fmt;
use std::ops::BitAnd;

use serde::Deserialize;

/// One thing that a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// List directories and see facts of files.
    List,
    /// Download.
    Read,
    /// Upload new files.
    Write,
    /// Replace existing files by an upload or a rename.
    Overwrite,
    /// Add to existing files.
    Append,
    /// Delete files.
    Delete,
    /// Rename files and directories.
    Rename,
    /// Make directories.
    Mkdir,
    /// Remove directories.
    Rmdir,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 9] = [
        Self::List,
        Self::Read,
        Self::Write,
        Self::Overwrite,
        Self::Append,
        Self::Delete,
        Self::Rename,
        Self::Mkdir,
        Self::Rmdir,
    ];

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of permissions; all of them by default.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<Permission>")]
pub struct Permissions(u16);

impl Permissions {
    /// Every permission.
    pub fn all() -> Self {
        Permission::ALL.into_iter().collect()
    }

    /// No permission.
    pub fn none() -> Self {
        Self(0)
    }

    /// Whether the permission is in the set.
    pub fn contains(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }
}

impl BitAnd for Permissions {
    type Output = Self;

    /// What is in both.
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Default for Permissions {
    fn default() -> Self {
        Self::all()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |set, permission| set | permission.bit()))
    }
}

impl From<Vec<Permission>> for Permissions {
    fn from(permissions: Vec<Permission>) -> Self {
        permissions.into_iter().collect()
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(Permission::ALL.iter().filter(|permission| self.contains(**permission)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_none_and_some() {
        let some: Permissions = [Permission::Read, Permission::List].into_iter().collect();
        for permission in Permission::ALL {
            assert!(Permissions::all().contains(permission));
            assert!(!Permissions::none().contains(permission));
            assert_eq!(some.contains(permission), matches!(permission, Permission::Read | Permission::List));
        }
        assert_eq!(format!("{some:?}"), "{List, Read}");
        assert_eq!(Permissions::default(), Permissions::all());
    }
}
