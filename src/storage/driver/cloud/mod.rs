//! S3, GCS, Azure, and whatever else `object_store` has a client of.

mod bucket;
mod claim;
mod keys;
mod names;
mod pages;
mod upload;

pub(in crate::storage) use bucket::Bucket;
pub(in crate::storage) use names::Names;
