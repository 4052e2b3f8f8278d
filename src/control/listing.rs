//! Listings: what a LIST, NLST or MLSD means, its three formats, and sending it page by page.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::{DateTime, TimeDelta, Utc};

use crate::data::DataConnection;
use crate::digest::{Algorithm, Hasher};
use crate::encoding::NameEncoding;
use crate::facts::{Fact, Facts};
use crate::files::{Error, Files, Listed, Result};
use crate::path::VirtualPath;
use crate::storage::{self, Entry, EntryKind};

/// The longest directory that STAT shows: its reply is held in memory and sent over the control connection.
const LONGEST_STATUS: usize = 1000;

/// How a listing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// LIST: like `ls -l`, which is what clients parse (RFC 959 leaves it open).
    Long,
    /// NLST: names only (RFC 959 section 4.1.3).
    Names,
    /// MLSD: facts (RFC 3659 section 7).
    Facts(Facts),
}

/// What is listed, and how.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    format: Format,
    /// Only names that match.
    pattern: Option<glob::Pattern>,
    /// Stands before each name in NLST, so that the client can use the names as they are (RFC 1123 section 4.1.2.7).
    prefix: String,
    about: About,
    names: NameEncoding,
}

/// What facts say of an entry that it does not know itself.
#[derive(Clone, Debug)]
pub(super) struct About {
    rights_of_file: String,
    rights_of_directory: String,
    /// Of directories in which something else holds.
    rights_of_special: BTreeMap<String, String>,
    /// The directory that the entries are in.
    directory: VirtualPath,
}

impl About {
    /// Of the entries of `directory`.
    pub(super) fn entries(files: &Files, directory: VirtualPath) -> Self {
        let special = |name: String| {
            let path = directory.resolve(&name).ok()?;
            Some((name, files.rights(&path, EntryKind::Directory)))
        };
        Self {
            rights_of_file: files.rights_in(&directory, EntryKind::File { size: 0 }),
            rights_of_directory: files.rights_in(&directory, EntryKind::Directory),
            rights_of_special: files.special_in(&directory).into_iter().filter_map(special).collect(),
            directory,
        }
    }

    /// Of what is at `path`.
    pub(super) fn one(files: &Files, path: &VirtualPath) -> Self {
        Self {
            rights_of_file: files.rights(path, EntryKind::File { size: 0 }),
            rights_of_directory: files.rights(path, EntryKind::Directory),
            rights_of_special: BTreeMap::new(),
            directory: path.parent(),
        }
    }

    fn rights(&self, entry: &Entry) -> &str {
        match self.rights_of_special.get(&entry.name) {
            Some(rights) if entry.is_directory() => rights,
            None if entry.is_directory() => &self.rights_of_directory,
            Some(_) | None => &self.rights_of_file,
        }
    }

    /// Differs between any two paths of a home. Nothing has two paths, but what a link in a local folder leads to.
    fn unique(&self, entry: &Entry) -> String {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(self.directory.as_str().trim_end_matches('/').as_bytes());
        hasher.update(b"/");
        hasher.update(entry.name.as_bytes());
        hasher.finish()[..16].to_owned()
    }
}

/// Dotfiles match a leading `*` as well: legacy clients use `*` to mean everything.
const MATCHING: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// What stands at `path`, which the client has called `argument`. A name with wildcards that nothing has is a pattern for the
/// names beside it.
pub(super) async fn find(
    files: &Files,
    path: &VirtualPath,
    argument: &str,
    (format, names): (Format, NameEncoding),
) -> Result<(Listed, Selection)> {
    let is_pattern = path.file_name().contains(['*', '?', '[']) && !matches!(format, Format::Facts(_));
    let (listed, pattern) = match files.list(path).await {
        Err(Error::Storage(storage::Error::NotFound | storage::Error::NameNotAllowed(_))) if is_pattern => {
            // What is no valid pattern matches nothing.
            let Ok(pattern) = glob::Pattern::new(path.file_name()) else {
                return Err(storage::Error::NotFound.into());
            };
            match files.list(&path.parent()).await? {
                Listed::File(_) => return Err(storage::Error::NotFound.into()),
                listed @ Listed::Directory(_) => (listed, Some(pattern)),
            }
        }
        listed => (listed?, None),
    };
    if matches!((format, &listed), (Format::Facts(_), Listed::File(_))) {
        return Err(storage::Error::NotADirectory.into());
    }
    let names_directory = pattern.is_none() && matches!(listed, Listed::Directory(_));
    let about = About::entries(files, path.clone());
    let prefix = prefix(argument, names_directory);
    Ok((listed, Selection { format, pattern, prefix, about, names }))
}

