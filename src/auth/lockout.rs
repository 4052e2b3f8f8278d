//! Guessing passwords is made slow: who fails waits longer each time, and is then locked out for a while, by address and
//! by name. Names that nobody has are treated like all others. A name that has logged in from an address stands by itself
//! there: what others do, at the same address or in the same name, does not keep it out.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use moka::ops::compute::Op;
use moka::sync::Cache;
use tokio::time::Instant;

use super::spelling::folded;
use crate::net::network;

/// Failures in a row from one address, beyond which each one locks it out. Many devices may share an address.
const FREE_OF_ADDRESS: u32 = 10;
/// The same of one name, whose owner others can lock out where it has not logged in before, and so shall not do it easily.
const FREE_OF_NAME: u32 = 20;
/// The same of one name at one address where it has logged in before.
const FREE_OF_KNOWN: u32 = 10;
/// How long the first lockout holds; each further failure doubles it.
const FIRST_LOCKOUT: Duration = Duration::from_mins(1);
const LONGEST_LOCKOUT: Duration = Duration::from_mins(15);
/// How long the reply to the first failure waits; each further failure doubles it.
const FIRST_DELAY: Duration = Duration::from_millis(100);
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(1);
/// Failures are forgotten after so long without another one.
const MEMORY: Duration = Duration::from_mins(30);
/// A name that has logged in from an address is known there for so long after it was last heard of.
const ACQUAINTANCE: Duration = Duration::from_hours(7 * 24);
/// Addresses, names, and names at addresses that are remembered at one time: some two megabytes each. Those that keep
/// trying stay.
const MOST: u64 = 10_000;

/// Who has failed lately, and who is known.
#[derive(Debug)]
pub(super) struct Lockout {
    addresses: Failures,
    names: Failures,
    /// What strangers have added to both: one name from one address.
    strangers: Failures,
    /// Names at addresses from which they have logged in.
    known: Failures,
    keys: RandomState,
}

/// A name and an address that try to log in.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    lockout: &'a Lockout,
    address: u64,
    name: u64,
    pair: u64,
}

impl Lockout {
    pub(super) fn new() -> Self {
        Self {
            addresses: Failures::new(FREE_OF_ADDRESS, MEMORY),
            names: Failures::new(FREE_OF_NAME, MEMORY),
            strangers: Failures::new(u32::MAX, MEMORY),
            known: Failures::new(FREE_OF_KNOWN, ACQUAINTANCE),
            keys: RandomState::new(),
        }
    }

    /// Keeps keyed hashes in place of names, so that a long name takes no more memory than a short one.
    ///
    /// A directory or a service may take several spellings for one name, and so nobody has more tries for writing it in
    /// another way. Who succeeds does so in one spelling: in another it may be somebody else, whose name is not to be guessed.
    pub(super) fn attempt(&self, name: &str, peer: IpAddr) -> Attempt<'_> {
        let network = network(peer);
        Attempt {
            lockout: self,
            address: self.keys.hash_one(network),
            name: self.keys.hash_one(folded(name)),
            pair: self.keys.hash_one((name, network)),
        }
    }
}

impl Attempt<'_> {
    /// Whether it has to wait.
    pub(super) fn is_locked(&self) -> bool {
        let (Lockout { addresses, names, known, .. }, now) = (self.lockout, Instant::now());
        if known.has(self.pair, now) {
            return known.is_locked(self.pair, now);
        }
        addresses.is_locked(self.address, now) || names.is_locked(self.name, now)
    }

    /// Notes a failure. Returns how long its reply is to wait.
    pub(super) fn failed(&self) -> Duration {
        let (Lockout { addresses, names, strangers, known, .. }, now) = (self.lockout, Instant::now());
        let failures = if known.has(self.pair, now) {
            known.add(self.pair, now)
        } else {
            strangers.add(self.pair, now);
            addresses.add(self.address, now).max(names.add(self.name, now))
        };
        doubled(FIRST_DELAY, failures - 1, LONGEST_DELAY)
    }

    /// Makes the name known at the address, and forgets what it failed there: a device that was set up wrongly does not
    /// lock out those beside it. What others failed stays, or whoever has one password could guess others without end.
    pub(super) fn succeeded(&self) {
        let Lockout { addresses, names, strangers, known, .. } = self.lockout;
        let own = strangers.forget(self.pair);
        addresses.subtract(self.address, own);
        names.subtract(self.name, own);
        known.begin(self.pair, Instant::now());
    }
}

