//! Events that outlive the process: one thread writes them down. Whoever puts something in waits for the thread's next
//! flush, which all that came meanwhile share.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use redb::Durability;
use tokio::sync::oneshot;

use super::dead;
use super::event::Letter;
use super::ledger::{Changes, Found, Ledger};

/// What is only taken out is flushed after so long: what was delivered since then is delivered again after a crash. A folder that
/// failed is tried again as often.
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

/// The queue's folder. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    requests: Sender<Request>,
    failing: Arc<AtomicBool>,
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

impl Disk {
    /// Opens the queue in `folder`, which is made if it is missing, and starts the thread that writes to it. Fails if another
    /// process has it. Calls `found` for each sink of which something is there.
    pub(super) fn open(folder: &Path, found: impl FnMut(&str, Found)) -> io::Result<Self> {
        let mut ledger = Ledger::open(folder)?;
        let next = ledger.look(found).map_err(io::Error::other)?;
        Self::start(folder, ledger, next)
    }

    /// Starts the thread that writes to `ledger`; the first event gets the number `next`.
    fn start(folder: &Path, ledger: Ledger, next: u64) -> io::Result<Self> {
        let failing = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            folder: folder.to_owned(),
            ledger,
            next,
            flushed: Instant::now(),
            failing: Arc::clone(&failing),
        };
        let (requests, received) = channel();
        std::thread::Builder::new().name("events".to_owned()).spawn(move || writer.run(&received))?;
        Ok(Self { requests, failing })
    }

    /// Whether it was not possible to write there, or to read, when it was tried last, which is a second ago at most.
    pub(super) fn fails(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
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
    ledger: Ledger,
    next: u64,
    /// When it was flushed last.
    flushed: Instant,
    failing: Arc<AtomicBool>,
}

impl Writer {
    fn run(mut self, requests: &Receiver<Request>) {
        loop {
            let first = match requests.recv_timeout(LAZY) {
                Ok(request) => request,
                Err(RecvTimeoutError::Timeout) => {
                    if self.ledger.has_unflushed() || self.failing.load(Ordering::Relaxed) {
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
                        let read = self.ledger.read(&sink, after, most).map_err(|error| {
                            self.failed(&error);
                            NotKept
                        });
                        // Nobody waits for it any more.
                        let _ = answer.send(read);
                    }
                    Request::Close { done } => {
                        self.write(std::mem::take(&mut changes), Durability::Immediate);
                        self.ledger.close();
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
        let flush = puts || self.flushed.elapsed() >= LAZY;
        self.write(changes, if flush { Durability::Immediate } else { Durability::None });
    }

    /// Does all of `requests` or none, and tells those who wait.
    fn write(&mut self, requests: Vec<Request>, durability: Durability) {
        let (changes, waiting) = self.changes(requests);
        let written = self.ledger.change(changes, durability);
        match &written {
            Ok(()) => self.succeeded(durability),
            Err(error) => self.failed(error),
        }
        for (number, mut kept) in waiting {
            kept.tell(if written.is_ok() { Ok(number) } else { Err(NotKept) });
        }
    }

    fn changes(&mut self, requests: Vec<Request>) -> (Changes, Vec<(u64, Told)>) {
        let (mut changes, mut waiting) = (Changes::default(), Vec::new());
        for request in requests {
            match request {
                Request::Put { sink, letter, kept } => {
                    waiting.push((self.next, kept));
                    changes.puts.push((sink, self.next, letter));
                    self.next += 1;
                }
                Request::Remove { sink, number } => changes.removals.push((sink, number)),
                Request::Bury { sink, number, line } => {
                    if let Err(error) = dead::append(&self.folder, &sink, &line) {
                        // It stays in the queue, and is tried again after the next start.
                        tracing::error!(sink, %error, "a dead letter cannot be written");
                        continue;
                    }
                    changes.removals.push((sink, number));
                }
                Request::Read { .. } | Request::Close { .. } => {}
            }
        }
        (changes, waiting)
    }

    fn succeeded(&mut self, durability: Durability) {
        if !matches!(durability, Durability::None) {
            self.flushed = Instant::now();
        }
        if self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(folder = %self.folder.display(), "the queue of events can be used again");
        }
    }

    fn failed(&mut self, error: &redb::Error) {
        if !self.failing.swap(true, Ordering::Relaxed) {
            let folder = self.folder.display();
            tracing::error!(%folder, %error, "the queue of events cannot be used, trying again");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Whatever ended the thread, nothing is kept any more.
        self.failing.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
impl Disk {
    /// One that answers nothing, as a disk that hangs, until what is returned with it is dropped.
    pub(super) fn hanging() -> (Self, impl Sized) {
        let (requests, received) = channel();
        (Self { requests, failing: Arc::default() }, received)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use chrono::{SubsecRound, Utc};

    use super::*;
    use crate::events::ledger::size;

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

    #[tokio::test]
    async fn what_was_taken_out_is_flushed_while_more_is_taken_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Disk::open(folder.path(), |_, _| ()).expect("a new queue");
        let mut number = 0;
        for _ in 0..300 {
            number = put(&disk, "x", &letter(&["a"], "1")).await.expect("kept");
        }
        // Without a quiet second.
        let begun = Instant::now();
        let mut removed = 0;
        while begun.elapsed() < 2 * LAZY {
            disk.remove("x", number - removed);
            removed += 1;
            tokio::time::sleep(LAZY / 50).await;
        }
        // As a crash leaves it.
        let copy = tempfile::tempdir().expect("a temporary folder");
        let file = |folder: &tempfile::TempDir| folder.path().join("queue.redb");
        std::fs::copy(file(&folder), file(&copy)).expect("a copy");
        let mut left = 0;
        Disk::open(copy.path(), |_, found| left = found.count).expect("the copy");
        assert!(left < 300, "all are there again");
        disk.close().await;
    }

    #[tokio::test]
    async fn a_folder_that_fails_is_tried_again_and_whoever_asks_learns_of_both() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut ledger = Ledger::open(folder.path()).expect("a new one");
        ledger.close();
        // Another process has it.
        let other = Ledger::open(folder.path()).expect("the file");
        let disk = Disk::start(folder.path(), ledger, 1).expect("a thread");
        assert!(!disk.fails());
        assert!(put(&disk, "x", &letter(&["a"], "2")).await.is_err(), "in use");
        assert!(disk.fails());
        drop(other);
        let begun = Instant::now();
        while disk.fails() {
            assert!(begun.elapsed() < Duration::from_secs(20), "nobody has tried");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        put(&disk, "x", &letter(&["a"], "3")).await.expect("kept");
        disk.close().await;
        assert!(put(&disk, "x", &letter(&["a"], "4")).await.is_err(), "closed");
        assert!(disk.fails());
    }
}
