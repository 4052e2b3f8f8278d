//! Listing a cloud's directory page by page, in constant memory. A listing ends with everything or with an error: one
//! that was cut short would look whole.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use async_trait::async_trait;
use object_store::list::{PaginatedListOptions, PaginatedListStore};

use super::page::{Next, Object, Page};
use crate::storage::driver::contract::{EntryPage, Pages};
use crate::storage::entry::{Entry, EntryKind};
use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// Entries in a page: what S3 gives in one answer.
pub(super) const PAGE: usize = 1000;
/// Pages with nothing new in them that a store may give one after the other: empty ones, and such as only name a directory
/// again. More of them lead nowhere.
const EMPTY_PAGES: usize = 1000;
/// How many tokens and first entries are remembered: those of 25 million keys.
const REMEMBERED: usize = 50_000;

/// The keys below a prefix, page by page.
pub(super) struct KeyPages {
    store: Arc<dyn PaginatedListStore>,
    prefix: String,
    delimiter: Option<&'static str>,
    page: usize,
    next: Next,
    begun: bool,
    /// Hashes of the tokens and of the first entries of pages so far, as far as there is room.
    seen: HashSet<u64>,
    /// The last prefix that was given: a store may name one at the end of a page and at the beginning of the next.
    last_prefix: Option<String>,
}

impl KeyPages {
    /// All keys that begin with `prefix`, about `page` at once.
    pub(super) fn below(store: &Arc<dyn PaginatedListStore>, prefix: String, page: usize) -> Self {
        Self {
            store: Arc::clone(store),
            prefix,
            delimiter: None,
            page,
            next: Next::End,
            begun: false,
            seen: HashSet::new(),
            last_prefix: None,
        }
    }

    /// The next page that has something new; none after the last one. Fails if the store does not get on with the listing.
    pub(super) async fn next(&mut self) -> Result<Option<Page>> {
        for _ in 0..EMPTY_PAGES {
            let token = match (&self.next, self.begun) {
                (Next::End, true) => return Ok(None),
                (Next::End, false) => None,
                (Next::Token(token), _) => Some(token.clone()),
                (Next::Untold, _) => return Err(Error::listing("it is cut short")),
            };
            let mut page = self.fetch(token).await?;
            self.begun = true;
            if matches!(&page.next, Next::Token(next) if self.has_seen(&("token", next))) {
                return Err(Error::listing("a page leads back"));
            }
            self.next = page.next.clone();
            page.prefixes.retain(|prefix| self.last_prefix.as_ref() != Some(prefix));
            if let Some(last) = page.prefixes.last() {
                self.last_prefix = Some(last.clone());
            }
            let first = page.objects.first().map(|object| &object.key).or(page.prefixes.first());
            let Some(first) = first else { continue };
            if self.has_seen(&("first", first)) {
                return Err(Error::listing("a page came again"));
            }
            return Ok(Some(page));
        }
        Err(Error::listing("it has only empty pages"))
    }

    /// Whether this has come before.
    fn has_seen(&mut self, what: &impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let hash = hasher.finish();
        if self.seen.len() < REMEMBERED { !self.seen.insert(hash) } else { self.seen.contains(&hash) }
    }

    async fn fetch(&self, token: Option<String>) -> Result<Page> {
        let options = PaginatedListOptions {
            delimiter: self.delimiter.map(Cow::Borrowed),
            max_keys: Some(self.page),
            page_token: token,
            ..PaginatedListOptions::default()
        };
        let prefix = (!self.prefix.is_empty()).then_some(self.prefix.as_str());
        Ok(Page::of(self.store.list_paginated(prefix, options).await?))
    }
}

/// A directory of a store that lists in pages.
pub(super) struct CloudPages {
    directory: StorePath,
    keys: KeyPages,
    first: Option<Page>,
    left_out: usize,
    example: String,
}

impl CloudPages {
    /// The directory's listing; none if there is no such directory. It exists because of a key below it, if only a
    /// marker, and the first page shows that.
    pub(super) async fn begin(
        store: &Arc<dyn PaginatedListStore>,
        directory: &StorePath,
    ) -> Result<Option<Self>> {
        let mut keys =
            KeyPages { delimiter: Some("/"), ..KeyPages::below(store, directory.as_prefix(), PAGE) };
        let first = keys.next().await?;
        let exists = directory.is_root() || first.is_some();
        let directory = directory.clone();
        Ok(exists.then_some(Self { directory, keys, first, left_out: 0, example: String::new() }))
    }

    fn entries(&mut self, page: Page) -> EntryPage {
        let before = self.left_out;
        let mut entries = Vec::with_capacity(page.prefixes.len() + page.objects.len());
        for prefix in page.prefixes {
            let Some(name) = self.name(prefix.strip_suffix('/').unwrap_or(&prefix)) else { continue };
            entries.push(Entry { name, kind: EntryKind::Directory, modified: None });
        }
        for Object { key, size, modified } in page.objects {
            // A `dir/` marker that another tool made comes back in its own directory.
            if key == self.keys.prefix {
                continue;
            }
            let Some(name) = self.name(&key) else { continue };
            entries.push(Entry { name, kind: EntryKind::File { size }, modified });
        }
        EntryPage { entries, left_out: self.left_out - before }
    }

    /// The name of `key` in the directory; none if no client could name it (`a//b`, a control character).
    fn name(&mut self, key: &str) -> Option<String> {
        let name = key.strip_prefix(&self.keys.prefix).filter(|name| !name.contains('/'));
        let name = name.filter(|name| !name.is_empty() && self.directory.join(name).is_ok());
        if name.is_none() {
            if self.left_out == 0 {
                key.clone_into(&mut self.example);
            }
            self.left_out += 1;
        }
        name.map(str::to_owned)
    }
}

#[async_trait]
impl Pages for CloudPages {
    async fn next(&mut self) -> Result<Option<EntryPage>> {
        let page = match self.first.take() {
            Some(first) => Some(first),
            None => self.keys.next().await?,
        };
        Ok(page.map(|page| self.entries(page)))
    }
}

impl Drop for CloudPages {
    fn drop(&mut self) {
        if self.left_out > 0 {
            let (directory, keys, example) = (&self.directory, self.left_out, &self.example);
            tracing::warn!(%directory, keys, ?example, "left out of a listing: no client could name them");
        }
    }
}

impl std::fmt::Debug for CloudPages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloudPages").field("directory", &self.directory).finish_non_exhaustive()
    }
}
