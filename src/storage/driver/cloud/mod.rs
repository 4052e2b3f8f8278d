//! S3, GCS, Azure, and whatever else `object_store` has a client of.

mod bucket;
mod claim;
mod credentials;
mod keys;
mod labels;
mod names;
mod page;
mod pages;
mod parts;
mod sizes;
mod upload;
mod wire;
mod xml;

pub(in crate::storage) use bucket::Bucket;
pub(in crate::storage) use names::Names;
pub(in crate::storage) use wire::Wire;
