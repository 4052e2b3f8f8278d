//! Reading a local file: a small one at once, a large one a piece ahead.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::JoinHandle;

use super::disk::{joined, start};
use crate::storage::budget::{Budget, Charge};
use crate::storage::driver::contract::{Body, Chunk, Memory};
use crate::storage::error::{Error, Result};

/// `object_store` reads local files 8 KiB at a time, which gave 103 to 136 MB/s; this size gives ten times that.
const PIECE: usize = 1024 * 1024;

/// Read as soon as the file is open, on whatever thread that is: more than this may have to come from the disk itself.
const AT_ONCE: u64 = 64 * 1024;

/// An open file, read from where it stands.
pub(super) struct FileBody {
    budget: Arc<Budget>,
    memory: Memory,
    state: State,
    left: u64,
}

enum State {
    Idle(File),
    /// A piece that has been read.
    Read(Option<File>, Piece),
    Reading(JoinHandle<Result<(File, Vec<u8>)>>, Option<Charge>),
    Done,
}

/// Bytes and their charge.
type Piece = (Vec<u8>, Option<Charge>);

impl FileBody {
    /// The `left` bytes of `file` from byte `from` on. Blocks: a small rest is read right away, as far as there is memory
    /// for it.
    pub(super) fn open(
        mut file: File,
        (from, left): (u64, u64),
        memory: Memory,
        budget: &Arc<Budget>,
    ) -> Result<Self> {
        // Seeks only when it must: an untouched file stands at 0.
        if from > 0 {
            file.seek(SeekFrom::Start(from)).map_err(Error::local)?;
        }
        let mut body = Self { budget: Arc::clone(budget), memory, state: State::Done, left };
        let size = body.step();
        body.state = if left == 0 || left > AT_ONCE {
            State::Idle(file)
        } else if let Some(charge) = body.try_charge(size) {
            State::Read(None, (read(&file, size)?, charge))
        } else {
            State::Idle(file)
        };
        Ok(body)
    }

    /// The next piece's size.
    fn step(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE)
    }

    /// The charge for `size` bytes, if one is wanted; none if it cannot be had now.
    #[expect(clippy::option_option, reason = "whether it can be had, and whether it is wanted")]
    fn try_charge(&self, size: usize) -> Option<Option<Charge>> {
        match self.memory {
            Memory::Callers => Some(None),
            Memory::Charged => {
                let mut charge = self.budget.charge();
                charge.try_grow(size).then_some(Some(charge))
            }
        }
    }

    fn start(&mut self, file: File, size: usize, charge: Option<Charge>) {
        let reading = start(move || {
            let bytes = read(&file, size)?;
            Ok((file, bytes))
        });
        self.state = State::Reading(reading, charge);
    }

    /// A piece arrives here whole or not at all, so that dropping the future loses nothing.
    async fn piece(&mut self) -> Result<(Option<File>, Piece)> {
        loop {
            match &mut self.state {
                State::Reading(reading, charge) => {
                    let (file, bytes) = joined(reading.await)?;
                    return Ok((Some(file), (bytes, charge.take())));
                }
                State::Idle(_) => {
                    let size = self.step();
                    let charge = match self.memory {
                        Memory::Callers => None,
                        Memory::Charged => {
                            let mut charge = self.budget.charge();
                            charge.grow(size).await;
                            Some(charge)
                        }
                    };
                    if let State::Idle(file) = std::mem::replace(&mut self.state, State::Done) {
                        self.start(file, size, charge);
                    }
                }
                State::Read(..) | State::Done => {
                    return match std::mem::replace(&mut self.state, State::Done) {
                        State::Read(file, piece) => Ok((file, piece)),
                        _ => Err(Error::Changed),
                    };
                }
            }
        }
    }
}

#[async_trait]
impl Body for FileBody {
    async fn next(&mut self) -> Result<Option<Chunk>> {
        if self.left == 0 {
            return Ok(None);
        }
        let piece = self.piece().await;
        self.state = State::Done;
        let (file, (bytes, charge)) = piece?;
        if bytes.is_empty() {
            // Shorter than it was when it was opened: what the client has is not the file.
            return Err(Error::Changed);
        }
        self.left = self.left.saturating_sub(bytes.len() as u64);
        if self.left > 0
            && let Some(file) = file
        {
            let size = self.step();
            match (self.memory, self.try_charge(size)) {
                (Memory::Charged, Some(charge)) => self.start(file, size, charge),
                _ => self.state = State::Idle(file),
            }
        }
        Ok(Some(Chunk { bytes: bytes.into(), _charge: charge.map(Arc::new) }))
    }
}

/// Reads the next `size` bytes, fewer only at the end of the file.
fn read(file: &File, size: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(size);
    file.take(size as u64).read_to_end(&mut bytes).map_err(Error::local)?;
    Ok(bytes)
}
