//! The events that wait for one webhook: in memory alone, or in the folder with the first of them in memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, sleep};

use super::dead;
use super::disk::{Disk, NotKept};
use super::event::Letter;
use super::ledger::{Found, size};
use super::rest::Rest;
use super::room::{Place, Room, Share};
use super::window::{Limits, Next, Window};
use crate::metrics::{EventOutcome, Metrics};

/// Numbers from here on are of events that could not be written to the folder and are in memory alone.
const IN_MEMORY: u64 = 1 << 63;
/// What is held for an event beside its paths, until it is known how large it is. Few are larger than half of that.
const LIKELY: u64 = 2048;
/// How long it takes until a folder that failed is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// The queue of one sink.
#[derive(Debug)]
pub(super) struct Queue {
    sink: String,
    room: Arc<Room>,
    /// How many are held in memory at most.
    most: usize,
    disk: Option<Disk>,
    state: Mutex<State>,
    changed: Notify,
    /// How many wait, those on disk alone included.
    waiting: watch::Sender<u64>,
    /// How many of them are in memory alone.
    at_stake: watch::Sender<u64>,
    /// How many of them the folder has been given, and has not answered for.
    asked: AtomicUsize,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct State {
    window: Window,
    rest: Rest,
    /// The number of the last one that is in memory alone.
    last: u64,
}

/// What an event that is given up or delivered leaves behind.
enum End {
    Delivered,
    Dead { attempts: u32, reason: String },
}

impl Queue {
    /// The queue of `sink`, in memory: room for `most` events.
    pub(super) fn in_memory(sink: &str, most: usize, metrics: &Arc<Metrics>) -> Self {
        Self::new(sink, Room::new(most as u64), most, None, metrics)
    }

    /// The queue of `sink` in the folder, with room for so many `bytes`, of which `found` is there.
    pub(super) fn on_disk(
        sink: &str,
        most: usize,
        (disk, bytes, found): (&Disk, u64, Found),
        metrics: &Arc<Metrics>,
    ) -> Self {
        let queue = Self::new(sink, Room::new(bytes), most, Some(disk.clone()), metrics);
        queue.room.take(found.bytes);
        queue.waiting.send_replace(found.count);
        queue.state().rest = Rest::found(found);
        queue
    }

    fn new(sink: &str, room: Arc<Room>, most: usize, disk: Option<Disk>, metrics: &Arc<Metrics>) -> Self {
        let (state, changed, waiting) = (Mutex::default(), Notify::new(), watch::Sender::new(0));
        let (sink, at_stake, metrics) = (sink.to_owned(), watch::Sender::new(0), Arc::clone(metrics));
        let asked = AtomicUsize::new(0);
        Self { sink, room, most, disk, state, changed, waiting, at_stake, asked, metrics }
    }

    /// Holds room for an event about paths of so many bytes.
    pub(super) fn hold(&self, paths: usize, share: Share) -> Option<Place> {
        // What waits for a disk that hangs is in memory as well.
        if self.asked.load(Ordering::Relaxed) >= self.most {
            return None;
        }
        // Each stands in it three times: as it is, as the key and as what it is about.
        let likely = if self.disk.is_some() { LIKELY + 3 * paths as u64 } else { 1 };
        self.room.hold(likely, share)
    }

    /// Puts `letter` in. What is returned tells when it is as safe as it gets here, or that it is not.
    pub(super) fn put(
        self: &Arc<Self>,
        letter: Letter,
        place: Place,
    ) -> oneshot::Receiver<Result<(), NotKept>> {
        place.fill(self.units(&letter));
        self.waiting.send_modify(|waiting| *waiting += 1);
        let (told, hears) = oneshot::channel();
        let Some(disk) = &self.disk else {
            self.push_in_memory(letter);
            // Who hears of it holds the other end.
            let _ = told.send(Ok(()));
            return hears;
        };
        self.asked.fetch_add(1, Ordering::Relaxed);
        let (queue, copy) = (Arc::clone(self), letter.clone());
        let kept = move |number: Result<u64, NotKept>| {
            queue.asked.fetch_sub(1, Ordering::Relaxed);
            let kept = number.map(|number| queue.push_from_disk(number, copy.clone()));
            if kept.is_err() {
                queue.keep_if_room(copy);
            }
            // Nobody waits for it any more.
            let _ = told.send(kept);
        };
        disk.put(&self.sink, letter, Box::new(kept));
        hears
    }

    fn push_in_memory(&self, letter: Letter) {
        let mut state = self.state();
        state.last += 1;
        let number = IN_MEMORY + state.last;
        self.at_stake.send_modify(|at_stake| *at_stake += 1);
        state.window.push(number, letter);
        self.announce(state);
    }

    /// What could not be written is delivered from memory, if it has room for it.
    fn keep_if_room(&self, letter: Letter) {
        if self.state().window.len() < self.most {
            return self.push_in_memory(letter);
        }
        self.room.give_back(self.units(&letter));
        self.waiting.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
        self.metrics.events(&self.sink, EventOutcome::Dropped, 1);
        self.announce(self.state());
    }

