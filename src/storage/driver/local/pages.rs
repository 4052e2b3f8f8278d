//! Reading a local directory a page at a time.

use std::fs::{DirEntry, ReadDir};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::disk::{Cost, Disk};
use super::place::unusable;
use crate::storage::driver::contract::{EntryPage, Pages};
use crate::storage::entry::{Entry, EntryKind};
use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// Entries in a page.
const PAGE: usize = 1000;

/// A directory being read.
#[derive(Debug)]
pub(super) struct FolderPages {
    disk: Arc<Disk>,
    first: Option<Vec<Entry>>,
    rest: Option<ReadDir>,
}

/// A page, and what is left.
pub(super) type Page = (Vec<Entry>, Option<ReadDir>);

impl FolderPages {
    /// A directory of which [`first_page`] was read.
    pub(super) fn new(disk: &Arc<Disk>, (first, rest): Page) -> Self {
        Self { disk: Arc::clone(disk), first: Some(first), rest }
    }
}

#[async_trait]
impl Pages for FolderPages {
    async fn next(&mut self) -> Result<Option<EntryPage>> {
        if let Some(entries) = self.first.take() {
            return Ok(Some(EntryPage { entries, left_out: 0 }));
        }
        let Some(rest) = self.rest.take() else { return Ok(None) };
        let (entries, rest) = self.disk.run(Cost::Large, move || page(rest)).await?;
        self.rest = rest;
        Ok(Some(EntryPage { entries, left_out: 0 }))
    }
}

/// Opens a directory and reads its first page.
pub(super) fn first_page(directory: &Path) -> Result<Page> {
    page(std::fs::read_dir(directory).map_err(Error::local)?)
}

fn page(mut entries: ReadDir) -> Result<Page> {
    let mut page = Vec::new();
    while page.len() < PAGE {
        match entries.next() {
            None => return Ok((page, None)),
            Some(entry) => page.extend(describe(&entry.map_err(Error::local)?)),
        }
    }
    Ok((page, Some(entries)))
}

/// None for what no client could name: staged uploads, foreign encodings, things that are no file or directory.
fn describe(entry: &DirEntry) -> Option<Entry> {
    let name = entry.file_name().into_string().ok()?;
    StorePath::root().join(&name).ok()?;
    if unusable(&name).is_some() {
        return None;
    }
    // Follows links; a file that vanished since, and a dangling link, are skipped.
    let metadata = std::fs::metadata(entry.path()).ok()?;
    let kind = if metadata.is_dir() {
        EntryKind::Directory
    } else if metadata.is_file() {
        EntryKind::File { size: metadata.len() }
    } else {
        return None;
    };
    Some(Entry { name, kind, modified: metadata.modified().ok().map(Into::into) })
}
