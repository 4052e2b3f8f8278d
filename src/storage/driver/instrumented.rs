//! Measures every call to a store. Wraps any `ObjectStore` and changes nothing else.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use crate::metrics::{Metrics, StoreOperation, StoreOutcome};

/// Where the measurements of one store go.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    store: Arc<str>,
    metrics: Arc<Metrics>,
}

impl Meter {
    pub(super) fn new(store: &str, metrics: Arc<Metrics>) -> Self {
        Self { store: store.into(), metrics }
    }

    /// Waits for `call` and records how long it took and how it ended.
    pub(super) async fn measure<T>(
        &self,
        operation: StoreOperation,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let begun = Instant::now();
        let result = call.await;
        let outcome = match &result {
            Ok(_) => StoreOutcome::Ok,
            Err(Error::NotFound { .. }) => StoreOutcome::NotFound,
            Err(Error::Precondition { .. } | Error::NotModified { .. } | Error::AlreadyExists { .. }) => {
                StoreOutcome::Precondition
            }
            Err(_) => StoreOutcome::Error,
        };
        self.metrics.store_request(&self.store, operation, outcome, begun);
        result
    }
}

/// An `ObjectStore` whose calls are measured.
#[derive(Debug)]
pub(super) struct Instrumented<S> {
    inner: S,
    meter: Meter,
}

impl<S> Instrumented<S> {
    pub(super) fn new(inner: S, meter: Meter) -> Self {
        Self { inner, meter }
    }
}

impl<S: fmt::Display> fmt::Display for Instrumented<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: ObjectStore> ObjectStore for Instrumented<S> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.meter.measure(StoreOperation::Put, self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let create = self.inner.put_multipart_opts(location, opts);
        let inner = self.meter.measure(StoreOperation::CreateMultipart, create).await?;
        Ok(Box::new(InstrumentedUpload { inner, meter: self.meter.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let operation = if options.head { StoreOperation::Head } else { StoreOperation::Get };
        self.meter.measure(operation, self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.meter.measure(StoreOperation::Get, self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        // Measured by its callers: a stream has no one end that could be timed here.
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.meter.measure(StoreOperation::List, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.meter.measure(StoreOperation::Copy, self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.meter.measure(StoreOperation::Rename, self.inner.rename_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct InstrumentedUpload {
    inner: Box<dyn MultipartUpload>,
    meter: Meter,
}

#[async_trait]
impl MultipartUpload for InstrumentedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let meter = self.meter.clone();
        let part = self.inner.put_part(data);
        async move { meter.measure(StoreOperation::PutPart, part).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.meter.measure(StoreOperation::CompleteMultipart, self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.meter.measure(StoreOperation::AbortMultipart, self.inner.abort()).await
    }
}
