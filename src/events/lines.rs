//! Events as lines of JSON, in a file or on standard output, written by a thread of their own.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::{oneshot, watch};

use super::disk::NotKept;
use super::event::Letter;
use super::room::{Place, Room, Share};
use crate::metrics::{EventOutcome, Metrics};

/// How long it takes until writing is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// Lines are written together up to so many bytes.
const LARGEST_BATCH: usize = 1 << 20;

/// A file or standard output. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    room: Arc<Room>,
    requests: Sender<Request>,
    waiting: Arc<watch::Sender<u64>>,
    failing: Arc<AtomicBool>,
}

/// Where lines go.
#[derive(Debug)]
pub(super) enum Output {
    /// Standard output, without the buffer that does not tell what of it was written.
    Stdout(File),
    File {
        path: PathBuf,
        file: File,
    },
}

#[derive(Debug)]
enum Request {
    Line { text: Bytes, made: DateTime<Utc>, written: oneshot::Sender<Result<(), NotKept>> },
    Reopen,
    Close { until: Instant },
}

impl Output {
    /// Standard output.
    pub(super) fn stdout() -> io::Result<Self> {
        Ok(Self::Stdout(io::stdout().as_fd().try_clone_to_owned()?.into()))
    }

    /// A file, which is made if it is missing; its folder must be there.
    pub(super) fn file(path: PathBuf) -> io::Result<Self> {
        Ok(Self::File { file: open(&path)?, path })
    }

    /// Takes the file that has the name now, if it is another one.
    fn follow(&mut self) -> io::Result<()> {
        if let Self::File { path, file } = self {
            let is = |there: Metadata, ours: Metadata| (there.dev(), there.ino()) == (ours.dev(), ours.ino());
            let same = std::fs::metadata(&*path)
                .is_ok_and(|there| file.metadata().is_ok_and(|ours| is(there, ours)));
            if !same {
                *file = open(path)?;
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Self::File { path, file } = self {
            *file = open(path)?;
        }
        Ok(())
    }

    /// Writes a part of `bytes`, and tells how much.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File { file, .. } => file.write(bytes),
            // The log is on standard error. Where both are one pipe, a line that is written at once stays whole, if it is not
            // longer than what pipes take at once.
            Self::Stdout(file) => {
                let end = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |end| end + 1);
                file.write(&bytes[..end])
            }
        }
    }
}

