//! Unsigned varints (multiformats/unsigned-varint): LEB128, minimal, at most 9 bytes.

use crate::limits::VARINT_BYTES_MAX;

/// What is wrong with a varint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VarintError {
    /// The input ended inside it. More bytes may complete it.
    Truncated,
    /// More than 9 bytes, or more than 63 bits.
    TooLong,
    /// A shorter encoding of the same number exists.
    NotMinimal,
}

impl std::fmt::Display for VarintError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "varint is cut short",
            Self::TooLong => "varint is longer than 9 bytes",
            Self::NotMinimal => "varint is not minimally encoded",
        })
    }
}
impl std::error::Error for VarintError {}

/// Reads a varint from the front of `bytes`: the value and how many bytes it took.
pub fn read(bytes: &[u8]) -> Result<(u64, usize), VarintError> {
    let mut value = 0u64;
    for (i, &byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            if byte == 0 && i > 0 {
                return Err(VarintError::NotMinimal);
            }
            return Ok((value, i + 1));
        }
    }
    if bytes.len() >= VARINT_BYTES_MAX { Err(VarintError::TooLong) } else { Err(VarintError::Truncated) }
}

/// Appends `value` to `out`.
pub fn write(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// How many bytes `value` takes.
#[must_use]
pub fn len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_with_its_length() {
        for value in (0..63).flat_map(|b| [(1u64 << b) - 1, 1 << b, (1 << b) + 1]) {
            let mut out = Vec::new();
            write(value, &mut out);
            assert_eq!(out.len(), len(value), "{value}");
            assert_eq!(read(&out), Ok((value, out.len())));
            assert_eq!(read(&out[..out.len() - 1]), Err(VarintError::Truncated));
        }
    }

    #[test]
    fn overlong_and_endless_varints_are_refused() {
        assert_eq!(read(&[0x80, 0x00]), Err(VarintError::NotMinimal));
        assert_eq!(read(&[0x81, 0x80, 0x00]), Err(VarintError::NotMinimal));
        assert_eq!(read(&[0xff; 9]), Err(VarintError::TooLong));
        assert_eq!(read(&[0xff; 8]), Err(VarintError::Truncated));
        assert_eq!(read(&[]), Err(VarintError::Truncated));
    }
}
