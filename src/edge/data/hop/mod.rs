//! The way of a data connection that reached another replica than its session's: whoever accepted it hands it on to the
//! replica that owns its port. The client's bytes go through the kernel alone (`splice.rs`).
//!
//! The owner speaks first, with a challenge; the forwarder answers with a PROXY header that names the client, and proves
//! with it that it knows the cluster's secret (`introduction.rs`). After that the owner's bytes come as they are, and the
//! client's in pieces with their length before them (`word.rs`): an end of the connection means nothing, because the kernel of
//! a forwarder that was killed ends it as orderly as a client that has finished. Only what the forwarder says counts.

mod arrivals;
mod forwarder;
mod handed;
mod introduction;
mod peers;
mod splice;
mod word;

pub(crate) use arrivals::{linger, serve as serve_peers};
pub(super) use forwarder::{Forwarder, Reached};
pub(super) use handed::Handed;
