//! What a store answered, and what that means: one table from the HTTP status and the code of S3, GCS or Azure.
//!
//! Sources: the error lists of the Amazon S3 API reference, of the Cloud Storage XML API and of Azure Blob Storage, and
//! what `MinIO` and Ceph send beside them.

/// The longest code or message that is kept of an answer.
const LONGEST_TEXT: usize = 300;

/// An answer that says no.
#[derive(Debug, thiserror::Error)]
#[error("the store answered {status} {code}: {message}")]
pub(super) struct Answer {
    status: u16,
    code: String,
    message: String,
}

/// What an answer means for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The store is busy or broken; the same request may go through in a moment.
    Busy,
    /// Another request is in the way of this one.
    Conflict,
    /// Something of that name is there already.
    Exists,
    /// The bucket is not there.
    NoBucket,
    /// The credentials may not do that.
    AccessDenied,
    /// The store does not know the credentials.
    BadCredentials,
    /// The credentials were good once.
    ExpiredCredentials,
    /// Our clock or the store's is wrong.
    ClockSkew,
    /// A retention period or a legal hold protects the object.
    Locked,
    /// The object is in an archive and must be restored before it can be read.
    Archived,
    /// The store cannot hold an object of that name.
    NameNotAllowed,
    /// The object is too large for the store.
    TooLarge,
    /// The store is full.
    NoSpace,
    /// The account has used up what it may.
    QuotaExceeded,
    /// The store does not have what the request asks for, and never will.
    NotSupported,
    /// None of these; nothing says that it would go better at once.
    Failed,
}

impl Answer {
    /// An answer with this status, code and message; either text may be empty.
    pub(super) fn new(status: u16, code: &str, message: &str) -> Self {
        let cut = |text: &str| text.chars().filter(|c| !c.is_control()).take(LONGEST_TEXT).collect();
        Self { status, code: cut(code), message: cut(message) }
    }

    /// What it means.
    pub(super) fn meaning(&self) -> Meaning {
        of_code(&self.code).unwrap_or_else(|| of_status(self.status))
    }
}

/// The answer that `error` comes from, if there was one.
pub(super) fn behind<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Answer> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(answer) = error.downcast_ref() {
            return Some(answer);
        }
        next = error.source();
    }
    None
}

/// The code tells most. One of these means the same whatever its status: some servers send it with another one.
fn of_code(code: &str) -> Option<Meaning> {
    Some(match code {
        "SlowDown"
        | "InternalError"
        | "ServiceUnavailable"
        | "ServerBusy"
        | "OperationTimedOut"
        | "RequestTimeout"
        | "Busy"
        | "TooManyRequests"
        | "XMinioServerNotInitialized" => Meaning::Busy,
        "OperationAborted" | "ConditionalRequestConflict" | "TransactionInProgress" => Meaning::Conflict,
        "BlobAlreadyExists" | "ResourceAlreadyExists" => Meaning::Exists,
        "NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted" | "ContainerDisabled" => {
            Meaning::NoBucket
        }
        "AccessDenied"
        | "AllAccessDisabled"
        | "AuthorizationFailure"
        | "AuthorizationPermissionMismatch"
        | "AuthorizationProtocolMismatch"
        | "AuthorizationSourceIPMismatch"
        | "AuthorizationServiceMismatch"
        | "InsufficientAccountPermissions"
        | "AccountProblem"
        | "AccountIsDisabled"
        | "NotSignedUp"
        | "UserProjectAccountProblem"
        | "BillingNotEnabled"
        | "PublicAccessNotPermitted" => Meaning::AccessDenied,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidSecurity"
        | "InvalidToken"
        | "NoAuthenticationInformation"
        | "InvalidAuthenticationInfo"
        | "AuthenticationRequired" => Meaning::BadCredentials,
        // Azure has one word for wrong, expired and skewed; a device must not drop its file for the latter.
        "ExpiredToken" | "TokenRefreshRequired" | "ExpiredTokenException" | "AuthenticationFailed" => {
            Meaning::ExpiredCredentials
        }
        "RequestTimeTooSkewed" | "RequestExpired" => Meaning::ClockSkew,
        "ObjectLocked"
        | "InvalidRetentionPeriod"
        | "RetentionPolicyNotMet"
        | "ObjectUnderActiveHold"
        | "BlobImmutableDueToPolicy"
        | "BlobImmutableDueToLegalHold" => Meaning::Locked,
        "InvalidObjectState" | "BlobArchived" | "BlobBeingRehydrated" => Meaning::Archived,
        "KeyTooLongError"
        | "KeyTooLong"
        | "InvalidURI"
        | "InvalidObjectName"
        | "XMinioInvalidObjectName"
        | "XMinioParentIsObject"
        | "XMinioObjectExistsAsDirectory"
        | "InvalidResourceName"
        | "OutOfRangeInput" => Meaning::NameNotAllowed,
        "EntityTooLarge" | "RequestBodyTooLarge" | "MaxMessageLengthExceeded" | "BlockCountExceedsLimit" => {
            Meaning::TooLarge
        }
        "XMinioStorageFull" | "InsufficientStorage" | "InsufficientCapacity" => Meaning::NoSpace,
        "QuotaExceeded"
        | "XMinioAdminBucketQuotaExceeded"
        | "AccountQuotaExceeded"
        | "StorageQuotaExceeded" => Meaning::QuotaExceeded,
        "NotImplemented"
        | "MethodNotAllowed"
        | "InvalidRequest"
        | "InvalidArgument"
        | "UnsupportedArgument"
        | "UnsupportedHttpVerb"
        | "UnsupportedHeader"
        | "FeatureNotSupported"
        | "InvalidStorageClass" => Meaning::NotSupported,
        _ => return None,
    })
}

/// Without a code that is known (a HEAD has no body, a proxy has its own words), the status must do.
fn of_status(status: u16) -> Meaning {
    match status {
        405 | 411 | 501 | 505 => Meaning::NotSupported,
        507 => Meaning::NoSpace,
        408 | 425 | 429 | 500..=599 => Meaning::Busy,
        409 => Meaning::Conflict,
        401 | 403 | 407 => Meaning::AccessDenied,
        413 => Meaning::TooLarge,
        414 => Meaning::NameNotAllowed,
        _ => Meaning::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_goes_before_the_status() {
        for (status, code, meaning) in [
            (403, "RequestTimeTooSkewed", Meaning::ClockSkew),
            (403, "QuotaExceeded", Meaning::QuotaExceeded),
            (400, "ExpiredToken", Meaning::ExpiredCredentials),
            (400, "SlowDown", Meaning::Busy),
            (503, "", Meaning::Busy),
            (507, "", Meaning::NoSpace),
            (403, "a code of a proxy's", Meaning::AccessDenied),
            (400, "", Meaning::Failed),
        ] {
            assert_eq!(Answer::new(status, code, "").meaning(), meaning, "{status} {code}");
        }
    }

    #[test]
    fn an_answer_is_found_behind_other_errors() {
        let answer = Answer::new(507, "", "full");
        let outer = object_store::Error::Generic { store: "S3", source: Box::new(answer) };
        assert!(behind(&outer).is_some());
        assert!(behind(&std::io::Error::other("none")).is_none());
    }

    #[test]
    fn its_words_are_bounded_and_of_one_line() {
        let answer = Answer::new(400, "a\nb", &"x".repeat(10_000));
        assert_eq!(answer.to_string().len(), "the store answered 400 ab: ".len() + LONGEST_TEXT);
    }
}
