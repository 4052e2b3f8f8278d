//! Dead letters: events that were given up, one line of JSON each, in a file for each sink beside the queue.

use std::fs::{File, OpenOptions, rename};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use chrono::{SecondsFormat, Utc};
use serde::Serialize;

use super::event::Letter;

/// A file of this size gets another name, in place of the one that had it before: so many are kept twice.
const LARGEST: u64 = 64 << 20;

#[derive(Serialize)]
struct Line<'a> {
    given_up: String,
    attempts: u32,
    reason: &'a str,
}

/// The line that tells of `letter`, which was given up now. The event stands in it byte for byte.
pub(super) fn line(letter: &Letter, attempts: u32, reason: &str) -> Vec<u8> {
    let given_up = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut line = serde_json::to_vec(&Line { given_up, attempts, reason }).expect("texts and a number");
    // Its bracket.
    line.pop();
    line.extend_from_slice(b",\"event\":");
    line.extend_from_slice(&letter.body);
    line.push(b'}');
    line
}

/// Adds `line` to the dead letters of `sink` in `folder`; it would outlive a crash.
pub(super) fn append(folder: &Path, sink: &str, line: &[u8]) -> io::Result<()> {
    let path = folder.join(format!("{sink}.dead.jsonl"));
    let mut file = open(&path)?;
    if file.metadata()?.len() >= LARGEST {
        rename(&path, folder.join(format!("{sink}.dead.1.jsonl")))?;
        file = open(&path)?;
    }
    file.write_all(&[line, b"\n"].concat())?;
    file.sync_data()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_line_has_the_event_in_it() {
        let body = br#"{"id":"1","data":{"path":"/a"}}"#;
        let letter = Letter { made: Utc::now(), about: Vec::new(), body: bytes::Bytes::from_static(body) };
        let line: Value = serde_json::from_slice(&line(&letter, 3, "answered 500")).expect("JSON");
        assert_eq!((&line["attempts"], &line["reason"]), (&3.into(), &"answered 500".into()));
        assert_eq!(line["event"]["data"]["path"], "/a");
    }

    #[test]
    fn files_are_bounded() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.dead.jsonl");
        append(folder.path(), "x", b"first").expect("writable");
        File::options().write(true).open(&path).and_then(|file| file.set_len(LARGEST)).expect("writable");
        append(folder.path(), "x", b"second").expect("writable");
        assert_eq!(std::fs::read(&path).expect("a file"), b"second\n");
        let old = std::fs::metadata(folder.path().join("x.dead.1.jsonl")).expect("the old one");
        assert_eq!(old.len(), LARGEST);
    }
}
