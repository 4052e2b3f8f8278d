//! How many control connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metrics::Rejection;

/// Counts connections. Clones share the counts.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    total: usize,
    per_address: usize,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Limits {
    pub(super) fn new(total: usize, per_address: usize) -> Self {
        Self { total, per_address, counts: Arc::default() }
    }

    /// A place for a connection from `address`, kept until it is dropped.
    pub(super) fn admit(&self, address: IpAddr) -> Result<Place, Rejection> {
        let mut counts = self.lock();
        if counts.total >= self.total {
            return Err(Rejection::MaxConnections);
        }
        let from_address = counts.by_address.entry(address).or_default();
        if *from_address >= self.per_address {
            return Err(Rejection::MaxConnectionsPerIp);
        }
        *from_address += 1;
        counts.total += 1;
        drop(counts);
        Ok(Place { limits: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // No code that can panic runs under the lock.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Place {
    limits: Limits,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.limits.lock();
        counts.total -= 1;
        if let Some(count) = counts.by_address.get_mut(&self.address) {
            *count -= 1;
            // The table holds only addresses that are connected, so it is bounded by the total.
            if *count == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let limits = Limits::new(3, 2);
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = limits.admit(here).expect("room");
        let _second = limits.admit(here).expect("room");
        assert_eq!(limits.admit(here).err(), Some(Rejection::MaxConnectionsPerIp));
        let third = limits.admit(there).expect("room");
        assert_eq!(limits.admit(there).err(), Some(Rejection::MaxConnections));
        drop((first, third));
        assert!(limits.admit(here).is_ok());
        assert!(!limits.lock().by_address.contains_key(&there));
    }
}
