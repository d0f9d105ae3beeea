//! UnixFS's own protobuf message, `Data`: what a dag-pb node carries beside its links.
//!
//! Written as Kubo writes it: fields in the order of their numbers, block sizes unpacked. Read as protobuf asks: any order, packed or
//! not, the last of a repeated single field counts, unknown fields are passed over.
//! Schema: UnixFS spec, <https://specs.ipfs.tech/unixfs/#data>.

use super::{Metadata, UnixfsError};
use crate::varint;

/// `Data.Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Raw = 0,
    Directory = 1,
    File = 2,
    Symlink = 4,
    Shard = 5,
}

/// `Data.hashType` of murmur3-x64-64.
pub(super) const MURMUR3_X64_64: u64 = 0x22;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub kind: Kind,
    pub data: Option<&'a [u8]>,
    pub file_bytes: Option<u64>,
    pub block_bytes: Vec<u64>,
    pub hash_type: Option<u64>,
    pub fanout: Option<u64>,
    pub metadata: Metadata,
}

const TYPE: u8 = 0x08;
const DATA: u8 = 0x12;
const FILE_SIZE: u8 = 0x18;
const BLOCK_SIZES: u8 = 0x20;
const HASH_TYPE: u8 = 0x28;
const FANOUT: u8 = 0x30;
const MODE: u8 = 0x38;
const MTIME: u8 = 0x42;
const MTIME_SECONDS: u8 = 0x08;
const MTIME_NANOSECONDS: u8 = 0x15;

/// Permission bits, with set-user-ID, set-group-ID and sticky.
const MODE_BITS: u32 = 0o7777;
const NANOSECONDS_MAX: u32 = 999_999_999;
/// Seconds from the year 1 to 1970: the time that Go, hence Kubo, takes for no time.
const GO_ZERO_TIME: (i64, u32) = (-62_135_596_800, 0);

fn write_number(tag: u8, value: u64, out: &mut Vec<u8>) {
    out.push(tag);
    varint::write(value, out);
}

impl<'a> Message<'a> {
    pub fn new(kind: Kind) -> Self {
        Self { kind, data: None, file_bytes: None, block_bytes: Vec::new(), hash_type: None, fanout: None, metadata: Metadata::default() }
    }

    /// At least as many bytes as [`Message::encode`] writes.
    pub fn encoded_len_max(&self) -> usize {
        64 + self.data.map_or(0, <[u8]>::len) + 11 * self.block_bytes.len()
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        write_number(TYPE, self.kind as u64, out);
        if let Some(data) = self.data {
            write_number(DATA, data.len() as u64, out);
            out.extend_from_slice(data);
        }
        if let Some(n) = self.file_bytes {
            write_number(FILE_SIZE, n, out);
        }
        for &n in &self.block_bytes {
            write_number(BLOCK_SIZES, n, out);
        }
        if let Some(code) = self.hash_type {
            write_number(HASH_TYPE, code, out);
        }
        if let Some(n) = self.fanout {
            write_number(FANOUT, n, out);
        }
        self.encode_metadata(out);
    }

    fn encode_metadata(&self, out: &mut Vec<u8>) {
        if let Some(mode) = self.metadata.mode {
            write_number(MODE, u64::from(mode & MODE_BITS), out);
        }
        if let Some((seconds, nanoseconds)) = self.metadata.mtime.filter(|&time| time != GO_ZERO_TIME) {
            let nanoseconds = Some(nanoseconds.min(NANOSECONDS_MAX)).filter(|&n| n > 0);
            let seconds = seconds.cast_unsigned();
            write_number(MTIME, (1 + varint::len(seconds) + nanoseconds.map_or(0, |_| 5)) as u64, out);
            write_number(MTIME_SECONDS, seconds, out);
            if let Some(n) = nanoseconds {
                out.push(MTIME_NANOSECONDS);
                out.extend_from_slice(&n.to_le_bytes());
            }
        }
    }

    pub fn decode(bytes: &'a [u8]) -> Result<Self, UnixfsError> {
        let mut kind = None;
        let mut message = Self::new(Kind::Raw);
        let mut fields = Fields(bytes);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Number(n)) => kind = Some(n),
                (2, Value::Bytes(data)) => message.data = Some(data),
                (3, Value::Number(n)) => message.file_bytes = Some(n),
                (4, Value::Number(n)) => message.block_bytes.push(n),
                (4, Value::Bytes(packed)) => {
                    let mut packed = Fields(packed);
                    while !packed.0.is_empty() {
                        message.block_bytes.push(packed.varint()?);
                    }
                }
                (5, Value::Number(n)) => message.hash_type = Some(n),
                (6, Value::Number(n)) => message.fanout = Some(n),
                (7, Value::Number(n)) => message.metadata.mode = u32::try_from(n & u64::from(MODE_BITS)).ok(),
                (8, Value::Bytes(time)) => message.metadata.mtime = decode_mtime(time)?,
                (1..=8, _) => return Err(UnixfsError::Message),
                _ => {}
            }
        }
        message.kind = match kind.ok_or(UnixfsError::NoType)? {
            0 => Kind::Raw,
            1 => Kind::Directory,
            2 => Kind::File,
            4 => Kind::Symlink,
            5 => Kind::Shard,
            n => return Err(UnixfsError::Type(n)),
        };
        Ok(message)
    }
}

