//! The kinds of store, each a [`Driver`]. Nothing outside this folder asks which kind it has.

mod cloud;
mod contract;
mod instrumented;
mod local;
mod memory;

pub(in crate::storage) use cloud::Bucket;
pub use contract::Existing;
pub(in crate::storage) use contract::{
    Body, Chunk, Condition, Destination, Driver, Get, Lifetime, Memory, Meta, OpenUpload, Pages, Ranges,
    Renamed, Saved, Version,
};
pub(in crate::storage) use instrumented::Instrumented;
pub(in crate::storage) use local::Folder;
pub(in crate::storage) use memory::OnePage;
