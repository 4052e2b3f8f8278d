//! What may be done in a folder, and with which names.

use super::pattern::NamePattern;
use super::permissions::{Permission, Permissions};
use super::section::Section;

/// What holds in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What the user may do. In a drop box it is neither `list` nor `read` nor `overwrite`.
    pub permissions: Permissions,
    /// New files must match one of these, if there are any.
    pub allow_names: Vec<NamePattern>,
    /// New files and directories must match none of these.
    pub deny_names: Vec<NamePattern>,
    /// What matches one of these is not there.
    pub hide: Vec<NamePattern>,
    /// Whether nothing is told of the files in it.
    pub drop_box: bool,
    /// Whether an upload gets a name of its own where its name is taken.
    pub unique_names: bool,
}

/// What a drop box leaves of the permissions around it, unless it has its own.
const IN_DROP_BOX: [Permission; 2] = [Permission::Write, Permission::Mkdir];
/// What there cannot be in a drop box.
const NOT_IN_DROP_BOX: [Permission; 3] = [Permission::List, Permission::Read, Permission::Overwrite];

/// The keys of a folder; what is not there is as in the folder around it.
#[derive(Default)]
pub(super) struct Keys {
    permissions: Option<Permissions>,
    allow_names: Option<Vec<NamePattern>>,
    deny_names: Option<Vec<NamePattern>>,
    hide: Option<Vec<NamePattern>>,
    drop_box: Option<bool>,
    unique_names: Option<bool>,
}

impl Rules {
    /// Whether any name is treated otherwise than others.
    pub fn has_patterns(&self) -> bool {
        ![&self.allow_names, &self.deny_names, &self.hide].iter().all(|patterns| patterns.is_empty())
    }
}

impl Keys {
    /// Nothing but the permissions.
    pub(super) fn of(permissions: Permissions) -> Self {
        Self { permissions: Some(permissions), ..Self::default() }
    }

    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            permissions: section.optional("permissions"),
            allow_names: section.optional("allow_names"),
            deny_names: section.optional("deny_names"),
            hide: section.optional("hide"),
            drop_box: section.optional("drop_box"),
            unique_names: section.optional("unique_names"),
        }
    }

    /// What holds where `outer` holds around it. Mistakes are reported at `section`.
    pub(super) fn within(self, outer: &Rules, section: &Section<'_>) -> Rules {
        let drop_box = self.drop_box.unwrap_or(outer.drop_box);
        let own = self.permissions;
        let permissions = match own {
            Some(permissions) => permissions,
            None if drop_box && !outer.drop_box => outer.permissions & IN_DROP_BOX.into_iter().collect(),
            None => outer.permissions,
        };
        if drop_box {
            let has = |permission: &Permission| permissions.contains(*permission);
            if NOT_IN_DROP_BOX.iter().any(has) {
                section.error("permissions", "a drop box has no `list`, `read` or `overwrite`");
            } else if ![Permission::Write, Permission::Append].iter().any(has) {
                let key = if own.is_some() { "permissions" } else { "drop_box" };
                section.error(key, "a drop box needs the permission `write`");
            }
        }
        Rules {
            permissions,
            allow_names: self.allow_names.unwrap_or_else(|| outer.allow_names.clone()),
            deny_names: self.deny_names.unwrap_or_else(|| outer.deny_names.clone()),
            hide: self.hide.unwrap_or_else(|| outer.hide.clone()),
            drop_box,
            unique_names: self.unique_names.unwrap_or(outer.unique_names),
        }
    }
}
