//! The part of an upload that is being filled, and what it costs in memory.

use std::sync::Arc;

use bytes::Bytes;

use super::budget::{Budget, Buffer, Charge};

/// Bytes that have arrived and were not sent yet.
#[derive(Debug)]
pub(super) struct Part {
    budget: Arc<Budget>,
    full: Vec<Bytes>,
    buffer: Buffer,
    len: usize,
    charge: Charge,
}

impl Part {
    /// An empty part that holds no memory.
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            full: Vec::new(),
            buffer: Buffer::default(),
            len: 0,
            charge: budget.charge(),
        }
    }

    /// Bytes in it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether there is room to read into without more memory.
    pub(super) fn has_room(&self) -> bool {
        self.buffer.has_room()
    }

    /// Takes `size` bytes of memory more, if they are free.
    pub(super) fn try_extend(&mut self, size: usize) -> bool {
        let taken = self.charge.try_grow(size);
        if taken {
            self.next_buffer(self.budget.buffer(size));
        }
        taken
    }

    /// Takes `size` bytes of memory more, when they can be had.
    pub(super) async fn extend(&mut self, size: usize) {
        self.charge.grow(size).await;
        self.next_buffer(self.budget.buffer(size));
    }

    /// For reading into, up to the spare capacity.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        self.buffer.bytes_mut()
    }

    /// `bytes` were read into the room.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.len += bytes;
    }

    /// The part's bytes and their charge, leaving an empty part.
    pub(super) fn take(&mut self) -> (Vec<Bytes>, Charge) {
        let empty = Self::new(&self.budget);
        let mut part = std::mem::replace(self, empty);
        part.next_buffer(Buffer::default());
        (part.full, part.charge)
    }

    fn next_buffer(&mut self, next: Buffer) {
        let filled = std::mem::replace(&mut self.buffer, next);
        if !filled.as_ref().is_empty() {
            self.full.push(Bytes::from_owner(filled));
        }
    }
}