/// What NLST puts before names: the directory as the client wrote it.
fn prefix(argument: &str, names_directory: bool) -> String {
    if argument.is_empty() {
        return String::new();
    }
    let trimmed = argument.trim_end_matches('/');
    if names_directory {
        return format!("{trimmed}/");
    }
    trimmed.rsplit_once('/').map_or_else(String::new, |(directory, _)| format!("{directory}/"))
}

impl Selection {
    fn takes(&self, entry: &Entry) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches_with(&entry.name, MATCHING))
    }

    fn write(&self, entry: &Entry, now: DateTime<Utc>, out: &mut String) {
        match self.format {
            Format::Long => long(entry, now, out),
            Format::Names => {
                out.push_str(&self.prefix);
                out.push_str(&entry.name);
            }
            Format::Facts(selected) => out.push_str(&described(entry, selected, &entry.name, &self.about)),
        }
        out.push_str("\r\n");
    }
}

/// Writes lines in the client's encoding.
struct Writer<'a> {
    names: NameEncoding,
    /// What is listed.
    path: &'a VirtualPath,
    left_out: usize,
}

impl<'a> Writer<'a> {
    fn new(names: NameEncoding, path: &'a VirtualPath) -> Self {
        Self { names, path, left_out: 0 }
    }

    /// The bytes of the line of `entry`, if there are any.
    // Semantics decision: what the encoding has no bytes for is left out, as a key that nobody can name is. What an escape
    // makes of it could be the name of another file.
    fn bytes<'l>(&mut self, entry: &Entry, line: &'l str) -> Option<Cow<'l, [u8]>> {
        let bytes = self.names.encode(line);
        if bytes.is_none() {
            if self.left_out == 0 {
                let (path, name, encoding) = (self.path, &entry.name, self.names.name());
                tracing::warn!(%path, name, encoding, "left out of a listing: the client's encoding cannot write it");
            }
            self.left_out += 1;
        }
        bytes
    }
}

/// Sends `listed` to `data`, a page at a time, and tells how many entries were left out.
pub(super) async fn send(listed: Listed, what: &Selection, data: &mut dyn DataConnection) -> Result<usize> {
    let now = Utc::now();
    let mut writer = Writer::new(what.names, &what.about.directory);
    let (mut line, mut out) = (String::new(), Vec::new());
    let mut add = |entry: &Entry, out: &mut Vec<u8>| {
        line.clear();
        what.write(entry, now, &mut line);
        out.extend_from_slice(&writer.bytes(entry, &line).unwrap_or_default());
    };
    match listed {
        Listed::File(entry) => {
            add(&entry, &mut out);
            data.write(&out).await?;
        }
        Listed::Directory(mut listing) => {
            while let Some(page) = listing.next_page().await? {
                out.clear();
                page.iter().filter(|entry| what.takes(entry)).for_each(|entry| add(entry, &mut out));
                data.write(&out).await?;
            }
        }
    }
    Ok(writer.left_out)
}

/// The lines of STAT with a path (RFC 959 section 4.1.3), cut where they get too long for the control connection, and how
/// many entries were left out.
pub(super) async fn status(
    files: &Files,
    path: &VirtualPath,
    names: NameEncoding,
) -> Result<(Vec<String>, usize)> {
    let mut lines = vec![format!("Status of {path}:")];
    let now = Utc::now();
    let mut writer = Writer::new(names, path);
    let mut add = |entry: &Entry| {
        let mut line = String::new();
        long(entry, now, &mut line);
        if writer.bytes(entry, &line).is_some() {
            lines.push(line);
        }
        lines.len() <= LONGEST_STATUS
    };
    match files.list(path).await? {
        Listed::File(entry) => {
            add(&entry);
        }
        Listed::Directory(mut listing) => {
            while let Some(page) = listing.next_page().await? {
                if !page.iter().all(&mut add) {
                    lines.push("The rest is left out; use LIST".to_owned());
                    break;
                }
            }
        }
    }
    lines.push("End of status".to_owned());
    Ok((lines, writer.left_out))
}

/// One line of LIST without its end.
fn long(entry: &Entry, now: DateTime<Utc>, out: &mut String) {
    let mode = if entry.is_directory() { "drwxr-xr-x" } else { "-rw-r--r--" };
    let modified = shown_time(entry).unwrap_or_default();
    // `ls` shows the time of day for the last half year and the year for all else.
    let recent = modified <= now + TimeDelta::days(1) && now - modified < TimeDelta::days(182);
    let date = modified.format(if recent { "%b %e %H:%M" } else { "%b %e  %Y" });
    // Writing to a string cannot fail.
    let _ = write!(out, "{mode} 1 ftp ftp {size:>14} {date} {name}", size = entry.size(), name = entry.name);
}

