//! Bytes of a stream that wait, in order: received and not read, or written and not sent.
//!
//! A queue is made of pieces, so that it never moves what it holds to grow. A piece is the queue's own, or shared with whoever
//! wrote it. The rule: a queue holds at most twice the memory of its bytes, and small pieces are gathered into one, so that
//! a peer that sends byte by byte costs no more than one that does not.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// A piece of fewer bytes is grown, for moving it costs less than another piece.
const SMALL_BYTES: usize = 4 * 1024;

/// Bytes that their owner lends until they are sent, so that they are not copied to wait.
#[derive(Clone)]
pub struct Shared(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl Shared {
    /// Lends `bytes`, which must stay as they are.
    pub fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Arc::new(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("bytes", &self.bytes().len()).finish()
    }
}

#[derive(Debug)]
enum Source {
    Own(Vec<u8>),
    Shared(Shared),
}

#[derive(Debug)]
struct Piece {
    source: Source,
    from: usize,
    to: usize,
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        let all = match &self.source {
            Source::Own(bytes) => bytes,
            Source::Shared(shared) => shared.bytes(),
        };
        all.get(self.from..self.to).unwrap_or_default()
    }
}

/// See the top of the file.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pieces: VecDeque<Piece>,
    bytes: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Copies bytes to the end.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len();
        if let Some(Piece { source: Source::Own(last), to, .. }) = self.pieces.back_mut()
            && *to == last.len()
            && (last.capacity() - last.len() >= bytes.len() || last.len() < SMALL_BYTES)
        {
            last.extend_from_slice(bytes);
            *to = last.len();
            return;
        }
        self.pieces.push_back(Piece { from: 0, to: bytes.len(), source: Source::Own(bytes.to_vec()) });
    }

    /// Moves a buffer to the end, of which everything from `from` on counts. Where that is less than half of the memory that the
    /// buffer takes, it is copied.
    pub(super) fn push_own(&mut self, bytes: &mut Vec<u8>, from: usize) {
        let len = bytes.len().saturating_sub(from);
        if len < SMALL_BYTES || len < bytes.capacity() / 2 {
            self.push(bytes.get(from..).unwrap_or_default());
        } else {
            self.bytes += len;
            self.pieces.push_back(Piece { from, to: bytes.len(), source: Source::Own(std::mem::take(bytes)) });
        }
    }

    /// Adds a part of shared bytes to the end, without a copy.
    pub(super) fn push_shared(&mut self, shared: &Shared, from: usize, len: usize) {
        let to = from.saturating_add(len).min(shared.bytes().len());
        if let Some(len @ 1..) = to.checked_sub(from) {
            self.bytes += len;
            self.pieces.push_back(Piece { source: Source::Shared(shared.clone()), from, to });
        }
    }

    /// Hands the first `len` bytes, or all there are, to `take`, piece by piece, and forgets them.
    pub(super) fn take_front(&mut self, len: usize, take: &mut dyn FnMut(&[u8])) {
        let mut left = len.min(self.bytes);
        self.bytes -= left;
        while left > 0 {
            let Some(piece) = self.pieces.front_mut() else { return };
            let bytes = piece.bytes();
            let bytes = bytes.get(..left).unwrap_or(bytes);
            take(bytes);
            let taken = bytes.len();
            left -= taken;
            piece.from += taken;
            if piece.from == piece.to {
                self.pieces.pop_front();
            }
        }
        if self.bytes == 0 {
            self.pieces = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn memory(queue: &Queue) -> usize {
        queue.pieces.iter().map(|piece| if let Source::Own(bytes) = &piece.source { bytes.capacity() } else { 0 }).sum()
    }

    #[test]
    fn what_comes_byte_by_byte_is_gathered() {
        let mut queue = Queue::default();
        (0..1 << 20).for_each(|i: u32| queue.push(&[i.to_le_bytes()[0]]));
        assert_eq!(queue.len(), 1 << 20);
        assert!(queue.pieces.len() <= (1 << 20) / SMALL_BYTES && memory(&queue) <= 2 << 20, "{} pieces", queue.pieces.len());
    }

    #[test]
    fn a_large_buffer_is_kept_for_its_own_sake_only() {
        let mut queue = Queue::default();
        for (len, from, is_moved) in [(16_384, 12, true), (16_384, 8_193, false), (SMALL_BYTES - 1, 0, false), (SMALL_BYTES, 0, true)] {
            let mut bytes = vec![7; len];
            queue.push_own(&mut bytes, from);
            assert_eq!(bytes.is_empty(), is_moved, "{len} from {from}");
        }
    }

    proptest! {
        /// Bytes come out as they went in, whichever way they went in and out.
        #[test]
        fn a_queue_is_its_bytes_in_order(deeds in proptest::collection::vec((0u8..4, 0usize..20_000), 0..40)) {
            let (mut queue, mut model, mut paint) = (Queue::default(), VecDeque::new(), 0u8);
            for (deed, len) in deeds {
                let mut bytes: Vec<u8> = (0..len).map(|_| { paint = paint.wrapping_add(1); paint }).collect();
                match deed {
                    0 => { model.extend(&bytes); queue.push(&bytes); }
                    1 => { model.extend(bytes.get(len / 3..).unwrap()); queue.push_own(&mut bytes, len / 3); }
                    2 => { model.extend(bytes.get(len / 3..len / 2).unwrap()); queue.push_shared(&Shared::new(bytes), len / 3, len / 2 - len / 3); }
                    _ => {
                        let (mut found, due): (Vec<u8>, Vec<u8>) = (Vec::new(), model.drain(..len.min(model.len())).collect());
                        queue.take_front(len, &mut |piece| found.extend_from_slice(piece));
                        prop_assert_eq!(found, due);
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert!(memory(&queue) <= 2 * (queue.len() + 20_000));
            }
        }
    }
}
