//! identify: what a peer says of itself, when asked (`/ipfs/id/1.0.0`) and when it changes (`/ipfs/id/push/1.0.0`).
//!
//! go-libp2p says it in several messages, each behind its length, up to the end of the stream: all of them are one
//! [`Identify`]. What is unreadable in a list (an address of an unknown protocol) is skipped, and so is what goes beyond a
//! limit; a key that is not the channel's is an error. In a push, what is absent has not changed: see [`Identify::update`].
//! Spec: <https://github.com/libp2p/specs/blob/master/identify/README.md>; field 8 stands in the implementations only.

use crate::delimited::{self, Delimited, DelimitedError};
use crate::key::{KeyError, PublicKey};
use crate::limits::{
    AGENT_BYTES_MAX, IDENTIFY_ADDRESSES_MAX, IDENTIFY_BYTES_MAX, IDENTIFY_MESSAGES_MAX, PROTOCOL_BYTES_MAX, PROTOCOLS_MAX,
};
use crate::multiaddr::Multiaddr;
use crate::peer_id::PeerId;
use crate::protobuf::{ProtobufError, Reader, write_bytes};
use std::fmt;

/// The id of what answers a question.
pub const PROTOCOL: &str = "/ipfs/id/1.0.0";
/// The id of what is said unasked.
pub const PROTOCOL_PUSH: &str = "/ipfs/id/push/1.0.0";

const PUBLIC_KEY: u32 = 1;
const LISTEN_ADDRESS: u32 = 2;
const SUPPORTED: u32 = 3;
const OBSERVED_ADDRESS: u32 = 4;
const PROTOCOL_VERSION: u32 = 5;
const AGENT: u32 = 6;
const SIGNED_RECORD: u32 = 8;

/// Why a peer's words are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentifyError {
    /// Not messages behind their lengths.
    Delimited(DelimitedError),
    /// Not protobuf.
    Protobuf(ProtobufError),
    /// More messages than one peer needs.
    TooManyMessages,
    /// The stream ended inside a message.
    Truncated,
    /// Not a key.
    Key(KeyError),
    /// A key of another peer than the one at the other end of the channel.
    AnotherPeer,
}

impl fmt::Display for IdentifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delimited(e) => write!(f, "identify: {e}"),
            Self::Protobuf(e) => write!(f, "identify: {e}"),
            Self::TooManyMessages => write!(f, "identify: more than {IDENTIFY_MESSAGES_MAX} messages"),
            Self::Truncated => f.write_str("identify: the stream ended inside a message"),
            Self::Key(e) => write!(f, "identify: {e}"),
            Self::AnotherPeer => f.write_str("identify: the peer shows the key of another one"),
        }
    }
}
impl std::error::Error for IdentifyError {}

impl From<ProtobufError> for IdentifyError {
    fn from(e: ProtobufError) -> Self {
        Self::Protobuf(e)
    }
}

/// What a peer says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identify {
    /// Its key.
    pub key: Option<PublicKey>,
    /// Where it listens, as it claims.
    pub addresses: Vec<Multiaddr>,
    /// Ids of the protocols it speaks.
    pub protocols: Vec<String>,
    /// Where it sees us; to be believed once several peers agree.
    pub observed: Option<Multiaddr>,
    /// Its network (`ipfs/0.1.0`).
    pub protocol_version: Option<String>,
    /// Its program.
    pub agent: Option<String>,
    /// A signed envelope with its addresses, as it came.
    pub signed_record: Option<Vec<u8>>,
}

fn text(bytes: &[u8], bytes_max: usize) -> Option<String> {
    std::str::from_utf8(bytes).ok().filter(|text| text.len() <= bytes_max).map(str::to_owned)
}

