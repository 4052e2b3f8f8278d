//! Which TLS sessions data connections can resume where they have to: those of their own control connection, and those
//! that began on a data connection which had resumed one.
//!
//! rustls gives a session out while the handshake ends, before anybody can judge it. So each ticket says on which
//! connection it was given out, and is worth nothing unless that one has been admitted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::server::{ProducesTickets, StoresServerSessions};

/// The control connection, whose sessions can always be resumed.
const CONTROL: u64 = 0;

/// Admitted data connections whose tickets can be resumed, the last ones. Clients take the newest ticket that they have.
const MOST_ADMITTED: usize = 256;

/// The TLS sessions of one control connection and its data connections.
#[derive(Debug)]
pub(super) struct Reuse {
    tickets: Arc<dyn ProducesTickets>,
    by_id: Arc<dyn StoresServerSessions>,
    /// The last connection.
    last: AtomicU64,
    admitted: Mutex<VecDeque<u64>>,
}

impl Reuse {
    /// Takes the ticket keys and the sessions of `control`, which nobody else may have, over.
    pub(super) fn begin(control: &mut ServerConfig) -> Arc<Self> {
        let reuse = Arc::new(Self {
            tickets: Arc::clone(&control.ticketer),
            by_id: Arc::clone(&control.session_storage),
            last: AtomicU64::new(CONTROL),
            admitted: Mutex::default(),
        });
        control.ticketer = Arc::new(Connection { reuse: Arc::clone(&reuse), number: CONTROL });
        reuse
    }

    /// The next data connection, and what its handshake begins with, which otherwise is that of `side`.
    pub(super) fn data_connection(self: &Arc<Self>, side: &ServerConfig) -> (Connection, ServerConfig) {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let connection = Connection { reuse: Arc::clone(self), number };
        let mut config = side.clone();
        config.ticketer = Arc::new(connection.clone());
        config.session_storage = Arc::new(connection.clone());
        (connection, config)
    }

    fn is_admitted(&self, number: u64) -> bool {
        number == CONTROL || self.lock().contains(&number)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<u64>> {
        // No code that can panic runs under the lock.
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection, as rustls asks it for sessions.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    reuse: Arc<Reuse>,
    number: u64,
}

impl Connection {
    /// It has resumed a session, so those that were given out on it can be resumed.
    pub(super) fn admit(&self) {
        let mut admitted = self.reuse.lock();
        if admitted.len() == MOST_ADMITTED {
            admitted.pop_front();
        }
        admitted.push_back(self.number);
    }
}

impl ProducesTickets for Connection {
    fn enabled(&self) -> bool {
        self.reuse.tickets.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.reuse.tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.reuse.tickets.encrypt(&[&self.number.to_be_bytes(), plain].concat())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let plain = self.reuse.tickets.decrypt(cipher)?;
        let (number, plain) = plain.split_first_chunk()?;
        self.reuse.is_admitted(u64::from_be_bytes(*number)).then(|| plain.to_vec())
    }
}

/// Of sessions by ID only those of the control connection: such a session begins with a full handshake, and a data
/// connection that needs one is refused.
impl StoresServerSessions for Connection {
    fn put(&self, _: Vec<u8>, _: Vec<u8>) -> bool {
        false
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.reuse.by_id.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.reuse.by_id.take(key)
    }

    fn can_cache(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::Ticketer;
    use rustls::server::ServerSessionMemoryCache;

    use super::*;

    #[test]
    fn tickets_of_connections_that_were_not_admitted_are_worth_nothing() {
        let reuse = Arc::new(Reuse {
            tickets: Ticketer::new().expect("randomness"),
            by_id: ServerSessionMemoryCache::new(4),
            last: AtomicU64::new(CONTROL),
            admitted: Mutex::default(),
        });
        let connection = |number| Connection { reuse: Arc::clone(&reuse), number };
        let ticket = |number| connection(number).encrypt(b"session").expect("a ticket");
        let opens = |ticket: &[u8]| connection(1000).decrypt(ticket).is_some_and(|plain| plain == b"session");
        assert!(opens(&ticket(CONTROL)) && !opens(&ticket(1)));
        let early = ticket(1);
        connection(1).admit();
        assert!(opens(&early) && !opens(&ticket(2)));
        for number in 2..1000 {
            connection(number).admit();
        }
        assert!(!opens(&early) && opens(&ticket(999)) && reuse.lock().len() == MOST_ADMITTED);
        assert!(!connection(1).put(b"id".to_vec(), b"session".to_vec()));
        assert!(connection(1).get(b"id").is_none());
    }
}