/// An entry as MLST and MLSD show it (RFC 3659 section 7.2), without a line end.
pub(super) fn described(entry: &Entry, selected: Facts, shown_as: &str, about: &About) -> String {
    let mut out = String::new();
    for fact in Fact::ALL.into_iter().filter(|&fact| selected.shows(fact)) {
        // Writing to a string cannot fail.
        let _ = match (fact, entry.kind) {
            (Fact::Type, EntryKind::Directory) => write!(out, "type=dir;"),
            (Fact::Type, EntryKind::File { .. }) => write!(out, "type=file;"),
            // Only files have one (RFC 3659 section 7.5.7).
            (Fact::Size, EntryKind::Directory) => Ok(()),
            (Fact::Size, EntryKind::File { size }) => write!(out, "size={size};"),
            (Fact::Modify, _) => match shown_time(entry) {
                Some(time) => write!(out, "modify={};", time.format("%Y%m%d%H%M%S")),
                None => Ok(()),
            },
            (Fact::Perm, _) => write!(out, "perm={};", about.rights(entry)),
            (Fact::Unique, _) => write!(out, "unique={};", about.unique(entry)),
            // As in LIST.
            (Fact::UnixMode, EntryKind::Directory) => write!(out, "UNIX.mode=0755;"),
            (Fact::UnixMode, EntryKind::File { .. }) => write!(out, "UNIX.mode=0644;"),
        };
    }
    out.push(' ');
    out.push_str(shown_as);
    out
}

/// Directories of object stores have no time of their own; the epoch says so, every parser takes it, and some clients
/// list nothing of a directory without one.
fn shown_time(entry: &Entry) -> Option<DateTime<Utc>> {
    entry.modified.or_else(|| entry.is_directory().then(DateTime::default))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: Format, kind: EntryKind, modified: Option<&str>) -> String {
        let now = "2026-03-01T00:00:00Z".parse().expect("a time");
        let modified = modified.map(|time| time.parse().expect("a time"));
        let entry = Entry { name: "a b".into(), kind, modified };
        let mut out = String::new();
        let about = About {
            rights_of_file: "adfrw".to_owned(),
            rights_of_directory: "cdeflmp".to_owned(),
            rights_of_special: BTreeMap::new(),
            directory: VirtualPath::root(),
        };
        let names = NameEncoding::UTF_8;
        Selection { format, pattern: None, prefix: String::new(), about, names }.write(&entry, now, &mut out);
        out
    }

    #[test]
    fn lines_have_the_form_that_clients_parse() {
        let file = EntryKind::File { size: 2052 };
        let recent = Some("2026-02-03T04:05:06Z");
        assert_eq!(
            line(Format::Long, file, recent),
            "-rw-r--r-- 1 ftp ftp           2052 Feb  3 04:05 a b\r\n"
        );
        assert_eq!(
            line(Format::Long, file, Some("2025-02-03T04:05:06Z")),
            "-rw-r--r-- 1 ftp ftp           2052 Feb  3  2025 a b\r\n"
        );
        assert_eq!(
            line(Format::Long, EntryKind::Directory, None),
            "drwxr-xr-x 1 ftp ftp              0 Jan  1  1970 a b\r\n"
        );
        assert_eq!(line(Format::Names, file, recent), "a b\r\n");
        let facts = Format::Facts(Facts::default());
        assert_eq!(
            line(facts, file, recent),
            "type=file;size=2052;modify=20260203040506;perm=adfrw; a b\r\n"
        );
        assert_eq!(
            line(facts, EntryKind::Directory, None),
            "type=dir;modify=19700101000000;perm=cdeflmp; a b\r\n"
        );
        let size = Format::Facts(Facts::named_in("size;"));
        assert_eq!(line(size, file, recent), "size=2052; a b\r\n");
        assert_eq!(line(size, EntryKind::Directory, None), " a b\r\n");
    }

    #[test]
    fn names_begin_as_the_client_wrote_the_directory() {
        for (argument, expected) in
            [("", ""), ("in", "in/"), ("/in/", "/in/"), (".", "./"), ("../x", "../x/"), ("/", "/")]
        {
            assert_eq!(prefix(argument, true), expected, "{argument:?}");
        }
        for (argument, expected) in [("a.txt", ""), ("in/a.txt", "in/"), ("/a.txt", "/"), ("in/*.csv", "in/")]
        {
            assert_eq!(prefix(argument, false), expected, "{argument:?}");
        }
    }
}
