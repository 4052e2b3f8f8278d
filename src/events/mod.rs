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

use crate::config::{ConfigError, EventsConfig};

pub(crate) use event::{Details, Event};
pub(crate) use hub::{Announced, Depth, Events, Unannounced};

/// Finds what parsing alone cannot: folders that are not there.
pub(crate) fn check(config: &EventsConfig) -> Vec<ConfigError> {
    sink::check(&config.sinks)
}
