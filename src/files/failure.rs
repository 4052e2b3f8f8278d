//! From an error to the reply that the client gets (RFC 959 section 5.4) and to what is counted. Exhaustive, so that a
//! new error is not forgotten here.

use super::error::Error;
use crate::data::DataError;
use crate::events::Unannounced;
use crate::limits::Exceeded;
use crate::metrics::TransferResult;
use crate::reply::Reply;
use crate::session::Operation;
use crate::storage;

/// The reply to `operation` when it fails with `error`.
pub(crate) fn failure(operation: Operation, error: &Error) -> Reply {
    let (code, text) = match error {
        Error::Denied(_) => (550, "Permission denied".to_owned()),
        Error::Root => (550, "Not possible with the root directory".to_owned()),
        Error::Mounted => (operation.name_refused(), "Not possible with a mounted folder".to_owned()),
        Error::OutsideOfMounts => {
            (operation.name_refused(), "There are only mounted folders here, nothing else can be".to_owned())
        }
        Error::AcrossMounts => (553, "Files cannot be renamed from one mounted folder to another".to_owned()),
        Error::AcrossRules => (553, "Other rules hold for what is in the directory there".to_owned()),
        Error::Name(why) => (operation.name_refused(), format!("File name not allowed: {why}")),
        Error::Reserved => (operation.name_refused(), "This name is reserved".to_owned()),
        // What went wrong is ours alone to know; a later try may go better, hence a transient code.
        Error::Internal(_) => (451, "The server failed, try again later".to_owned()),
        Error::Unannounced(Unannounced::NoRoom(_)) => {
            (451, "Too much has happened that nobody was told of yet, try again later".to_owned())
        }
        Error::Unannounced(Unannounced::Failing(_)) => {
            (451, "Those who must be told cannot be at present, nothing was done: try again later".to_owned())
        }
        Error::Unannounced(Unannounced::NotKept(_)) => {
            (451, "Done, but it could not be told to those who must know: do it again later".to_owned())
        }
        Error::Storage(error) => storage_failure(operation, error),
    };
    Reply::new(code, text)
}

fn storage_failure(operation: Operation, error: &storage::Error) -> (u16, String) {
    use storage::Error as E;
    match error {
        E::NotFound => (550, "No such file or directory".to_owned()),
        E::IsADirectory => (550, "Is a directory".to_owned()),
        // RFC 3659 section 7.2.1: MLSD of a file is an error in its argument.
        E::NotADirectory if operation == Operation::Mlsd => (501, "Not a directory".to_owned()),
        E::NotADirectory => (550, "Not a directory".to_owned()),
        E::AlreadyExists if operation == Operation::Mkd => (550, "Already exists".to_owned()),
        E::AlreadyExists => (553, "Already exists and may not be replaced".to_owned()),
        E::NotEmpty => (550, "Directory not empty".to_owned()),
        E::NameNotAllowed(why) => (operation.name_refused(), format!("File name not allowed: {why}")),
        // RFC 3659 section 5 leaves the code open; 554 is what RFC 1123 and servers use for a bad REST parameter.
        E::OffsetBeyondEnd => (554, "Restart offset lies beyond the end of the file".to_owned()),
        E::OffsetNotKept(first) => (554, format!("The upload goes on at byte {first} at the earliest")),
        E::TooLarge(why) if operation == Operation::Rnto => (550, format!("File too large: {why}")),
        E::TooLarge(why) => (552, format!("File too large: {why}")),
        E::Replaced => (426, "The file was replaced while it was sent, transfer aborted".to_owned()),
        E::Changed => (450, "The file changed meanwhile, try again".to_owned()),
        E::Busy => (450, "Another session is uploading this file, try again later".to_owned()),
        E::NotSupported(why) => (550, format!("Not possible: {why}")),
        E::Refused(_) => (550, "The store refused access".to_owned()),
        E::Locked(_) => (550, "The store protects the file against changes".to_owned()),
        E::Archived(_) => (550, "The file is archived and must be restored first".to_owned()),
        // Whoever runs the gateway can mend these while the client tries again.
        E::ClockSkew(_) => {
            (451, "The store does not accept the time of this server, try again later".to_owned())
        }
        E::ExpiredCredentials(_) => {
            (451, "The store does not accept this server's credentials any more, try again later".to_owned())
        }
        E::NoSpace(_) => (452, "No space left in the store".to_owned()),
        // RFC 959 section 4.2.2: exceeded storage allocation.
        E::QuotaExceeded(_) => (552, "The quota of the store is used up".to_owned()),
        // After its retries; a later try may go better, hence a transient code.
        E::Store(_) => (451, "The store failed, try again later".to_owned()),
        E::Data(DataError::NotOpened(why)) => (425, format!("Cannot open data connection: {why}")),
        // RFC 4217 section 9 for a session that is not resumed, and where nothing else says what failed.
        E::Data(DataError::NotSecured(why)) => (522, format!("Cannot secure data connection: {why}")),
        E::Data(DataError::Lost(_)) => (426, "Data connection lost, transfer aborted".to_owned()),
        E::Data(error @ DataError::Stalled(_)) => (426, format!("Transfer aborted: {error}")),
        E::Data(DataError::Exceeded(exceeded)) => limit_exceeded(*exceeded),
        // RFC 959 section 4.1.3 knows ABOR during a transfer only; 451 is its "requested action aborted".
        E::Data(DataError::ControlLost | DataError::Aborted) if !operation.has_data_connection() => {
            (451, "Aborted".to_owned())
        }
        E::Data(DataError::ControlLost) => (426, "Control connection lost, transfer aborted".to_owned()),
        E::Data(DataError::Aborted) => (426, "Transfer aborted".to_owned()),
    }
}

