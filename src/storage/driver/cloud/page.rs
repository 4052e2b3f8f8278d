//! One page of a listing as the store sent it: which keys there are, which of them can be named, and what comes next.

use chrono::{DateTime, Utc};
use object_store::ListResult;
use object_store::list::PaginatedListResult;
use quick_xml::DeError;
use quick_xml::de::from_reader;
use serde::Deserialize;

/// Who speaks which XML.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dialect {
    /// S3's `ListObjectsV2`, which Google Cloud Storage has as well.
    S3,
    /// Azure's List Blobs.
    Azure,
}

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) objects: Vec<Object>,
    /// What keys have in common up to the delimiter, that included.
    pub(super) prefixes: Vec<String>,
    pub(super) next: Next,
}

/// A key and what is known of its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) key: String,
    pub(super) size: u64,
    /// None if the store's time cannot be read.
    pub(super) modified: Option<DateTime<Utc>>,
}

/// What comes after a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    #[default]
    End,
    /// More, which has this name.
    Token(String),
    /// More, and the store does not say how to ask for it.
    Untold,
}

impl Page {
    /// Reads what the store sent.
    pub(super) fn parse(dialect: Dialect, body: &[u8]) -> Result<Self, DeError> {
        Ok(match dialect {
            Dialect::S3 => from_reader::<_, S3Page>(body)?.into(),
            Dialect::Azure => from_reader::<_, AzurePage>(body)?.into(),
        })
    }

    /// The page behind what `object_store` made of it.
    pub(super) fn of(listed: PaginatedListResult) -> Self {
        let PaginatedListResult { mut result, page_token } = listed;
        result.extensions.remove().unwrap_or_else(|| Self::of_objects(result, page_token))
    }

    /// For stores without XML.
    fn of_objects(result: ListResult, token: Option<String>) -> Self {
        let objects = result.objects.into_iter();
        Self {
            objects: objects
                .map(|meta| Object {
                    key: meta.location.into(),
                    size: meta.size,
                    modified: Some(meta.last_modified),
                })
                .collect(),
            prefixes: result.common_prefixes.into_iter().map(|prefix| format!("{prefix}/")).collect(),
            next: Next::of(token, false),
        }
    }
}

impl Next {
    fn of(token: Option<String>, truncated: bool) -> Self {
        match token.filter(|token| !token.is_empty()) {
            Some(token) => Self::Token(token),
            None if truncated => Self::Untold,
            None => Self::End,
        }
    }
}

