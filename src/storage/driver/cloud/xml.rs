//! The small XML answers of S3 and of those who speak like it: errors, and that something is done.

use bytes::Bytes;
use quick_xml::Reader;
use quick_xml::de::from_reader;
use quick_xml::events::Event;
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ErrorAnswer {
    code: String,
    message: String,
}

/// The security token service wraps it once more.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Wrapped {
    error: ErrorAnswer,
}

/// All that is needed of the answer to a copy or to the end of a multipart upload.
#[derive(Debug, Deserialize, Serialize)]
struct Done {
    #[serde(rename = "ETag", default)]
    etag: String,
}

/// The code and the message, if `body` is an error.
pub(super) fn error(body: &[u8]) -> Option<(String, String)> {
    // What says that it is an error is one, whatever else it says.
    let ErrorAnswer { code, message } = match root(body)?.as_slice() {
        b"Error" => from_reader(body).unwrap_or_default(),
        b"ErrorResponse" => from_reader::<_, Wrapped>(body).unwrap_or_default().error,
        _ => return None,
    };
    Some((code, message))
}

/// `body` without the names in it, if it says that something is done.
pub(super) fn without_names(body: &[u8]) -> Option<Bytes> {
    let root = String::from_utf8(root(body)?).ok()?;
    if !["CompleteMultipartUploadResult", "CopyObjectResult", "CopyPartResult"].contains(&root.as_str()) {
        return None;
    }
    let done: Done = from_reader(body).ok()?;
    quick_xml::se::to_string_with_root(&root, &done).ok().map(Bytes::from)
}

/// The name of the outermost element.
pub(super) fn root(body: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::from_reader(body);
    loop {
        match reader.read_event().ok()? {
            Event::Start(element) | Event::Empty(element) => {
                return Some(element.local_name().as_ref().to_vec());
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_known_by_their_root() {
        let found = error(
            b"<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>a &amp; b</Message></Error>",
        );
        assert_eq!(found, Some(("SlowDown".to_owned(), "a & b".to_owned())));
        let wrapped = b"<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>ExpiredToken</Code></Error></ErrorResponse>";
        assert_eq!(error(wrapped), Some(("ExpiredToken".to_owned(), String::new())));
        assert_eq!(error(b"<Error/>"), Some((String::new(), String::new())));
        let deep = format!("{}{}", "<Error>".repeat(9000), "</Error>".repeat(9000));
        assert_eq!(error(deep.as_bytes()), Some((String::new(), String::new())));
        for other in [&b""[..], b"{\"error\": 1}", b"<CopyObjectResult><ETag>x</ETag></CopyObjectResult>"] {
            assert_eq!(error(other), None);
        }
    }

    #[test]
    fn only_the_etag_of_what_is_done_stays() {
        let body =
            b"<CompleteMultipartUploadResult xmlns=\"x\"><Key>SlowDown</Key><ETag>&quot;1-2&quot;</ETag>\
            </CompleteMultipartUploadResult>";
        let rest = without_names(body).expect("it is one");
        let rest = std::str::from_utf8(&rest).expect("UTF-8");
        assert!(rest.starts_with("<CompleteMultipartUploadResult>") && rest.contains("1-2"), "{rest}");
        assert!(!rest.contains("SlowDown"), "{rest}");
        assert_eq!(without_names(b""), None);
    }
}
