//! How much may wait for one sink, in events or in bytes, and places that are held for what is still to happen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Room for what waits.
#[derive(Debug)]
pub(super) struct Room {
    limit: u64,
    used: AtomicU64,
}

/// How much of all room may be used, this included.
#[derive(Clone, Copy, Debug)]
pub(super) enum Share {
    /// What would be refused otherwise.
    Whole,
    /// What nobody can refuse, such as logins that fail: strangers must not take the room of uploads.
    Half,
}

/// Room that is held for something; given back when dropped, unless it is [used](Self::fill).
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    held: u64,
}

impl Room {
    /// Room of which nothing is used.
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0) })
    }

    /// Holds so much of it; none if there is not as much left of this share.
    pub(super) fn hold(self: &Arc<Self>, wanted: u64, share: Share) -> Option<Place> {
        let limit = match share {
            Share::Whole => self.limit,
            Share::Half => self.limit.div_ceil(2),
        };
        let left = |used: u64| used.checked_add(wanted).filter(|&used| used <= limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).ok()?;
        Some(Place { room: Arc::clone(self), held: wanted })
    }

    /// Counts what was there before this process, however much it is.
    pub(super) fn take(&self, amount: u64) {
        self.used.fetch_add(amount, Ordering::Relaxed);
    }

    /// What was [taken](Self::take) or [filled](Place::fill) is free again.
    pub(super) fn give_back(&self, amount: u64) {
        // Below nothing there would be no room for ever.
        let less = |used: u64| Some(used.saturating_sub(amount));
        // Always possible.
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

impl Place {
    /// Puts in what takes `amount`, which should not be more than was held: then it is taken all the same.
    pub(super) fn fill(mut self, amount: u64) {
        self.room.take(amount);
        self.room.give_back(std::mem::take(&mut self.held));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.give_back(self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back_or_filled() {
        let room = Room::new(10);
        let first = room.hold(6, Share::Whole).expect("room");
        assert!(room.hold(5, Share::Whole).is_none());
        drop(first);
        room.hold(10, Share::Whole).expect("room").fill(3);
        assert!(room.hold(8, Share::Whole).is_none() && room.hold(7, Share::Whole).is_some());
        room.give_back(3);
        assert!(room.hold(10, Share::Whole).is_some());
    }

    #[test]
    fn what_nobody_can_refuse_leaves_half_of_the_room() {
        let room = Room::new(10);
        room.hold(5, Share::Half).expect("half of the room").fill(5);
        assert!(room.hold(1, Share::Half).is_none());
        room.hold(5, Share::Whole).expect("the other half").fill(5);
        room.give_back(4);
        assert!(room.hold(1, Share::Half).is_none(), "more than half is used");
        room.give_back(2);
        assert!(room.hold(1, Share::Half).is_some());
    }
}
