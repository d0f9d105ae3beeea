//! Frames behind the handshake: two bytes of length, what is sealed, and its tag. Each has a number, which is its nonce.

use super::{FRAME_PLAIN_BYTES_MAX, LENGTH_BYTES, NoiseError};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Bytes that sealing adds.
pub(super) const TAG_BYTES: usize = 16;

fn key(bytes: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, bytes).ok().map(LessSafeKey::new)
}

/// The nonce of a frame: four bytes of zero, then its number, little-endian. The last number is not a frame's.
fn next(number: &mut u64) -> Result<Nonce, NoiseError> {
    let following = number.checked_add(1).ok_or(NoiseError::Exhausted)?;
    let mut nonce = [0; NONCE_LEN];
    if let Some((_, counter)) = nonce.split_last_chunk_mut::<8>() {
        *counter = number.to_le_bytes();
    }
    *number = following;
    Ok(Nonce::assume_unique_for_key(nonce))
}

/// What we send.
pub(super) struct Sealing {
    key: LessSafeKey,
    number: u64,
}

impl Sealing {
    pub(super) fn new(bytes: &[u8; 32]) -> Option<Self> {
        Some(Self { key: key(bytes)?, number: 0 })
    }

    pub(super) fn seal_with(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) -> Result<bool, NoiseError> {
        let at = out.len();
        out.extend_from_slice(&[0; LENGTH_BYTES]);
        fill(out);
        let length = out.len().saturating_sub(at + LENGTH_BYTES);
        if length == 0 {
            out.truncate(at);
            return Ok(false);
        }
        debug_assert!(length <= FRAME_PLAIN_BYTES_MAX, "a caller's fill keeps to the frame");
        let prefix = u16::try_from(length + TAG_BYTES).map_err(|_| NoiseError::Frame)?;
        let nonce = next(&mut self.number)?;
        let (front, plain) = out.split_at_mut(at + LENGTH_BYTES);
        if let Some((_, slot)) = front.split_last_chunk_mut::<LENGTH_BYTES>() {
            *slot = prefix.to_be_bytes();
        }
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::empty(), plain).map_err(|_| NoiseError::Frame)?;
        out.extend_from_slice(tag.as_ref());
        Ok(true)
    }
}

/// What the peer sends.
pub(super) struct Opening {
    key: LessSafeKey,
    number: u64,
}

impl Opening {
    pub(super) fn new(bytes: &[u8; 32]) -> Option<Self> {
        Some(Self { key: key(bytes)?, number: 0 })
    }

    pub(super) fn open(&mut self, frame: &[u8], plain: &mut Vec<u8>) -> Result<(), NoiseError> {
        let length = frame.len().checked_sub(TAG_BYTES).ok_or(NoiseError::Frame)?;
        let nonce = next(&mut self.number)?;
        let at = plain.len();
        plain.extend_from_slice(frame);
        let sealed = plain.get_mut(at..).unwrap_or_default();
        let opened = self.key.open_in_place(nonce, Aad::empty(), sealed).map(|opened| opened.len());
        // Of a frame that was changed nothing is handed out.
        plain.truncate(if opened == Ok(length) { at + length } else { at });
        opened.map(|_| ()).map_err(|_| NoiseError::Frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_frames_are_never_used_twice_and_end() {
        let mut sealing = Sealing::new(&[7; 32]).unwrap();
        sealing.number = u64::MAX - 1;
        let mut out = Vec::new();
        assert_eq!(sealing.seal_with(&mut out, |out| out.push(1)), Ok(true));
        assert_eq!(out.len(), LENGTH_BYTES + 1 + TAG_BYTES);
        assert_eq!(sealing.seal_with(&mut out, |out| out.push(1)), Err(NoiseError::Exhausted));
        let mut opening = Opening { key: key(&[7; 32]).unwrap(), number: u64::MAX - 1 };
        let mut plain = Vec::new();
        assert_eq!(opening.open(&out[LENGTH_BYTES..LENGTH_BYTES + 1 + TAG_BYTES], &mut plain), Ok(()));
        assert_eq!(plain, [1]);
        assert_eq!(opening.open(&[0; 17], &mut plain), Err(NoiseError::Exhausted));
    }

    #[test]
    fn a_frame_that_was_changed_leaves_nothing_behind() {
        let mut out = Vec::new();
        Sealing::new(&[7; 32]).unwrap().seal_with(&mut out, |out| out.extend_from_slice(b"painted")).unwrap();
        for position in LENGTH_BYTES..out.len() {
            let mut changed = out.clone();
            changed[position] ^= 1;
            let mut plain = b"before".to_vec();
            assert_eq!(Opening::new(&[7; 32]).unwrap().open(&changed[LENGTH_BYTES..], &mut plain), Err(NoiseError::Frame));
            assert_eq!(plain, b"before");
        }
    }
}
