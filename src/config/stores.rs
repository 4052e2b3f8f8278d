//! `[stores.NAME]`: the buckets, containers and folders that hold the files.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::section::Section;
use super::value::{OptionText, span};

/// `[stores.NAME]`.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct StoreConfig {
    /// What kind of store it is, which bucket, and the prefix inside it. The scheme is a known one; a `file:`
    /// URL is an absolute path, and every scheme but `file` and `memory` names a bucket or container.
    pub url: Url,
    /// Name of the hidden object that stands for an empty directory; a legal single file name.
    pub directory_marker: String,
    /// Whether an upload may replace an existing file.
    pub overwrite: bool,
    /// Whether an upload below a file, or onto a directory's name, is refused. Costs requests on object stores; a local
    /// folder always refuses it.
    pub check_parents: bool,
    /// What speaks with the store.
    pub driver: StoreDriver,
    /// Whether an upload to a local folder is durable before it is confirmed.
    pub fsync: bool,
    /// Whether all parts of a multipart upload but the last have one size.
    pub equal_parts: bool,
    /// For how long what arrived of a broken upload is kept, to be taken up again; zero keeps nothing.
    pub resume_window: Duration,
    /// The storage class of uploads; empty for the store's own default.
    pub storage_class: String,
    /// Tags of uploads.
    pub tags: BTreeMap<String, String>,
    /// Options of the store's client by name; the names are checked when the store is built.
    pub options: BTreeMap<String, SecretString>,
}

/// `stores.NAME.driver`: the library that speaks with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum StoreDriver {
    /// The crate `object_store`, for every kind of store.
    #[serde(rename = "object_store")]
    ObjectStore,
    /// The crate `unftp-sbe-gcs`, for Google Cloud Storage.
    #[serde(rename = "unftp-sbe-gcs")]
    UnftpSbeGcs,
}

/// All stores, and the names of those as well that could not be read: a user that names one of them has made
/// no mistake.
pub(super) struct Stores {
    pub(super) read: BTreeMap<String, StoreConfig>,
    pub(super) names: BTreeSet<String>,
}

const SCHEMES: [&str; 10] = ["s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss", "file", "memory"];

impl Stores {
    pub(super) fn read(section: Section<'_>) -> Self {
        let report = section.report();
        let path = section.path().to_owned();
        let sections = section.into_named_sections();
        if sections.is_empty() {
            report.error(path, "at least one store is needed, such as [stores.landing]");
        }
        let names = sections.iter().map(|(name, _)| name.clone()).collect();
        let read = sections.into_iter().filter_map(|(name, section)| {
            // The name is a metric label and part of log lines.
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || !name.chars().all(legal) {
                report.error(section.path(), "a store's name may hold only letters, digits, `-` and `_`");
            }
            Some((name, StoreConfig::read(section)?))
        });
        Self { read: read.collect(), names }
    }
}

impl StoreConfig {
    /// A store at `url`, with every other key at its default.
    pub fn at(url: Url) -> Self {
        Self {
            url,
            directory_marker: ".keep".to_owned(),
            overwrite: true,
            check_parents: false,
            driver: StoreDriver::ObjectStore,
            fsync: false,
            equal_parts: false,
            resume_window: Duration::ZERO,
            storage_class: String::new(),
            tags: BTreeMap::new(),
            options: BTreeMap::new(),
        }
    }

