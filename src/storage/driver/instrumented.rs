//! Measures every call to a store. Wraps any [`Driver`] and changes nothing else.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use tracing::{Instrument, Span};

use super::contract::{
    Condition, Dated, Destination, Directory, Driver, EntryPage, Existing, Get, Got, Keys, LeftOver,
    Lifetime, Meta, OpenUpload, Pages, Ranges, Renamed, Saved, Sending, Swept, Uploader, Written,
};
use crate::metrics::{Metrics, StoreOperation, StoreOutcome};
use crate::spans;
use crate::storage::error::{Error, Result};
use crate::storage::path::StorePath;

/// Where the measurements of one store go.
#[derive(Clone, Debug)]
struct Meter {
    store: Arc<str>,
    metrics: Arc<Metrics>,
}

impl Meter {
    /// Waits for `call` and records how long it took and how it ended.
    async fn measure<T>(
        &self,
        operation: StoreOperation,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let (begun, span) = (Instant::now(), self.span(operation));
        let result = call.instrument(span.clone()).await;
        self.record(operation, begun, &span, &result);
        result
    }

    fn span(&self, operation: StoreOperation) -> Span {
        spans::store_request(&self.store, operation.label())
    }

    /// The same for a rename. Where it takes a copy there was no call yet.
    async fn measure_rename(&self, call: impl Future<Output = Result<Renamed>>) -> Result<Renamed> {
        let (begun, span) = (Instant::now(), self.span(StoreOperation::Rename));
        let result = call.instrument(span.clone()).await;
        if !matches!(result, Ok(Renamed::NeedsCopy)) {
            self.record(StoreOperation::Rename, begun, &span, &result);
        }
        result
    }

    fn record<T>(&self, operation: StoreOperation, begun: Instant, span: &Span, result: &Result<T>) {
        let outcome = match result {
            Ok(_) => StoreOutcome::Ok,
            Err(Error::NotFound) => StoreOutcome::NotFound,
            Err(Error::Changed | Error::AlreadyExists) => StoreOutcome::Precondition,
            Err(_) => StoreOutcome::Error,
        };
        span.record("outcome", outcome.label());
        self.metrics.store_request(&self.store, operation, outcome, begun);
    }
}

/// A driver, or what a driver has opened, whose calls are measured.
#[derive(Debug)]
pub(in crate::storage) struct Instrumented<D> {
    inner: D,
    meter: Meter,
}

impl Instrumented<Arc<dyn Driver>> {
    /// `inner`, measured as the store of this name.
    pub(in crate::storage) fn new(inner: Arc<dyn Driver>, store: &str, metrics: Arc<Metrics>) -> Self {
        Self { inner, meter: Meter { store: store.into(), metrics } }
    }
}

