//! Data connections: how a client's comes about, and moving bytes over it with a deadline.

mod active;
mod ascii;
mod hop;
mod host;
mod opener;
mod passive;
mod plain;
mod route;
mod terms;
mod transport;
mod wire;

pub(super) use active::Target;
#[cfg(fuzzing)]
pub(super) use ascii::properties as ascii_properties;
pub(crate) use hop::{linger, serve_peers};
pub(super) use opener::Opener;
pub(crate) use passive::PassivePool;
pub(super) use passive::Slot;
pub(super) use route::Route;
pub(super) use terms::{LineEnds, Terms};