/// Failures in a row, by whoever fails.
#[derive(Debug)]
struct Failures {
    free: u32,
    /// How long a record is kept after it was last looked at or changed.
    kept: Duration,
    records: Cache<u64, Record>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    failures: u32,
    last: Instant,
}

impl Failures {
    fn new(free: u32, kept: Duration) -> Self {
        Self { free, kept, records: Cache::builder().max_capacity(MOST).time_to_idle(kept).build() }
    }

    /// Whether there is a record, with failures or without.
    fn has(&self, key: u64, now: Instant) -> bool {
        self.records.get(&key).is_some_and(|record| now.saturating_duration_since(record.last) < self.kept)
    }

    /// Begins a record without failures.
    fn begin(&self, key: u64, now: Instant) {
        self.records.insert(key, Record { failures: 0, last: now });
    }

    fn is_locked(&self, key: u64, now: Instant) -> bool {
        // Another thread may have changed the record after this one looked at the clock.
        let over =
            |record: Record| now.saturating_duration_since(record.last) >= self.lockout(record.failures);
        self.records.get(&key).is_some_and(|record| !over(record))
    }

    /// How many failures in a row this one makes.
    fn add(&self, key: u64, now: Instant) -> u32 {
        let added = self.records.entry(key).and_compute_with(|record| {
            let before = record
                .map(moka::Entry::into_value)
                .filter(|record| now.saturating_duration_since(record.last) < MEMORY);
            Op::Put(Record { failures: before.map_or(0, |record| record.failures) + 1, last: now })
        });
        added.into_entry().map_or(1, |entry| entry.into_value().failures)
    }

    /// How many failures are forgotten.
    fn forget(&self, key: u64) -> u32 {
        self.records.remove(&key).map_or(0, |record| record.failures)
    }

    fn subtract(&self, key: u64, failures: u32) {
        self.records.entry(key).and_compute_with(|record| match record.map(moka::Entry::into_value) {
            None => Op::Nop,
            Some(record) if record.failures <= failures => Op::Remove,
            Some(record) => Op::Put(Record { failures: record.failures - failures, ..record }),
        });
    }

    /// How long so many failures lock out.
    fn lockout(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.free) {
            Some(beyond) => doubled(FIRST_LOCKOUT, beyond, LONGEST_LOCKOUT),
            None => Duration::ZERO,
        }
    }
}

