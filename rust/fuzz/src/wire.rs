//! Checks of the wire machines: what a peer may send, in any pieces. Nothing panics, no claim costs memory, no cut matters.

use crate::memory::{TIMES, bounded};
use crate::replay::Target;
use shoal_core::hash::verify;
use shoal_wire::bitswap::{Entry, Message};
use shoal_wire::delimited::{self, Delimited};
use shoal_wire::identify::{Gathering, Identify, IdentifyError};
use shoal_wire::limits::{IDENTIFY_BYTES_MAX, MULTISTREAM_LINE_BYTES_MAX};
use shoal_wire::multiaddr::{Form, Multiaddr};
use shoal_wire::multistream::Negotiation;
use shoal_wire::protobuf::{self, Reader, Value};
use shoal_wire::yamux::frame::{HEADER_BYTES, Header, Kind};
use shoal_wire::yamux::{Event, Session, StreamId};
use shoal_wire::{PeerId, PublicKey, SecretKey};
use std::collections::BTreeMap;
use std::time::Duration;

/// All of them, by name.
pub const TARGETS: &[Target] = &[
    ("wire_protobuf", protobuf),
    ("wire_delimited", delimited),
    ("wire_multistream", multistream),
    ("wire_yamux", yamux),
    ("wire_yamux_frames", yamux_frames),
    ("wire_identify", identify),
    ("wire_bitswap", bitswap),
    ("wire_multiaddr", multiaddr),
    ("wire_peer_id", peer_id),
];

/// A message of bitswap is a list: an entry of a want list takes six bytes on the wire, and a list that grows is held twice.
const TIMES_OF_ENTRIES: usize = 3 * size_of::<Entry>() / 6;
/// A frame of twelve bytes begins a stream, of which the session has a record in a table that is held twice while it grows, its
/// acknowledgement and an event; 1,024 streams are the most.
const TIMES_OF_STREAMS: usize = 80;

/// The fields of a message, written again, are the same fields.
pub fn protobuf(input: &[u8]) {
    bounded(TIMES, input, || {
        let mut reader = Reader::new(input);
        let mut again = Vec::new();
        let mut fields = 0;
        while let Ok(Some((number, value))) = reader.field() {
            let from = again.len();
            match value {
                Value::Varint(value) => protobuf::write_varint(number, value, &mut again),
                Value::Bytes(bytes) => {
                    protobuf::write_bytes(number, bytes, &mut again);
                    assert_eq!(again.len() - from, protobuf::bytes_len(number, bytes.len()));
                }
                Value::Fixed(bytes) => {
                    assert!(matches!(bytes.len(), 4 | 8));
                    continue;
                }
            }
            assert_eq!(Reader::new(&again[from..]).field(), Ok(Some((number, value))));
            let _ = (value.int32(), value.flag());
            fields += 1;
        }
        assert!(2 * fields <= input.len() && again.len() <= input.len(), "the shortest form is no longer");
    });
}

/// The messages of a stream, and its error, are the same however it is cut. Input: step, longest message, stream.
pub fn delimited(input: &[u8]) {
    let Some(([step, longest], stream)) = input.split_first_chunk::<2>() else { return };
    let longest = 8 * usize::from(*longest);
    let read = |step: usize| {
        let mut delimited = Delimited::new(longest);
        let (mut bytes, mut again) = (0, Vec::new());
        for piece in stream.chunks(step.max(1)) {
            delimited.receive(piece);
            loop {
                match delimited.message() {
                    Ok(Some(message)) => {
                        assert!(message.len() <= longest);
                        bytes += message.len();
                        delimited::write(message, &mut again);
                    }
                    Ok(None) => break,
                    Err(error) => return (bytes, again, Some(error), false),
                }
            }
        }
        (bytes, again, None, delimited.is_between_messages())
    };
    let whole = bounded(TIMES, input, || read(stream.len()));
    assert!(stream.starts_with(&whole.1), "a length has one form");
    assert_eq!(read(usize::from(*step)), whole);
}

fn protocols() -> Vec<String> {
    ["/a", "/ipfs/bitswap/1.2.0", "/yamux/1.0.0"].map(str::to_owned).to_vec()
}