    fn push_from_disk(&self, number: u64, letter: Letter) {
        let mut state = self.state();
        // Whoever reads from the folder next finds it there.
        if state.rest.is_there() || state.window.len() >= self.most {
            state.rest.leave(number, &letter);
        } else {
            state.rest.hold(number);
            state.window.push(number, letter);
        }
        self.announce(state);
    }

    /// Whether the folder has more, and there is room for a good part of it.
    pub(super) fn wants_more(&self) -> bool {
        let state = self.state();
        self.disk.is_some() && state.rest.is_there() && state.window.len() <= self.most / 2
    }

    /// Takes more from the folder.
    pub(super) async fn refill(&self) {
        let Some(disk) = &self.disk else { return };
        let (asked, wanted) = {
            let state = self.state();
            (state.rest.ask(), self.most.saturating_sub(state.window.len()).max(1))
        };
        let Ok(read) = disk.read(&self.sink, asked.after, wanted).await else {
            return sleep(PAUSE).await;
        };
        let mut state = self.state();
        let gone = state.rest.came(asked, &read, read.len() < wanted);
        for (number, letter) in read {
            state.window.push(number, letter);
        }
        if gone.count > 0 {
            // Somebody has put another file in its place.
            tracing::error!(sink = self.sink, events = gone.count, "events are gone from the folder");
            self.room.give_back(gone.bytes);
            self.waiting.send_modify(|waiting| *waiting = waiting.saturating_sub(gone.count));
            self.metrics.events(&self.sink, EventOutcome::Lost, gone.count);
        }
        self.announce(state);
    }

    /// The next to be sent, if one may go.
    pub(super) fn next(&self) -> Option<Next> {
        self.state().window.next(Instant::now())
    }

    /// When the first of those that are put off may go.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.state().window.next_due()
    }

    /// Resolves when something may have changed. One caller at a time; dropping the future loses nothing.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The sink has taken it.
    pub(super) fn delivered(&self, number: u64) {
        self.metrics.events(&self.sink, EventOutcome::Delivered, 1);
        self.end(number, &End::Delivered);
    }

    /// The sink is there again: what had not reached it goes at once.
    pub(super) fn hurry_unreached(&self) {
        self.state().window.hurry_unreached();
    }

    /// The sink has not taken it. It goes again after a pause, unless it is too old or was tried too often.
    pub(super) fn failed(&self, next: &Next, reason: String, unreached: bool, limits: Limits) {
        let mut state = self.state();
        let attempts = state.window.tried(next.number);
        let age = (Utc::now() - next.letter.made).to_std().unwrap_or_default();
        if age < limits.max_age && limits.max_attempts.is_none_or(|most| attempts < most) {
            state.window.put_off(next.number, Instant::now(), unreached, limits.longest_pause);
            drop(state);
            return self.metrics.events(&self.sink, EventOutcome::Retried, 1);
        }
        drop(state);
        let id = String::from_utf8_lossy(&next.letter.body);
        tracing::error!(sink = self.sink, attempts, reason, event = %id, "an event is given up");
        self.metrics.events(&self.sink, EventOutcome::Dead, 1);
        self.end(next.number, &End::Dead { attempts, reason });
    }

    fn end(&self, number: u64, end: &End) {
        let mut state = self.state();
        let Some(letter) = state.window.remove(number) else { return };
        if number >= IN_MEMORY {
            self.at_stake.send_modify(|at_stake| *at_stake -= 1);
        }
        self.room.give_back(self.units(&letter));
        if let Some(disk) = &self.disk {
            match end {
                End::Dead { attempts, reason } => {
                    disk.bury(&self.sink, number, dead::line(&letter, *attempts, reason));
                }
                End::Delivered if number < IN_MEMORY => disk.remove(&self.sink, number),
                End::Delivered => {}
            }
        }
        self.waiting.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
        self.announce(state);
    }

    /// What waits for its pause goes at once.
    pub(super) fn hurry(&self) {
        let mut state = self.state();
        state.window.hurry();
        self.announce(state);
    }

    /// Resolves when nothing waits that a stop would lose.
    pub(super) async fn settled(&self) {
        // The sender is ours.
        let _ = self.at_stake.subscribe().wait_for(|&at_stake| at_stake == 0).await;
    }

    /// How many of those that wait a stop would lose.
    pub(super) fn at_stake(&self) -> u64 {
        *self.at_stake.borrow()
    }

    /// How many wait, and since when the oldest does.
    pub(super) fn depth(&self) -> (u64, Option<DateTime<Utc>>) {
        (*self.waiting.borrow(), self.state().window.oldest())
    }

    /// Whether what is put in now would not be kept.
    pub(super) fn fails(&self) -> bool {
        self.disk.as_ref().is_some_and(Disk::fails)
    }

