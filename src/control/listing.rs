//! The three formats of a listing, and sending one page by page.

use std::fmt::Write;

use chrono::{DateTime, TimeDelta, Utc};

use crate::data::DataConnection;
use crate::files::Result;
use crate::storage::{self, Entry, Listed};

/// How a listing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// LIST: like `ls -l`, which is what clients parse (RFC 959 leaves it open).
    Long,
    /// NLST: names only (RFC 959 section 4.1.3).
    Names,
    /// MLSD: facts (RFC 3659 section 7).
    Facts,
}

/// What is listed, and how.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    pub(super) format: Format,
    /// Only names that match.
    pub(super) pattern: Option<glob::Pattern>,
    /// Stands before each name in NLST, where the client gave a pattern with a directory.
    pub(super) prefix: String,
}

/// Dotfiles match a leading `*` as well: legacy clients use `*` to mean everything.
const MATCHING: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Selection {
    fn takes(&self, entry: &Entry) -> bool {
        // A name such as `a[1]` is no match for itself as a pattern, but it is what was asked for.
        let matches = |p: &glob::Pattern| p.as_str() == entry.name || p.matches_with(&entry.name, MATCHING);
        self.pattern.as_ref().is_none_or(matches)
    }

    fn write(&self, entry: &Entry, now: DateTime<Utc>, out: &mut String) {
        match self.format {
            Format::Long => long(entry, now, out),
            Format::Names => {
                out.push_str(&self.prefix);
                out.push_str(&entry.name);
            }
            Format::Facts => facts(entry, out),
        }
        out.push_str("\r\n");
    }
}

/// Sends `listed` to `data`, a page at a time. None is an empty directory.
pub(super) async fn send(
    listed: Option<Listed>,
    what: &Selection,
    data: &mut dyn DataConnection,
) -> Result<()> {
    let now = Utc::now();
    let mut out = String::new();
    match listed {
        None => {}
        Some(Listed::File(entry)) => {
            what.write(&entry, now, &mut out);
            data.write(out.as_bytes()).await.map_err(storage::Error::from)?;
        }
        Some(Listed::Directory(mut listing)) => {
            while let Some(page) = listing.next_page().await? {
                out.clear();
                page.iter()
                    .filter(|entry| what.takes(entry))
                    .for_each(|entry| what.write(entry, now, &mut out));
                data.write(out.as_bytes()).await.map_err(storage::Error::from)?;
            }
        }
    }
    Ok(())
}

/// One line of LIST without its end.
pub(super) fn long(entry: &Entry, now: DateTime<Utc>, out: &mut String) {
    let mode = if entry.is_directory() { "drwxr-xr-x" } else { "-rw-r--r--" };
    // Directories have no time of their own; the epoch says so and every parser takes it.
    let modified = entry.modified.unwrap_or_default();
    // `ls` shows the time of day for the last half year and the year for all else.
    let recent = modified <= now + TimeDelta::days(1) && now - modified < TimeDelta::days(182);
    let date = modified.format(if recent { "%b %e %H:%M" } else { "%b %e  %Y" });
    // Writing to a string cannot fail.
    let _ = write!(out, "{mode} 1 ftp ftp {size:>14} {date} {name}", size = entry.size(), name = entry.name);
}

fn facts(entry: &Entry, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match entry.kind {
        storage::EntryKind::Directory => write!(out, "type=dir;"),
        storage::EntryKind::File { size } => write!(out, "type=file;size={size};"),
    };
    if let Some(modified) = entry.modified {
        let _ = write!(out, "modify={};", modified.format("%Y%m%d%H%M%S"));
    }
    let _ = write!(out, " {}", entry.name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::EntryKind;

    fn line(format: Format, kind: EntryKind, modified: Option<&str>) -> String {
        let now = "2026-03-01T00:00:00Z".parse().expect("a time");
        let modified = modified.map(|time| time.parse().expect("a time"));
        let entry = Entry { name: "a b".into(), kind, modified };
        let mut out = String::new();
        Selection { format, pattern: None, prefix: String::new() }.write(&entry, now, &mut out);
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
        assert_eq!(line(Format::Facts, file, recent), "type=file;size=2052;modify=20260203040506; a b\r\n");
        assert_eq!(line(Format::Facts, EntryKind::Directory, None), "type=dir; a b\r\n");
    }
}
