//! Bucketport: an FTP gateway whose files live in object storage.
//!
//! The modules below stand in reading order, and imports run one way only: a module may use those above it.
//! `tests/architecture.rs` enforces it; `ARCHITECTURE.md` walks an upload and a listing through them.

pub mod config;
pub mod logging;
pub mod net;

pub mod metrics;
pub mod shutdown;
pub mod workers;

pub mod data;
pub mod user;

pub mod session;

pub mod auth;
pub mod storage;

pub mod files;

pub mod control;

pub mod edge;

pub mod http;

pub mod app;
pub mod cli;
