//! Events that outlive the process: one file, written by one thread. Whoever puts something in waits for the thread's
//! next flush, which all that came meanwhile share.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::oneshot;

use super::dead;
use super::event::Letter;

/// By sink and number.
const EVENTS: TableDefinition<'static, (&'static str, u64), Kept> = TableDefinition::new("events");
/// When it was made, in milliseconds since 1970; what it is about, one or two names; and the event.
type Kept = (i64, &'static str, &'static str, &'static [u8]);

/// The default is 1 GiB.
const CACHE: usize = 8 << 20;
/// What is only taken out is flushed when nothing else was for so long: after a crash it is delivered again.
const LAZY: Duration = Duration::from_secs(1);
/// How many requests share a flush at most.
const MOST_AT_ONCE: usize = 4096;

/// Hears once what became of an event, on the writing thread in the order of the numbers. Dropped, it was not kept.
struct Told(Option<Tell>);

type Tell = Box<dyn FnOnce(Result<u64, NotKept>) + Send>;

impl Told {
    fn tell(&mut self, number: Result<u64, NotKept>) {
        if let Some(tell) = self.0.take() {
            tell(number);
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.tell(Err(NotKept));
    }
}

/// An event could not be written to the folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotKept;

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

/// The queue's folder. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    requests: Sender<Request>,
}

enum Request {
    Put {
        sink: String,
        letter: Letter,
        kept: Told,
    },
    Remove {
        sink: String,
        number: u64,
    },
    Bury {
        sink: String,
        number: u64,
        line: Vec<u8>,
    },
    Read {
        sink: String,
        after: u64,
        most: usize,
        answer: oneshot::Sender<Result<Vec<(u64, Letter)>, NotKept>>,
    },
    Close {
        done: oneshot::Sender<()>,
    },
}

/// The bytes that one takes in the file, nearly.
pub(super) fn size(letter: &Letter) -> u64 {
    let about: usize = letter.about.iter().map(String::len).sum();
    (letter.body.len() + about + 64) as u64
}

impl Disk {
    /// Opens the queue in `folder`, which is made if it is missing, and starts the thread that writes to it. Fails if another
    /// process has it. Calls `found` for each sink of which something is there.
    pub(super) fn open(folder: &Path, found: impl FnMut(&str, Found)) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut writer = Writer { folder: folder.to_owned(), database: None, next: 1, lazy: false };
        writer.open().map_err(io::Error::other)?;
        writer.look(found).map_err(io::Error::other)?;
        let (requests, received) = channel();
        std::thread::Builder::new().name("events".to_owned()).spawn(move || writer.run(&received))?;
        Ok(Self { requests })
    }

    /// Keeps `letter` for `sink`. `kept` is told its number once it would outlive a crash of the machine, or that it was not
    /// kept.
    pub(super) fn put(&self, sink: &str, letter: Letter, kept: Tell) {
        // A thread that has ended drops it, which is told.
        let _ = self.requests.send(Request::Put { sink: sink.to_owned(), letter, kept: Told(Some(kept)) });
    }

    /// Takes out what was delivered.
    pub(super) fn remove(&self, sink: &str, number: u64) {
        // A thread that has ended leaves it there, to be delivered again.
        let _ = self.requests.send(Request::Remove { sink: sink.to_owned(), number });
    }

    /// Writes `line` to the dead letters of `sink`, then takes out what it is of.
    pub(super) fn bury(&self, sink: &str, number: u64, line: Vec<u8>) {
        // As above.
        let _ = self.requests.send(Request::Bury { sink: sink.to_owned(), number, line });
    }

    /// Up to `most` of what waits for `sink` with a number above `after`, in order. Fewer are all that there are.
    pub(super) async fn read(
        &self,
        sink: &str,
        after: u64,
        most: usize,
    ) -> Result<Vec<(u64, Letter)>, NotKept> {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(Request::Read { sink: sink.to_owned(), after, most, answer });
        answered.await.unwrap_or(Err(NotKept))
    }

    /// Flushes everything and closes the file.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        let _ = self.requests.send(Request::Close { done });
        // An error means that it was closed before.
        let _ = closed.await;
    }
}

/// What the thread has.
struct Writer {
    folder: PathBuf,
    /// None after a failure, until the next try.
    database: Option<Database>,
    next: u64,
    /// Whether something was taken out that a crash would bring back.
    lazy: bool,
}

