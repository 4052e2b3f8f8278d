//! What one user sees: a tree of files that are in folders of stores, what they may do in which part of it, and how they
//! are told that something cannot be done.

mod error;
mod failure;
#[expect(clippy::module_inception, reason = "`Files` is what the folder is about")]
mod files;
mod listed;
mod rights;
mod tree;
mod upload;

pub use error::{Error, Result};
pub(crate) use failure::{failure, transfer_result};
pub use files::{Files, Place};
pub use listed::{Listed, Listing};
pub use tree::NoFiles;
pub use upload::{PlannedUpload, PossibleUpload};
