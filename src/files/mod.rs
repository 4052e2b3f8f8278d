//! What one user sees: a tree of files that begins at their home, and what they may do in it.

mod mount;
mod path;

pub use mount::{Error, Files, Result};
pub use path::{PathError, VirtualPath};