impl Writer {
    fn run(mut self, requests: &Receiver<Request>) {
        loop {
            let first = match requests.recv_timeout(LAZY) {
                Ok(request) => request,
                Err(RecvTimeoutError::Timeout) => {
                    if self.lazy {
                        self.write(Vec::new(), Durability::Immediate);
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut batch = vec![first];
            batch.extend(requests.try_iter().take(MOST_AT_ONCE));
            let mut changes = Vec::new();
            for request in batch {
                match request {
                    Request::Read { sink, after, most, answer } => {
                        // What was put in before is to be seen.
                        self.write_all(std::mem::take(&mut changes));
                        let read = self.read(&sink, after, most).map_err(|error| {
                            self.failed(&error);
                            NotKept
                        });
                        // Nobody waits for it any more.
                        let _ = answer.send(read);
                    }
                    Request::Close { done } => {
                        self.write(std::mem::take(&mut changes), Durability::Immediate);
                        self.database = None;
                        let _ = done.send(());
                        return;
                    }
                    change => changes.push(change),
                }
            }
            self.write_all(changes);
        }
    }

    fn write_all(&mut self, changes: Vec<Request>) {
        if changes.is_empty() {
            return;
        }
        let puts = changes.iter().any(|change| matches!(change, Request::Put { .. }));
        self.write(changes, if puts { Durability::Immediate } else { Durability::None });
    }

    /// Does all of `changes` or none, and tells those who wait.
    fn write(&mut self, changes: Vec<Request>, durability: Durability) {
        let mut waiting = Vec::new();
        let written = self.try_write(changes, durability, &mut waiting);
        match &written {
            Ok(()) => self.lazy = matches!(durability, Durability::None),
            Err(error) => self.failed(error),
        }
        for (number, mut kept) in waiting {
            kept.tell(if written.is_ok() { Ok(number) } else { Err(NotKept) });
        }
    }

    fn try_write(
        &mut self,
        changes: Vec<Request>,
        durability: Durability,
        waiting: &mut Vec<(u64, Told)>,
    ) -> Result<(), redb::Error> {
        let (mut puts, mut removals) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Request::Put { sink, letter, kept } => {
                    waiting.push((self.next, kept));
                    puts.push((sink, self.next, letter));
                    self.next += 1;
                }
                Request::Remove { sink, number } => removals.push((sink, number)),
                Request::Bury { sink, number, line } => {
                    if let Err(error) = dead::append(&self.folder, &sink, &line) {
                        // It stays in the queue, and is tried again after the next start.
                        tracing::error!(sink, %error, "a dead letter cannot be written");
                        continue;
                    }
                    removals.push((sink, number));
                }
                Request::Read { .. } | Request::Close { .. } => {}
            }
        }
        let mut transaction = self.open()?.begin_write()?;
        transaction.set_durability(durability)?;
        {
            let mut events = transaction.open_table(EVENTS)?;
            for (sink, number, Letter { made, about, body }) in &puts {
                let name = |index: usize| about.get(index).map_or("", String::as_str);
                let value = (made.timestamp_millis(), name(0), name(1), &body[..]);
                events.insert((sink.as_str(), *number), value)?;
            }
            for (sink, number) in &removals {
                events.remove((sink.as_str(), *number))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn read(&mut self, sink: &str, after: u64, most: usize) -> Result<Vec<(u64, Letter)>, redb::Error> {
        let events = self.open()?.begin_read()?.open_table(EVENTS)?;
        let mut read = Vec::new();
        for entry in events.range((sink, after.saturating_add(1))..=(sink, u64::MAX))?.take(most) {
            let (key, value) = entry?;
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
            read.push((key.value().1, letter));
        }
        Ok(read)
    }

    /// Goes through all that is there.
    fn look(&mut self, mut found: impl FnMut(&str, Found)) -> Result<(), redb::Error> {
        let transaction = self.open()?.begin_read()?;
        let events = transaction.open_table(EVENTS)?;
        let (mut of, mut sum) = (String::new(), Found::default());
        for entry in events.iter()? {
            let (key, value) = entry?;
            let ((sink, number), (_, first, second, body)) = (key.value(), value.value());
            if sink != of {
                if sum != Found::default() {
                    found(&of, sum);
                }
                (of, sum) = (sink.to_owned(), Found::default());
            }
            self.next = self.next.max(number + 1);
            sum.last = number;
            sum.count += 1;
            sum.bytes += (first.len() + second.len() + body.len() + 64) as u64;
        }
        if sum != Found::default() {
            found(&of, sum);
        }
        Ok(())
    }

    /// The database, which was closed if it has failed: it refuses everything after that.
    fn open(&mut self) -> Result<&Database, redb::Error> {
        if self.database.is_none() {
            let mut builder = Database::builder();
            builder.set_cache_size(CACHE);
            let database = builder.create(self.folder.join("queue.redb"))?;
            let transaction = database.begin_write()?;
            transaction.open_table(EVENTS)?;
            transaction.commit()?;
            self.database = Some(database);
        }
        self.database.as_ref().ok_or(redb::Error::DatabaseAlreadyOpen)
    }

    fn failed(&mut self, error: &redb::Error) {
        tracing::error!(folder = %self.folder.display(), %error, "the queue of events cannot be used");
        self.database = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use chrono::{SubsecRound, Utc};

    use super::*;

    fn letter(about: &[&str], body: &'static str) -> Letter {
        let about = about.iter().map(|&name| name.to_owned()).collect();
        Letter { made: Utc::now().trunc_subsecs(3), about, body: body.into() }
    }

    async fn put(disk: &Disk, sink: &str, letter: &Letter) -> Result<u64, NotKept> {
        let (kept, told) = oneshot::channel();
        disk.put(sink, letter.clone(), Box::new(move |number| kept.send(number).expect("waited for")));
        told.await.expect("an answer")
    }

    #[tokio::test]
    async fn what_was_put_in_and_not_taken_out_is_there_after_a_restart() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = folder.path().join("made/for/it");
        let none = |sink: &str, _| panic!("nothing of {sink} was put in");
        let disk = Disk::open(&folder, none).expect("a new queue");
        let letters = [letter(&["a"], "1"), letter(&["a", "b"], "2"), letter(&["c"], "3")];
        let mut numbers = Vec::new();
        for letter in &letters {
            numbers.push(put(&disk, "x", letter).await.expect("kept"));
            put(&disk, "y", letter).await.expect("kept");
        }
        assert!(numbers.is_sorted());
        disk.remove("x", numbers[0]);
        assert!(Disk::open(&folder, |_, _| ()).is_err(), "another has it");
        disk.close().await;
        assert!(put(&disk, "x", &letters[0]).await.is_err(), "closed");

        let mut seen = Vec::new();
        let disk = Disk::open(&folder, |sink, found| seen.push((sink.to_owned(), found))).expect("the queue");
        let bytes = |letters: &[Letter]| letters.iter().map(size).sum::<u64>();
        assert_eq!(
            seen,
            [
                ("x".to_owned(), Found { count: 2, bytes: bytes(&letters[1..]), last: numbers[2] }),
                ("y".to_owned(), Found { count: 3, bytes: bytes(&letters), last: numbers[2] + 1 })
            ]
        );
        let read = disk.read("x", 0, 1).await;
        assert_eq!(read.expect("readable"), [(numbers[1], letters[1].clone())]);
        assert_eq!(
            disk.read("x", numbers[1], 9).await.expect("readable"),
            [(numbers[2], letters[2].clone())]
        );
        assert_eq!(disk.read("x", numbers[2], 9).await.expect("readable"), []);
        assert!(put(&disk, "x", &letters[0]).await.expect("kept") > numbers[2], "numbers go on");
    }

    #[tokio::test]
    async fn many_share_a_flush_and_hear_of_it_in_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Disk::open(folder.path(), |_, _| ()).expect("a new queue");
        let order = Arc::new(Mutex::new(Vec::new()));
        for _ in 0..1000 {
            let order = Arc::clone(&order);
            let kept = move |number: Result<u64, NotKept>| {
                order.lock().expect("no panic").push(number.expect("kept"));
            };
            disk.put("x", letter(&["a"], "event"), Box::new(kept));
        }
        assert_eq!(disk.read("x", 0, 2000).await.expect("readable").len(), 1000);
        let order = order.lock().expect("no panic");
        assert!(order.len() == 1000 && order.is_sorted());
    }

    #[tokio::test]
    async fn a_dead_letter_is_written_before_it_leaves_the_queue() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Disk::open(folder.path(), |_, _| ()).expect("a new queue");
        let number = put(&disk, "x", &letter(&["a"], "1")).await.expect("kept");
        disk.bury("x", number, b"{}".to_vec());
        assert_eq!(disk.read("x", 0, 9).await.expect("readable"), []);
        let dead = std::fs::read_to_string(folder.path().join("x.dead.jsonl"));
        assert_eq!(dead.expect("written"), "{}\n");
    }
}