fn limit_exceeded(exceeded: Exceeded) -> (u16, String) {
    match exceeded {
        Exceeded::FileSize(_) => (552, format!("File too large: {exceeded}")),
        // Semantics decision: tomorrow it is possible, hence a transient code, after which devices try again.
        Exceeded::FilesPerDay { .. } | Exceeded::BytesPerDay { .. } => {
            (452, format!("Not today: {exceeded}, counted anew from 00:00 UTC on"))
        }
    }
}

/// What a failed transfer counts as.
pub(crate) fn transfer_result(error: &Error) -> TransferResult {
    use storage::Error as E;
    match error {
        Error::Denied(_)
        | Error::Root
        | Error::Mounted
        | Error::OutsideOfMounts
        | Error::AcrossMounts
        | Error::AcrossRules
        | Error::Name(_)
        | Error::Reserved
        | Error::Unannounced(Unannounced::NoRoom(_)) => TransferResult::Rejected,
        Error::Internal(_) | Error::Unannounced(Unannounced::Failing(_) | Unannounced::NotKept(_)) => {
            TransferResult::ServerError
        }
        Error::Storage(error) => match error {
            E::NotFound
            | E::IsADirectory
            | E::NotADirectory
            | E::AlreadyExists
            | E::NotEmpty
            | E::NameNotAllowed(_)
            | E::OffsetBeyondEnd
            | E::OffsetNotKept(_)
            | E::Busy
            | E::TooLarge(_)
            | E::NotSupported(_)
            | E::Data(DataError::Exceeded(_)) => TransferResult::Rejected,
            E::Changed
            | E::Replaced
            | E::Refused(_)
            | E::ClockSkew(_)
            | E::ExpiredCredentials(_)
            | E::Locked(_)
            | E::Archived(_)
            | E::NoSpace(_)
            | E::QuotaExceeded(_)
            | E::Store(_) => TransferResult::StoreError,
            E::Data(
                DataError::NotOpened(_)
                | DataError::NotSecured(_)
                | DataError::Lost(_)
                | DataError::ControlLost,
            ) => TransferResult::ClientLost,
            E::Data(DataError::Stalled(_)) => TransferResult::Stalled,
            E::Data(DataError::Aborted) => TransferResult::Aborted,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_a_failed_transfer_is() {
        let result = |error: storage::Error| transfer_result(&Error::Storage(error));
        assert_eq!(transfer_result(&Error::Internal("panic".to_owned())), TransferResult::ServerError);
        assert_eq!(transfer_result(&Error::Root), TransferResult::Rejected);
        assert_eq!(result(storage::Error::NotFound), TransferResult::Rejected);
        assert_eq!(result(storage::Error::Changed), TransferResult::StoreError);
        assert_eq!(result(storage::Error::Data(DataError::ControlLost)), TransferResult::ClientLost);
        assert_eq!(result(storage::Error::Data(DataError::Aborted)), TransferResult::Aborted);
    }
}
