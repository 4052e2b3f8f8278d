//! The events of one sink that are held in memory: which of them may go next. What is about the same thing goes in
//! order, one at a time; everything else side by side.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::event::Letter;

/// Pauses between tries, which grow with each, and by a random part of themselves so that many do not come back at once.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// Events by their numbers, which are in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Window {
    held: BTreeMap<u64, Held>,
    /// Who is about the same thing, in order. The first of a line may go if it is the first of its other line as well.
    lines: HashMap<String, VecDeque<u64>>,
    ready: BTreeSet<u64>,
    later: BTreeSet<(Instant, u64)>,
}

#[derive(Debug)]
struct Held {
    letter: Letter,
    attempts: u32,
    pauses: Option<ExponentialBackoff>,
    /// Whether the last try did not even reach the sink.
    unreached: bool,
}

/// An event to be sent.
#[derive(Clone, Debug)]
pub(super) struct Next {
    pub(super) number: u64,
    pub(super) letter: Letter,
}

/// When an event is given up, and how long it waits before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_age: Duration,
    pub(super) max_attempts: Option<u32>,
    /// The longest pause between tries.
    pub(super) longest_pause: Duration,
}

impl Window {
    /// How many there are, those on their way included.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// When the first of them was made.
    pub(super) fn oldest(&self) -> Option<DateTime<Utc>> {
        self.held.first_key_value().map(|(_, held)| held.letter.made)
    }

    /// Adds one; `number` is higher than that of any other about the same.
    pub(super) fn push(&mut self, number: u64, letter: Letter) {
        for name in &letter.about {
            self.lines.entry(name.clone()).or_default().push_back(number);
        }
        self.held.insert(number, Held { letter, attempts: 0, pauses: None, unreached: false });
        self.admit(number);
    }

    /// The first that may go at `now`. It is on its way until it is [removed](Self::remove) or [put off](Self::put_off).
    pub(super) fn next(&mut self, now: Instant) -> Option<Next> {
        while let Some(&(due, number)) = self.later.first().filter(|(due, _)| *due <= now) {
            self.later.remove(&(due, number));
            self.ready.insert(number);
        }
        let number = self.ready.pop_first()?;
        Some(Next { number, letter: self.held.get(&number)?.letter.clone() })
    }

    /// When the first of those that are put off may go.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|(due, _)| *due)
    }

    /// Takes out one that was on its way. Those that are about the same may follow.
    pub(super) fn remove(&mut self, number: u64) -> Option<Letter> {
        let held = self.held.remove(&number)?;
        let mut next = Vec::new();
        for name in &held.letter.about {
            if let Some(line) = self.lines.get_mut(name) {
                line.pop_front();
                next.extend(line.front().copied());
                if line.is_empty() {
                    self.lines.remove(name);
                }
            }
        }
        next.dedup();
        for number in next {
            self.admit(number);
        }
        Some(held.letter)
    }

    /// Counts a try of one that was on its way; returns how often it was tried.
    pub(super) fn tried(&mut self, number: u64) -> u32 {
        self.held.get_mut(&number).map_or(0, |held| {
            held.attempts = held.attempts.saturating_add(1);
            held.attempts
        })
    }

    /// Lets one that was on its way go again after a pause, of `longest` at most.
    pub(super) fn put_off(&mut self, number: u64, now: Instant, unreached: bool, longest: Duration) {
        if let Some(held) = self.held.get_mut(&number) {
            let pause = held.pauses.get_or_insert_with(pauses).next().unwrap_or(LONGEST_PAUSE).min(longest);
            held.unreached = unreached;
            self.later.insert((now + pause, number));
        }
    }

    /// The sink is there again: what had not reached it need not wait any longer.
    pub(super) fn hurry_unreached(&mut self) {
        let waiting = std::mem::take(&mut self.later);
        for (due, number) in waiting {
            if self.held.get(&number).is_some_and(|held| held.unreached) {
                self.ready.insert(number);
            } else {
                self.later.insert((due, number));
            }
        }
    }

    /// Nothing waits for its pause any longer.
    pub(super) fn hurry(&mut self) {
        let waiting = std::mem::take(&mut self.later);
        self.ready.extend(waiting.into_iter().map(|(_, number)| number));
    }

    fn admit(&mut self, number: u64) {
        let Some(held) = self.held.get(&number) else { return };
        let first = |name: &String| self.lines.get(name).and_then(VecDeque::front) == Some(&number);
        if held.letter.about.iter().all(first) {
            self.ready.insert(number);
        }
    }
}

