//! `[transfer]`: how much memory transfers share and how far each works ahead.

use bytesize::ByteSize;

use super::section::Section;

/// `[transfer]`. `memory` is never less than `part_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferConfig {
    /// Bytes that all upload parts and download read-ahead of the process may hold together.
    pub memory: u64,
    /// Bytes of one part of a multipart upload; 5 MiB to 5 GiB, the limits of S3.
    pub part_size: u64,
    /// Parts of one upload that are sent at the same time; 1 to 64.
    pub upload_concurrency: usize,
    /// Ranges of one download that are fetched at the same time; 1 to 64.
    pub download_concurrency: usize,
}

const SMALLEST_PART: ByteSize = ByteSize::mib(5);
const LARGEST_PART: ByteSize = ByteSize::gib(5);

impl TransferConfig {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let legal_part = |size: &ByteSize| {
            if (SMALLEST_PART..=LARGEST_PART).contains(size) {
                Ok(())
            } else {
                Err("must be between 5MiB and 5GiB, the limits of S3".to_owned())
            }
        };
        let part_size = section.checked("part_size", ByteSize::mib(8), legal_part);
        let a_part_fits = |memory: &ByteSize| {
            if *memory >= part_size {
                Ok(())
            } else {
                Err(format!("must be at least transfer.part_size, which is {}", part_size.display().iec()))
            }
        };
        let config = Self {
            memory: section.checked("memory", ByteSize::mib(256), a_part_fits).as_u64(),
            part_size: part_size.as_u64(),
            upload_concurrency: section.checked("upload_concurrency", 4, one_to_64),
            download_concurrency: section.checked("download_concurrency", 4, one_to_64),
        };
        section.finish();
        config
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that `Section::checked` asks for")]
fn one_to_64(count: &usize) -> Result<(), String> {
    if (1..=64).contains(count) { Ok(()) } else { Err("must be between 1 and 64".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::error::Report;

    fn read(text: &str) -> (TransferConfig, Vec<String>) {
        let report = Report::default();
        let config = TransferConfig::read(Section::root(text.parse().expect("TOML"), &report));
        (config, report.into_errors().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn sizes_are_text_with_a_unit_or_bytes() {
        let (config, mistakes) = read("memory = \"1.5GiB\"\npart_size = 5242880");
        assert_eq!(mistakes, [""; 0]);
        assert_eq!((config.memory, config.part_size), (3 << 29, 5 << 20));
        assert_eq!(read("memory = \"20MB\"").0.memory, 20_000_000);
    }

    #[test]
    fn limits() {
        for (text, key) in [
            ("part_size = \"4MiB\"", "part_size: must be between 5MiB and 5GiB"),
            ("part_size = \"6GiB\"", "part_size: must be between"),
            ("part_size = \"5GiB\"", "memory: must be at least transfer.part_size, which is 5.0 GiB"),
            ("memory = \"7MiB\"", "memory: must be at least transfer.part_size, which is 8.0 MiB"),
            ("memory = -1", "memory: "),
            ("memory = \"lots\"", "memory: "),
            ("upload_concurrency = 0", "upload_concurrency: must be between 1 and 64"),
            ("download_concurrency = 65", "download_concurrency: must be between 1 and 64"),
        ] {
            let mistakes = read(text).1;
            assert!(mistakes.len() == 1 && mistakes[0].starts_with(key), "{text}: {mistakes:?}");
        }
    }
}