impl Identify {
    /// Appends the message, without its length. Peers read 4 KiB at least: see [`IDENTIFY_SEND_BYTES_MAX`](crate::limits::IDENTIFY_SEND_BYTES_MAX).
    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Some(key) = &self.key {
            write_bytes(PUBLIC_KEY, key.as_protobuf(), out);
        }
        self.addresses.iter().for_each(|address| write_bytes(LISTEN_ADDRESS, address.as_bytes(), out));
        self.protocols.iter().for_each(|protocol| write_bytes(SUPPORTED, protocol.as_bytes(), out));
        if let Some(address) = &self.observed {
            write_bytes(OBSERVED_ADDRESS, address.as_bytes(), out);
        }
        if let Some(version) = &self.protocol_version {
            write_bytes(PROTOCOL_VERSION, version.as_bytes(), out);
        }
        if let Some(agent) = &self.agent {
            write_bytes(AGENT, agent.as_bytes(), out);
        }
        if let Some(record) = &self.signed_record {
            write_bytes(SIGNED_RECORD, record, out);
        }
    }

    /// Appends the message behind its length, as a stream carries it.
    pub fn encode_delimited(&self, out: &mut Vec<u8>) {
        let mut message = Vec::new();
        self.encode(&mut message);
        delimited::write(&message, out);
    }

    /// Adds what one message says. `peer` is whom the channel proved to be at its other end.
    fn merge(&mut self, message: &[u8], peer: &PeerId) -> Result<(), IdentifyError> {
        let mut reader = Reader::new(message);
        while let Some((number, value)) = reader.field()? {
            match number {
                PUBLIC_KEY => {
                    let key = PublicKey::from_protobuf(value.bytes()?).map_err(IdentifyError::Key)?;
                    if key.peer_id() != *peer {
                        return Err(IdentifyError::AnotherPeer);
                    }
                    self.key = Some(key);
                }
                LISTEN_ADDRESS if self.addresses.len() < IDENTIFY_ADDRESSES_MAX => {
                    self.addresses.extend(Multiaddr::from_bytes(value.bytes()?).ok());
                }
                SUPPORTED if self.protocols.len() < PROTOCOLS_MAX => self.protocols.extend(text(value.bytes()?, PROTOCOL_BYTES_MAX)),
                OBSERVED_ADDRESS => self.observed = Multiaddr::from_bytes(value.bytes()?).ok().or_else(|| self.observed.take()),
                PROTOCOL_VERSION => self.protocol_version = text(value.bytes()?, AGENT_BYTES_MAX),
                AGENT => self.agent = text(value.bytes()?, AGENT_BYTES_MAX),
                SIGNED_RECORD => self.signed_record = Some(value.bytes()?.to_vec()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes what a push says; what is absent from it stays.
    pub fn update(&mut self, push: Self) {
        fn newer<T>(old: &mut Option<T>, new: Option<T>) {
            *old = new.or_else(|| old.take());
        }
        newer(&mut self.key, push.key);
        newer(&mut self.observed, push.observed);
        newer(&mut self.protocol_version, push.protocol_version);
        newer(&mut self.agent, push.agent);
        newer(&mut self.signed_record, push.signed_record);
        if !push.addresses.is_empty() {
            self.addresses = push.addresses;
        }
        if !push.protocols.is_empty() {
            self.protocols = push.protocols;
        }
    }
}

/// Gathers what one stream says, up to its end.
#[derive(Debug)]
pub struct Gathering {
    peer: PeerId,
    delimited: Delimited,
    messages: usize,
    found: Identify,
}

impl Gathering {
    /// Of a stream to `peer`, as the channel proved it to be.
    #[must_use]
    pub fn new(peer: PeerId) -> Self {
        Self { peer, delimited: Delimited::new(IDENTIFY_BYTES_MAX), messages: 0, found: Identify::default() }
    }

    /// Takes bytes of the stream. After an error the stream is to be reset.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), IdentifyError> {
        self.delimited.receive(bytes);
        while let Some(message) = self.delimited.message().map_err(IdentifyError::Delimited)? {
            self.messages += 1;
            if self.messages > IDENTIFY_MESSAGES_MAX {
                return Err(IdentifyError::TooManyMessages);
            }
            self.found.merge(message, &self.peer)?;
        }
        Ok(())
    }

    /// The stream has ended: all that was said.
    pub fn finish(self) -> Result<Identify, IdentifyError> {
        if self.delimited.is_between_messages() { Ok(self.found) } else { Err(IdentifyError::Truncated) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;
    use proptest::prelude::*;

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed([seed; 32]).unwrap().public().clone()
    }

    fn whole() -> Identify {
        Identify {
            key: Some(key(1)),
            addresses: ["/ip4/192.0.2.1/tcp/4001", "/ip6/::1/udp/1/quic-v1"].map(|a| a.parse().unwrap()).to_vec(),
            protocols: vec!["/ipfs/id/1.0.0".into(), "/ipfs/bitswap/1.2.0".into()],
            observed: "/ip4/203.0.113.5/tcp/50000".parse().ok(),
            protocol_version: Some("ipfs/0.1.0".into()),
            agent: Some("shoal/0.1.0".into()),
            signed_record: Some(vec![7; 100]),
        }
    }

    fn gather(stream: &[u8], step: usize) -> Result<Identify, IdentifyError> {
        let mut gathering = Gathering::new(key(1).peer_id());
        stream.chunks(step).try_for_each(|piece| gathering.receive(piece))?;
        gathering.finish()
    }

    #[test]
    fn what_is_said_is_heard_however_it_is_cut_and_split_into_messages() {
        let mut one = Vec::new();
        whole().encode_delimited(&mut one);
        let (mut split, parts) = (Vec::new(), whole());
        Identify { addresses: parts.addresses.clone(), protocols: parts.protocols[..1].to_vec(), ..Identify::default() }
            .encode_delimited(&mut split);
        Identify { addresses: vec![], protocols: parts.protocols[1..].to_vec(), ..whole() }.encode_delimited(&mut split);
        for stream in [&one, &split] {
            for step in [1, 3, 64, 4096] {
                assert_eq!(gather(stream, step), Ok(whole()));
            }
            assert_eq!(gather(&stream[..stream.len() - 1], 4096), Err(IdentifyError::Truncated));
        }
        assert_eq!(gather(b"", 1), Ok(Identify::default()));
    }

    #[test]
    fn a_key_must_be_that_of_the_channel() {
        let mut stream = Vec::new();
        Identify { key: Some(key(2)), ..whole() }.encode_delimited(&mut stream);
        assert_eq!(gather(&stream, 4096), Err(IdentifyError::AnotherPeer));
    }

    #[test]
    fn what_is_unreadable_or_too_much_in_a_list_is_skipped() {
        let mut message = Vec::new();
        write_bytes(LISTEN_ADDRESS, b"\x05unknown", &mut message);
        write_bytes(SUPPORTED, b"\xff", &mut message);
        write_bytes(SUPPORTED, &[b'a'; PROTOCOL_BYTES_MAX + 1], &mut message);
        write_bytes(99, b"later", &mut message);
        (0..PROTOCOLS_MAX + 5).for_each(|_| write_bytes(SUPPORTED, b"/p", &mut message));
        (0..IDENTIFY_ADDRESSES_MAX + 5).for_each(|_| write_bytes(LISTEN_ADDRESS, b"\x04\x7f\x00\x00\x01", &mut message));
        let mut stream = Vec::new();
        delimited::write(&message, &mut stream);
        let found = gather(&stream, 4096).unwrap();
        assert_eq!((found.protocols.len(), found.addresses.len()), (PROTOCOLS_MAX, IDENTIFY_ADDRESSES_MAX));
    }

    #[test]
    fn messages_are_bounded_in_number_and_length() {
        assert!(gather(&[0].repeat(IDENTIFY_MESSAGES_MAX), 4096).is_ok());
        assert_eq!(gather(&[0].repeat(IDENTIFY_MESSAGES_MAX + 1), 4096), Err(IdentifyError::TooManyMessages));
        let (mut fits, mut exceeds) = (Vec::new(), Vec::new());
        let mut padding = Vec::new();
        write_bytes(99, &vec![0; IDENTIFY_BYTES_MAX - 4], &mut padding);
        delimited::write(&padding, &mut fits);
        delimited::write(&vec![0; IDENTIFY_BYTES_MAX + 1], &mut exceeds);
        assert!(padding.len() == IDENTIFY_BYTES_MAX && gather(&fits, 4096).is_ok());
        assert!(matches!(gather(&exceeds, 4096), Err(IdentifyError::Delimited(DelimitedError::TooLong { .. }))));
    }

    #[test]
    fn what_a_push_leaves_out_has_not_changed() {
        let mut known = whole();
        known.update(Identify { protocols: vec!["/new".into()], agent: Some("b".into()), ..Identify::default() });
        assert_eq!(known, Identify { protocols: vec!["/new".into()], agent: Some("b".into()), ..whole() });
    }

    proptest! {
        #[test]
        fn no_bytes_panic(stream: Vec<u8>, step in 1usize..20) {
            let _ = gather(&stream, step);
        }
    }
}
