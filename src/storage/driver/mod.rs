//! The kinds of store, each a [`Driver`]. Nothing outside this folder asks which kind it has.

mod cloud;
mod contract;
mod gcs;
mod instrumented;
mod local;
mod memory;

pub(in crate::storage) use cloud::{Bucket, Names, Wire};
pub(in crate::storage) use contract::{
    Body, Chunk, Condition, Destination, Driver, Get, Lifetime, Mark, Memory, Meta, OpenUpload, Pages,
    Ranges, Renamed, Saved, Uploader, Version, Written,
};
pub use contract::{Dated, Existing, LeftOver, Swept};
pub(in crate::storage) use gcs::{StreamedBucket, connect as connect_gcs};
pub(in crate::storage) use instrumented::Instrumented;
pub(in crate::storage) use local::{Durability, Folder};
pub(in crate::storage) use memory::OnePage;
