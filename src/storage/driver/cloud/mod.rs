//! S3, GCS, Azure, and whatever else `object_store` has a client of.

mod bucket;
mod claim;
mod labels;
mod pages;
mod parts;
mod sizes;
mod upload;

pub(in crate::storage) use bucket::Bucket;
