//! A client's data connection that plays a script and remembers what it was sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bucketport::data::{DataConnection, DataError};
use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use tokio::sync::Notify;

/// What the client does next. After the last step an upload has ended in order.
pub(crate) enum Step {
    Send(Bytes),
    /// Everything before it was taken; goes on at once.
    Reached(Arc<Notify>),
    /// Goes on when told to.
    Wait(Arc<Notify>),
    Lose,
    Stall,
    StayForever,
}

/// What became of a data connection.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) received: Vec<u8>,
    pub(crate) finished: bool,
    pub(crate) reset: bool,
}

pub(crate) type Seen = Arc<Mutex<Outcome>>;

pub(crate) struct FakeData {
    script: VecDeque<Step>,
    /// Played once this many bytes were received.
    after: Option<(usize, VecDeque<Step>)>,
    seen: Seen,
}

impl FakeData {
    /// A client that uploads.
    pub(crate) fn uploads(script: impl IntoIterator<Item = Step>) -> (Box<Self>, Seen) {
        let seen = Seen::default();
        (Box::new(Self { script: script.into_iter().collect(), after: None, seen: Arc::clone(&seen) }), seen)
    }

    /// A client that downloads everything.
    pub(crate) fn downloads() -> (Box<Self>, Seen) {
        Self::uploads([])
    }

    /// A client that plays `script` once it has received `bytes`.
    pub(crate) fn downloads_then(bytes: usize, script: impl IntoIterator<Item = Step>) -> (Box<Self>, Seen) {
        let seen = Seen::default();
        let after = Some((bytes, script.into_iter().collect()));
        (Box::new(Self { script: VecDeque::new(), after, seen: Arc::clone(&seen) }), seen)
    }

    /// The next step that bytes or an error come from.
    async fn next(&mut self) -> Result<Option<Bytes>, DataError> {
        // A step is over only when its wait is: who reads may stop waiting and come back.
        while let Some(step) = self.script.front_mut() {
            match step {
                Step::Send(bytes) if bytes.is_empty() => {}
                Step::Send(bytes) => {
                    let bytes = std::mem::take(bytes);
                    self.script.pop_front();
                    return Ok(Some(bytes));
                }
                Step::Reached(notify) => notify.notify_one(),
                Step::Wait(notify) => notify.notified().await,
                Step::Lose => return Err(DataError::Lost(std::io::ErrorKind::ConnectionReset.into())),
                Step::Stall => return Err(DataError::Stalled(Duration::from_mins(2))),
                Step::StayForever => std::future::pending().await,
            }
            self.script.pop_front();
        }
        Ok(None)
    }
}

#[async_trait]
impl DataConnection for FakeData {
    async fn read(&mut self, buffer: &mut Vec<u8>) -> Result<usize, DataError> {
        let spare = buffer.capacity() - buffer.len();
        assert!(spare > 0, "a read into a full buffer would look like the end");
        let Some(mut bytes) = self.next().await? else { return Ok(0) };
        let taken = bytes.split_to(spare.min(bytes.len()));
        if !bytes.is_empty() {
            self.script.push_front(Step::Send(bytes));
        }
        buffer.extend_from_slice(&taken);
        Ok(taken.len())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        let received = {
            let mut seen = self.seen.lock().expect("not poisoned");
            seen.received.extend_from_slice(bytes);
            seen.received.len()
        };
        if let Some((_, script)) = self.after.take_if(|(bytes, _)| received >= *bytes) {
            self.script = script;
            self.next().await?;
        }
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), DataError> {
        self.seen.lock().expect("not poisoned").finished = true;
        Ok(())
    }

    fn reset(self: Box<Self>) {
        self.seen.lock().expect("not poisoned").reset = true;
    }
}

/// `len` bytes that differ for each `seed`.
pub(crate) fn body(len: usize, seed: u64) -> Bytes {
    let mut bytes = vec![0; len];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes.into()
}

/// `bytes` as a client sends them: in chunks of sizes that fit nothing.
pub(crate) fn in_odd_chunks(bytes: &Bytes) -> Vec<Step> {
    let mut random = SmallRng::seed_from_u64(bytes.len() as u64);
    let mut rest = bytes.clone();
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let size = if random.random_bool(0.1) {
            random.random_range(1..20)
        } else {
            random.random_range(1..300_000)
        };
        steps.push(Step::Send(rest.split_to(size.min(rest.len()))));
    }
    steps
}

/// Fails, without printing megabytes, unless both are equal.
#[track_caller]
pub(crate) fn assert_same(actual: &[u8], expected: &[u8], what: &str) {
    let difference = actual.iter().zip(expected).position(|(a, b)| a != b);
    assert!(
        actual == expected,
        "{what}: {} bytes instead of {}, first difference at {difference:?}",
        actual.len(),
        expected.len()
    );
}