fn pauses() -> ExponentialBackoff {
    let builder = ExponentialBuilder::new().with_min_delay(FIRST_PAUSE).with_max_delay(LONGEST_PAUSE);
    builder.with_jitter().without_max_times().build()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letter(about: &[u8]) -> Letter {
        let mut about: Vec<String> = about.iter().map(ToString::to_string).collect();
        about.dedup();
        Letter { made: Utc::now(), about, body: bytes::Bytes::new() }
    }

    fn all(window: &mut Window, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| window.next(now)).map(|next| next.number).collect()
    }

    #[test]
    fn what_is_about_the_same_waits_for_its_turn() {
        let (mut window, now) = (Window::default(), Instant::now());
        for (number, about) in [(1, &[1][..]), (2, &[1, 2]), (3, &[2]), (4, &[3])] {
            window.push(number, letter(about));
        }
        assert_eq!(all(&mut window, now), [1, 4]);
        assert_eq!(window.tried(1), 1);
        window.put_off(1, now, true, LONGEST_PAUSE);
        assert_eq!(all(&mut window, now), [0; 0]);
        let due = window.next_due().expect("put off");
        assert!(due > now && due <= now + LONGEST_PAUSE);
        assert_eq!(all(&mut window, due), [1]);
        window.remove(1);
        assert_eq!(all(&mut window, now), [2]);
        window.remove(2);
        assert_eq!(all(&mut window, now), [3]);
        window.remove(4);
        assert_eq!((window.len(), window.oldest().is_some()), (1, true));
        window.remove(3);
        assert!(window.oldest().is_none() && window.lines.is_empty());
    }

    #[test]
    fn pauses_grow_and_end_when_the_sink_is_there_again() {
        let (mut window, now) = (Window::default(), Instant::now());
        window.push(1, letter(&[1]));
        window.push(2, letter(&[2]));
        let mut longest = Duration::ZERO;
        for round in 0..12 {
            let due = now + Duration::from_hours(round);
            assert_eq!(all(&mut window, due).len(), 2, "round {round}");
            window.put_off(1, due, true, Duration::MAX);
            window.put_off(2, due, false, Duration::MAX);
            let pause = window.next_due().expect("put off") - due;
            assert!(pause >= FIRST_PAUSE, "{pause:?}");
            longest = longest.max(pause);
        }
        assert!(longest > LONGEST_PAUSE / 2, "{longest:?}");
        let now = now + Duration::from_hours(11);
        window.hurry_unreached();
        assert_eq!(all(&mut window, now), [1]);
        window.hurry();
        assert_eq!(all(&mut window, now), [2]);
        window.put_off(2, now, true, FIRST_PAUSE);
        assert_eq!(window.next_due(), Some(now + FIRST_PAUSE), "after twelve tries");
    }

    proptest! {
        /// Whatever fails and in whatever order answers come: all are delivered, each thing's in the order in which they came.
        #[test]
        fn order_holds_for_each_thing(
            abouts in proptest::collection::vec(proptest::collection::vec(0_u8..4, 1..3), 1..40),
            choices in proptest::collection::vec((any::<usize>(), any::<bool>()), 200),
        ) {
            let (mut window, mut now) = (Window::default(), Instant::now());
            let (mut flying, mut delivered) = (Vec::new(), Vec::new());
            let mut coming = abouts.iter().enumerate();
            let in_the_end = std::iter::repeat_n((0, false), 400);
            for (choice, fails) in choices.into_iter().chain(in_the_end) {
                if let Some((number, about)) = coming.next() {
                    window.push(number as u64, letter(about));
                }
                now += LONGEST_PAUSE * 2;
                while flying.len() < 3 && let Some(next) = window.next(now) {
                    flying.push(next);
                }
                for (index, one) in flying.iter().enumerate() {
                    for other in &flying[..index] {
                        prop_assert!(one.letter.about.iter().all(|name| !other.letter.about.contains(name)));
                    }
                }
                if flying.is_empty() {
                    continue;
                }
                let number = flying.swap_remove(choice % flying.len()).number;
                if fails {
                    window.tried(number);
                    window.put_off(number, now, false, LONGEST_PAUSE);
                } else {
                    window.remove(number);
                    delivered.push(number);
                }
            }
            prop_assert_eq!(delivered.len(), abouts.len());
            for thing in 0..4 {
                let of_thing = |number: &&u64| abouts[usize::try_from(**number).expect("small")].contains(&thing);
                let order: Vec<_> = delivered.iter().filter(of_thing).collect();
                prop_assert!(order.is_sorted(), "{order:?}");
            }
        }
    }
}
