//! Renaming a directory: in one step where the store can. Elsewhere all of it is copied, each copy is seen to be there,
//! and only then the old names go; what was not copied stays. Until then it can be undone, from then on only finished,
//! and the journal lets anybody do either.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt, TryStreamExt, stream};

use super::copy::same_bytes;
use super::driver::{Existing, Meta, Renamed};
use super::error::{Error, Result};
use super::path::StorePath;
use super::relocation::{Decision, Item, Relocation, Seen};
use super::store::Store;
use crate::data::DataError;

/// Files that are worked on at once.
const WINDOW: usize = 8;
/// Files in a page of the journal: some 200 KB.
const PAGE: usize = 1000;
/// How often a file is copied that is written to meanwhile.
const TRIES: usize = 3;

impl Store {
    /// Gives the directory at `from` the name `to`.
    ///
    /// Whoever stops waiting does not stop it: a directory of which half is moved helps nobody.
    pub(super) async fn rename_directory(&self, from: &StorePath, to: &StorePath) -> Result<()> {
        if from == to {
            return Ok(());
        }
        if to.as_prefix().starts_with(&from.as_prefix()) {
            return Err(Error::into_itself());
        }
        // Semantics decision: a directory replaces nothing, not even an empty directory.
        if self.is_directory(to).await? || self.exists(to).await? {
            return Err(Error::AlreadyExists);
        }
        self.check_parents(to).await?;
        match self.driver.rename_directory(from, to).await? {
            Renamed::Done => return Ok(()),
            Renamed::NeedsCopy => {}
        }
        let (store, from, to) = (Arc::new(self.clone()), from.clone(), to.clone());
        let moving = async move { relocate(Relocation::begin(store, from, to).await?).await };
        self.shutdown.spawn(moving).await.map_err(Error::task_lost)?
    }
}

async fn relocate(mut relocation: Relocation) -> Result<()> {
    if let Err(error) = copy_all(&mut relocation).await {
        let stopping = relocation.store.shutdown.is_stopping();
        let undone = if stopping {
            relocation.release().await
        } else {
            settle(relocation, Decision::Undo).await.map(drop)
        };
        if let Err(error) = undone {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "what was copied of a directory stays until somebody cleans up");
        }
        return Err(error);
    }
    match settle(relocation, Decision::Finish).await? {
        Decision::Finish => Ok(()),
        Decision::Undo => Err(Error::Changed),
    }
}

/// Ends it the `wanted` way, or the one that was decided on before, and tells which.
pub(super) async fn settle(relocation: Relocation, wanted: Decision) -> Result<Decision> {
    let decision = relocation.decide(wanted).await?;
    let doomed = match decision {
        Decision::Undo => Doomed::Copy,
        Decision::Finish => Doomed::Source,
    };
    delete_all(relocation, doomed).await?;
    Ok(decision)
}

/// Copies everything. Nothing is deleted, and nothing that stands at the new name is replaced.
async fn copy_all(relocation: &mut Relocation) -> Result<()> {
    let files = Files::of(relocation);
    let mut keys = files.store.driver.keys(&files.from).await?;
    let mut copied = 0;
    while let Some(page) = relocation.during(keys.next()).await? {
        for keys in page.chunks(PAGE) {
            let found = relocation.during(files.look_at(keys.to_vec())).await?;
            let items: Vec<Item> = found.iter().map(|(item, _)| item.clone()).collect();
            if items.is_empty() {
                continue;
            }
            let number = relocation.add_page(&items).await?;
            let (items, result) = relocation.during(async { Ok(files.copy(found).await) }).await?;
            copied += items.len();
            relocation.write_page(number, &items).await?;
            result?;
        }
    }
    // Somebody else has emptied it meanwhile.
    if copied == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// Deletes what was copied, or the copies of what is still there.
async fn delete_all(mut relocation: Relocation, doomed: Doomed) -> Result<()> {
    let files = Files::of(&relocation);
    for number in 0..relocation.pages() {
        // Before each page: who was away for long may have lost it.
        relocation.renew().await?;
        let items = relocation.page(number).await?;
        if let Err(error) = relocation.during(files.delete_each(items, doomed)).await {
            release(relocation).await;
            return Err(error);
        }
    }
    if matches!(doomed, Doomed::Source) {
        files.store.keep_directory_of(&files.from).await;
    }
    forget(relocation).await;
    Ok(())
}

/// Leaves the rest to the next clean-up.
async fn release(relocation: Relocation) {
    if let Err(error) = relocation.release().await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the rest of a rename must wait until it is taken for abandoned");
    }
}

