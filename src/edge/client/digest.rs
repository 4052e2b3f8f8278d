//! HASH, RANG, XCRC and their like: of which file, which bytes, and how it is to be told.

use std::io;

use super::attend::Running;
use super::state::{Client, Flow};
use crate::control::Control;
use crate::digest::Algorithm;
use crate::reply::Reply;
use crate::session::{Checksum, ChecksumReply, Operation, Pending};

impl Client {
    /// HASH (draft-ietf-ftpext2-hash): the selected algorithm, of the bytes that RANG has named.
    pub(super) async fn hash(&mut self, control: &mut Control, path: &str) -> io::Result<Flow> {
        let range = self.settings.next.range.take();
        let wanted = Checksum {
            algorithm: self.settings.hash,
            from: range.map_or(0, |(first, _)| first),
            to: range.map(|(_, last)| last.saturating_add(1)),
            reply: ChecksumReply::Named,
        };
        self.checksum(control, path, wanted).await
    }

    /// XCRC and its like, which no standard describes: a path, or one in quotes with the first byte and the one after the
    /// last one.
    pub(super) async fn plain_checksum(
        &mut self,
        control: &mut Control,
        argument: &str,
        algorithm: Algorithm,
    ) -> io::Result<Flow> {
        let Some((path, from, to)) = quoted(argument) else {
            return self.refuse(&Reply::new(501, "Syntax: \"<path>\" [<from> <to>]")).await;
        };
        let wanted = Checksum { algorithm, from, to, reply: ChecksumReply::Plain };
        self.checksum(control, path, wanted).await
    }

    async fn checksum(&mut self, control: &mut Control, path: &str, wanted: Checksum) -> io::Result<Flow> {
        let path = match self.resolve(Operation::Hash, path) {
            Ok(path) => path,
            Err(reply) => return self.refuse(&reply).await,
        };
        let mut pending = Pending::new(Operation::Hash, path);
        pending.checksum = Some(wanted);
        let running = Running::command(&pending);
        Ok(self.perform(control, pending, running).await?.1)
    }

    /// RANG (draft-bryan-ftp-range): the first and the last byte for the next HASH; 1 and 0 take it back.
    pub(super) fn range(&mut self, argument: &str) -> Reply {
        let numbers: Option<Vec<u64>> =
            argument.split_whitespace().map(|number| number.parse().ok()).collect();
        match numbers.as_deref() {
            Some([1, 0]) => {
                self.settings.next.range = None;
                Reply::new(350, "The whole file")
            }
            Some(&[first, last]) if first <= last => {
                self.settings.next.range = Some((first, last));
                Reply::new(350, format!("Bytes {first} to {last}"))
            }
            _ => Reply::new(501, "Syntax: RANG <first byte> <last byte>"),
        }
    }

    /// OPTS HASH: tells or selects the algorithm.
    pub(super) fn select_hash(&mut self, name: &str) -> Reply {
        if !name.is_empty() {
            let Some(algorithm) = Algorithm::named(name) else {
                return Reply::new(504, "Unknown algorithm, the selection stays");
            };
            self.settings.hash = algorithm;
        }
        Reply::new(200, self.settings.hash.name())
    }
}

/// A path without its quotes and the bytes that follow it: all of them, or from one to before another. Semantics
/// decision: without quotes everything is the path, which may end in numbers.
fn quoted(argument: &str) -> Option<(&str, u64, Option<u64>)> {
    let Some((path, rest)) = argument.strip_prefix('"').and_then(|argument| argument.rsplit_once('"')) else {
        return Some((argument, 0, None));
    };
    let numbers: Option<Vec<u64>> = rest.split_whitespace().map(|number| number.parse().ok()).collect();
    match numbers?.as_slice() {
        [] => Some((path, 0, None)),
        &[from] => Some((path, from, None)),
        &[from, to] if from <= to => Some((path, from, Some(to))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_may_be_quoted_and_have_ranges() {
        assert_eq!(quoted("a b 1 2"), Some(("a b 1 2", 0, None)));
        assert_eq!(quoted("\"a b\""), Some(("a b", 0, None)));
        assert_eq!(quoted("\"a\" 5"), Some(("a", 5, None)));
        assert_eq!(quoted("\"a\" 5 9"), Some(("a", 5, Some(9))));
        assert_eq!(quoted("\"a"), Some(("\"a", 0, None)));
        for wrong in ["\"a\" x", "\"a\" 9 5", "\"a\" 1 2 3", "\"a\" -1"] {
            assert_eq!(quoted(wrong), None, "{wrong}");
        }
    }
}
