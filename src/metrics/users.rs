//! The metrics by user: of those that the configuration lists, while all others count as one. So there are as many series
//! as the operator wants, and no name stands in `/metrics`, which asks for no password, unless it is to.

use std::collections::BTreeSet;

use prometheus::IntCounter;

use super::listed::Listed;
use super::{Counted, Direction, Metrics, TransferResult};

impl Metrics {
    /// Lets these users have series of their own, from the start.
    #[must_use]
    pub fn of_users(mut self, names: BTreeSet<String>) -> Self {
        self.users = Listed::new(names);
        self.users_start_at_zero();
        self
    }

    pub(super) fn users_start_at_zero(&self) {
        for user in self.users.labels() {
            self.user_sessions.with_label_values(&[user]);
            for direction in Direction::ALL {
                self.user_transfer_bytes.with_label_values(&[user, direction.label()]);
                for result in TransferResult::ALL {
                    self.user_transfers.with_label_values(&[user, direction.label(), result.label()]);
                }
            }
        }
    }

    /// Counts a session of `user` for as long as the guard lives.
    pub fn logged_in(&self, user: &str) -> Counted {
        Counted::new(self.user_sessions.with_label_values(&[self.users.label(user)]))
    }

    pub(super) fn user_transfer_ended(&self, user: &str, direction: Direction, result: TransferResult) {
        let labels = [self.users.label(user), direction.label(), result.label()];
        self.user_transfers.with_label_values(&labels).inc();
    }

    pub(super) fn user_transfer_bytes_of(&self, user: &str, direction: Direction) -> IntCounter {
        self.user_transfer_bytes.with_label_values(&[self.users.label(user), direction.label()])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn users_that_are_not_listed_count_as_one() {
        let metrics = Metrics::new([], []).of_users(BTreeSet::from(["acme".to_owned()]));
        let _sessions = ["acme", "camera-1", "camera-2"].map(|user| metrics.logged_in(user));
        for user in ["acme", "camera-1", "camera-2"] {
            metrics.transfer_ended(Direction::Upload, user, TransferResult::Ok, Duration::ZERO);
            metrics.transfer_bytes(Direction::Upload, "landing", user).add(5);
        }
        let text = metrics.render();
        for line in [
            "bucketport_user_sessions{user=\"acme\"} 1",
            "bucketport_user_sessions{user=\"other\"} 2",
            "bucketport_user_transfers_total{direction=\"upload\",result=\"ok\",user=\"acme\"} 1",
            "bucketport_user_transfers_total{direction=\"upload\",result=\"ok\",user=\"other\"} 2",
            "bucketport_user_transfers_total{direction=\"append\",result=\"stalled\",user=\"acme\"} 0",
            "bucketport_user_transfer_bytes_total{direction=\"upload\",user=\"acme\"} 5",
            "bucketport_user_transfer_bytes_total{direction=\"upload\",user=\"other\"} 10",
            "bucketport_transfer_bytes_total{direction=\"upload\",store=\"landing\"} 15",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("camera"), "{text}");
    }
}
