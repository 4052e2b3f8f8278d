//! From an error to the reply that the client gets (RFC 959 section 5.4), what libunftp is told, and what is counted.

use unftp_core::storage::ErrorKind;

use crate::data::DataError;
use crate::files;
use crate::metrics::TransferResult;
use crate::session::Failure;
use crate::storage;

/// The reply to `verb` when it fails with `error`.
pub(super) fn failure(verb: &str, error: &files::Error) -> Failure {
    let (code, text) = match error {
        files::Error::Denied(_) => (550, "Permission denied".to_owned()),
        files::Error::Root => (550, "Not possible with the root directory".to_owned()),
        files::Error::Reserved => (name_refused(verb), "This name is reserved".to_owned()),
        files::Error::Storage(error) => storage_failure(verb, error),
    };
    Failure { code, text }
}

fn storage_failure(verb: &str, error: &storage::Error) -> (u16, String) {
    use storage::Error as E;
    match error {
        E::NotFound => (550, "No such file or directory".to_owned()),
        E::IsADirectory => (550, "Is a directory".to_owned()),
        // RFC 3659 section 7.2.1: MLSD of a file is an error in its argument.
        E::NotADirectory if verb == "MLSD" => (501, "Not a directory".to_owned()),
        E::NotADirectory => (550, "Not a directory".to_owned()),
        E::AlreadyExists if verb == "MKD" => (550, "Already exists".to_owned()),
        E::AlreadyExists => (553, "Already exists and may not be replaced".to_owned()),
        E::NotEmpty => (550, "Directory not empty".to_owned()),
        E::NameNotAllowed(why) => (name_refused(verb), format!("File name not allowed: {why}")),
        // RFC 3659 section 5 leaves the code open; 554 is what RFC 1123 and servers use for a bad REST parameter.
        E::OffsetBeyondEnd => (554, "Restart offset lies beyond the end of the file".to_owned()),
        E::TooLarge(why) if verb == "RNTO" => (550, format!("File too large: {why}")),
        E::TooLarge(why) => (552, format!("File too large: {why}")),
        E::Changed => (450, "The file changed meanwhile, try again".to_owned()),
        E::NotSupported(why) => (550, format!("Not possible: {why}")),
        E::Refused(_) => (550, "The store refused access".to_owned()),
        E::NoSpace(_) => (452, "No space left in the store".to_owned()),
        // After its retries; a later try may go better, hence a transient code.
        E::Store(_) => (451, "The store failed, try again later".to_owned()),
        E::Data(DataError::NotOpened(why)) => (425, format!("Cannot open data connection: {why}")),
        E::Data(DataError::Lost(_)) => (426, "Data connection lost, transfer aborted".to_owned()),
        E::Data(error @ DataError::Stalled(_)) => (426, format!("Transfer aborted: {error}")),
        E::Data(DataError::ControlLost) => (426, "Control connection lost, transfer aborted".to_owned()),
        E::Data(DataError::Aborted) => (426, "Transfer aborted".to_owned()),
    }
}

/// 553 exists only in the replies to commands that write a file (RFC 959 section 5.4).
fn name_refused(verb: &str) -> u16 {
    if matches!(verb, "STOR" | "APPE" | "STOU" | "RNTO") { 553 } else { 550 }
}

/// What a failed transfer counts as.
pub(super) fn transfer_result(error: &files::Error) -> TransferResult {
    use storage::Error as E;
    match error {
        files::Error::Denied(_) | files::Error::Root | files::Error::Reserved => TransferResult::Rejected,
        files::Error::Storage(error) => match error {
            E::NotFound
            | E::IsADirectory
            | E::NotADirectory
            | E::AlreadyExists
            | E::NotEmpty
            | E::NameNotAllowed(_)
            | E::OffsetBeyondEnd
            | E::TooLarge(_)
            | E::NotSupported(_) => TransferResult::Rejected,
            E::Changed | E::Refused(_) | E::NoSpace(_) | E::Store(_) => TransferResult::StoreError,
            E::Data(DataError::NotOpened(_) | DataError::Lost(_) | DataError::ControlLost) => {
                TransferResult::ClientLost
            }
            E::Data(DataError::Stalled(_)) => TransferResult::Stalled,
            E::Data(DataError::Aborted) => TransferResult::Aborted,
        },
    }
}

/// What libunftp is told. The client's reply comes from [`failure`]; this only feeds libunftp's own metrics.
pub(super) fn kind(error: &files::Error) -> ErrorKind {
    match transfer_result(error) {
        TransferResult::StoreError => ErrorKind::LocalError,
        TransferResult::ClientLost | TransferResult::Stalled | TransferResult::Aborted => {
            ErrorKind::ConnectionClosed
        }
        TransferResult::Rejected | TransferResult::Ok => match error {
            files::Error::Denied(_) => ErrorKind::PermissionDenied,
            _ => ErrorKind::PermanentFileNotAvailable,
        },
    }
}
