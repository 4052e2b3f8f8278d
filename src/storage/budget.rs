//! The process-wide memory budget (`transfer.memory`) for upload parts and download read-ahead.
//!
//! Bytes are charged in small steps as they arrive and given back when the store or the client has taken them. When
//! the budget is spent, requests wait, the fullest part first: it is the closest to being sent and so to giving back
//! the most. One part at a time may overdraw to complete itself, so that there is always progress; a charge covers at
//! most one part, so the overdraft is bounded by one part.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::metrics::Metrics;

/// The largest buffer that uploads read into; larger reads did not go faster on loopback. Large charges are taken in
/// steps of as much, so that they queue by how full they are.
pub(super) const LARGEST_BUFFER: usize = 256 * 1024;

/// How far kept buffers may exceed the limit together with what is charged: a buffer that is about to be taken is
/// charged already and still kept.
const SLACK: usize = 4 * LARGEST_BUFFER;

/// The budget.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    /// The charge that may exceed the limit.
    overdrawing: Option<u64>,
    last_charge: u64,
    last_ticket: u64,
    waiting: BTreeMap<Ticket, Waiter>,
    /// Buffers of `LARGEST_BUFFER` bytes that nobody uses. Uploads that run side by side interleave their buffers, and
    /// an allocator then keeps far more than is in use: a hundred uploads took 230 MiB for a budget of 128 MiB.
    free: Vec<Vec<u8>>,
}

/// Orders the queue: the fullest first, and among equals the one that came first.
type Ticket = (Reverse<usize>, u64);

#[derive(Debug)]
struct Waiter {
    charge: u64,
    step: usize,
    granted: oneshot::Sender<()>,
}

impl Budget {
    /// A budget of `limit` bytes that tells its level to `metrics`.
    pub fn new(limit: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        metrics.buffers(0, limit);
        Arc::new(Self { limit, state: Mutex::default(), metrics })
    }

    /// An empty charge.
    pub fn charge(self: &Arc<Self>) -> Charge {
        let mut state = self.lock();
        state.last_charge += 1;
        Charge { budget: Arc::clone(self), id: state.last_charge, bytes: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, charge: u64, bytes: usize, ends: bool) {
        let mut state = self.lock();
        state.used -= bytes;
        if ends && state.overdrawing == Some(charge) {
            state.overdrawing = None;
        }
        if state.used == 0 {
            state.free = Vec::new();
        }
        while let Some((&ticket, waiter)) = state.waiting.first_key_value() {
            let (charge, step) = (waiter.charge, waiter.step);
            if !self.admit(&mut state, charge, step) {
                break;
            }
            if let Some(waiter) = state.waiting.remove(&ticket) {
                // A receiver that is gone gives the step back itself (see `Waiting::drop`).
                let _ = waiter.granted.send(());
            }
        }
        self.metrics.buffers(state.used, self.limit);
    }

    /// Takes `step` for `charge` if it fits or may overdraw.
    fn admit(&self, state: &mut State, charge: u64, step: usize) -> bool {
        let fits = state.used + step <= self.limit;
        if !fits && state.overdrawing.is_none() {
            state.overdrawing = Some(charge);
        }
        let admitted = fits || state.overdrawing == Some(charge);
        if admitted {
            self.take(state, step);
        }
        admitted
    }

    fn take(&self, state: &mut State, bytes: usize) {
        state.used += bytes;
        while !state.free.is_empty() && state.used + state.free.len() * LARGEST_BUFFER > self.limit + SLACK {
            state.free.pop();
        }
    }

    /// An empty buffer of `size` bytes, which the caller has charged.
    pub(super) fn buffer(self: &Arc<Self>, size: usize) -> Buffer {
        let kept = if size == LARGEST_BUFFER { self.lock().free.pop() } else { None };
        Buffer { bytes: kept.unwrap_or_else(|| Vec::with_capacity(size)), budget: Some(Arc::clone(self)) }
    }
}

/// A buffer that goes back to its budget when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    budget: Option<Arc<Budget>>,
}

impl Buffer {
    pub(super) fn has_room(&self) -> bool {
        self.bytes.len() < self.bytes.capacity()
    }

    /// For reading into, up to the spare capacity.
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget
            && self.bytes.capacity() == LARGEST_BUFFER
        {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.clear();
            let mut state = budget.lock();
            // Its charge may be given back before it, and with the last charge all buffers go.
            if state.used > 0 {
                state.free.push(bytes);
            }
        }
    }
}

/// Bytes taken from the budget; dropping it gives them back. Covers one part at most.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    id: u64,
    bytes: usize,
}

impl Charge {
    /// Takes `bytes` more, waiting for them as long as it takes.
    pub async fn grow(&mut self, bytes: usize) {
        let mut left = bytes;
        while left > 0 {
            let step = left.min(LARGEST_BUFFER);
            if let Some(mut waiting) = self.request(step) {
                // The sender is dropped only after it has granted.
                let _ = (&mut waiting.granted).await;
                waiting.received = true;
            }
            self.bytes += step;
            left -= step;
        }
    }

    /// A charge of its own for `bytes` of it, which it must have.
    pub(super) fn split(&mut self, bytes: usize) -> Self {
        self.bytes -= bytes;
        let mut apart = self.budget.charge();
        apart.bytes = bytes;
        apart
    }

