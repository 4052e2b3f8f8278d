//! What all requests share.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::observer::Observer;
use super::order::Order;
use super::streams::Streams;
use super::token::AdminToken;

#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) observer: Arc<Observer>,
    /// None if nobody may see details or change anything.
    pub(super) token: Option<Arc<AdminToken>>,
    pub(super) orders: mpsc::Sender<Order>,
    /// Places for pages that are kept up to date.
    pub(super) streams: Streams,
}