/// A time; none where its nanoseconds are no fraction of a second, as Kubo reads it.
fn decode_mtime(bytes: &[u8]) -> Result<Option<(i64, u32)>, UnixfsError> {
    let (mut seconds, mut nanoseconds) = (None, 0);
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Number(n)) => seconds = Some(n.cast_signed()),
            (2, Value::Fixed32(n)) => nanoseconds = n,
            (1 | 2, _) => return Err(UnixfsError::Message),
            _ => {}
        }
    }
    let seconds = seconds.ok_or(UnixfsError::Message)?;
    Ok((nanoseconds <= NANOSECONDS_MAX).then_some((seconds, nanoseconds)))
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
    Fixed64,
}

/// Fields of a protobuf message that are still to be read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, UnixfsError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(usize::try_from(len).map_err(|_| UnixfsError::Message)?)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| UnixfsError::Message)?)),
            _ => return Err(UnixfsError::Message),
        };
        if tag >> 3 == 0 { Err(UnixfsError::Message) } else { Ok(Some((tag >> 3, value))) }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], UnixfsError> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(UnixfsError::Message)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Protobuf's varint: all 64 bits, in up to 10 bytes, not necessarily the shortest form.
    fn varint(&mut self) -> Result<u64, UnixfsError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(UnixfsError::Message)?;
            self.0 = rest;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(UnixfsError::Message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(message: &Message<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        message.encode(&mut out);
        assert!(out.len() <= message.encoded_len_max());
        out
    }

    #[test]
    fn times_are_written_as_kubo_writes_them() {
        let with = |mtime| encoded(&Message { metadata: Metadata { mode: None, mtime: Some(mtime) }, ..Message::new(Kind::Directory) });
        assert_eq!(with((0, 0)), b"\x08\x01\x42\x02\x08\x00");
        assert_eq!(with((1, 5)), b"\x08\x01\x42\x07\x08\x01\x15\x05\x00\x00\x00");
        assert_eq!(with((-1, 0)), b"\x08\x01\x42\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
        assert_eq!(with(GO_ZERO_TIME), b"\x08\x01");
    }

    #[test]
    fn any_order_packed_sizes_and_unknown_fields_are_read() {
        let message = Message { file_bytes: Some(5), block_bytes: vec![2, 300, 1], ..Message::new(Kind::File) };
        assert_eq!(encoded(&message), b"\x08\x02\x18\x05\x20\x02\x20\xac\x02\x20\x01");
        let other = b"\x22\x03\x02\xac\x02\x58\x07\x61unknown!\x18\x04\x20\x01\x6d\x00\x00\x00\x00\x18\x05\x82\x01\x02ab\x08\x02";
        assert_eq!(Message::decode(other), Ok(message));
    }

    #[test]
    fn what_is_not_the_message_is_refused() {
        for (bytes, error) in [
            (&b""[..], UnixfsError::NoType),
            (b"\x12\x00", UnixfsError::NoType),
            (b"\x08", UnixfsError::Message),
            (b"\x08\x03", UnixfsError::Type(3)),
            (b"\x08\x06", UnixfsError::Type(6)),
            (b"\x0a\x00", UnixfsError::Message),
            (b"\x08\x02\x12\x05abcd", UnixfsError::Message),
            (b"\x08\x02\x22\x02\x01\x80", UnixfsError::Message),
            (b"\x08\x02\x42\x00", UnixfsError::Message),
            (b"\x08\x02\x42\x03\x08\x01\x10", UnixfsError::Message),
            (b"\x08\x02\x00\x00", UnixfsError::Message),
            (b"\x08\x02\x7b", UnixfsError::Message),
            (b"\x08\x02\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", UnixfsError::Message),
            (b"\x08\x02\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", UnixfsError::Message),
        ] {
            assert_eq!(Message::decode(bytes), Err(error), "{bytes:02x?}");
        }
        // A fraction of more than a second is no time, but no reason to refuse a file.
        let odd = Message::decode(b"\x08\x02\x42\x07\x08\x01\x15\x00\xca\x9a\x3b").unwrap();
        assert_eq!(odd.metadata.mtime, None);
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(
            data: Option<Vec<u8>>, file_bytes: Option<u64>, block_bytes: Vec<u64>, hash_type: Option<u64>, fanout: Option<u64>,
            mode in proptest::option::of(0..0o10000u32), mtime in proptest::option::of((any::<i64>(), 0..1_000_000_000u32)),
        ) {
            let metadata = Metadata { mode, mtime };
            let message = Message { kind: Kind::Shard, data: data.as_deref(), file_bytes, block_bytes, hash_type, fanout, metadata };
            let bytes = encoded(&message);
            prop_assert_eq!(Message::decode(&bytes), Ok(message));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Message::decode(&bytes);
        }
    }
}