    /// Gives back all but `bytes`, if it has more.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.budget.give_back(self.id, surplus, false);
    }

    /// Takes `bytes` more if that much is free and nobody waits.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let mut state = self.budget.lock();
        let free = state.waiting.is_empty() && state.used + bytes <= self.budget.limit;
        if free {
            self.budget.take(&mut state, bytes);
            self.bytes += bytes;
            self.budget.metrics.buffers(state.used, self.budget.limit);
        }
        free
    }

    /// Takes `step`, or says where to wait for it.
    fn request(&self, step: usize) -> Option<Waiting> {
        let mut state = self.budget.lock();
        let ticket = (Reverse(self.bytes), state.last_ticket + 1);
        let first = state.waiting.first_key_value().is_none_or(|(other, _)| ticket < *other);
        // Whoever overdraws goes on whatever the queue: all others wait for it.
        let overdraws = state.overdrawing == Some(self.id);
        if (first || overdraws) && self.budget.admit(&mut state, self.id, step) {
            self.budget.metrics.buffers(state.used, self.budget.limit);
            return None;
        }
        let (granted, receiver) = oneshot::channel();
        state.last_ticket += 1;
        state.waiting.insert(ticket, Waiter { charge: self.id, step, granted });
        Some(Waiting {
            budget: Arc::clone(&self.budget),
            charge: self.id,
            ticket,
            step,
            granted: receiver,
            received: false,
        })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.give_back(self.id, self.bytes, true);
    }
}

/// A place in the queue. Dropped before it received its step, it leaves the queue or gives the step back.
struct Waiting {
    budget: Arc<Budget>,
    charge: u64,
    ticket: Ticket,
    step: usize,
    granted: oneshot::Receiver<()>,
    received: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.received {
            return;
        }
        let still_queued = self.budget.lock().waiting.remove(&self.ticket).is_some();
        // Leaving the head of the queue may let the next one in, hence the call with 0 bytes too.
        self.budget.give_back(self.charge, if still_queued { 0 } else { self.step }, false);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    fn budget(limit: usize) -> Arc<Budget> {
        Budget::new(limit, Arc::new(Metrics::new([], [])))
    }

    fn used(budget: &Budget) -> usize {
        budget.lock().used
    }

    #[tokio::test]
    async fn one_part_may_overdraw_and_others_wait_for_it() {
        let budget = budget(100);
        let mut first = budget.charge();
        first.grow(90).await;
        let mut second = budget.charge();
        second.grow(20).await;
        assert_eq!(used(&budget), 110, "the first that does not fit overdraws");
        assert!(first.grow(20).now_or_never().is_none(), "only one overdraws");
        second.grow(50).await;
        assert_eq!(used(&budget), 160, "and goes on until its part is complete");
        drop(second);
        first.grow(10).await;
        assert_eq!(used(&budget), 100);
        drop(first);
        assert_eq!(used(&budget), 0);
    }

    #[tokio::test]
    async fn the_fullest_is_served_first() {
        let budget = budget(100);
        let mut blocker = budget.charge();
        blocker.grow(60).await;
        let (mut small, mut large) = (budget.charge(), budget.charge());
        small.grow(10).await;
        large.grow(30).await;
        let mut overdrawing = budget.charge();
        overdrawing.grow(1).await;
        let mut small_waits = Box::pin(small.grow(30));
        let mut large_waits = Box::pin(large.grow(30));
        assert!((&mut small_waits).now_or_never().is_none());
        assert!((&mut large_waits).now_or_never().is_none());
        drop(blocker);
        assert!((&mut large_waits).now_or_never().is_some(), "fuller, though it came later");
        assert!((&mut small_waits).now_or_never().is_none());
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_nothing_behind() {
        let budget = budget(100);
        let mut holder = budget.charge();
        holder.grow(100).await;
        let mut overdrawing = budget.charge();
        overdrawing.grow(1).await;
        let mut impatient = budget.charge();
        let mut granted_unseen = budget.charge();
        let waiting = tokio::time::timeout(Duration::from_millis(10), impatient.grow(50)).await;
        assert!(waiting.is_err());
        let mut unseen = Box::pin(granted_unseen.grow(50));
        assert!((&mut unseen).now_or_never().is_none());
        drop(holder);
        drop(unseen);
        drop((overdrawing, impatient, granted_unseen));
        assert_eq!(used(&budget), 0);
        assert!(budget.lock().waiting.is_empty());
        assert!(budget.lock().overdrawing.is_none());
    }

    #[tokio::test]
    async fn what_is_not_needed_goes_to_who_waits() {
        let budget = budget(100);
        let (mut large, mut overdrawing, mut waiting) = (budget.charge(), budget.charge(), budget.charge());
        large.grow(100).await;
        overdrawing.grow(1).await;
        let mut waits = Box::pin(waiting.grow(50));
        assert!((&mut waits).now_or_never().is_none());
        large.shrink(200);
        assert!((&mut waits).now_or_never().is_none());
        large.shrink(40);
        assert!((&mut waits).now_or_never().is_some());
        drop(waits);
        drop((large, overdrawing, waiting));
        assert_eq!(used(&budget), 0);
    }

    #[tokio::test]
    async fn more_than_needed_is_taken_only_from_what_is_free() {
        let budget = budget(100);
        let mut charge = budget.charge();
        assert!(charge.try_grow(100));
        assert!(!charge.try_grow(1));
    }
}
