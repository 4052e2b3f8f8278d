//! The words of the replies: what was stated for the client comes first; libunftp's own are replaced.

use crate::path::VirtualPath;
use crate::reply::Reply;
use crate::session::Operation;

/// The reply to `operation` on `path` that the client gets, when libunftp says `reply` and `stated` was left for it.
pub(super) fn of(operation: Operation, path: &VirtualPath, reply: Reply, stated: Option<Reply>) -> Reply {
    if let Some(stated) = stated {
        return stated;
    }
    if reply.is_failure() {
        // The fault is ours or libunftp's, whose words may be internal.
        return Reply::new(reply.code, "Not done");
    }
    match operation {
        Operation::Cwd => Reply::new(250, format!("Working directory is {}", path.quoted())),
        Operation::Mkd => Reply::new(257, format!("{} created", path.quoted())),
        Operation::Rmd => Reply::new(250, "Directory removed"),
        Operation::Dele => Reply::new(250, "File deleted"),
        Operation::Rnfr => Reply::new(350, "Ready for RNTO"),
        Operation::Rnto => Reply::new(250, "Renamed"),
        // RFC 959 section 5.4 has 211, 212 and 213 for STAT; libunftp says 200.
        Operation::Stat => Reply { code: 213, ..reply },
        // The values of the first two need no words; the handler states the reply to each of the others.
        Operation::Size
        | Operation::Mdtm
        | Operation::Mfmt
        | Operation::Mlst
        | Operation::Hash
        | Operation::Stor
        | Operation::Appe
        | Operation::Retr
        | Operation::List
        | Operation::Nlst
        | Operation::Mlsd => reply,
    }
}

/// The reply to USER or PASS.
pub(super) fn of_login(reply: &Reply, stated: Option<Reply>) -> Reply {
    match (reply.code, stated) {
        (_, Some(stated)) => stated,
        (331, None) => Reply::new(331, "Password required"),
        (230, None) => Reply::new(230, "Logged in"),
        (_, None) => Reply::new(530, "Login incorrect"),
    }
}
