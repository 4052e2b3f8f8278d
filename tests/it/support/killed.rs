//! A client that sends its file a little at a time and is killed in the middle of it.

use std::io::Write;
use std::time::{Duration, Instant};

use super::{Raw, bytes};

/// After each piece.
const PACE: Duration = Duration::from_millis(50);
/// Between the ends of the two connections of a process that dies.
const APART: Duration = Duration::from_millis(3);
/// On a busy machine they may come further apart than those of any process that dies; that is no test.
const TOO_FAR_APART: Duration = Duration::from_millis(12);

/// How the client dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Killed {
    /// The data connection ends before the control connection, each in order.
    DataFirst,
    /// The control connection ends before the data connection, each in order.
    ControlFirst,
}

/// Sends five pieces of so many bytes with `command` and dies. Returns what it sent; none if its connections ended too
/// far apart, so that it has to be tried again.
pub(crate) fn killed(mut raw: Raw, command: &str, piece: usize, how: Killed) -> Option<Vec<u8>> {
    let content = bytes(5 * piece, 4);
    let mut data = raw.begin(command);
    for piece in content.chunks(piece) {
        data.write_all(piece).expect("the gateway reads");
        std::thread::sleep(PACE);
    }
    let begun = Instant::now();
    match how {
        Killed::DataFirst => {
            drop(data);
            std::thread::sleep(APART);
            drop(raw);
        }
        Killed::ControlFirst => {
            drop(raw);
            std::thread::sleep(APART);
            drop(data);
        }
    }
    (begun.elapsed() < TOO_FAR_APART).then_some(content)
}
