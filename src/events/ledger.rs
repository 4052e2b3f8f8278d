//! The file in which events outlive the process: what is in it, in transactions that are done whole or not at all.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::event::Letter;

/// By sink and number.
const EVENTS: TableDefinition<'static, (&'static str, u64), Kept> = TableDefinition::new("events");
/// When it was made, in milliseconds since 1970; what it is about, one or two names; and the event.
type Kept = (i64, &'static str, &'static str, &'static [u8]);
/// When each kind of thing was done last, in milliseconds since 1970: a transaction without a change proves nothing.
const TIMES: TableDefinition<'static, &'static str, i64> = TableDefinition::new("times");

/// The default is 1 GiB.
const CACHE: usize = 8 << 20;
/// How many removals that failed are remembered. What is beyond that is delivered again after the next start.
const MOST_UNDONE: usize = 1 << 16;

/// What was found of a sink at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Events.
    pub(super) count: u64,
    /// What they take, as [`size`] tells.
    pub(super) bytes: u64,
    /// The number of the last.
    pub(super) last: u64,
}

/// What a transaction changes.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// By sink and number.
    pub(super) puts: Vec<(String, u64, Letter)>,
    /// By sink and number.
    pub(super) removals: Vec<(String, u64)>,
}

/// The bytes that one takes in the file, nearly.
pub(super) fn size(letter: &Letter) -> u64 {
    size_of(letter.about.iter().map(String::len).sum(), &letter.body)
}

fn size_of(about: usize, body: &[u8]) -> u64 {
    (body.len() + about + 64) as u64
}

/// The file.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    /// None after a failure, until the next try: redb refuses everything then.
    database: Option<Database>,
    /// The numbers, by sink, of those whose writing has failed. They may be in the file all the same, when it was the flush that
    /// failed; whoever put them there was told that they are not.
    doubtful: BTreeMap<String, Range<u64>>,
    /// Removals that have failed.
    undone: Vec<(String, u64)>,
    /// Removals that are done and not flushed: after a failure the file is that of the last flush.
    unflushed: Vec<(String, u64)>,
}

