//! What of a queue is in the folder alone, behind what is held in memory.

use super::event::Letter;
use super::ledger::{Found, size};

/// Everything with a number above that of the last that is or was in memory, up to the last that was left.
#[derive(Debug, Default)]
pub(super) struct Rest {
    seen: u64,
    left: u64,
    amount: Amount,
}

/// So many events, and what they take, as [`size`] tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

/// What is asked of the folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// The numbers above this one.
    pub(super) after: u64,
    left: u64,
    amount: Amount,
}

impl Rest {
    /// What was there before the process.
    pub(super) fn found(found: Found) -> Self {
        Self { seen: 0, left: found.last, amount: Amount { count: found.count, bytes: found.bytes } }
    }

    /// Whether there is anything.
    pub(super) fn is_there(&self) -> bool {
        self.left > self.seen
    }

    /// This one, the last that was written, is in memory as well.
    pub(super) fn hold(&mut self, number: u64) {
        self.seen = number;
    }

    /// This one, the last that was written, is in the folder alone.
    pub(super) fn leave(&mut self, number: u64, letter: &Letter) {
        self.left = number;
        self.amount.add(letter);
    }

    /// What to ask the folder for.
    pub(super) fn ask(&self) -> Asked {
        Asked { after: self.seen, left: self.left, amount: self.amount }
    }

    /// The folder had these, which may be more than there were when it was `asked`; `all` if they are the last. Returns what it
    /// should have had beside them.
    pub(super) fn came(&mut self, asked: Asked, read: &[(u64, Letter)], all: bool) -> Amount {
        let mut missing = asked.amount;
        for (number, letter) in read {
            self.seen = self.seen.max(*number);
            self.amount.take_out(Amount::of(letter));
            if *number <= asked.left {
                missing.take_out(Amount::of(letter));
            }
        }
        if !all {
            return Amount::default();
        }
        self.seen = self.seen.max(asked.left);
        self.amount.take_out(missing);
        missing
    }
}

impl Amount {
    fn of(letter: &Letter) -> Self {
        Self { count: 1, bytes: size(letter) }
    }

    fn add(&mut self, letter: &Letter) {
        self.count += 1;
        self.bytes += size(letter);
    }

    fn take_out(&mut self, other: Self) {
        self.count = self.count.saturating_sub(other.count);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    fn letters(numbers: &[u64]) -> Vec<(u64, Letter)> {
        let letter = Letter { made: Utc::now(), about: Vec::new(), body: "event".into() };
        numbers.iter().map(|&number| (number, letter.clone())).collect()
    }

    fn rest(numbers: &[u64]) -> Rest {
        let mut rest = Rest::default();
        for (number, letter) in letters(numbers) {
            rest.leave(number, &letter);
        }
        rest
    }

    #[test]
    fn what_comes_while_it_is_asked_counts_once() {
        let mut rest = rest(&[2, 5]);
        let asked = rest.ask();
        let late = letters(&[7, 9]);
        rest.leave(late[0].0, &late[0].1);
        rest.leave(late[1].0, &late[1].1);
        assert_eq!(rest.came(asked, &letters(&[2, 5, 7]), false), Amount::default());
        assert!(rest.is_there());
        assert_eq!(rest.came(rest.ask(), &letters(&[9]), true), Amount::default());
        assert!(!rest.is_there() && rest.amount == Amount::default());
    }

    #[test]
    fn what_is_gone_is_not_asked_for_again() {
        let mut rest = rest(&[2, 5, 6]);
        let asked = rest.ask();
        let late = letters(&[7]);
        rest.leave(late[0].0, &late[0].1);
        assert_eq!(rest.came(asked, &letters(&[5]), true).count, 2);
        assert!(rest.is_there(), "that which came later");
        assert_eq!(rest.came(rest.ask(), &[], true).count, 1);
        assert!(!rest.is_there() && rest.amount == Amount::default());
    }
}