impl<D> Instrumented<D> {
    fn wrap<T>(&self, inner: T) -> Instrumented<T> {
        Instrumented { inner, meter: self.meter.clone() }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Driver for Instrumented<Arc<dyn Driver>> {
    fn within(&self, home: &StorePath) -> Arc<dyn Driver> {
        Arc::new(self.wrap(self.inner.within(home)))
    }

    fn ranges(&self) -> Option<Ranges> {
        self.inner.ranges()
    }

    async fn probe(&self, root: &StorePath) -> Result<()> {
        self.meter.measure(StoreOperation::List, self.inner.probe(root)).await
    }

    async fn head(&self, path: &StorePath) -> Result<Meta> {
        self.meter.measure(StoreOperation::Head, self.inner.head(path)).await
    }

    async fn get(&self, path: &StorePath, get: Get) -> Result<Got> {
        self.meter.measure(StoreOperation::Get, self.inner.get(path, get)).await
    }

    async fn destination(&self, path: &StorePath) -> Result<Box<dyn Destination>> {
        // No call to the store.
        Ok(Box::new(self.wrap(self.inner.destination(path).await?)))
    }

    async fn reopen(&self, path: &StorePath, saved: &Saved) -> Result<Box<dyn OpenUpload>> {
        // No call to the store.
        Ok(Box::new(self.wrap(self.inner.reopen(path, saved).await?)))
    }

    async fn discard(&self, path: &StorePath, saved: &Saved) -> Result<()> {
        self.meter.measure(StoreOperation::AbortMultipart, self.inner.discard(path, saved)).await
    }

    async fn delete(&self, path: &StorePath) -> Result<()> {
        self.meter.measure(StoreOperation::Delete, self.inner.delete(path)).await
    }

    fn largest_copy(&self) -> Option<u64> {
        self.inner.largest_copy()
    }

    async fn copy(&self, from: &StorePath, to: &StorePath, source: &Meta, existing: Existing) -> Result<()> {
        self.meter.measure(StoreOperation::Copy, self.inner.copy(from, to, source, existing)).await
    }

    async fn rename(&self, from: &StorePath, to: &StorePath, existing: Existing) -> Result<Renamed> {
        self.meter.measure_rename(self.inner.rename(from, to, existing)).await
    }

    async fn rename_directory(&self, from: &StorePath, to: &StorePath) -> Result<Renamed> {
        self.meter.measure_rename(self.inner.rename_directory(from, to)).await
    }

    async fn set_modified(&self, path: &StorePath, time: DateTime<Utc>) -> Result<Dated> {
        // A matter of local folders: other stores have no call for it.
        self.inner.set_modified(path, time).await
    }

    async fn list(&self, path: &StorePath) -> Result<Option<Box<dyn Pages>>> {
        let pages = self.meter.measure(StoreOperation::List, self.inner.list(path)).await?;
        Ok(pages.map(|pages| Box::new(self.wrap(pages)) as Box<dyn Pages>))
    }

    async fn keys_below(&self, path: &StorePath, limit: usize) -> Result<Vec<String>> {
        self.meter.measure(StoreOperation::List, self.inner.keys_below(path, limit)).await
    }

    async fn keys(&self, path: &StorePath) -> Result<Box<dyn Keys>> {
        // Its pages are the calls.
        Ok(Box::new(self.wrap(self.inner.keys(path).await?)))
    }

    async fn directory(&self, path: &StorePath) -> Result<Option<Directory>> {
        self.meter.measure(StoreOperation::List, self.inner.directory(path)).await
    }

    fn keeps_directories(&self) -> bool {
        self.inner.keeps_directories()
    }

    async fn remove_directory(&self, path: &StorePath) -> Result<()> {
        // What is left of a directory is a matter of local folders: other stores have no call for it.
        self.inner.remove_directory(path).await
    }

    async fn sweep(&self, left_over: LeftOver) -> Result<Swept> {
        // A matter of local folders as well.
        self.inner.sweep(left_over).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Destination for Instrumented<Box<dyn Destination>> {
    fn first_part(&self) -> usize {
        self.inner.first_part()
    }

    fn describe(&mut self, uploader: Uploader<'_>) {
        self.inner.describe(uploader);
    }

    async fn put(self: Box<Self>, body: Vec<Bytes>, condition: &Condition) -> Result<Written> {
        self.meter.measure(StoreOperation::Put, self.inner.put(body, condition)).await
    }

    async fn open(self: Box<Self>, lifetime: Lifetime) -> Result<Box<dyn OpenUpload>> {
        let Self { inner, meter } = *self;
        let inner = meter.measure(StoreOperation::CreateMultipart, inner.open(lifetime)).await?;
        Ok(Box::new(Instrumented { inner, meter }))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl OpenUpload for Instrumented<Box<dyn OpenUpload>> {
    fn part_size(&self) -> usize {
        self.inner.part_size()
    }

    fn window(&self) -> usize {
        self.inner.window()
    }

    fn send(&mut self, part: Vec<Bytes>) -> Result<Sending> {
        let (begun, span) = (Instant::now(), self.meter.span(StoreOperation::PutPart));
        let sending = self.inner.send(part)?;
        let meter = self.meter.clone();
        let measured = async move {
            let sent = sending.instrument(span.clone()).await;
            meter.record(StoreOperation::PutPart, begun, &span, &sent);
            sent
        };
        Ok(measured.boxed())
    }

    async fn complete(&mut self, condition: &Condition) -> Result<Written> {
        self.meter.measure(StoreOperation::CompleteMultipart, self.inner.complete(condition)).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.meter.measure(StoreOperation::AbortMultipart, self.inner.abort()).await
    }

    fn saved(&self) -> Option<Saved> {
        self.inner.saved()
    }

    fn takes_short_parts(&self) -> bool {
        self.inner.takes_short_parts()
    }

    fn leave(&mut self) {
        self.inner.leave();
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Pages for Instrumented<Box<dyn Pages>> {
    async fn next(&mut self) -> Result<Option<EntryPage>> {
        let page = self.meter.measure(StoreOperation::List, self.inner.next()).await?;
        if let Some(page) = &page {
            self.meter.metrics.unlisted_keys(&self.meter.store, page.left_out);
        }
        Ok(page)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Keys for Instrumented<Box<dyn Keys>> {
    async fn next(&mut self) -> Result<Option<Vec<String>>> {
        self.meter.measure(StoreOperation::List, self.inner.next()).await
    }
}
