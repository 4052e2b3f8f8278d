//! How large each part of a multipart upload is.
//!
//! S3 takes 10,000 parts and objects of 5 TiB. Small parts are better as long as they will do: they cost less memory,
//! and less is sent again when one fails. So parts keep their size as long as what they leave is enough for the largest
//! object, then it doubles every 250 parts. No part is larger than what transfers may hold in memory.

/// What S3 takes.
pub(super) const MAX_PARTS: usize = 10_000;
const LARGEST_OBJECT: u64 = 5 << 40;
/// Azure's largest block; S3 would take 5 GiB.
const LARGEST_PART: u64 = 4_000 << 20;
/// Where memory is too small for the largest object, so many parts keep their size.
const FEWEST_EQUAL: usize = 4_000;
const PARTS_PER_DOUBLING: usize = 250;

/// The sizes of the parts of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartSizes {
    first: u64,
    /// So many parts have the first size.
    equal: usize,
    doublings: usize,
}

impl PartSizes {
    /// Parts that all have the size `first`.
    pub(super) fn equal(first: u64) -> Self {
        Self { first, equal: MAX_PARTS, doublings: 0 }
    }

    /// Parts that begin with the size `first` and grow up to `memory`.
    pub(super) fn growing(first: u64, memory: u64) -> Self {
        let times = memory.min(LARGEST_PART) / first;
        let doublings = times.checked_ilog2().map_or(0, |doublings| doublings as usize);
        let mut sizes = Self { first, equal: MAX_PARTS, doublings };
        while sizes.equal > FEWEST_EQUAL && sizes.largest_object() < LARGEST_OBJECT {
            sizes.equal -= 1;
        }
        sizes
    }

    /// The size of part `index`; none beyond the last that a store takes.
    pub(super) fn of(&self, index: usize) -> Option<u64> {
        if index >= MAX_PARTS {
            return None;
        }
        let doublings = match index.checked_sub(self.equal) {
            Some(beyond) => (1 + beyond / PARTS_PER_DOUBLING).min(self.doublings),
            None => 0,
        };
        Some(self.first << doublings)
    }

    /// What fits into all parts together.
    fn largest_object(&self) -> u64 {
        let grown = MAX_PARTS - self.equal;
        let growing = (1..self.doublings).map(|doublings| {
            let before = (doublings - 1) * PARTS_PER_DOUBLING;
            (grown.saturating_sub(before).min(PARTS_PER_DOUBLING) as u64) * (self.first << doublings)
        });
        let largest = grown.saturating_sub(self.doublings.saturating_sub(1) * PARTS_PER_DOUBLING) as u64;
        (self.equal as u64) * self.first + growing.sum::<u64>() + largest * (self.first << self.doublings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn sizes(sizes: PartSizes) -> Vec<u64> {
        (0..MAX_PARTS).map(|index| sizes.of(index).expect("below the limit")).collect()
    }

    #[test]
    fn the_largest_object_fits_where_memory_allows() {
        for (first, memory) in
            [(5 * MIB, 2 * GIB), (8 * MIB, 2 * GIB), (64 * MIB, GIB), (525 * MIB, 525 * MIB)]
        {
            let growing = PartSizes::growing(first, memory);
            let parts = sizes(growing);
            let total: u64 = parts.iter().sum();
            assert!(total >= LARGEST_OBJECT, "{first} {memory}: {total}");
            assert_eq!(total, growing.largest_object(), "{first} {memory}");
        }
    }

    #[test]
    fn parts_only_grow_and_always_fit_into_memory() {
        for first in [5 * MIB, 8 * MIB, 100 * MIB, 5 * GIB] {
            for memory in [first, 256 * MIB, GIB, 64 * GIB].into_iter().filter(|memory| *memory >= first) {
                let growing = PartSizes::growing(first, memory);
                let parts = sizes(growing);
                assert!(parts.is_sorted(), "{first} {memory}");
                assert_eq!(parts[0], first);
                assert!(parts.iter().all(|size| *size <= memory.min(5 * GIB)), "{first} {memory}");
                assert!(parts[FEWEST_EQUAL - 1] == first, "{first} {memory}: grows too early");
                assert_eq!(parts.iter().sum::<u64>(), growing.largest_object(), "{first} {memory}");
                assert_eq!(growing.of(MAX_PARTS), None);
            }
        }
    }

    /// The figures of `docs/configuration.md`.
    #[test]
    fn figures_of_the_documentation() {
        let gib = |first, memory| PartSizes::growing(first * MIB, memory * MIB).largest_object() / GIB;
        assert_eq!(gib(8, 256), 1_339);
        assert_eq!(gib(8, 1024), 4_777);
        assert_eq!(gib(8, 2048), 5_120);
        assert_eq!(gib(5, 64), 241);
        let equal =
            sizes(PartSizes::growing(8 * MIB, 2 * GIB)).iter().filter(|size| **size == 8 * MIB).count();
        assert_eq!(equal, 5_961);
    }

    #[test]
    fn equal_parts_stay_equal() {
        let equal = PartSizes::equal(8 * MIB);
        assert!(sizes(equal).iter().all(|size| *size == 8 * MIB));
        assert_eq!(equal.of(MAX_PARTS), None);
    }
}