    fn read(mut section: Section<'_>) -> Option<Self> {
        let url = section.required::<String>("url").and_then(|text| {
            let parsed = parse_url(&text);
            parsed.map_err(|message| section.error("url", message)).ok()
        });
        let directory_marker =
            section.checked("directory_marker", ".keep".to_owned(), |name| check_marker(name));
        let overwrite = section.field("overwrite", true);
        let check_parents = section.field("check_parents", false);
        let driver = section.field("driver", StoreDriver::ObjectStore);
        let fsync = section.field("fsync", false);
        let equal_parts = section.field("equal_parts", false);
        let resume_window = span(&mut section, "resume_window", Duration::ZERO);
        let storage_class =
            section.checked("storage_class", String::new(), |class| check_storage_class(class));
        let tags = section.checked("tags", BTreeMap::new(), check_tags);
        let scheme = url.as_ref().map(Url::scheme);
        if scheme == Some("file") && !(storage_class.is_empty() && tags.is_empty()) {
            let key = if tags.is_empty() { "storage_class" } else { "tags" };
            section.error(key, "is for object stores only; files in a folder have none");
        }
        if driver == StoreDriver::UnftpSbeGcs && scheme.is_some_and(|scheme| scheme != "gs") {
            section.error("driver", "`unftp-sbe-gcs` is for gs:// stores only");
        }
        if driver == StoreDriver::UnftpSbeGcs && !storage_class.is_empty() {
            section.error("storage_class", "is not carried by driver = \"unftp-sbe-gcs\"");
        }
        if scheme == Some("gs") && !tags.is_empty() {
            section.error("tags", "are not known to Google Cloud Storage");
        }
        if driver == StoreDriver::UnftpSbeGcs && !resume_window.is_zero() {
            section.error(
                "resume_window",
                "must be \"0s\" with driver = \"unftp-sbe-gcs\", whose uploads cannot be kept",
            );
        }
        if fsync && scheme.is_some_and(|scheme| scheme != "file") {
            section.error("fsync", "is for file:// stores only; the others confirm only what is durable");
        }
        let options = section.section("options").into_fields::<OptionText>();
        section.finish();
        let options = options.into_iter().map(|(name, value)| (name, value.0)).collect();
        Some(Self {
            url: url?,
            directory_marker,
            overwrite,
            check_parents,
            driver,
            fsync,
            equal_parts,
            resume_window,
            storage_class,
            tags,
            options,
        })
    }
}

/// Messages do not repeat the URL, as it may hold a password.
fn parse_url(text: &str) -> Result<Url, String> {
    let url =
        Url::parse(text).map_err(|error| format!("is not a URL such as s3://bucket/prefix: {error}"))?;
    match url.scheme() {
        "file" if url.to_file_path().is_err() => {
            Err("must be an absolute path, such as file:///srv/data".to_owned())
        }
        "file" | "memory" => Ok(url),
        scheme if !SCHEMES.contains(&scheme) => {
            Err(format!("`{scheme}` is not a known scheme; known are {}", SCHEMES.join(", ")))
        }
        scheme if url.host_str().is_none_or(str::is_empty) => {
            Err(format!("names no bucket; expected {scheme}://bucket/prefix"))
        }
        _ => Ok(url),
    }
}

fn check_storage_class(class: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if class.chars().all(legal) { Ok(()) } else { Err("must be a name such as \"STANDARD_IA\"".to_owned()) }
}

/// The limits of S3; Azure's are the same.
fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), String> {
    let legal = |text: &str, longest| text.chars().count() <= longest && !text.chars().any(char::is_control);
    if tags.len() > 10 {
        return Err("at most 10 tags, the limit of S3".to_owned());
    }
    match tags.iter().find(|(key, value)| key.is_empty() || !legal(key, 128) || !legal(value, 256)) {
        Some((key, _)) => Err(format!("`{key}`: a tag's key has 1 to 128 characters, its value 256 at most")),
        None => Ok(()),
    }
}

fn check_marker(name: &str) -> Result<(), String> {
    if name.is_empty()
        || name == "."
        || name == ".."
        || name.contains('/')
        || name.chars().any(char::is_control)
    {
        return Err("must be a single legal file name, such as \".keep\"".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for legal in [
            "s3://bucket/prefix",
            "s3a://bucket",
            "gs://bucket/a/b",
            "az://container/prefix",
            "abfss://container@account.dfs.core.windows.net/prefix",
            "file:///srv/data",
            "memory:///",
        ] {
            assert!(parse_url(legal).is_ok(), "{legal}");
        }
        for wrong in
            ["", "bucket/prefix", "/srv/data", "s3:///prefix", "https://bucket", "file://./data", "s3:bucket"]
        {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn classes_and_tags() {
        assert!(check_storage_class("").is_ok() && check_storage_class("STANDARD_IA").is_ok());
        assert!(check_storage_class("a b").is_err() && check_storage_class("a\r\nx-y: z").is_err());
        let tags = |count: usize, key: &str, value: &str| {
            check_tags(&(0..count).map(|number| (format!("{key}{number}"), value.to_owned())).collect())
        };
        assert!(tags(10, "key", "value").is_ok());
        assert!(tags(11, "key", "value").is_err());
        assert!(tags(1, &"k".repeat(128), "value").is_err());
        assert!(tags(1, "key", &"v".repeat(257)).is_err());
        assert!(tags(1, "key", "new\nline").is_err());
    }

    #[test]
    fn markers_are_single_names() {
        assert!(check_marker(".keep").is_ok());
        for wrong in ["", ".", "..", "a/b", "/", "a\nb"] {
            assert!(check_marker(wrong).is_err(), "{wrong:?}");
        }
    }
}
