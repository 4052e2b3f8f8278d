//! A local folder, with file operations of our own: a file is written beside its name and renamed into place.

mod disk;
mod durability;
mod folder;
mod pace;
mod pages;
mod place;
mod reading;
mod staged;
mod sweep;
mod upload;

pub(in crate::storage) use durability::Durability;
pub(in crate::storage) use folder::Folder;
