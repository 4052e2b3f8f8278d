//! What an upload puts on its object beside its bytes: what kind of file it is, who uploaded it from where under which name, and
//! what the configuration wants on every object of the store.

use object_store::{Attribute, Attributes, TagSet};
use url::form_urlencoded::byte_serialize;

use crate::config::StoreConfig;
use crate::storage::driver::contract::Uploader;
use crate::storage::path::StorePath;

/// Names of user metadata. Azure takes only letters and digits in them.
const UPLOADER: &str = "bucketportuploader";
const CLIENT: &str = "bucketportclient";
const NAME: &str = "bucketportname";
/// The most of each that is kept, in bytes: S3 takes 2 KB of user metadata in all.
const LONGEST: usize = 600;

/// What the configuration wants on every object.
#[derive(Clone, Debug, Default)]
pub(in crate::storage) struct Labels {
    storage_class: Option<String>,
    tags: TagSet,
}

impl Labels {
    /// Those of a store.
    pub(in crate::storage) fn of(config: &StoreConfig) -> Self {
        let mut tags = TagSet::default();
        config.tags.iter().for_each(|(key, value)| tags.push(key, value));
        let storage_class = Some(config.storage_class.clone()).filter(|class| !class.is_empty());
        Self { storage_class, tags }
    }

    /// What goes onto a user's file at `path`. The gateway's own objects get none of it: they must not go to an archive.
    pub(super) fn for_file(&self, path: &StorePath, uploader: Uploader<'_>) -> (Attributes, TagSet) {
        let mut attributes = Attributes::new();
        if let Some(kind) = mime_guess::from_path(path.file_name()).first_raw() {
            attributes.insert(Attribute::ContentType, kind.into());
        }
        if let Some(class) = &self.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        // An IPv4 client of an IPv6 socket counts as IPv4.
        let client = uploader.address.map(|address| address.to_canonical().to_string());
        let named =
            [(NAME, Some(ascii(path.file_name()))), (UPLOADER, uploader.name.map(ascii)), (CLIENT, client)];
        for (key, value) in named.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            attributes.insert(Attribute::Metadata(key.into()), value.into());
        }
        (attributes, self.tags.clone())
    }
}

/// `text` as it may stand in a header: encoded as in a form, and cut between characters where it is too long.
fn ascii(text: &str) -> String {
    let mut encoded = String::new();
    for character in text.chars() {
        let more: String = byte_serialize(character.encode_utf8(&mut [0; 4]).as_bytes()).collect();
        if encoded.len() + more.len() > LONGEST {
            break;
        }
        encoded += &more;
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ascii_and_bounded() {
        assert_eq!(ascii("plain-name_1.csv"), "plain-name_1.csv");
        assert_eq!(ascii("é ü\n%"), "%C3%A9+%C3%BC%0A%25");
        let long = ascii(&"é".repeat(500));
        assert!(long.len() <= LONGEST && long.ends_with("%A9"), "{long}");
    }

    #[test]
    fn the_kind_is_that_of_the_extension() {
        let kind = |name: &str| {
            let path = StorePath::root().join(name).expect("a plain name");
            let (attributes, _) = Labels::default().for_file(&path, Uploader::default());
            attributes.get(&Attribute::ContentType).map(|kind| kind.as_ref().to_owned())
        };
        assert_eq!(kind("a/picture.JPG").as_deref(), Some("image/jpeg"));
        assert_eq!(kind("a.csv/report.txt").as_deref(), Some("text/plain"));
        assert_eq!(kind("noextension"), None);
    }
}
