//! Messages behind their length: how identify, bitswap and most protocols of libp2p frame what they say.
//!
//! A [`Delimited`] takes a stream's bytes in pieces of any size and hands out whole messages, borrowed from one buffer.
//! The length is checked before a byte of the message is kept, so that memory follows what came, never what was announced.

use shoal_core::varint::{self, VarintError};
use std::fmt;

/// Why a stream's bytes are no messages. The stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DelimitedError {
    /// A malformed length.
    Varint(VarintError),
    /// A message of more bytes than the protocol allows.
    TooLong {
        /// What it announced.
        bytes: u64,
        /// What is allowed.
        bytes_max: usize,
    },
}

impl fmt::Display for DelimitedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Varint(e) => write!(f, "message has a length whose {e}"),
            Self::TooLong { bytes, bytes_max } => write!(f, "message of {bytes} bytes is longer than the {bytes_max} allowed"),
        }
    }
}
impl std::error::Error for DelimitedError {}

/// Gathers the messages of one stream.
#[derive(Debug)]
pub struct Delimited {
    buffer: Vec<u8>,
    /// Where the next message's length begins; what stands before it was handed out.
    at: usize,
    bytes_max: usize,
}

impl Delimited {
    /// For messages of up to `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { buffer: Vec::new(), at: 0, bytes_max }
    }

    /// Takes bytes of the stream. Drain [`message`](Self::message) after each call: only a part of one message is then kept.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.buffer.drain(..self.at);
            self.at = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, without its length; None until more bytes come.
    pub fn message(&mut self) -> Result<Option<&[u8]>, DelimitedError> {
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        let (len, header) = match varint::read(rest) {
            Ok(found) => found,
            Err(VarintError::Truncated) => return Ok(None),
            Err(e) => return Err(DelimitedError::Varint(e)),
        };
        let too_long = DelimitedError::TooLong { bytes: len, bytes_max: self.bytes_max };
        let len = usize::try_from(len).ok().filter(|len| *len <= self.bytes_max).ok_or(too_long)?;
        let Some(message) = rest.get(header..header.saturating_add(len)) else { return Ok(None) };
        self.at += header + len;
        Ok(Some(message))
    }

    /// Nothing is left of a message: the stream may end here.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.at == self.buffer.len()
    }
}

/// Appends a message behind its length.
pub fn write(message: &[u8], out: &mut Vec<u8>) {
    varint::write(message.len() as u64, out);
    out.extend_from_slice(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(delimited: &mut Delimited) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| delimited.message().unwrap().map(<[u8]>::to_vec)).collect()
    }

    #[test]
    fn messages_come_whole_wherever_the_stream_is_cut() {
        let messages = [b"".to_vec(), b"a".to_vec(), vec![7; 300], b"end".to_vec()];
        let mut stream = Vec::new();
        messages.iter().for_each(|m| write(m, &mut stream));
        for cut in 0..=stream.len() {
            let mut delimited = Delimited::new(300);
            delimited.receive(&stream[..cut]);
            let mut found = all(&mut delimited);
            delimited.receive(&stream[cut..]);
            found.extend(all(&mut delimited));
            assert_eq!(found, messages, "cut at {cut}");
            assert!(delimited.is_between_messages());
        }
    }

    #[test]
    fn a_length_is_refused_before_its_bytes_are_kept() {
        let mut delimited = Delimited::new(300);
        delimited.receive(&[0xac]);
        assert!(!delimited.is_between_messages());
        delimited.receive(&[0x02]);
        assert_eq!(delimited.message(), Ok(None));
        let mut delimited = Delimited::new(300);
        delimited.receive(&[0xad, 0x02]);
        assert_eq!(delimited.message(), Err(DelimitedError::TooLong { bytes: 301, bytes_max: 300 }));
        let mut delimited = Delimited::new(300);
        delimited.receive(&[0xff; 9]);
        assert_eq!(delimited.message(), Err(DelimitedError::Varint(VarintError::TooLong)));
    }
}
