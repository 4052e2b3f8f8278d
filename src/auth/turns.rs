//! Who may ask elsewhere now: each client address has a few turns at one time, so that no one takes those of all others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::net::network;

/// Turns of one address at one time. Many devices may share an address, and wait for each other for moments then.
const MOST: usize = 8;

/// The addresses that have turns or wait for them. There are as many as there are logins under way at most.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<IpAddr, Place>>);

#[derive(Debug)]
struct Place {
    free: Arc<Semaphore>,
    /// Those who have a turn or wait for one.
    present: usize,
}

/// Who has a turn, or waits for it.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    network: IpAddr,
    free: Arc<Semaphore>,
    has_begun: bool,
}

impl Turns {
    /// Waits for a turn of this address, which lasts until it is dropped.
    pub(super) async fn wait(&self, address: IpAddr) -> Turn<'_> {
        let network = network(address);
        let free = self.places(|places| {
            let place = places
                .entry(network)
                .or_insert_with(|| Place { free: Arc::new(Semaphore::new(MOST)), present: 0 });
            place.present += 1;
            Arc::clone(&place.free)
        });
        // From here on, so that who gives up while it waits leaves nothing.
        let mut turn = Turn { turns: self, network, free, has_begun: false };
        turn.free.acquire().await.expect("nobody closes it").forget();
        turn.has_begun = true;
        turn
    }

    fn places<T>(&self, use_them: impl FnOnce(&mut HashMap<IpAddr, Place>) -> T) -> T {
        use_them(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.has_begun {
            self.free.add_permits(1);
        }
        self.turns.places(|places| {
            if let Some(place) = places.get_mut(&self.network) {
                place.present -= 1;
                if place.present == 0 {
                    places.remove(&self.network);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn each_network_has_its_turns_and_nothing_is_left() {
        let turns = Turns::default();
        let at = |address: &str| turns.wait(address.parse().expect("an address"));
        let mut held = Vec::new();
        for host in 0..MOST {
            held.push(at(&format!("2001:db8::{host}")).now_or_never().expect("free"));
        }
        assert!(at("2001:db8::1:1").now_or_never().is_none());
        let other = at("2001:db8:0:1::1").now_or_never().expect("another one's");
        let mut waiting = Box::pin(at("2001:db8::1:1"));
        assert!((&mut waiting).now_or_never().is_none());
        held.pop();
        held.push(waiting.now_or_never().expect("free again"));
        assert!(at("2001:db8::1:1").now_or_never().is_none());
        assert_eq!(turns.places(|places| places.len()), 2);
        drop((held, other));
        assert_eq!(turns.places(|places| places.len()), 0);
    }
}
