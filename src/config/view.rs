//! What a user sees: folders of stores, put into one tree, and what holds in which part of it.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::Deserialize;

use super::home::{Home, folder};
use super::permissions::Permissions;
use super::rules::{Keys, Rules};
use super::section::Section;

/// What a user sees. Its paths are relative to the root: segments joined by `/`, none of them `.` or `..`, without a
/// slash at either end; empty for the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The folders of stores, those of the longest path first; each has another path. Where none is at the root, that holds
    /// nothing but these.
    pub mounts: Vec<Mount>,
    /// What holds in which folder, those of the longest path first; each has another path. The last is the root.
    pub folders: Vec<Folder>,
}

/// A folder of a store in a user's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where it is in the tree.
    pub path: String,
    /// The store; it exists.
    pub store: String,
    /// The folder in the store.
    pub home: Home,
}

/// A folder in a user's tree, with all that is below it and not in another one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where it is in the tree.
    pub path: String,
    /// What holds there.
    pub rules: Rules,
}

/// What is left of `path` below `folder`, if it is there; empty for the folder itself.
pub fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    if folder.is_empty() {
        return Some(path);
    }
    let rest = path.strip_prefix(folder)?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

impl View {
    /// One folder of one store.
    pub fn of(store: &str, home: Home, permissions: Permissions) -> Self {
        let mount = Mount { path: String::new(), store: store.to_owned(), home };
        let rules = Rules { permissions, ..Rules::default() };
        Self { mounts: vec![mount], folders: vec![Folder { path: String::new(), rules }] }
    }

    /// The folder that the user sees as `/`, if it is one of a store.
    pub fn root(&self) -> Option<&Mount> {
        self.mounts.last().filter(|mount| mount.path.is_empty())
    }

    /// What holds at `path`.
    pub fn rules(&self, path: &str) -> &Rules {
        let found = self.folders.iter().find(|folder| below(path, &folder.path).is_some());
        &found.expect("the last is the root").rules
    }

    /// Every store that is in it, some of them more than once.
    pub fn stores(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().map(|mount| mount.store.as_str())
    }

    /// Reads its keys from the section of a user. None if a store is missing or unknown, which is reported.
    pub(super) fn read(section: &mut Section<'_>, stores: &BTreeSet<String>) -> Option<Self> {
        let (mounts, mut parts) = Mount::read_all(section, stores);
        let rules = Keys::read(section).within(&Rules::default(), section);
        parts.extend(Part::read_folders(section));
        // Those around others first. Of a mount and a folder at one path, the keys of the folder go before.
        parts.sort_by_key(|part| part.path.len());
        let mut view = Self { mounts: Vec::new(), folders: vec![Folder { path: String::new(), rules }] };
        for Part { path, keys, section } in parts {
            let rules = keys.within(view.rules(&path), &section);
            section.finish();
            match view.folders.iter_mut().find(|folder| folder.path == path) {
                Some(same) => same.rules = rules,
                None => view.folders.insert(0, Folder { path, rules }),
            }
        }
        view.mounts = mounts?;
        view.mounts.sort_by_key(|mount| Reverse(mount.path.len()));
        Some(view)
    }
}

/// A part of the tree that says what holds in it.
struct Part<'r> {
    path: String,
    keys: Keys,
    section: Section<'r>,
}

impl<'r> Part<'r> {
    fn read_folders(section: &mut Section<'r>) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        for mut section in section.sections("folders") {
            let path = section.required::<TreePath>("path");
            let keys = Keys::read(&mut section);
            match path {
                Some(TreePath(path)) if path.is_empty() => {
                    section.error("path", "what holds at `/` are the keys of the user");
                    section.finish();
                }
                Some(TreePath(path)) if parts.iter().any(|part| part.path == path) => {
                    section.error("path", format!("there is a folder `/{path}` already"));
                    section.finish();
                }
                Some(TreePath(path)) => parts.push(Self { path, keys, section }),
                None => section.finish(),
            }
        }
        parts
    }
}

