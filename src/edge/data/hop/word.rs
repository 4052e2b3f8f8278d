//! What a forwarder says to the owner between the client's bytes.

use std::num::NonZeroU32;

/// So many bytes each word has.
pub(super) const LENGTH: usize = 4;

/// A word of the forwarder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// So many of the client's bytes follow; fewer than `u32::MAX`.
    Piece(NonZeroU32),
    /// The client has ended its direction in order.
    End,
    /// Whatever the owner has sent, its end included, is with the kernel that talks to the client.
    Delivered,
}

impl Word {
    pub(super) fn to_bytes(self) -> [u8; LENGTH] {
        match self {
            Self::Piece(length) => length.get(),
            Self::End => 0,
            Self::Delivered => u32::MAX,
        }
        .to_be_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; LENGTH]) -> Self {
        match u32::from_be_bytes(bytes) {
            u32::MAX => Self::Delivered,
            length => NonZeroU32::new(length).map_or(Self::End, Self::Piece),
        }
    }
}