/// All is done; a journal that stays does no harm.
async fn forget(relocation: Relocation) {
    if let Err(error) = relocation.forget().await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "the journal of a rename that is done stays until the next clean-up");
    }
}

/// The files of the directory, at both of its names.
struct Files {
    store: Arc<Store>,
    from: StorePath,
    to: StorePath,
}

impl Files {
    fn of(relocation: &Relocation) -> Self {
        Self {
            store: Arc::clone(&relocation.store),
            from: relocation.from.clone(),
            to: relocation.to.clone(),
        }
    }

    /// What stands at these keys now. Those that have gone since they were listed are left out.
    async fn look_at(&self, keys: Vec<String>) -> Result<Vec<(Item, Meta)>> {
        let looking = stream::iter(keys).map(|key| self.look_at_one(key)).buffered(WINDOW);
        looking.try_filter_map(|found| std::future::ready(Ok(found))).try_collect().await
    }

    async fn look_at_one(&self, key: String) -> Result<Option<(Item, Meta)>> {
        const FOREIGN: Error = Error::NotSupported("a directory marker of another tool keeps it");
        if key.is_empty() {
            return Err(FOREIGN);
        }
        let from = self.from.join(&key)?;
        // The new name may be too long for it.
        self.store.driver.destination(&self.to.join(&key)?).await?;
        match self.store.found(&from).await? {
            Some(meta) => {
                let item = Item { key, source: Seen::of(&meta), copy: None };
                Ok(Some((item, meta)))
            }
            None if self.store.is_directory(&from).await? => Err(FOREIGN),
            None => Ok(None),
        }
    }

    /// Copies a page; after a failure no further copy is begun, but those on their way are waited for. Gives back all of
    /// which there may be a copy.
    async fn copy(&self, found: Vec<(Item, Meta)>) -> (Vec<Item>, Result<()>) {
        let failed = &AtomicBool::new(false);
        let copying = stream::iter(found).map(|(item, source)| async move {
            if failed.load(Ordering::Relaxed) {
                return Copied::not(Ok(()));
            }
            let copied = self.copy_one(item, source).await;
            failed.fetch_or(copied.result.is_err(), Ordering::Relaxed);
            copied
        });
        let copied: Vec<Copied> = copying.buffer_unordered(WINDOW).collect().await;
        let (items, results): (Vec<_>, Vec<_>) =
            copied.into_iter().map(|copied| (copied.item, copied.result)).unzip();
        (items.into_iter().flatten().collect(), results.into_iter().collect())
    }

