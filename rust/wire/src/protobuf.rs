//! Protobuf as libp2p's messages need it: fields one after another, borrowed from the message.
//!
//! Not a protobuf library: there is no schema. Each message's own file walks [`Reader`] with a `match` on the number,
//! skips what it does not know and bounds what it keeps. Nothing is allocated here, and a message is not copied.
//! Varints may have ten bytes, since negative numbers of type int32 do (`priority` and `pendingBytes` of bitswap).

use std::fmt;

const WIRE_VARINT: u64 = 0;
const WIRE_FIXED64: u64 = 1;
const WIRE_BYTES: u64 = 2;
const WIRE_FIXED32: u64 = 5;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number.
    Varint(u64),
    /// Bytes, text or a message within.
    Bytes(&'a [u8]),
    /// Four or eight bytes of a fixed width; none of libp2p's messages uses them.
    Fixed(&'a [u8]),
}

/// Why bytes are not a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtobufError {
    /// The message ends inside a field.
    Truncated,
    /// A varint of more than 64 bits.
    TooLong,
    /// A field's number is 0 or above 2^29 - 1, or its wire type is a group or unknown.
    Tag,
    /// A field has another type than its message says.
    Type,
}

impl fmt::Display for ProtobufError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "protobuf message is cut short",
            Self::TooLong => "protobuf message has a varint of more than 64 bits",
            Self::Tag => "protobuf message has a field with a bad tag",
            Self::Type => "protobuf message has a field of the wrong type",
        })
    }
}
impl std::error::Error for ProtobufError {}

impl<'a> Value<'a> {
    /// The number, where it is one.
    pub fn varint(self) -> Result<u64, ProtobufError> {
        if let Self::Varint(value) = self { Ok(value) } else { Err(ProtobufError::Type) }
    }

    /// The bytes, where it holds some.
    pub fn bytes(self) -> Result<&'a [u8], ProtobufError> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(ProtobufError::Type) }
    }

    /// Neither 0 nor absent.
    pub fn flag(self) -> Result<bool, ProtobufError> {
        self.varint().map(|value| value != 0)
    }

    /// A number of type int32, of which encoders write the sign into all 64 bits.
    pub fn int32(self) -> Result<i32, ProtobufError> {
        let [a, b, c, d, ..] = self.varint()?.to_le_bytes();
        Ok(i32::from_le_bytes([a, b, c, d]))
    }
}

/// Walks the fields of one message.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `message` from its start.
    #[must_use]
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and value, in the order of the message; None at its end.
    pub fn field(&mut self) -> Result<Option<(u32, Value<'a>)>, ProtobufError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| (1..1 << 29).contains(n)).ok_or(ProtobufError::Tag)?;
        let value = match tag & 7 {
            WIRE_VARINT => Value::Varint(self.varint()?),
            WIRE_FIXED64 => Value::Fixed(self.take(8)?),
            WIRE_BYTES => {
                let len = usize::try_from(self.varint()?).map_err(|_| ProtobufError::Truncated)?;
                Value::Bytes(self.take(len)?)
            }
            WIRE_FIXED32 => Value::Fixed(self.take(4)?),
            _ => return Err(ProtobufError::Tag),
        };
        Ok(Some((number, value)))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], ProtobufError> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(ProtobufError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(ProtobufError::Truncated)?;
            self.rest = rest;
            if shift == 63 && byte > 1 {
                return Err(ProtobufError::TooLong);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ProtobufError::TooLong)
    }
}

/// Appends a field that holds a number.
pub fn write_varint(number: u32, value: u64, out: &mut Vec<u8>) {
    shoal_core::varint::write(u64::from(number) << 3 | WIRE_VARINT, out);
    shoal_core::varint::write(value, out);
}

/// Appends a field that holds bytes, text or a message.
pub fn write_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    write_bytes_header(number, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends the front of a field of `len` bytes, for a caller that appends these itself.
pub fn write_bytes_header(number: u32, len: usize, out: &mut Vec<u8>) {
    shoal_core::varint::write(u64::from(number) << 3 | WIRE_BYTES, out);
    shoal_core::varint::write(len as u64, out);
}

/// How many bytes [`write_bytes`] appends.
#[must_use]
pub fn bytes_len(number: u32, len: usize) -> usize {
    shoal_core::varint::len(u64::from(number) << 3) + shoal_core::varint::len(len as u64) + len
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(message: &[u8]) -> Result<Vec<(u32, Value<'_>)>, ProtobufError> {
        let mut reader = Reader::new(message);
        let mut found = Vec::new();
        while let Some(field) = reader.field()? {
            found.push(field);
        }
        Ok(found)
    }

    #[test]
    fn fields_come_in_order_with_their_numbers() {
        let mut message = Vec::new();
        write_varint(1, 300, &mut message);
        write_bytes(2, b"abc", &mut message);
        write_bytes(0x1fff_ffff, b"", &mut message);
        message.extend_from_slice(b"\x1d\x01\x02\x03\x04");
        let expected =
            [(1, Value::Varint(300)), (2, Value::Bytes(b"abc")), (0x1fff_ffff, Value::Bytes(b"")), (3, Value::Fixed(&[1, 2, 3, 4]))];
        assert_eq!(fields(&message).unwrap(), expected);
        assert_eq!(bytes_len(2, 3), 5);
    }

    #[test]
    fn negative_numbers_take_ten_bytes() {
        let mut message = Vec::new();
        write_varint(5, (-2i64).cast_unsigned(), &mut message);
        assert_eq!(message.len(), 11);
        assert_eq!(fields(&message).unwrap().first().unwrap().1.int32(), Ok(-2));
    }

    #[test]
    fn what_is_not_protobuf_is_refused_with_its_reason() {
        for (message, error) in [
            (&b"\x08"[..], ProtobufError::Truncated),
            (b"\x08\x80", ProtobufError::Truncated),
            (b"\x0a\x02a", ProtobufError::Truncated),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ProtobufError::Truncated),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", ProtobufError::TooLong),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", ProtobufError::TooLong),
            (b"\x00\x01", ProtobufError::Tag),
            (b"\x0b", ProtobufError::Tag),
            (b"\x0e\x01", ProtobufError::Tag),
            (b"\x80\x80\x80\x80\x10\x01", ProtobufError::Tag),
            (b"\x19\x01\x02", ProtobufError::Truncated),
        ] {
            assert_eq!(fields(message), Err(error), "{message:02x?}");
        }
        assert_eq!(Value::Varint(1).bytes(), Err(ProtobufError::Type));
        assert_eq!(Value::Bytes(b"").varint(), Err(ProtobufError::Type));
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_no_field_is_longer_than_its_message(message: Vec<u8>) {
            if let Ok(found) = fields(&message) {
                prop_assert!(found.len() <= message.len() / 2);
            }
        }
    }
}