/// What is taken, agreed on and answered is the same however the bytes come. Input: which side and step, then the peer's bytes.
pub fn multistream(input: &[u8]) {
    let Some((&first, bytes)) = input.split_first() else { return };
    let negotiate = |step: usize| {
        let deadline = Duration::from_secs(1);
        let mut side =
            if first & 0x80 == 0 { Negotiation::listener(protocols(), deadline) } else { Negotiation::dialer(protocols(), deadline) };
        let (mut taken, mut out) = (0, Vec::new());
        for piece in bytes.chunks(step.max(1)) {
            let n = side.receive(piece);
            taken += n;
            side.transmit(&mut out);
            if n < piece.len() {
                assert!(side.outcome().is_some());
                break;
            }
        }
        side.transmit(&mut out);
        assert!(side.outcome().is_none_or(|outcome| outcome.is_err() || outcome.is_ok_and(|at| at < protocols().len())));
        (taken, side.outcome(), out)
    };
    let whole = bounded(TIMES, input, || negotiate(bytes.len()));
    assert_eq!(negotiate(usize::from(first & 0x7f) + 1), whole);
    // Two headers, the proposals, and an answer for each line.
    assert!(whole.2.len() <= MULTISTREAM_LINE_BYTES_MAX + bytes.len());
}

const START: Duration = Duration::from_secs(1000);

fn events(session: &mut Session) -> Vec<Event> {
    std::iter::from_fn(|| session.event()).collect()
}

/// Everything a session sends is frames.
fn assert_is_frames(mut sent: &[u8]) {
    while let Some((header, rest)) = sent.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::decode(header).expect("a frame of ours is not one");
        let body = if header.kind == Kind::Data { header.length as usize } else { 0 };
        sent = rest.get(body..).expect("a frame of ours is cut");
    }
    assert!(sent.is_empty());
}

/// What happens, what is answered and what is wrong is the same however the frames are cut. Input: which side and step, then frames.
pub fn yamux(input: &[u8]) {
    let Some((&first, bytes)) = input.split_first() else { return };
    let run = |step: usize| {
        let mut session = Session::new(first & 0x80 != 0, START);
        let result = bytes.chunks(step.max(1)).try_for_each(|piece| session.receive(piece, START));
        assert_eq!(result.err(), session.error());
        let mut sent = Vec::new();
        let happened = events(&mut session);
        session.transmit(&mut sent, usize::MAX);
        assert_is_frames(&sent);
        (happened, session.error(), session.streams(), sent)
    };
    let whole = bounded(TIMES_OF_STREAMS, input, || run(bytes.len()));
    assert_eq!(run(usize::from(first & 0x7f) + 1), whole);
}

/// A peer that knows the form of frames, and an owner who does everything in between: what is read of a stream is what was sent
/// on it, in order. Input: which side, then deeds of five bytes: what, flags or how much, stream, length.
pub fn yamux_frames(input: &[u8]) {
    let Some((&first, deeds)) = input.split_first() else { return };
    let mut session = Session::new(first & 1 != 0, START);
    let mut now = START;
    // Of each stream the count of bytes sent to it since it began, which paint them, and of those read.
    let mut sent_to: BTreeMap<u32, (u8, u8)> = BTreeMap::new();
    let mut out = Vec::new();
    for [deed, flags, stream, low, high] in deeds.as_chunks::<5>().0.iter().copied() {
        let length = u32::from(u16::from_le_bytes([low, high]));
        let id = StreamId(u32::from(stream));
        match deed % 12 {
            0..=3 => {
                let kind = [Kind::Data, Kind::WindowUpdate, Kind::Ping, Kind::GoAway][usize::from(deed % 4)];
                let is_of_stream = matches!(kind, Kind::Data | Kind::WindowUpdate);
                let mut frame = Vec::new();
                let number = if is_of_stream { id.0 } else { 0 };
                Header { kind, flags: u16::from(flags & 15), stream: number, length }.encode(&mut frame);
                if kind == Kind::Data {
                    // Painted by its place among the bytes sent since the stream began.
                    let begun = sent_to.entry(id.0).or_default();
                    if flags & 1 != 0 {
                        *begun = (0, 0);
                    }
                    for _ in 0..length {
                        frame.push(begun.0);
                        begun.0 = begun.0.wrapping_add(1);
                    }
                } else if flags & 1 != 0 && kind == Kind::WindowUpdate {
                    sent_to.insert(id.0, (0, 0));
                }
                if session.receive(&frame, now).is_err() {
                    break;
                }
            }
            4 => drop(session.open(now)),
            5 => drop(session.write(id, &vec![7; length as usize])),
            6 => session.finish(id),
            7 => session.reset(id),
            8 => {
                out.clear();
                let read = session.read(id, length as usize, &mut out, now);
                assert_eq!(read.bytes, out.len());
                let place = sent_to.entry(id.0).or_default();
                for byte in &out {
                    assert_eq!(*byte, place.1, "stream {}", id.0);
                    place.1 = place.1.wrapping_add(1);
                }
            }
            9 => {
                now += Duration::from_millis(u64::from(length));
                session.on_time(now);
            }
            10 => {
                out.clear();
                session.transmit(&mut out, length as usize);
                assert_is_frames(&out);
                assert!(out.len() <= length as usize);
            }
            _ => drop(events(&mut session)),
        }
    }
    drop(events(&mut session));
    out.clear();
    session.transmit(&mut out, usize::MAX);
    assert_is_frames(&out);
}

