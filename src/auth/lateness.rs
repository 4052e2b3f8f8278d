//! When a failed login is answered, so that the time tells nothing of what was done before.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Waits until a failure that has `begun` then and is to take this `delay` is answered: what was done meanwhile counts into it.
/// What took longer already takes twice as long, or three times, so that the answer hardly tells what it was.
pub(super) async fn wait(begun: Instant, delay: Duration) {
    let delays = begun.elapsed().as_nanos().div_ceil(delay.as_nanos()).max(1);
    sleep_until(begun + delay * u32::try_from(delays).unwrap_or(1)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_takes_its_delay_and_a_slow_one_a_multiple_of_it() {
        for (taken, expected) in [(0, 100), (60, 100), (100, 100), (130, 200), (250, 300)] {
            let begun = Instant::now();
            tokio::time::advance(Duration::from_millis(taken)).await;
            wait(begun, Duration::from_millis(100)).await;
            assert_eq!(begun.elapsed().as_millis(), expected, "{taken}");
        }
    }
}
