//! The words of the replies: libunftp's are replaced from the verb, the code and the reason that the session holds.

use crate::control::Reply;
use crate::files::VirtualPath;
use crate::session::Session;

/// The reply to `verb` on `path` that the client gets for `reply` of libunftp.
pub(super) fn reworded(verb: &str, path: &VirtualPath, reply: Reply, session: &Session) -> Reply {
    if reply.code >= 400 {
        // Without a reason the fault is ours or libunftp's, whose words may be internal.
        return match session.take_failure() {
            Some(failure) => Reply::new(failure.code, failure.text),
            None => Reply::new(reply.code, "Not done"),
        };
    }
    match (verb, reply.code) {
        ("CWD", 250) => Reply::new(250, format!("Working directory is {}", quoted(path))),
        ("MKD", 257) => Reply::new(257, format!("{} created", quoted(path))),
        ("RMD", 250) => Reply::new(250, "Directory removed"),
        ("DELE", 250) => Reply::new(250, "File deleted"),
        ("RNFR", 350) => Reply::new(350, "Ready for RNTO"),
        ("RNTO", 250) => Reply::new(250, "Renamed"),
        // RFC 3659 section 7.2: the facts stand on a line of their own that begins with a space.
        ("MLST", 250) => Reply { code: 250, lines: mlst_lines(path, reply.lines) },
        // RFC 959 section 5.4 has 211, 212 and 213 for STAT; libunftp says 200.
        ("STAT", _) => Reply { code: 213, ..reply },
        (_, 226 | 250) => Reply::new(226, "Transfer complete"),
        _ => reply,
    }
}

fn mlst_lines(path: &VirtualPath, lines: Vec<String>) -> Vec<String> {
    // A directory has no size, whatever libunftp says.
    let facts = lines.into_iter().nth(1).unwrap_or_default().replacen("type=dir;size=0;", "type=dir;", 1);
    vec![format!("Listing {path}"), facts, "End".to_owned()]
}

/// A path as 257 shows it: in quotes, with its own quotes doubled (RFC 959 appendix II).
pub(super) fn quoted(path: &VirtualPath) -> String {
    format!("\"{}\"", path.as_str().replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_in_names_are_doubled() {
        let path = VirtualPath::root().resolve("a \"b\"").expect("plain");
        assert_eq!(quoted(&path), "\"/a \"\"b\"\"\"");
    }
}
