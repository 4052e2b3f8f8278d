//! All keys below a directory, page by page, in constant memory.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::list::{PaginatedListOptions, PaginatedListStore};

use crate::storage::driver::contract::Keys;
use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// Keys in a page: what S3 gives in one answer.
const PAGE: usize = 1000;

/// The keys below a directory.
pub(super) struct CloudKeys {
    store: Arc<dyn PaginatedListStore>,
    prefix: String,
    token: Option<String>,
    done: bool,
}

impl CloudKeys {
    /// Those below `directory`; nothing was asked yet.
    pub(super) fn new(store: &Arc<dyn PaginatedListStore>, directory: &StorePath) -> Self {
        Self { store: Arc::clone(store), prefix: directory.as_prefix(), token: None, done: false }
    }
}

#[async_trait]
impl Keys for CloudKeys {
    async fn next(&mut self) -> Result<Option<Vec<String>>> {
        if self.done {
            return Ok(None);
        }
        let options = PaginatedListOptions {
            max_keys: Some(PAGE),
            page_token: self.token.clone(),
            ..PaginatedListOptions::default()
        };
        let prefix = (!self.prefix.is_empty()).then_some(self.prefix.as_str());
        let page = match self.store.list_paginated(prefix, options).await {
            Ok(page) => page,
            Err(object_store::Error::InvalidPath { .. }) => {
                return Err(Error::NotSupported("it holds a name that no path can have"));
            }
            Err(error) => return Err(error.into()),
        };
        let token = page.page_token.filter(|token| !token.is_empty());
        // The same page for ever would be no end of work.
        if token.is_some() && token == self.token {
            return Err(Error::stuck());
        }
        self.done = token.is_none();
        self.token = token;
        // The directory's own `dir/` marker comes back without the slash that the prefix has.
        let below = |key: &str| key.strip_prefix(&self.prefix).unwrap_or_default().to_owned();
        Ok(Some(page.result.objects.iter().map(|meta| below(meta.location.as_ref())).collect()))
    }
}

impl std::fmt::Debug for CloudKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloudKeys").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