impl Mount {
    /// The root and those of `mounts`, and what they say of what holds in them.
    fn read_all<'r>(
        section: &mut Section<'r>,
        stores: &BTreeSet<String>,
    ) -> (Option<Vec<Self>>, Vec<Part<'r>>) {
        let has_root = section.has("store") || section.has("home");
        let sections = section.sections("mounts");
        let (mut mounts, mut parts, mut whole) = (Vec::new(), Vec::new(), true);
        if has_root || sections.is_empty() {
            let root = Self::read(String::new(), section, stores);
            whole = root.is_some();
            mounts.extend(root);
        }
        for mut section in sections {
            let path = section.required::<TreePath>("path");
            let TreePath(path) = path.unwrap_or_default();
            let mount = Self::read(path.clone(), &mut section, stores);
            let permissions = section.optional("permissions");
            whole &= mount.is_some();
            if let Some(mount) = mount {
                mount.check(&mounts, &section);
                mounts.push(mount);
            }
            match permissions {
                None => section.finish(),
                Some(permissions) => parts.push(Part { path, keys: Keys::of(permissions), section }),
            }
        }
        (whole.then_some(mounts), parts)
    }

    fn read(path: String, section: &mut Section<'_>, stores: &BTreeSet<String>) -> Option<Self> {
        let store = read_store(section, stores);
        let home = section.field("home", Home::default());
        Some(Self { path, store: store?, home })
    }

    /// Reports what `others` have already.
    fn check(&self, others: &[Self], section: &Section<'_>) {
        let Self { path, store, home } = self;
        if others.iter().any(|other| other.path == *path) {
            section.error("path", format!("there is a folder of a store at `/{path}` already"));
            return;
        }
        // Else what holds at one path would not hold at the other.
        let overlapping = others.iter().find(|other| other.store == *store && other.home.overlaps(home));
        if let Some(other) = overlapping {
            let message =
                format!("overlaps `{}` of the same store, which is at `/{}`", other.home, other.path);
            section.error("home", message);
        }
    }
}

fn read_store(section: &mut Section<'_>, stores: &BTreeSet<String>) -> Option<String> {
    let mut known = stores.iter();
    match (section.optional::<String>("store"), known.next(), known.next()) {
        (Some(name), ..) if stores.contains(&name) => Some(name),
        // With no store at all the one mistake is the missing store, not each user.
        (_, None, _) => None,
        (Some(name), ..) => {
            section.error("store", format!("there is no store named `{name}`"));
            None
        }
        (None, Some(only), None) => Some(only.clone()),
        (None, Some(_), Some(_)) => {
            section.error("store", "is required, because there is more than one store");
            None
        }
    }
}

/// A path in the tree.
#[derive(Default, Deserialize)]
#[serde(try_from = "String")]
struct TreePath(String);