    async fn copy_one(&self, item: Item, mut source: Meta) -> Copied {
        let (from, to) = match self.both(&item) {
            Ok(both) => both,
            Err(error) => return Copied::not(Err(error)),
        };
        match self.go_on().and(self.store.found(&to).await) {
            Ok(None) => {}
            Ok(Some(_)) => return Copied::not(Err(Error::AlreadyExists)),
            Err(error) => return Copied::not(Err(error)),
        }
        let mut replaced = None;
        for _ in 0..TRIES {
            let existing = if replaced.is_some() { Existing::Replace } else { Existing::Refuse };
            let copying = self.store.copy_surely(&from, &to, &source, replaced.as_ref(), existing);
            let error = match copying.await {
                Ok(copy) => {
                    let item = Item { source: Seen::of(&source), copy: Some(Seen::of(&copy)), ..item };
                    return Copied { item: Some(item), result: Ok(()) };
                }
                Err(error) => error,
            };
            // Somebody may have written to it or deleted it meanwhile. What stands at the new name is replaced only if it
            // is known for a copy.
            let ours = |there: &Meta, now: &Meta| same_bytes(there, &source) || same_bytes(there, now);
            match (self.store.found(&from).await, self.store.found(&to).await) {
                (Ok(None), Ok(None)) => return Copied::not(Ok(())),
                (Ok(Some(now)), Ok(there))
                    if !Seen::of(&source).is(&now)
                        && there.as_ref().is_none_or(|there| ours(there, &now)) =>
                {
                    (source, replaced) = (now, there);
                }
                _ => return Copied { item: Some(item), result: Err(error) },
            }
        }
        Copied { item: Some(item), result: Err(Error::Changed) }
    }

    /// Deletes one or the other of each of `items`.
    async fn delete_each(&self, items: Vec<Item>, doomed: Doomed) -> Result<()> {
        let deleting = stream::iter(items).map(|item| self.delete(item, doomed));
        deleting.buffer_unordered(WINDOW).try_collect().await
    }

    async fn delete(&self, item: Item, doomed: Doomed) -> Result<()> {
        self.go_on()?;
        match doomed {
            Doomed::Source => self.delete_source(&item).await,
            Doomed::Copy => self.delete_copy(&item).await,
        }
    }

    /// Deletes a file at its old name, if it is what was copied and the copy is still there.
    async fn delete_source(&self, item: &Item) -> Result<()> {
        let (from, to) = self.both(item)?;
        let copy = self.store.found(&to).await?;
        let copied = copy.is_some_and(|copy| item.copy.as_ref().is_some_and(|seen| seen.is(&copy)));
        match self.store.found(&from).await? {
            Some(source) if copied && item.source.is(&source) => self.store.delete_surely(&from).await,
            Some(_) => {
                tracing::info!(key = %from, "stays at the old name: it or its copy was written to meanwhile");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Deletes a copy, if it is known for one and its source is still what was copied.
    async fn delete_copy(&self, item: &Item) -> Result<()> {
        let (from, to) = self.both(item)?;
        let (source, copy) = (self.store.found(&from).await?, self.store.found(&to).await?);
        match (source, copy) {
            (Some(source), Some(copy)) if item.source.is(&source) && item.is_copy(&copy, &source) => {
                self.store.delete_surely(&to).await
            }
            (_, Some(_)) => {
                tracing::warn!(key = %to, "stays at the new name: it is not known for a copy");
                Ok(())
            }
            (_, None) => Ok(()),
        }
    }

    fn both(&self, item: &Item) -> Result<(StorePath, StorePath)> {
        Ok((self.from.join(&item.key)?, self.to.join(&item.key)?))
    }

    /// Fails when the process stops: whoever comes next goes on.
    fn go_on(&self) -> Result<()> {
        if self.store.shutdown.is_stopping() { Err(DataError::Aborted.into()) } else { Ok(()) }
    }
}

impl Item {
    /// Whether `copy` is the copy of this file, which `source` describes.
    fn is_copy(&self, copy: &Meta, source: &Meta) -> bool {
        match &self.copy {
            Some(seen) => seen.is(copy),
            // Nobody has seen it made.
            None => same_bytes(copy, source),
        }
    }
}

/// Which of the two is deleted.
#[derive(Clone, Copy, Debug)]
enum Doomed {
    Source,
    Copy,
}

/// What became of one copy.
struct Copied {
    /// None if there is surely no copy.
    item: Option<Item>,
    result: Result<()>,
}

impl Copied {
    fn not(result: Result<()>) -> Self {
        Self { item: None, result }
    }
}