    /// Whether what waits is there after a restart.
    pub(super) fn lasts(&self) -> bool {
        self.disk.is_some()
    }

    /// How much room it takes.
    fn units(&self, letter: &Letter) -> u64 {
        if self.disk.is_some() { size(letter) } else { 1 }
    }

    fn announce(&self, state: MutexGuard<'_, State>) {
        let oldest = state.window.oldest().map_or(0, |made| made.timestamp());
        self.metrics.events_wait(&self.sink, *self.waiting.borrow(), oldest);
        drop(state);
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;

    use super::*;

    fn letter(number: usize) -> Letter {
        Letter { made: Utc::now(), about: vec![number.to_string()], body: format!("{number}").into() }
    }

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new([], []))
    }

    async fn put(queue: &Arc<Queue>, number: usize) -> Result<(), NotKept> {
        let place = queue.hold(1, Share::Whole).ok_or(NotKept)?;
        queue.put(letter(number), place).await.unwrap_or(Err(NotKept))
    }

    /// Takes all that can be had, as delivered.
    async fn deliver(queue: &Queue) -> BTreeSet<Bytes> {
        let mut delivered = BTreeSet::new();
        loop {
            if queue.wants_more() {
                queue.refill().await;
            }
            let Some(next) = queue.next() else { return delivered };
            queue.delivered(next.number);
            assert!(delivered.insert(next.letter.body), "twice");
        }
    }

    #[tokio::test]
    async fn what_has_no_room_in_memory_is_read_from_the_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Disk::open(folder.path(), |_, _| ()).expect("a new queue");
        let kept = (&disk, 1 << 20, Found::default());
        let queue = Arc::new(Queue::on_disk("x", 4, kept, &metrics()));
        for number in 0..30 {
            put(&queue, number).await.expect("kept");
            assert!(queue.state().window.len() <= 4);
        }
        assert_eq!(deliver(&queue).await.len(), 30);
        put(&queue, 30).await.expect("kept");
        assert_eq!((deliver(&queue).await.len(), queue.depth().0), (1, 0));
        assert_eq!(
            queue.room.hold(1 << 20, Share::Whole).map(drop),
            Some(()),
            "all of the room is free again"
        );
        drop(queue);
        disk.close().await;
        Disk::open(folder.path(), |sink, _| panic!("something of {sink} is left")).expect("the queue");
    }

    #[tokio::test]
    async fn what_the_folder_does_not_keep_is_in_memory_and_not_said_to_be_safe() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Disk::open(folder.path(), |_, _| ()).expect("a new queue");
        let queue = Arc::new(Queue::on_disk("x", 2, (&disk, 1 << 20, Found::default()), &metrics()));
        disk.close().await;
        for number in 0..3 {
            assert!(put(&queue, number).await.is_err(), "not safe");
        }
        assert_eq!((queue.depth().0, queue.at_stake()), (2, 2));
        assert_eq!((deliver(&queue).await.len(), queue.at_stake()), (2, 0));
        queue.settled().await;
        assert_eq!(
            queue.room.hold(1 << 20, Share::Whole).map(drop),
            Some(()),
            "all of the room is free again"
        );
    }

    #[tokio::test]
    async fn memory_has_room_for_so_many_those_on_their_way_included() {
        let queue = Arc::new(Queue::in_memory("x", 2, &metrics()));
        for number in 0..2 {
            put(&queue, number).await.expect("room");
        }
        let next = queue.next().expect("one may go");
        assert!(queue.hold(1, Share::Whole).is_none());
        queue.delivered(next.number);
        assert!(queue.hold(1, Share::Whole).is_some());
    }

    #[tokio::test]
    async fn in_front_of_a_disk_that_hangs_there_is_room_for_what_memory_holds() {
        let (disk, hangs) = Disk::hanging();
        let queue = Arc::new(Queue::on_disk("x", 3, (&disk, 1 << 30, Found::default()), &metrics()));
        let mut answers = Vec::new();
        while let Some(place) = queue.hold(1, Share::Whole) {
            answers.push(queue.put(letter(answers.len()), place));
            assert!(answers.len() <= 3);
        }
        drop(hangs);
        for answer in answers {
            assert!(matches!(answer.await, Ok(Err(NotKept))));
        }
        assert!(queue.hold(1, Share::Whole).is_some());
    }

    #[tokio::test]
    async fn what_is_gone_from_the_folder_waits_no_longer() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let disk = Disk::open(folder.path(), |_, _| ()).expect("a new queue");
        let found = Found { count: 2, bytes: 200, last: 7 };
        let queue = Arc::new(Queue::on_disk("x", 4, (&disk, 1000, found), &metrics()));
        assert_eq!((queue.depth().0, queue.wants_more()), (2, true));
        queue.refill().await;
        assert_eq!((queue.depth().0, queue.wants_more()), (0, false));
        assert_eq!(queue.room.hold(1000, Share::Whole).map(drop), Some(()));
    }
}