impl Dialect {
    /// The outermost element of a page. Without a look at it, any XML would pass for an empty one.
    pub(super) fn root(self) -> &'static [u8] {
        match self {
            Self::S3 => b"ListBucketResult",
            Self::Azure => b"EnumerationResults",
        }
    }

    /// A page with nothing in it.
    pub(super) fn empty_page(self) -> &'static [u8] {
        match self {
            Self::S3 => b"<ListBucketResult></ListBucketResult>",
            Self::Azure => b"<EnumerationResults><Blobs></Blobs></EnumerationResults>",
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct S3Page {
    #[serde(default)]
    contents: Vec<S3Object>,
    #[serde(default)]
    common_prefixes: Vec<S3Prefix>,
    #[serde(default)]
    is_truncated: Option<String>,
    #[serde(default)]
    next_continuation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct S3Object {
    key: String,
    size: u64,
    #[serde(default)]
    last_modified: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct S3Prefix {
    prefix: String,
}

impl From<S3Page> for Page {
    fn from(page: S3Page) -> Self {
        let objects = page.contents.into_iter().map(|object| Object {
            key: object.key,
            size: object.size,
            modified: object
                .last_modified
                .and_then(|time| DateTime::parse_from_rfc3339(&time).ok().map(|time| time.to_utc())),
        });
        let truncated = page.is_truncated.map(|truncated| truncated.eq_ignore_ascii_case("true"));
        Self {
            objects: objects.collect(),
            prefixes: page.common_prefixes.into_iter().map(|prefix| prefix.prefix).collect(),
            // A token on a page that is the last one is a habit of some servers.
            next: match truncated {
                Some(false) => Next::End,
                Some(true) => Next::of(page.next_continuation_token, true),
                None => Next::of(page.next_continuation_token, false),
            },
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AzurePage {
    #[serde(default)]
    blobs: Option<AzureBlobs>,
    #[serde(default)]
    next_marker: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AzureBlobs {
    #[serde(default)]
    blob: Vec<AzureBlob>,
    #[serde(default)]
    blob_prefix: Vec<AzurePrefix>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AzureBlob {
    name: AzureName,
    properties: AzureProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AzurePrefix {
    name: AzureName,
}

#[derive(Deserialize)]
struct AzureName {
    /// Set where the name has characters that XML cannot hold; it is percent-encoded then.
    #[serde(rename = "@Encoded", default)]
    encoded: bool,
    #[serde(rename = "$text", default)]
    text: String,
}

#[derive(Deserialize)]
struct AzureProperties {
    #[serde(rename = "Content-Length", default)]
    size: u64,
    #[serde(rename = "Last-Modified", default)]
    modified: Option<String>,
    /// With a hierarchical namespace directories are listed as blobs, too.
    #[serde(rename = "ResourceType", default)]
    kind: Option<String>,
}

impl AzureName {
    /// A name that XML cannot hold is one that no client could be told.
    fn into_key(self) -> String {
        if self.encoded { format!("{}\0", self.text) } else { self.text }
    }
}

impl From<AzurePage> for Page {
    fn from(page: AzurePage) -> Self {
        let blobs = page.blobs.unwrap_or_default();
        let files =
            blobs.blob.into_iter().filter(|blob| blob.properties.kind.as_deref() != Some("directory"));
        let objects = files.map(|blob| Object {
            key: blob.name.into_key(),
            size: blob.properties.size,
            modified: blob
                .properties
                .modified
                .and_then(|time| DateTime::parse_from_rfc2822(&time).ok().map(|time| time.to_utc())),
        });
        Self {
            objects: objects.collect(),
            prefixes: blobs.blob_prefix.into_iter().map(|prefix| prefix.name.into_key()).collect(),
            next: Next::of(page.next_marker, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_s3() {
        let body = b"<ListBucketResult xmlns=\"x\"><Name>b</Name><IsTruncated>true</IsTruncated>\
            <Contents><Key> a&#x1;b </Key><LastModified>2026-01-02T03:04:05.678Z</LastModified><Size>7</Size></Contents>\
            <CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes>\
            <Contents><Key>c</Key><LastModified>yesterday</LastModified><Size>8</Size></Contents>\
            <NextContinuationToken>t</NextContinuationToken></ListBucketResult>";
        let page = Page::parse(Dialect::S3, body).expect("a page");
        let keys: Vec<_> = page.objects.iter().map(|object| (object.key.as_str(), object.size)).collect();
        assert_eq!(keys, [(" a\u{1}b ", 7), ("c", 8)]);
        assert!(page.objects[0].modified.is_some() && page.objects[1].modified.is_none());
        assert_eq!(page.prefixes, ["d/"]);
        assert_eq!(page.next, Next::Token("t".to_owned()));
    }

    #[test]
    fn what_comes_next() {
        for (rest, next) in [
            ("", Next::End),
            ("<IsTruncated>false</IsTruncated>", Next::End),
            ("<IsTruncated>true</IsTruncated>", Next::Untold),
            ("<IsTruncated>true</IsTruncated><NextContinuationToken/>", Next::Untold),
            ("<NextContinuationToken>t</NextContinuationToken>", Next::Token("t".to_owned())),
            ("<IsTruncated>false</IsTruncated><NextContinuationToken>t</NextContinuationToken>", Next::End),
        ] {
            let body = format!("<ListBucketResult>{rest}</ListBucketResult>");
            assert_eq!(Page::parse(Dialect::S3, body.as_bytes()).expect("a page").next, next, "{rest}");
        }
    }

    #[test]
    fn a_page_of_azure() {
        let body = "\u{feff}<?xml version=\"1.0\"?><EnumerationResults><Blobs>\
            <BlobPrefix><Name>d/</Name></BlobPrefix>\
            <Blob><Name>a</Name><Properties><Last-Modified>Fri, 02 Jan 2026 03:04:05 GMT</Last-Modified>\
            <Content-Length>7</Content-Length></Properties></Blob>\
            <Blob><Name Encoded=\"true\">b%0B</Name><Properties><Content-Length>8</Content-Length></Properties></Blob>\
            <Blob><Name>folder</Name><Properties><ResourceType>directory</ResourceType></Properties></Blob>\
            </Blobs><NextMarker>m</NextMarker></EnumerationResults>";
        let page = Page::parse(Dialect::Azure, body.as_bytes()).expect("a page");
        let keys: Vec<_> = page.objects.iter().map(|object| (object.key.as_str(), object.size)).collect();
        assert_eq!(keys, [("a", 7), ("b%0B\0", 8)]);
        assert!(page.objects[0].modified.is_some());
        assert_eq!(page.prefixes, ["d/"]);
        assert_eq!(page.next, Next::Token("m".to_owned()));
        let empty =
            Page::parse(Dialect::Azure, b"<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>");
        assert_eq!(empty.expect("a page"), Page::default());
    }

    #[test]
    fn object_store_takes_the_empty_pages() {
        // What it makes of them is looked at by the suite on a server; here only that they are pages.
        for dialect in [Dialect::S3, Dialect::Azure] {
            assert_eq!(Page::parse(dialect, dialect.empty_page()).expect("a page"), Page::default());
        }
    }
}
