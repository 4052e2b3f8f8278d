//! The checksums of a file's content that clients ask for (HASH, XCRC and their like): which there are, and computing
//! them.

use std::fmt::Write;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512};
use crc_fast::CrcAlgorithm;
use md5::{Digest as _, Md5};

/// How a checksum is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Algorithm {
    #[default]
    Sha256,
    Sha512,
    Sha1,
    Md5,
    Crc32,
}

impl Algorithm {
    /// Every algorithm, in the order in which FEAT shows them.
    pub(crate) const ALL: [Self; 5] = [Self::Sha256, Self::Sha512, Self::Sha1, Self::Md5, Self::Crc32];

    /// The name in the registry of draft-ietf-ftpext2-hash.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
            Self::Sha1 => "SHA-1",
            Self::Md5 => "MD5",
            Self::Crc32 => "CRC32",
        }
    }

    /// The algorithm of that name in any case, with or without its hyphen.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let plain = |name: &str| name.replace('-', "").to_ascii_uppercase();
        Self::ALL.into_iter().find(|algorithm| plain(algorithm.name()) == plain(name))
    }
}

/// Computes a checksum of bytes as they pass.
pub(crate) enum Hasher {
    /// Any of the SHA family.
    Sha(Context),
    Md5(Md5),
    Crc32(Box<crc_fast::Digest>),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha(Context::new(&SHA256)),
            Algorithm::Sha512 => Self::Sha(Context::new(&SHA512)),
            Algorithm::Sha1 => Self::Sha(Context::new(&SHA1_FOR_LEGACY_USE_ONLY)),
            Algorithm::Md5 => Self::Md5(Md5::new()),
            Algorithm::Crc32 => Self::Crc32(Box::new(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc))),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha(context) => context.update(bytes),
            Self::Md5(md5) => md5.update(bytes),
            Self::Crc32(crc) => crc.update(bytes),
        }
    }

    /// The checksum in hexadecimal digits.
    pub(crate) fn finish(self) -> String {
        match self {
            Self::Sha(context) => hex(context.finish().as_ref()),
            Self::Md5(md5) => hex(&md5.finalize()),
            Self::Crc32(crc) => format!("{:08x}", crc.finalize()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards() {
        for (algorithm, expected) in [
            (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                Algorithm::Sha512,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Crc32, "352441c2"),
        ] {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"a");
            hasher.update(b"bc");
            assert_eq!(hasher.finish(), expected, "{algorithm:?}");
        }
    }

    #[test]
    fn algorithms_are_found_by_their_names() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
        }
        assert_eq!(Algorithm::named("sha256"), Some(Algorithm::Sha256));
        assert_eq!(Algorithm::named("SHA"), None);
    }
}
