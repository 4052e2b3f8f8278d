//! How fast a session's commands are taken: whoever sends more is read more slowly, and nobody is sent away for it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What a command takes of its session's time: ten thousand a second. The fastest clients, which fetch small files from
/// a local folder, send seven thousand.
const EACH: Duration = Duration::from_micros(100);
/// How far ahead of that a session may be: ten thousand commands at once.
const AHEAD: Duration = Duration::from_secs(1);

/// The pace of one session.
#[derive(Debug)]
pub(super) struct Pace {
    /// When all commands so far would have come, had they come evenly.
    even: Instant,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { even: Instant::now() }
    }

    /// Resolves when the next command may be taken. Dropping the future loses nothing.
    pub(super) async fn ready(&self) {
        if self.even.saturating_duration_since(Instant::now()) > AHEAD {
            sleep_until(self.even - AHEAD).await;
        }
    }

    /// A command is taken.
    pub(super) fn take(&mut self) {
        self.even = self.even.max(Instant::now()) + EACH;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_at_once_and_then_as_many_a_second() {
        let mut pace = Pace::new();
        let mut taken = Vec::new();
        let begun = Instant::now();
        for _ in 0..40_000 {
            pace.ready().await;
            pace.take();
            taken.push(begun.elapsed());
        }
        assert_eq!(taken[9_999], Duration::ZERO);
        assert!((1990..2010).contains(&taken[29_999].as_millis()), "{:?}", taken[29_999]);
        assert!((2990..3010).contains(&taken[39_999].as_millis()), "{:?}", taken[39_999]);
    }
}
