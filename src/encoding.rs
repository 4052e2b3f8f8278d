//! Names on the wire: from the bytes that a client sends to text, and back to bytes that mean the same.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};
use serde::Deserialize;

/// Stands for what cannot be read.
pub(crate) const UNREADABLE: &str = "\u{FFFD}";
/// Stands in replies for what cannot be written.
const UNWRITABLE: u8 = b'?';

/// An encoding in which ASCII is ASCII. What it decodes it encodes again to bytes that it decodes to the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NameEncoding(&'static Encoding);

impl Default for NameEncoding {
    fn default() -> Self {
        Self::UTF_8
    }
}

impl TryFrom<String> for NameEncoding {
    type Error = String;

    /// The encoding that has this label at the WHATWG.
    fn try_from(label: String) -> Result<Self, String> {
        let encoding = Encoding::for_label(label.as_bytes());
        let encoding =
            encoding.ok_or_else(|| format!("`{label}` is no encoding such as \"utf-8\" or \"gbk\""))?;
        // Verbs and slashes are ASCII.
        if encoding.is_ascii_compatible() {
            Ok(Self(encoding))
        } else {
            Err(format!("`{label}` is no encoding of names, because ASCII is not ASCII in it"))
        }
    }
}

impl NameEncoding {
    /// UTF-8.
    pub const UTF_8: Self = Self(UTF_8);

    /// Its name at the WHATWG.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// What `bytes` mean; none if they mean nothing, or what could not be written again.
    pub fn decode(self, bytes: &[u8]) -> Option<Cow<'_, str>> {
        let text = self.0.decode_without_bom_handling_and_without_replacement(bytes)?;
        // Some encodings have characters that they read and do not write: a file of such a name would be in no listing.
        self.encode(&text).is_some().then_some(text)
    }

    /// The bytes that mean `text`, if there are any.
    pub fn encode(self, text: &str) -> Option<Cow<'_, [u8]>> {
        if self == Self::UTF_8 || text.is_ascii() {
            return Some(Cow::Borrowed(text.as_bytes()));
        }
        let (bytes, _, unwritable) = self.0.encode(text);
        // Shift_JIS writes a backslash for the yen sign, which is then another name.
        let means = |bytes| self.0.decode_without_bom_handling_and_without_replacement(bytes);
        let same = !unwritable && means(&bytes).is_some_and(|back| back == text);
        same.then_some(bytes)
    }

    /// The same with a question mark for each character that cannot be written.
    pub fn encode_what_fits(self, text: &str) -> Cow<'_, [u8]> {
        self.encode(text).unwrap_or_else(|| {
            let mut bytes = Vec::with_capacity(text.len());
            for character in text.chars() {
                match self.encode(character.encode_utf8(&mut [0; 4])) {
                    Some(fits) => bytes.extend_from_slice(&fits),
                    None => bytes.push(UNWRITABLE),
                }
            }
            bytes.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labelled(label: &str) -> NameEncoding {
        NameEncoding::try_from(label.to_owned()).expect("a label")
    }

    #[test]
    fn labels_of_encodings_with_ascii_in_them() {
        assert_eq!(labelled("UTF8"), NameEncoding::UTF_8);
        assert_eq!(labelled("latin1").name(), "windows-1252");
        for wrong in ["", "klingon", "utf-16", "utf-16be", "iso-2022-jp", "replacement"] {
            assert!(NameEncoding::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_in_the_encodings_of_devices() {
        for (label, text, bytes) in [
            ("gbk", "中文", &b"\xd6\xd0\xce\xc4"[..]),
            ("gb18030", "🐟", b"\x94\x39\xcc\x35"),
            // The second byte of each is that of a backslash.
            ("shift_jis", "表ソ", b"\x95\x5c\x83\x5c"),
            ("big5", "功", b"\xa5\x5c"),
            ("gbk", "乗", b"\x81\x5c"),
            ("euc-kr", "한", b"\xc7\xd1"),
            ("windows-1252", "ÿé", b"\xff\xe9"),
            ("windows-1251", "я", b"\xff"),
            ("utf-8", "é", "é".as_bytes()),
        ] {
            let encoding = labelled(label);
            assert_eq!(encoding.decode(bytes).as_deref(), Some(text), "{label}");
            assert_eq!(encoding.encode(text).as_deref(), Some(bytes), "{label}");
        }
    }

    #[test]
    fn what_would_come_back_as_something_else_is_neither_taken_nor_written() {
        for (label, bytes) in [
            ("utf-8", &b"caf\xe9"[..]),
            ("utf-8", b"\xed\xa0\x80"),
            ("gbk", b"\xd6"),
            ("gbk", b"\x94\x39\xcc\x35"),
            ("big5", b"\x87\x40"),
            ("shift_jis", b"\x80\xff"),
        ] {
            assert_eq!(labelled(label).decode(bytes), None, "{label} {bytes:x?}");
        }
        for (label, text) in [("shift_jis", "¥"), ("gbk", "🐟"), ("windows-1252", "中"), ("big5", "é")] {
            assert_eq!(labelled(label).encode(text), None, "{label} {text}");
        }
        assert_eq!(&*labelled("gbk").encode_what_fits("中🐟 é"), b"\xd6\xd0? \xa8\xa6");
    }

    proptest! {
        #[test]
        fn names_come_back_as_they_were(
            label in prop::sample::select(vec![
                "utf-8", "gbk", "gb18030", "big5", "shift_jis", "euc-jp", "euc-kr", "windows-1252", "windows-1251",
                "koi8-r", "ibm866", "macintosh", "iso-8859-8", "windows-874", "x-user-defined",
            ]),
            text in "[a/\\\\¥~éяö中功表ソ한🐟\u{2212}\u{203e}\u{80}]{0,12}",
            any_text in any::<String>(),
            bytes in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            let encoding = labelled(label);
            if let Some(text) = encoding.decode(&bytes) {
                let again = encoding.encode(&text).expect("what was taken can be shown");
                prop_assert_eq!(&*encoding.decode(&again).expect("the same name"), &*text);
            }
            for text in [text, any_text] {
                if let Some(bytes) = encoding.encode(&text) {
                    prop_assert_eq!(&*encoding.decode(&bytes).expect("the same name"), &*text);
                    prop_assert_eq!(encoding.encode_what_fits(&text), bytes);
                }
            }
        }
    }
}
