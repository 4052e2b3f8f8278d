//! Sends what waits for one webhook: several at once, in order where they are about the same, again when it fails.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Fuse, FusedFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::queue::Queue;
use super::webhook::{Failure, Webhook};
use super::window::{Limits, Next};
use crate::shutdown::Shutdown;

/// The longest pause while the gateway drains: an endpoint that comes back gets what is only in memory.
const PAUSE_IN_DRAIN: Duration = Duration::from_secs(1);

/// The sender of one sink.
#[derive(Debug)]
pub(super) struct Sender {
    sink: String,
    queue: Arc<Queue>,
    webhook: Arc<Webhook>,
    most: usize,
    limits: Limits,
    /// Whether the last try has failed.
    failing: bool,
    /// Whether something waits because the sink was not reached.
    unreached: bool,
}

type Answer = (Next, Result<(), Failure>);

impl Sender {
    /// Sends what is in `queue`, `most` at once.
    pub(super) fn new(sink: &str, queue: &Arc<Queue>, webhook: Webhook, most: usize, limits: Limits) -> Self {
        let (sink, queue, webhook) = (sink.to_owned(), Arc::clone(queue), Arc::new(webhook));
        Self { sink, queue, webhook, most, limits, failing: false, unreached: false }
    }

    /// Runs until the second stage of stopping. What is on its way then may have arrived.
    pub(super) async fn run(mut self, shutdown: Shutdown) {
        let mut flying = FuturesUnordered::<BoxFuture<'static, Answer>>::new();
        let mut refilling: Fuse<BoxFuture<'static, ()>> = Fuse::terminated();
        let mut draining = false;
        loop {
            if refilling.is_terminated() && self.queue.wants_more() {
                let queue = Arc::clone(&self.queue);
                refilling = async move { queue.refill().await }.boxed().fuse();
            }
            while flying.len() < self.most
                && let Some(next) = self.queue.next()
            {
                let webhook = Arc::clone(&self.webhook);
                flying.push(Box::pin(async move {
                    let answer = webhook.deliver(next.letter.body.clone()).await;
                    (next, answer)
                }));
            }
            // With all on their way nobody else can go.
            let due = self.queue.next_due().filter(|_| flying.len() < self.most);
            tokio::select! {
                biased;
                () = shutdown.stopping() => return,
                () = shutdown.draining(), if !draining => {
                    draining = true;
                    self.limits.longest_pause = PAUSE_IN_DRAIN;
                    // Nothing is given up for being tried so often.
                    self.limits.max_attempts = None;
                    self.queue.hurry();
                }
                Some((next, answer)) = flying.next() => self.answered(&next, answer),
                () = &mut refilling => {}
                () = self.queue.changed() => {}
                () = reached(due) => {}
            }
        }
    }

    fn answered(&mut self, next: &Next, answer: Result<(), Failure>) {
        match answer {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!(sink = self.sink, "events are delivered again");
                }
                self.queue.delivered(next.number);
                if std::mem::take(&mut self.unreached) {
                    self.queue.hurry_unreached();
                }
            }
            Err(failure) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(sink = self.sink, error = %failure, "events are not delivered, trying again");
                }
                tracing::debug!(sink = self.sink, number = next.number, error = %failure, "not delivered");
                let unreached = matches!(failure, Failure::Unreached(_));
                self.unreached |= unreached;
                self.queue.failed(next, failure.to_string(), unreached, self.limits);
            }
        }
    }
}

/// Waits for this moment; for ever if there is none.
async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
