//! Bucketport: an FTP gateway whose files live in object storage.
//!
//! The modules below stand in reading order, and imports run one way only: a module may use those above it.
//! `tests/architecture` enforces it; `ARCHITECTURE.md` walks an upload, a command and a failure through them. Only
//! what the program and the conformance suite use is public, so that the compiler finds what nothing uses.

mod encoding;
mod hashes;

pub mod config;

mod seldom;
mod spans;

mod logging;
mod net;

pub mod metrics;
pub mod shutdown;
mod workers;

pub mod limits;

pub mod data;
mod digest;
mod facts;
pub mod path;
mod reply;
mod tls;
pub mod user;

mod session;
mod sessions;

mod events;
mod recent;

mod auth;
pub mod storage;

pub mod files;

mod control;

mod edge;
#[cfg(fuzzing)]
pub use edge::fuzzing;

mod http;
mod terminal;

mod reload;

mod app;
pub mod cli;