/// Opens it for appending. A line that a crash or a full disk has left unfinished is ended, so that it spoils no other.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
    let unfinished = |mut read: File| -> io::Result<bool> {
        let mut last = [0];
        read.seek(SeekFrom::End(-1))?;
        read.read_exact(&mut last)?;
        Ok(last != *b"\n")
    };
    // What is no file, is empty or may not be read has no such line, as far as can be told.
    if file.metadata()?.is_file() && File::open(path).and_then(unfinished).unwrap_or(false) {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

impl Lines {
    /// Starts the thread that writes the lines of `sink` to `output`; `most` may wait for it.
    pub(super) fn start(sink: &str, output: Output, most: usize, metrics: &Arc<Metrics>) -> io::Result<Self> {
        let (requests, received) = channel();
        let (waiting, failing) = (Arc::new(watch::Sender::new(0)), Arc::new(AtomicBool::new(false)));
        let lines = Self { room: Room::new(most as u64), requests, waiting, failing };
        let writer = Writer {
            sink: sink.to_owned(),
            output,
            failing: Arc::clone(&lines.failing),
            room: Arc::clone(&lines.room),
            waiting: Arc::clone(&lines.waiting),
            metrics: Arc::clone(metrics),
        };
        thread::Builder::new().name(format!("events-{sink}")).spawn(move || writer.run(&received))?;
        Ok(lines)
    }

    /// Holds room for a line.
    pub(super) fn hold(&self, share: Share) -> Option<Place> {
        self.room.hold(1, share)
    }

    /// Whether it was not possible to write when it was tried last, which is half a second ago at most.
    pub(super) fn fails(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Puts the line in. What is returned tells when it is written.
    pub(super) fn put(&self, letter: &Letter, place: Place) -> oneshot::Receiver<Result<(), NotKept>> {
        place.fill(1);
        self.waiting.send_modify(|waiting| *waiting += 1);
        let (written, hears) = oneshot::channel();
        let text = [&letter.body[..], b"\n"].concat().into();
        // A thread that has ended drops it, which is heard as well.
        let _ = self.requests.send(Request::Line { text, made: letter.made, written });
        hears
    }

    /// Opens the file anew.
    pub(super) fn reopen(&self) {
        // A thread that has ended writes nothing any more.
        let _ = self.requests.send(Request::Reopen);
    }

    /// Nothing is written any more after this moment.
    pub(super) fn close(&self, until: Instant) {
        // As above.
        let _ = self.requests.send(Request::Close { until });
    }

    /// Resolves when all is written.
    pub(super) async fn settled(&self) {
        // The sender is ours.
        let _ = self.waiting.subscribe().wait_for(|&waiting| waiting == 0).await;
    }

    /// How many lines wait.
    pub(super) fn depth(&self) -> u64 {
        *self.waiting.borrow()
    }
}

/// What the thread has.
struct Writer {
    sink: String,
    output: Output,
    failing: Arc<AtomicBool>,
    room: Arc<Room>,
    waiting: Arc<watch::Sender<u64>>,
    metrics: Arc<Metrics>,
}

impl Writer {
    fn run(mut self, requests: &Receiver<Request>) {
        let mut until = None;
        loop {
            let left = until.map(|until: Instant| until.saturating_duration_since(Instant::now()));
            // With nothing to write, what has failed was the opening of the file.
            let again = self.failing.load(Ordering::Relaxed).then_some(PAUSE);
            let wait = left.into_iter().chain(again).min().unwrap_or(Duration::MAX);
            let first = match requests.recv_timeout(wait) {
                Ok(request) => request,
                Err(RecvTimeoutError::Timeout) if left.is_none_or(|left| left > wait) => {
                    let opened = self.output.reopen();
                    self.state(opened.err());
                    continue;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            };
            let (mut text, mut told, mut oldest) = (Vec::new(), Vec::new(), None);
            for request in std::iter::once(first).chain(requests.try_iter()) {
                match request {
                    Request::Line { text: line, made, written } => {
                        oldest.get_or_insert(made);
                        text.extend_from_slice(&line);
                        told.push(written);
                        if text.len() > LARGEST_BATCH {
                            break;
                        }
                    }
                    Request::Reopen => {
                        let reopened = self.output.reopen();
                        self.state(reopened.err());
                    }
                    Request::Close { until: moment } => until = Some(moment),
                }
            }
            self.count(oldest);
            if !self.write(&text, until, oldest) {
                return;
            }
            self.finished(told);
        }
    }

    /// Writes all of it, however long that takes; tells whether it has.
    fn write(&mut self, text: &[u8], until: Option<Instant>, oldest: Option<DateTime<Utc>>) -> bool {
        let mut rest = text;
        while !rest.is_empty() {
            // A part of a line is never left in a file that was moved away: what is written again is written whole.
            let written = if rest.len() == text.len() { self.output.follow() } else { Ok(()) };
            match written.and_then(|()| self.output.write(rest)) {
                Ok(count) => {
                    rest = &rest[count..];
                    self.state(None);
                }
                Err(error) => {
                    self.state(Some(error));
                    // More may have come.
                    self.count(oldest);
                    if until.is_some_and(|until| Instant::now() >= until) {
                        return false;
                    }
                    thread::sleep(PAUSE);
                }
            }
        }
        true
    }

    fn finished(&self, told: Vec<oneshot::Sender<Result<(), NotKept>>>) {
        let count = told.len() as u64;
        self.metrics.events(&self.sink, EventOutcome::Delivered, count);
        self.room.give_back(count);
        self.waiting.send_modify(|waiting| *waiting -= count);
        self.count(None);
        for one in told {
            // Most do not wait.
            let _ = one.send(Ok(()));
        }
    }

    fn count(&self, oldest: Option<DateTime<Utc>>) {
        let oldest = oldest.map_or(0, |made| made.timestamp());
        self.metrics.events_wait(&self.sink, *self.waiting.borrow(), oldest);
    }

    fn state(&self, error: Option<io::Error>) {
        match (error, self.failing.load(Ordering::Relaxed)) {
            (Some(error), false) => {
                tracing::error!(sink = self.sink, %error, "events cannot be written, trying again");
                self.failing.store(true, Ordering::Relaxed);
            }
            (None, true) => {
                tracing::info!(sink = self.sink, "events are written again");
                self.failing.store(false, Ordering::Relaxed);
            }
            (Some(_), true) | (None, false) => {}
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Whatever ended the thread, nothing is written any more.
        self.failing.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(number: usize) -> Letter {
        Letter { made: Utc::now(), about: Vec::new(), body: format!("{{\"n\":{number}}}").into() }
    }

    fn started(output: Output, most: usize) -> Lines {
        let metrics = Arc::new(Metrics::new([], []));
        Lines::start("audit", output, most, &metrics).expect("a thread")
    }

    async fn put(lines: &Lines, number: usize) -> Result<(), NotKept> {
        let place = lines.hold(Share::Whole).ok_or(NotKept)?;
        lines.put(&letter(number), place).await.unwrap_or(Err(NotKept))
    }

    #[tokio::test]
    async fn a_file_that_was_rotated_is_followed() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, old) = (folder.path().join("audit.jsonl"), folder.path().join("audit.jsonl.1"));
        let lines = started(Output::file(path.clone()).expect("writable"), 10);
        put(&lines, 1).await.expect("written");
        std::fs::rename(&path, &old).expect("rotated");
        put(&lines, 2).await.expect("written");
        std::fs::remove_file(&path).expect("removed");
        put(&lines, 3).await.expect("written");
        let read = |path| std::fs::read_to_string(path).expect("a file");
        assert_eq!((read(&old), read(&path)), ("{\"n\":1}\n".to_owned(), "{\"n\":3}\n".to_owned()));
        lines.settled().await;
    }

    /// `/dev/full` takes nothing.
    #[tokio::test]
    async fn what_cannot_be_written_waits_within_its_bound() {
        let lines = started(Output::file("/dev/full".into()).expect("there"), 2);
        for number in 0..2 {
            let place = lines.hold(Share::Whole).expect("room");
            drop(lines.put(&letter(number), place));
        }
        while lines.depth() < 2 {
            tokio::task::yield_now().await;
        }
        assert!(lines.hold(Share::Whole).is_none());
        lines.close(Instant::now());
    }

    #[tokio::test]
    async fn a_line_that_was_left_unfinished_spoils_no_other() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("audit.jsonl");
        std::fs::write(&path, "{\"n\":1}\n{\"n\":").expect("writable");
        for number in [3, 4] {
            let lines = started(Output::file(path.clone()).expect("writable"), 10);
            put(&lines, number).await.expect("written");
        }
        let text = std::fs::read_to_string(&path).expect("a file");
        assert_eq!(text, "{\"n\":1}\n{\"n\":\n{\"n\":3}\n{\"n\":4}\n");
    }

    #[tokio::test]
    async fn a_file_that_could_not_be_opened_is_opened_again_with_nothing_to_write() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (there, away) = (folder.path().join("there"), folder.path().join("away"));
        std::fs::create_dir(&there).expect("a folder");
        let lines = started(Output::file(there.join("audit.jsonl")).expect("writable"), 10);
        let until = async |fails: bool| {
            while lines.fails() != fails {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        std::fs::rename(&there, &away).expect("renamed");
        lines.reopen();
        tokio::time::timeout(Duration::from_secs(20), until(true)).await.expect("known");
        std::fs::rename(&away, &there).expect("renamed");
        tokio::time::timeout(Duration::from_secs(20), until(false)).await.expect("tried again");
    }

    /// As standard output is where whoever reads it has made it so.
    #[tokio::test]
    async fn a_pipe_that_does_not_wait_gets_each_line_once() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        nix::fcntl::fcntl(&writer, nix::fcntl::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).expect("our own");
        let lines = started(Output::Stdout(std::os::fd::OwnedFd::from(writer).into()), 20_000);
        let mut told = Vec::new();
        for number in 0..20_000 {
            told.push(lines.put(&letter(number), lines.hold(Share::Whole).expect("room")));
        }
        while !lines.fails() {
            tokio::task::yield_now().await;
        }
        let read = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        for one in told {
            one.await.expect("an answer").expect("written");
        }
        drop(lines);
        let text = read.await.expect("no panic").expect("text");
        let expected = (0..20_000).map(|number| format!("{{\"n\":{number}}}"));
        assert!(text.lines().eq(expected) && text.ends_with('\n'), "{} bytes", text.len());
    }
}
