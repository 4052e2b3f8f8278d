//! Events: what users have done, told to the sinks of the configuration, at least once and in order.
//!
//! Whoever is about to do something asks first with [`Events::announce`], so that a sink that has no room can refuse it
//! where that is wanted, and tells of it when it is done.

mod dead;
mod disk;
mod event;
mod filter;
mod hub;
mod ledger;
mod lines;
mod queue;
mod rest;
mod room;
mod sender;
mod sink;
mod webhook;
mod window;

pub(crate) use event::{Details, Event};
pub(crate) use hub::{Announced, Depth, Events, Unannounced};