impl TryFrom<String> for TreePath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        folder(&text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment, Permission};

    const STORES: &str = "[stores.a]\nurl = \"memory:///\"\n[stores.b]\nurl = \"memory:///\"\n";
    const ONE_STORE: &str = "[stores.a]\nurl = \"memory:///\"\n";

    fn read(stores: &str, keys: &str) -> Result<View, Vec<String>> {
        let text = format!("{stores}[[users]]\nname = \"x\"\npassword = \"x\"\n{keys}");
        match Config::parse(&text, &Environment::new()) {
            Ok(mut config) => Ok(config.users.remove(0).profile.view),
            Err(errors) => Err(errors.0.iter().map(ToString::to_string).collect()),
        }
    }

    fn view(stores: &str, keys: &str) -> View {
        read(stores, keys).unwrap_or_else(|errors| panic!("{keys}: {errors:?}"))
    }

    fn mistakes(stores: &str, keys: &str) -> Vec<String> {
        read(stores, keys).err().unwrap_or_default()
    }

    fn shown(view: &View) -> Vec<String> {
        let show = |mount: &Mount| format!("/{} {}:{}", mount.path, mount.store, mount.home);
        view.mounts.iter().map(show).collect()
    }

    #[test]
    fn the_default_is_the_only_store_with_everything() {
        let view = view(ONE_STORE, "");
        assert_eq!(view, View::of("a", Home::default(), Permissions::all()));
        assert_eq!(shown(&view), ["/ a:"]);
    }

    #[test]
    fn the_store_must_be_known_and_is_needed_among_several() {
        assert_eq!(mistakes(STORES, "store = \"b\""), [""; 0]);
        assert_eq!(mistakes(STORES, "store = \"c\""), ["users[0].store: there is no store named `c`"]);
        let missing = "users[0].store: is required, because there is more than one store";
        assert_eq!(mistakes(STORES, ""), [missing]);
        assert_eq!(mistakes(STORES, "home = \"x\"\nmounts = [{ path = \"/m\", store = \"a\" }]"), [missing]);
        let of_mount = "users[0].mounts[0].store: is required, because there is more than one store";
        assert_eq!(mistakes(STORES, "store = \"a\"\nmounts = [{ path = \"/m\" }]"), [of_mount]);
    }

    #[test]
    fn mounts_stand_beside_the_home_or_alone() {
        let mounts = "mounts = [{ path = \"/m\", store = \"b\", home = \"/x/{year}\" }, \
                      { path = \"m//deep/\", store = \"a\", home = \"y\" }]";
        let alone = view(STORES, mounts);
        assert_eq!(shown(&alone), ["/m/deep a:y", "/m b:x/{year}"]);
        assert!(alone.root().is_none());
        let beside = view(STORES, &format!("store = \"a\"\nhome = \"z\"\n{mounts}"));
        assert_eq!(shown(&beside), ["/m/deep a:y", "/m b:x/{year}", "/ a:z"]);
        assert!(beside.root().is_some());
        assert_eq!(shown(&view(ONE_STORE, "mounts = [{ path = \"/\", home = \"q\" }]")), ["/ a:q"]);
    }

    #[test]
    fn the_longest_path_wins_and_what_is_not_said_is_as_around_it() {
        let view = view(
            STORES,
            "store = \"a\"\nhide = [\"*.tmp\"]\npermissions = [\"list\", \"read\", \"write\"]\n\
             folders = [{ path = \"/in/deep\", unique_names = true }, \
             { path = \"/in\", permissions = [\"list\"], deny_names = [\"*.exe\"] }, \
             { path = \"/m/x\", drop_box = true }, { path = \"/m\", hide = [] }]\n\
             mounts = [{ path = \"/m\", store = \"b\", permissions = [\"write\", \"mkdir\", \"list\", \"rename\"] }]",
        );
        let paths: Vec<&str> = view.folders.iter().map(|folder| folder.path.as_str()).collect();
        assert_eq!(paths, ["in/deep", "m/x", "in", "m", ""]);
        let list: Permissions = [Permission::List].into_iter().collect();
        for (path, permissions, denied, hidden) in [
            ("in", list, 1, 1),
            ("in/x", list, 1, 1),
            ("in/deep", list, 1, 1),
            ("in/deeper", list, 1, 1),
            ("inn", view.rules("").permissions, 0, 1),
            (
                "m/y",
                [Permission::Write, Permission::Mkdir, Permission::List, Permission::Rename]
                    .into_iter()
                    .collect(),
                0,
                0,
            ),
            ("m/x/y", [Permission::Write, Permission::Mkdir].into_iter().collect(), 0, 0),
        ] {
            let rules = view.rules(path);
            assert_eq!(rules.permissions, permissions, "{path}");
            assert_eq!((rules.deny_names.len(), rules.hide.len()), (denied, hidden), "{path}");
            assert_eq!(rules.unique_names, path == "in/deep", "{path}");
            assert_eq!(rules.drop_box, path == "m/x/y", "{path}");
        }
    }

    #[test]
    fn mistakes_come_with_their_keys() {
        for (keys, expected) in [
            ("mounts = [{ path = \"/a/../b\" }]", "users[0].mounts[0].path: must not hold `.` or `..`"),
            ("mounts = [{}]", "users[0].mounts[0].path: is required"),
            ("mounts = [{ path = \"/x\", colour = 1 }]", "users[0].mounts[0].colour: unknown key"),
            (
                "home = \"y\"\nmounts = [{ path = \"/\", home = \"x\" }]",
                "users[0].mounts[0].path: there is a folder of a store at `/` already",
            ),
            (
                "mounts = [{ path = \"/m\", home = \"x\" }, { path = \"m/\", home = \"y\" }]",
                "users[0].mounts[1].path: there is a folder of a store at `/m` already",
            ),
            (
                "home = \"y\"\nmounts = [{ path = \"/m\", home = \"y/{user}\" }]",
                "users[0].mounts[0].home: overlaps `y` of the same store, which is at `/`",
            ),
            (
                "home = \"{usr}\"",
                "users[0].home: `{usr}` is not known; {user}, {year}, {month}, {day}, {hour} are",
            ),
            (
                "folders = [{ path = \"/\" }]",
                "users[0].folders[0].path: what holds at `/` are the keys of the user",
            ),
            (
                "folders = [{ path = \"/a\" }, { path = \"a\" }]",
                "users[0].folders[1].path: there is a folder `/a` already",
            ),
            ("folders = [{ path = \"/a\", store = \"a\" }]", "users[0].folders[0].store: unknown key"),
            ("hide = [\"a/b\"]", "users[0].hide: `a/b` matches no name"),
            (
                "drop_box = true\npermissions = [\"list\", \"write\"]",
                "users[0].permissions: a drop box has no `list`, `read` or `overwrite`",
            ),
            (
                "permissions = [\"list\", \"read\"]\nfolders = [{ path = \"/in\", drop_box = true }]",
                "users[0].folders[0].drop_box: a drop box needs the permission `write`",
            ),
            (
                "drop_box = true\nfolders = [{ path = \"/out\", permissions = [\"list\", \"read\"] }]",
                "users[0].folders[0].permissions: a drop box has no `list`, `read` or `overwrite`",
            ),
        ] {
            assert_eq!(mistakes(ONE_STORE, keys), [expected], "{keys}");
        }
    }
}
