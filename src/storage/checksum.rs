//! The SHA-256 of a file's content, kept beside it where that costs no second look at the bytes.

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};

/// A SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Checksum([u8; 32]);

impl Checksum {
    /// Of these bytes.
    pub(in crate::storage) fn of(bytes: &[u8]) -> Self {
        Self::from_digest(&digest(&SHA256, bytes))
    }

    /// As hexadecimal text; none if it is not that.
    pub(in crate::storage) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    fn from_digest(digest: &Digest) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hasher").finish_non_exhaustive()
    }
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Hashes bytes as they pass.
pub(in crate::storage) struct Hasher(Context);

impl Hasher {
    pub(in crate::storage) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(in crate::storage) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(in crate::storage) fn finish(self) -> Checksum {
        Checksum::from_digest(&self.0.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Checksum::of(b"").to_string(), empty);
        assert_eq!(Checksum::parse(empty), Some(Checksum::of(b"")));
        let mut hasher = Hasher::new();
        hasher.update(b"two ");
        hasher.update(b"pieces");
        assert_eq!(hasher.finish(), Checksum::of(b"two pieces"));
        for wrong in ["", "e3b0", &empty[1..], &format!("{empty}00"), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(Checksum::parse(wrong), None, "{wrong}");
        }
    }
}
