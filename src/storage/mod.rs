//! File semantics on object stores. The only module that names `object_store`.
//!
//! [`Store`] is one configured store; the operations on it stand in the file that is named after them, and what a kind
//! of store has to do for them in `driver/`.

mod answer;
mod append;
mod budget;
mod checksum;
mod copy;
mod directory;
mod download;
mod driver;
mod entry;
mod error;
mod janitor;
mod journal;
mod keeper;
mod kept;
mod list;
mod multipart;
mod noted;
mod parents;
mod part;
mod path;
mod plan_download;
mod plan_upload;
mod recover;
mod relocation;
mod rename;
mod rename_directory;
mod source;
mod store;
mod stores;
mod unclaimed;
mod upload;

pub use budget::Budget;
pub use driver::{Dated, Existing, LeftOver, Swept};
pub use entry::{Entry, EntryKind};
pub use error::{Error, Result};
pub use list::{Listed, Listing};
pub use path::StorePath;
pub use plan_download::PlannedDownload;
pub use plan_upload::{PlannedUpload, PossibleUpload, Stored, UploadMode};
pub use relocation::RENAME_ABANDONED;
pub use store::Store;
pub use stores::{Stores, check};
