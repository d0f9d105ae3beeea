//! Frames of yamux, right or wrong, as bytes.
#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

use shoal_wire::yamux::frame::{Header, Kind};

/// A frame that says of itself what it is told to.
pub fn frame(kind: Kind, flags: u16, stream: u32, length: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Header { kind, flags, stream, length }.encode(&mut out);
    out.extend_from_slice(body);
    out
}

/// Data of a stream.
pub fn data(flags: u16, stream: u32, body: &[u8]) -> Vec<u8> {
    frame(Kind::Data, flags, stream, u32::try_from(body.len()).unwrap(), body)
}

/// Credit for a stream.
pub fn update(flags: u16, stream: u32, length: u32) -> Vec<u8> {
    frame(Kind::WindowUpdate, flags, stream, length, b"")
}
