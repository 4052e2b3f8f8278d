//! The kinds of store, each a [`Driver`]. Nothing outside this folder asks which kind it has.

mod cloud;
mod contract;
mod gcs;
mod instrumented;
mod local;
mod memory;

pub(in crate::storage) use cloud::{Bucket, Wire};
pub use contract::Existing;
pub(in crate::storage) use contract::{
    Body, Chunk, Condition, Destination, Driver, Get, Memory, Meta, OpenUpload, Pages, Ranges, Renamed,
    Version,
};
pub(in crate::storage) use gcs::{StreamedBucket, connect as connect_gcs};
pub(in crate::storage) use instrumented::Instrumented;
pub(in crate::storage) use local::Folder;
pub(in crate::storage) use memory::OnePage;