/// `first`, doubled so many `times`, but not above `longest`.
fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times)).min(longest)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn at(address: &str) -> IpAddr {
        address.parse().expect("an address")
    }

    /// Threads look at the clock before they look at what others have written.
    #[tokio::test(start_paused = true)]
    async fn a_success_a_moment_later_locks_nobody_out() {
        let known = Failures::new(FREE_OF_KNOWN, ACQUAINTANCE);
        let now = Instant::now();
        known.begin(1, now + Duration::from_millis(1));
        assert!(known.has(1, now) && !known.is_locked(1, now));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_locked_out_for_longer_each_time() {
        let lockout = Lockout::new();
        let attempt = |name: u32| lockout.attempt(&name.to_string(), at("192.0.2.1"));
        for name in 0..FREE_OF_ADDRESS {
            assert!(!attempt(name).is_locked(), "{name}");
            attempt(name).failed();
        }
        for minutes in [1, 2, 4, 8, 15, 15] {
            assert!(attempt(99).is_locked());
            assert!(!lockout.attempt("99", at("192.0.2.2")).is_locked(), "another address");
            advance(Duration::from_secs(minutes * 60 - 1)).await;
            assert!(attempt(99).is_locked(), "{minutes}");
            advance(Duration::from_secs(1)).await;
            assert!(!attempt(99).is_locked(), "{minutes}");
            attempt(99).failed();
        }
        advance(MEMORY).await;
        attempt(1).failed();
        assert!(!attempt(1).is_locked(), "forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_locked_out_wherever_it_is_tried_from() {
        let lockout = Lockout::new();
        let attempt = |host: u32| lockout.attempt("acme", std::net::Ipv4Addr::from_bits(host).into());
        for host in 0..FREE_OF_NAME {
            assert!(!attempt(host).is_locked(), "{host}");
            attempt(host).failed();
        }
        assert!(attempt(1000).is_locked());
        assert!(!lockout.attempt("other", at("0.0.3.232")).is_locked());
    }

    #[tokio::test(start_paused = true)]
    async fn all_spellings_of_a_name_are_one() {
        let lockout = Lockout::new();
        let spellings = ["straße", "STRASSE", "Strasse", "ſTRAẞe"];
        let attempt = |host: u32| {
            let spelling = spellings[host as usize % spellings.len()];
            lockout.attempt(spelling, std::net::Ipv4Addr::from_bits(host).into())
        };
        for host in 0..FREE_OF_NAME {
            assert!(!attempt(host).is_locked(), "{host}");
            attempt(host).failed();
        }
        for host in 1000..1004 {
            assert!(attempt(host).is_locked(), "{host}");
        }
    }

    /// Where the two are two users, one would have as many tries as it likes for the other's password.
    #[tokio::test(start_paused = true)]
    async fn a_success_in_one_spelling_forgets_nothing_of_another() {
        let lockout = Lockout::new();
        let [small, large] = ["acme", "ACME"].map(|name| lockout.attempt(name, at("192.0.2.1")));
        for _ in 0..FREE_OF_ADDRESS {
            assert!(!small.is_locked());
            small.failed();
            large.succeeded();
        }
        assert!(small.is_locked() && !large.is_locked());
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_forgets_what_that_name_failed_there_and_nothing_else() {
        let lockout = Lockout::new();
        let (acme, other) =
            (lockout.attempt("acme", at("192.0.2.1")), lockout.attempt("other", at("192.0.2.1")));
        for _ in 0..3 {
            for _ in 0..3 {
                acme.failed();
            }
            acme.succeeded();
        }
        assert_eq!(acme.failed(), FIRST_DELAY);
        assert_eq!(other.failed(), FIRST_DELAY);
        // Whoever has a password does not guess others with it.
        for _ in 1..FREE_OF_ADDRESS {
            assert!(!other.is_locked());
            acme.succeeded();
            other.failed();
        }
        assert!(other.is_locked());
        assert!(lockout.attempt("third", at("192.0.2.1")).is_locked());
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_do_does_not_keep_out_who_has_logged_in() {
        let lockout = Lockout::new();
        let home = lockout.attempt("acme", at("192.0.2.1"));
        home.succeeded();
        for host in 0..FREE_OF_NAME {
            lockout.attempt("acme", std::net::Ipv4Addr::from_bits(host).into()).failed();
            lockout.attempt(&host.to_string(), at("192.0.2.1")).failed();
        }
        assert!(lockout.attempt("acme", at("192.0.2.2")).is_locked(), "the name");
        assert!(lockout.attempt("other", at("192.0.2.1")).is_locked(), "the address");
        assert!(!home.is_locked());
        // Guessing is slow there as well, and harms nobody else.
        assert_eq!(home.failed(), FIRST_DELAY);
        for _ in 1..FREE_OF_KNOWN {
            assert!(!home.is_locked());
            home.failed();
        }
        assert!(home.is_locked());
        advance(FIRST_LOCKOUT).await;
        assert!(!home.is_locked());
        home.succeeded();
        assert_eq!(home.failed(), FIRST_DELAY);
        advance(ACQUAINTANCE).await;
        for host in 0..FREE_OF_NAME {
            lockout.attempt("acme", std::net::Ipv4Addr::from_bits(host).into()).failed();
        }
        assert!(home.is_locked(), "a stranger again");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_known_fails_without_harm_to_others() {
        let lockout = Lockout::new();
        let recorder = lockout.attempt("recorder", at("192.0.2.1"));
        recorder.succeeded();
        for _ in 0..2 * FREE_OF_NAME {
            recorder.failed();
        }
        assert!(recorder.is_locked());
        assert!(!lockout.attempt("acme", at("192.0.2.1")).is_locked());
        assert!(!lockout.attempt("recorder", at("192.0.2.2")).is_locked());
    }

    #[tokio::test(start_paused = true)]
    async fn each_failure_is_answered_later() {
        let lockout = Lockout::new();
        let attempt = lockout.attempt("acme", at("192.0.2.1"));
        let delays: Vec<_> = (0..40).map(|_| attempt.failed().as_millis()).collect();
        assert_eq!(delays[..6], [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(delays[39], 1000);
    }

    #[tokio::test]
    async fn a_flood_of_addresses_and_names_is_bounded() {
        let lockout = Lockout::new();
        for host in 0..50_000 {
            let attempt = lockout.attempt(&host.to_string(), std::net::Ipv4Addr::from_bits(host).into());
            attempt.failed();
            if host % 2 == 0 {
                attempt.succeeded();
            }
        }
        for failures in [&lockout.addresses, &lockout.names, &lockout.strangers, &lockout.known] {
            failures.records.run_pending_tasks();
            let count = failures.records.iter().count();
            assert!((1..=10_000).contains(&count), "{count}");
        }
    }
}