impl Ledger {
    /// The one in `folder`, which is made if it is missing. Fails if another process has it.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join("queue.redb");
        let mut ledger = Self {
            path,
            database: None,
            doubtful: BTreeMap::new(),
            undone: Vec::new(),
            unflushed: Vec::new(),
        };
        ledger.database().map_err(io::Error::other)?;
        Ok(ledger)
    }

    /// Does all of `changes` or none, and what has failed before.
    pub(super) fn change(&mut self, changes: Changes, durability: Durability) -> Result<(), redb::Error> {
        let done = self.try_change(&changes, durability);
        let Changes { puts, removals } = changes;
        if done.is_ok() {
            self.doubtful.clear();
            let removals = std::mem::take(&mut self.undone).into_iter().chain(removals);
            match durability {
                Durability::None => self.unflushed.extend(removals),
                _ => self.unflushed.clear(),
            }
        } else {
            self.failed();
            for (sink, number, _) in puts {
                // All of them have failed since the first: numbers between are of other sinks.
                let range = self.doubtful.entry(sink).or_insert(number..number);
                range.end = number + 1;
            }
            self.undo(removals);
        }
        done
    }

    /// Whether something was taken out that a crash would bring back.
    pub(super) fn has_unflushed(&self) -> bool {
        !self.unflushed.is_empty()
    }

    /// Nothing can be done with the file as it is open.
    fn failed(&mut self) {
        self.database = None;
        let unflushed = std::mem::take(&mut self.unflushed);
        self.undo(unflushed);
    }

    fn undo(&mut self, removals: Vec<(String, u64)>) {
        let room = MOST_UNDONE.saturating_sub(self.undone.len());
        self.undone.extend(removals.into_iter().take(room));
    }

    fn try_change(&mut self, changes: &Changes, durability: Durability) -> Result<(), redb::Error> {
        let mut transaction = self.database()?.begin_write()?;
        transaction.set_durability(durability)?;
        {
            transaction.open_table(TIMES)?.insert("changed", Utc::now().timestamp_millis())?;
            let mut events = transaction.open_table(EVENTS)?;
            for (sink, numbers) in &self.doubtful {
                let (first, end) = ((sink.as_str(), numbers.start), (sink.as_str(), numbers.end));
                events.retain_in(first..end, |_, _| false)?;
            }
            for (sink, number, Letter { made, about, body }) in &changes.puts {
                let name = |index: usize| about.get(index).map_or("", String::as_str);
                let value = (made.timestamp_millis(), name(0), name(1), &body[..]);
                events.insert((sink.as_str(), *number), value)?;
            }
            for (sink, number) in self.undone.iter().chain(&changes.removals) {
                events.remove((sink.as_str(), *number))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Up to `most` of those of `sink` with a number above `after`, in order.
    pub(super) fn read(
        &mut self,
        sink: &str,
        after: u64,
        most: usize,
    ) -> Result<Vec<(u64, Letter)>, redb::Error> {
        let read = self.try_read(sink, after, most);
        if read.is_err() {
            self.failed();
        }
        read
    }

    fn try_read(&mut self, sink: &str, after: u64, most: usize) -> Result<Vec<(u64, Letter)>, redb::Error> {
        let doubtful = self.doubtful.get(sink).cloned().unwrap_or_default();
        let events = self.database()?.begin_read()?.open_table(EVENTS)?;
        let mut read = Vec::new();
        for entry in events.range((sink, after.saturating_add(1))..=(sink, u64::MAX))? {
            let (key, value) = entry?;
            let number = key.value().1;
            if doubtful.contains(&number) {
                continue;
            }
            let (made, first, second, body) = value.value();
            let letter = Letter {
                made: DateTime::from_timestamp_millis(made).unwrap_or_default(),
                about: [first, second]
                    .into_iter()
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect(),
                body: Bytes::copy_from_slice(body),
            };
            read.push((number, letter));
            if read.len() == most {
                break;
            }
        }
        Ok(read)
    }

    /// Goes through all that is there, and calls `found` for each sink of which something is. Returns the first number that
    /// nothing has.
    pub(super) fn look(&mut self, mut found: impl FnMut(&str, Found)) -> Result<u64, redb::Error> {
        let transaction = self.database()?.begin_read()?;
        let events = transaction.open_table(EVENTS)?;
        let (mut of, mut sum, mut next) = (String::new(), Found::default(), 1);
        for entry in events.iter()? {
            let (key, value) = entry?;
            let ((sink, number), (_, first, second, body)) = (key.value(), value.value());
            if sink != of {
                if sum != Found::default() {
                    found(&of, sum);
                }
                (of, sum) = (sink.to_owned(), Found::default());
            }
            next = next.max(number + 1);
            sum.last = number;
            sum.count += 1;
            sum.bytes += size_of(first.len() + second.len(), body);
        }
        if sum != Found::default() {
            found(&of, sum);
        }
        Ok(next)
    }

    /// Closes the file, so that another process can have it.
    pub(super) fn close(&mut self) {
        self.database = None;
    }

    fn database(&mut self) -> Result<&Database, redb::Error> {
        if self.database.is_none() {
            let mut builder = Database::builder();
            builder.set_cache_size(CACHE);
            let database = builder.create(&self.path)?;
            let transaction = database.begin_write()?;
            transaction.open_table(EVENTS)?;
            transaction.commit()?;
            self.database = Some(database);
        }
        self.database.as_ref().ok_or(redb::Error::DatabaseAlreadyOpen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(body: &'static str) -> Letter {
        let made = DateTime::from_timestamp_millis(0).expect("a time");
        Letter { made, about: vec!["a".to_owned()], body: body.into() }
    }

    fn puts(numbers: &[u64]) -> Changes {
        let put = |&number: &u64| ("x".to_owned(), number, letter("event"));
        Changes { puts: numbers.iter().map(put).collect(), removals: Vec::new() }
    }

    fn numbers(ledger: &mut Ledger) -> Vec<u64> {
        let read = ledger.read("x", 0, 99).expect("readable");
        read.into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn what_is_there_although_its_writing_has_failed_does_not_count() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut ledger = Ledger::open(folder.path()).expect("a new one");
        ledger.change(puts(&[1, 2, 3, 4, 5]), Durability::Immediate).expect("writable");
        // As a flush that fails leaves it.
        ledger.doubtful = BTreeMap::from([("x".to_owned(), 2..4)]);
        assert_eq!(numbers(&mut ledger), [1, 4, 5]);
        let read = ledger.read("x", 0, 2).expect("readable");
        assert_eq!(read.len(), 2, "as many as were asked for");
        ledger.change(puts(&[6]), Durability::Immediate).expect("writable");
        ledger.close();
        let mut ledger = Ledger::open(folder.path()).expect("the file");
        assert_eq!(numbers(&mut ledger), [1, 4, 5, 6]);
    }

    #[test]
    fn what_could_not_be_done_is_done_with_the_next() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut ledger = Ledger::open(folder.path()).expect("a new one");
        ledger.change(puts(&[1, 2, 3]), Durability::Immediate).expect("writable");
        ledger.close();
        // Another process has the file.
        let other = Ledger::open(folder.path()).expect("the file");
        let removals = vec![("x".to_owned(), 2)];
        let changes = Changes { removals, ..puts(&[7, 9]) };
        ledger.change(changes, Durability::Immediate).expect_err("in use");
        ledger.change(puts(&[11]), Durability::Immediate).expect_err("in use");
        assert_eq!(ledger.doubtful, BTreeMap::from([("x".to_owned(), 7..12)]));
        drop(other);
        ledger.change(puts(&[12]), Durability::Immediate).expect("writable");
        assert_eq!(numbers(&mut ledger), [1, 3, 12]);
    }

    #[test]
    fn what_was_taken_out_and_not_flushed_is_taken_out_again_after_a_failure() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut ledger = Ledger::open(folder.path()).expect("a new one");
        ledger.change(puts(&[1, 2, 3]), Durability::Immediate).expect("writable");
        let removal = |number| Changes { removals: vec![("x".to_owned(), number)], ..Changes::default() };
        ledger.change(removal(1), Durability::Immediate).expect("writable");
        ledger.change(removal(2), Durability::None).expect("writable");
        ledger.failed();
        assert_eq!(ledger.undone, [("x".to_owned(), 2)]);
        ledger.change(removal(3), Durability::None).expect("writable");
        ledger.failed();
        assert_eq!(ledger.undone, [("x".to_owned(), 2), ("x".to_owned(), 3)]);
        ledger.change(Changes::default(), Durability::Immediate).expect("writable");
        assert_eq!((ledger.unflushed.len(), numbers(&mut ledger)), (0, Vec::new()));
    }
}
