//! The parts of a multipart upload, whose names are known, so that another session can go on with it or abort it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::multipart::{MultipartStore, PartId};
use object_store::{Error, MultipartUpload, ObjectStore, PutMultipartOptions, PutPayload, PutResult, Result};

use super::claim::Claim;
use crate::storage::driver::contract::{Lifetime, SavedPart};
use crate::storage::path::StorePath;

/// A bucket's two clients for multipart uploads, which are one in all but type.
#[derive(Clone)]
pub(super) struct Clients {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) multipart: Arc<dyn MultipartStore>,
}

/// What the store has of an upload.
#[derive(Debug)]
pub(super) enum Parts {
    /// The names of its parts are known.
    Named(Named),
    /// Azure's client takes metadata only where it keeps the names to itself. Azure forgets such parts by itself.
    Unnamed(Box<dyn MultipartUpload>),
}

/// An upload the names of whose parts are known.
pub(super) struct Named {
    multipart: Arc<dyn MultipartStore>,
    path: StorePath,
    id: String,
    /// By their numbers; none has not arrived.
    arrived: Arc<Mutex<Vec<Option<SavedPart>>>>,
}

/// Begins an upload to `path` that carries `claim`'s mark, if the store can: else the claim is none.
pub(super) async fn begin(
    clients: &Clients,
    path: &StorePath,
    lifetime: Lifetime,
    mut options: PutMultipartOptions,
) -> Result<(Parts, Option<Claim>)> {
    let claim = Claim::new();
    claim.put_on(&mut options.attributes);
    let Clients { objects, multipart } = clients;
    let (id, claim) = match multipart.create_multipart_opts(path.as_path(), options.clone()).await {
        Ok(id) => (id, Some(claim)),
        Err(Error::NotSupported { .. }) => match lifetime {
            Lifetime::Session => {
                let upload = objects.put_multipart_opts(path.as_path(), options).await?;
                return Ok((Parts::Unnamed(upload), Some(claim)));
            }
            Lifetime::Kept => (multipart.create_multipart(path.as_path()).await?, None),
        },
        Err(error) => return Err(error),
    };
    Ok((Parts::Named(Named::new(clients, path, id, Vec::new())), claim))
}

impl Named {
    /// An upload of this name, some parts of which have arrived.
    pub(super) fn new(clients: &Clients, path: &StorePath, id: String, arrived: Vec<SavedPart>) -> Self {
        let arrived = arrived.into_iter().map(Some).collect();
        Self {
            multipart: Arc::clone(&clients.multipart),
            path: path.clone(),
            id,
            arrived: Arc::new(Mutex::new(arrived)),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What has arrived, up to the first gap.
    pub(super) fn arrived(&self) -> Vec<SavedPart> {
        lock(&self.arrived).iter().map_while(Clone::clone).collect()
    }
}

impl Parts {
    /// Sends part `index`.
    pub(super) fn send(&mut self, index: usize, part: PutPayload) -> BoxFuture<'static, Result<()>> {
        let named = match self {
            Self::Named(named) => named,
            Self::Unnamed(upload) => return upload.put_part(part),
        };
        lock(&named.arrived).resize(index + 1, None);
        let (multipart, path) = (Arc::clone(&named.multipart), named.path.clone());
        let (id, arrived) = (named.id.clone(), Arc::clone(&named.arrived));
        let sending = async move {
            let size = part.content_length() as u64;
            let PartId { content_id } = multipart.put_part(path.as_path(), &id, index, part).await?;
            lock(&arrived)[index] = Some(SavedPart { id: content_id, size });
            Ok(())
        };
        sending.boxed()
    }

    /// Makes the object appear from all parts.
    pub(super) async fn complete(&mut self) -> Result<PutResult> {
        match self {
            Self::Named(named) => {
                let parts = named.arrived().into_iter().map(|part| PartId { content_id: part.id }).collect();
                named.multipart.complete_multipart(named.path.as_path(), &named.id, parts).await
            }
            Self::Unnamed(upload) => upload.complete().await,
        }
    }

    /// Leaves nothing of them.
    pub(super) async fn abort(&mut self) -> Result<()> {
        match self {
            Self::Named(named) => named.multipart.abort_multipart(named.path.as_path(), &named.id).await,
            Self::Unnamed(upload) => upload.abort().await,
        }
    }
}

fn lock(arrived: &Mutex<Vec<Option<SavedPart>>>) -> MutexGuard<'_, Vec<Option<SavedPart>>> {
    // No code that can panic runs under the lock.
    arrived.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Named").field("path", &self.path).field("id", &self.id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clients").field(&self.objects).finish()
    }
}
