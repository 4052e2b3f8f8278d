//! Places for HTTP connections. Who comes always gets one, so that probes are answered whoever else is there: where no place is
//! left, another connection gives way.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::net::network;

/// How many there are, and how many of them one address may have, which with IPv6 is a network that one host has.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    most_of_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    last: u64,
    /// By when they came.
    holders: BTreeMap<u64, Arc<Holder>>,
}

/// A connection that has a place.
#[derive(Debug)]
pub(super) struct Holder {
    peer: SocketAddr,
    /// Answers that are not to be cut: streams.
    kept: AtomicUsize,
    gives_way: CancellationToken,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    holder: Arc<Holder>,
}

/// For as long as this lives, the connection does not give way.
#[derive(Debug)]
pub(super) struct Kept(Arc<Holder>);

impl Places {
    pub(super) fn new(most: usize, most_of_address: usize) -> Arc<Self> {
        Arc::new(Self { most, most_of_address, taken: Mutex::default() })
    }

    /// A place for who comes from `peer`. If the address has all that it may have, its oldest connection gives way; else, if
    /// there is none left, the oldest of the address that has most. None if all of those are to be kept.
    pub(super) fn take(self: &Arc<Self>, peer: SocketAddr) -> Option<Place> {
        let mut taken = self.lock();
        let mut counts = BTreeMap::<IpAddr, usize>::new();
        for holder in taken.holders.values() {
            *counts.entry(holder.address()).or_default() += 1;
        }
        let of = |address: IpAddr| counts.get(&address).copied().unwrap_or_default();
        let address = network(peer.ip());
        let may_have_to = |holder: &Holder| {
            !holder.is_kept() && (of(address) < self.most_of_address || holder.address() == address)
        };
        if of(address) >= self.most_of_address || taken.holders.len() >= self.most {
            let candidates = taken.holders.iter().filter(|(_, holder)| may_have_to(holder));
            // Of several that are greatest this is the last one, which is the oldest.
            let (&number, _) = candidates.rev().max_by_key(|(_, holder)| of(holder.address()))?;
            taken.holders.remove(&number).inspect(|holder| holder.gives_way.cancel());
        }
        taken.last += 1;
        let number = taken.last;
        let holder = Holder { peer, kept: AtomicUsize::new(0), gives_way: CancellationToken::new() };
        let holder = Arc::new(holder);
        taken.holders.insert(number, Arc::clone(&holder));
        drop(taken);
        Some(Place { places: Arc::clone(self), number, holder })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // No code that can panic runs under the lock.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holder {
    /// The client's end.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The connection is not to give way while what is returned lives.
    pub(super) fn keep(self: &Arc<Self>) -> Kept {
        self.kept.fetch_add(1, Ordering::Relaxed);
        Kept(Arc::clone(self))
    }

    fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed) > 0
    }

    /// All addresses that one host can come from are one.
    fn address(&self) -> IpAddr {
        network(self.peer.ip())
    }
}

impl Place {
    pub(super) fn holder(&self) -> &Arc<Holder> {
        &self.holder
    }

    /// Resolves when another connection has the place.
    pub(super) async fn gives_way(&self) {
        self.holder.gives_way.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().holders.remove(&self.number);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.kept.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 40_000))
    }

    fn gone(places: &[Option<Place>]) -> Vec<usize> {
        let gives_way =
            |place: &Option<Place>| place.as_ref().is_some_and(|place| place.holder.gives_way.is_cancelled());
        (0..places.len()).filter(|&at| gives_way(&places[at])).collect()
    }

    #[test]
    fn an_address_that_has_all_it_may_have_gives_way_to_itself() {
        let places = Places::new(10, 3);
        let mut taken: Vec<_> = [1, 2, 2, 2].map(|last| places.take(from(last))).into();
        assert_eq!(gone(&taken), [0_usize; 0]);
        taken.push(places.take(from(2)));
        taken.push(places.take(from(2)));
        assert_eq!(gone(&taken), [1, 2]);
        // The same as IPv6 writes it.
        taken.push(places.take("[::ffff:127.0.0.2]:1".parse().expect("an address")));
        assert_eq!((gone(&taken), places.lock().holders.len()), (vec![1, 2, 3], 4));
    }

    #[test]
    fn where_no_place_is_left_the_oldest_of_whoever_has_most_gives_way() {
        let places = Places::new(4, 3);
        let mut taken: Vec<_> = [1, 2, 2, 3].map(|last| places.take(from(last))).into();
        taken.push(places.take(from(4)));
        assert_eq!(gone(&taken), [1]);
        taken.push(places.take(from(5)));
        // All have one now.
        assert_eq!(gone(&taken), [0, 1]);
        drop(taken);
        assert_eq!(places.lock().holders.len(), 0);
    }

    #[test]
    fn a_host_with_ipv6_has_no_more_than_others() {
        let places = Places::new(4, 2);
        let of = |address: &str| places.take(format!("[{address}]:40000").parse().expect("an address"));
        let mut taken = vec![of("2001:db8:0:1::1"), of("2001:db8::1"), of("2001:db8::2")];
        assert_eq!(gone(&taken), [0_usize; 0]);
        taken.push(of("2001:db8::3"));
        assert_eq!(gone(&taken), [1]);
        taken.push(of("2001:db8:0:2::1"));
        // All are taken now, and the other networks have one each.
        taken.push(of("2001:db8:0:3::1"));
        assert_eq!(gone(&taken), [1, 2]);
    }

    #[test]
    fn what_is_kept_does_not_give_way() {
        let places = Places::new(4, 2);
        let mut taken: Vec<_> = [1, 1].map(|last| places.take(from(last))).into();
        let keep = |place: &Option<Place>| place.as_ref().map(|place| place.holder.keep());
        let first = keep(&taken[0]);
        taken.push(places.take(from(1)));
        assert_eq!(gone(&taken), [1]);
        let _last = keep(&taken[2]);
        assert!(places.take(from(1)).is_none());
        assert!(places.take(from(2)).is_some());
        drop(first);
        taken.push(places.take(from(1)));
        assert_eq!(gone(&taken), [0, 1]);
    }
}