fn own_key() -> PublicKey {
    SecretKey::from_seed([1; 32]).unwrap().public().clone()
}

/// What a peer says of itself is the same however it is cut, and can be said again. Input: step, then the stream.
pub fn identify(input: &[u8]) {
    let Some((&step, stream)) = input.split_first() else { return };
    let peer = own_key().peer_id();
    let gather = |step: usize| -> Result<Identify, IdentifyError> {
        let mut gathering = Gathering::new(peer.clone());
        stream.chunks(step.max(1)).try_for_each(|piece| gathering.receive(piece))?;
        gathering.finish()
    };
    let whole = bounded(TIMES, input, || gather(stream.len()));
    assert_eq!(gather(usize::from(step)), whole);
    let Ok(found) = whole else { return };
    assert!(found.key.as_ref().is_none_or(|key| *key == own_key()));
    let mut message = Vec::new();
    found.encode(&mut message);
    if message.len() <= IDENTIFY_BYTES_MAX {
        let mut gathering = Gathering::new(peer);
        let mut again = Vec::new();
        found.encode_delimited(&mut again);
        gathering.receive(&again).unwrap();
        assert_eq!(gathering.finish(), Ok(found.clone()));
    }
    let mut updated = Identify::default();
    updated.update(found.clone());
    assert_eq!(updated, found);
}

/// A message is written as one that means the same, and every block it holds is given the CID that its bytes have.
pub fn bitswap(input: &[u8]) {
    let Ok(message) = bounded(TIMES_OF_ENTRIES, input, || Message::decode(input)) else { return };
    let mut again = Vec::new();
    message.encode(&mut again);
    assert_eq!(Message::decode(&again), Ok(Message { skipped: 0, ..message.clone() }));
    let blocks = message.hash_blocks();
    assert!(blocks.len() <= message.payloads.len());
    for (cid, data) in blocks {
        assert_eq!(verify(&cid, data), Ok(()));
        assert!(message.payloads.iter().any(|payload| std::ptr::eq(payload.data, data)));
    }
}

/// An address is its bytes, and its text leads back to it; one with a path, which may begin with slashes, to one of the same text.
pub fn multiaddr(input: &[u8]) {
    bounded(TIMES, input, || {
        if let Ok(address) = Multiaddr::from_bytes(input) {
            assert_eq!(address.as_bytes(), input);
            let has_path = address.parts().any(|part| part.protocol.form == Form::Path);
            let text = address.to_string();
            match text.parse::<Multiaddr>() {
                Ok(again) => assert!(again == address || has_path && again.to_string() == text, "{text}"),
                Err(error) => assert!(has_path, "{text}: {error}"),
            }
            if let Some((ip, port)) = address.tcp() {
                assert!(input.starts_with(Multiaddr::of_tcp(ip, port).as_bytes()));
            }
            let _ = address.peer();
        }
        if let Some(address) = std::str::from_utf8(input).ok().and_then(|text| text.parse::<Multiaddr>().ok()) {
            assert_eq!(Multiaddr::from_bytes(address.as_bytes()), Ok(address.clone()));
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    });
}

/// A peer id is its bytes and survives its texts; a key is its protobuf, and checks any signature without a panic.
pub fn peer_id(input: &[u8]) {
    bounded(TIMES, input, || {
        if let Ok(id) = PeerId::from_bytes(input) {
            assert_eq!(id.as_bytes(), input);
            assert_eq!(id.to_string().parse(), Ok(id.clone()));
            assert_eq!(id.to_cid().unwrap().to_string().parse(), Ok(id.clone()));
            assert!(id.key().is_none_or(|key| key.peer_id() == id));
        }
        if let Some(id) = std::str::from_utf8(input).ok().and_then(|text| text.parse::<PeerId>().ok()) {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        if let Ok(key) = PublicKey::from_protobuf(input) {
            assert_eq!(key.as_protobuf(), input);
            assert!(input.ends_with(key.data()));
            assert!(key.verify(b"said by nobody", input).is_err());
        }
        if let Ok(key) = SecretKey::from_protobuf(input) {
            let again = SecretKey::from_protobuf(&key.to_protobuf()).unwrap();
            assert_eq!(again.public(), key.public());
        }
    });
}
