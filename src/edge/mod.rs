//! All that touches a client's socket: accepting, PROXY headers, limits, bounded command lines, the working directory, passive ports,
//! data connections and timeouts.

mod client;
mod command;
mod data;
mod entrance;
#[cfg(fuzzing)]
pub mod fuzzing;
mod host_port;
mod line;
mod listener;
mod pace;
mod presence;
mod proxy;
mod shared;
mod socket;
mod tcp;
mod telnet;
mod verb;

pub(crate) use data::{PassivePool, linger, serve_peers};
pub(crate) use entrance::Entrance;
pub(crate) use listener::serve;
pub(crate) use shared::Edge;
pub(crate) use verb::names as verb_names;
