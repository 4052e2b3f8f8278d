//! What one user sees: a tree of files that begins at their home, what they may do in it, and how they are told that
//! something cannot be done.

mod failure;
#[expect(clippy::module_inception, reason = "`Files` is what the folder is about")]
mod files;

pub(crate) use failure::{failure, transfer_result};
pub use files::{Error, Files, Result};
