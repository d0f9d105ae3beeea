//! The header of yamux: twelve bytes, big-endian: version, type, flags, stream, length.
//!
//! Spec: <https://github.com/hashicorp/yamux/blob/master/spec.md>. Flags may stand on data and on window updates alike.

use super::YamuxError;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 12;

/// Begins a stream, or asks in a ping.
pub const SYN: u16 = 1;
/// Acknowledges a stream, or answers a ping.
pub const ACK: u16 = 2;
/// Ends one direction of a stream.
pub const FIN: u16 = 4;
/// Ends a stream at once.
pub const RST: u16 = 8;
const FLAGS: u16 = SYN | ACK | FIN | RST;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// So many bytes of a stream follow.
    Data = 0,
    /// The receiver of a stream takes so many bytes more.
    WindowUpdate = 1,
    /// A question or answer, with a value in place of the length.
    Ping = 2,
    /// No new streams; the length says why.
    GoAway = 3,
}

/// One header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// [`SYN`], [`ACK`], [`FIN`], [`RST`].
    pub flags: u16,
    /// Which stream; 0 for the session.
    pub stream: u32,
    /// Bytes that follow, or credit, a ping's value, a code.
    pub length: u32,
}

impl Header {
    /// Reads a header. Its stream and flags fit its kind.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, YamuxError> {
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = *bytes;
        if version != 0 {
            return Err(YamuxError::Version(version));
        }
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::WindowUpdate,
            2 => Kind::Ping,
            3 => Kind::GoAway,
            kind => return Err(YamuxError::Kind(kind)),
        };
        let header = Self {
            kind,
            flags: u16::from_be_bytes([f0, f1]),
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        };
        let is_of_stream = matches!(kind, Kind::Data | Kind::WindowUpdate);
        if header.flags & !FLAGS != 0 {
            return Err(YamuxError::Flags(header.flags));
        }
        if is_of_stream != (header.stream != 0) {
            return Err(YamuxError::Stream(header.stream));
        }
        Ok(header)
    }

    /// Appends the header.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0, self.kind as u8]);
        out.extend_from_slice(&self.flags.to_be_bytes());
        out.extend_from_slice(&self.stream.to_be_bytes());
        out.extend_from_slice(&self.length.to_be_bytes());
    }

    /// Carries this flag.
    #[must_use]
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_twelve_bytes_in_the_order_of_the_specification() {
        let header = Header { kind: Kind::WindowUpdate, flags: SYN | FIN, stream: 0x0102_0304, length: 0x0506_0708 };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        assert_eq!(bytes, [0, 1, 0, 5, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(Header::decode(&bytes.try_into().unwrap()), Ok(header));
    }

    #[test]
    fn a_header_that_says_nothing_is_refused() {
        for (bytes, error) in [
            ([1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], YamuxError::Version(1)),
            ([0, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], YamuxError::Kind(4)),
            ([0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0], YamuxError::Flags(16)),
            ([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], YamuxError::Stream(0)),
            ([0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], YamuxError::Stream(0)),
            ([0, 2, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0], YamuxError::Stream(1)),
        ] {
            assert_eq!(Header::decode(&bytes), Err(error));
        }
    }
}
