//! bitswap: who wants which block, who has it, and the blocks (`/ipfs/bitswap/1.2.0`; 1.1 and 1.0 are read as well).
//!
//! Only the codec: what to ask of whom is decided elsewhere. A [`Message`] borrows its blocks from the stream's buffer. A
//! peer does not say which CID a block has, but how it was made: [`Message::hash_blocks`] computes all of them at once.
//! A part that means nothing (a bad CID, an unknown hash, a block that is too large) is skipped and counted, since others of
//! the same message may be what we wait for; what is not protobuf is an error.
//! Spec: <https://specs.ipfs.tech/bitswap-protocol/>.

use crate::limits::{BITSWAP_BLOCKS_MAX, BITSWAP_ENTRIES_MAX};
use crate::protobuf::{self, ProtobufError, Reader, write_bytes, write_varint};
use shoal_core::cid::{Cid, CidError, codec};
use shoal_core::hash::{Hash, code, digest_many};
use shoal_core::limits::BLOCK_BYTES_MAX;
use shoal_core::varint;

/// The ids, the best first. The first is the one we speak; the others say less and are read alike.
pub const PROTOCOLS: [&str; 4] = ["/ipfs/bitswap/1.2.0", "/ipfs/bitswap/1.1.0", "/ipfs/bitswap/1.0.0", "/ipfs/bitswap"];

mod field {
    pub const WANTLIST: u32 = 1;
    pub const BLOCK_1_0: u32 = 2;
    pub const PAYLOAD: u32 = 3;
    pub const PRESENCE: u32 = 4;
    pub const PENDING_BYTES: u32 = 5;
}

/// What an entry asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The block.
    Block,
    /// Whether the peer has it.
    Have,
    /// Nothing any more.
    Cancel,
}

/// One entry of a want list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Of which block.
    pub cid: Cid,
    /// What is asked.
    pub want: Want,
    /// Higher first. Any number: it is the peer's own order.
    pub priority: i32,
    /// An answer is asked for even where the block is not there.
    pub wants_dont_have: bool,
}

/// How a block's CID is made of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// 0 or 1.
    pub version: u64,
    /// Multicodec of the block's format.
    pub codec: u64,
    /// Multihash code.
    pub hash: u64,
    /// Bytes of the digest.
    pub digest_bytes: u64,
}

/// CIDv0, which blocks of bitswap 1.0 have.
const PREFIX_V0: Prefix = Prefix { version: 0, codec: codec::DAG_PB, hash: code::SHA2_256, digest_bytes: 32 };

impl Prefix {
    /// That of a CID.
    #[must_use]
    pub fn of(cid: &Cid) -> Self {
        let parts = cid.parts();
        Self { version: parts.version.into(), codec: parts.codec, hash: parts.hash, digest_bytes: parts.digest.len() as u64 }
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut number = || {
            let (value, n) = varint::read(bytes).ok()?;
            bytes = bytes.get(n..)?;
            Some(value)
        };
        let prefix = Self { version: number()?, codec: number()?, hash: number()?, digest_bytes: number()? };
        bytes.is_empty().then_some(prefix)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8);
        [self.version, self.codec, self.hash, self.digest_bytes].into_iter().for_each(|value| varint::write(value, &mut out));
        out
    }

    /// The hash to compute. None where Shoal has not got it, and for identity: such a block is in its CID already.
    fn hash(&self) -> Option<Hash> {
        Hash::from_code(self.hash).filter(|hash| *hash != Hash::Identity)
    }

    /// The CID of a block with this digest, which is cut to the prefix's length.
    fn cid(&self, digest: &[u8]) -> Option<Cid> {
        let digest = digest.get(..usize::try_from(self.digest_bytes).ok()?)?;
        match self.version {
            0 if *self == PREFIX_V0 => digest.try_into().ok().map(Cid::v0),
            1 => Cid::v1(self.codec, self.hash, digest).ok(),
            _ => None,
        }
    }
}

/// A block as it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload<'a> {
    /// How its CID is made.
    pub prefix: Prefix,
    /// The block.
    pub data: &'a [u8],
}

/// One message. Every part may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message<'a> {
    /// What the peer wants, and does not want any more.
    pub entries: Vec<Entry>,
    /// The entries are all it wants: what it wanted before is void.
    pub is_full: bool,
    /// Blocks, not checked yet.
    pub payloads: Vec<Payload<'a>>,
    /// Blocks that the peer has (true) or has not.
    pub presences: Vec<(Cid, bool)>,
    /// How much the peer still means to send.
    pub pending_bytes: i32,
    /// Parts that were unreadable or too many.
    pub skipped: usize,
}

impl<'a> Message<'a> {
    /// Reads a message, without its length, which was checked against
    /// [`BITSWAP_BYTES_MAX`](crate::limits::BITSWAP_BYTES_MAX).
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ProtobufError> {
        let mut message = Self::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                field::WANTLIST => message.decode_wantlist(value.bytes()?)?,
                field::BLOCK_1_0 => message.push_payload(Some(PREFIX_V0), value.bytes()?),
                field::PAYLOAD => message.decode_payload(value.bytes()?)?,
                field::PRESENCE => message.decode_presence(value.bytes()?)?,
                field::PENDING_BYTES => message.pending_bytes = value.int32()?,
                _ => {}
            }
        }
        Ok(message)
    }

    fn decode_wantlist(&mut self, bytes: &[u8]) -> Result<(), ProtobufError> {
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => match decode_entry(value.bytes()?)? {
                    Ok(entry) if self.entries.len() < BITSWAP_ENTRIES_MAX => self.entries.push(entry),
                    _ => self.skipped += 1,
                },
                2 => self.is_full = value.flag()?,
                _ => {}
            }
        }
        Ok(())
    }

    fn decode_payload(&mut self, bytes: &'a [u8]) -> Result<(), ProtobufError> {
        let mut reader = Reader::new(bytes);
        let (mut prefix, mut data) = (None, &[][..]);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => prefix = Prefix::decode(value.bytes()?),
                2 => data = value.bytes()?,
                _ => {}
            }
        }
        self.push_payload(prefix, data);
        Ok(())
    }

    fn push_payload(&mut self, prefix: Option<Prefix>, data: &'a [u8]) {
        match prefix {
            Some(prefix) if data.len() <= BLOCK_BYTES_MAX && self.payloads.len() < BITSWAP_BLOCKS_MAX => {
                self.payloads.push(Payload { prefix, data });
            }
            _ => self.skipped += 1,
        }
    }

    fn decode_presence(&mut self, bytes: &[u8]) -> Result<(), ProtobufError> {
        let mut reader = Reader::new(bytes);
        let (mut cid, mut is_there) = (None, true);
        while let Some((number, value)) = reader.field()? {
            match number {
                1 => cid = Cid::from_bytes(value.bytes()?).ok(),
                2 => is_there = !value.flag()?,
                _ => {}
            }
        }
        match cid {
            Some(cid) if self.presences.len() < BITSWAP_ENTRIES_MAX => self.presences.push((cid, is_there)),
            _ => self.skipped += 1,
        }
        Ok(())
    }

    /// The blocks with the CIDs that their bytes have, those of one hash computed side by side. Shorter than `payloads`
    /// where a prefix makes no CID, or asks for a hash that Shoal does not compute. Whether a CID was asked for is the
    /// caller's to see: a block that was changed on its way simply has another one.
    #[must_use]
    pub fn hash_blocks(&self) -> Vec<(Cid, &'a [u8])> {
        let mut blocks: Vec<(usize, Cid, &'a [u8])> = Vec::with_capacity(self.payloads.len());
        for hash in [Hash::Sha256, Hash::Blake3] {
            let (at, of_hash): (Vec<usize>, Vec<&Payload<'a>>) =
                self.payloads.iter().enumerate().filter(|(_, payload)| payload.prefix.hash() == Some(hash)).unzip();
            let data: Vec<&[u8]> = of_hash.iter().map(|payload| payload.data).collect();
            let mut digests = vec![[0; 32]; data.len()];
            digest_many(hash, &data, &mut digests);
            let made = at.into_iter().zip(of_hash).zip(&digests);
            blocks.extend(made.filter_map(|((at, payload), digest)| Some((at, payload.prefix.cid(digest)?, payload.data))));
        }
        for (at, payload) in self.payloads.iter().enumerate().filter(|(_, payload)| payload.prefix.hash() == Some(Hash::Sha512)) {
            let whole = shoal_core::hash::cid_v1(Hash::Sha512, payload.prefix.codec, payload.data);
            blocks.extend(whole.ok().and_then(|cid| Some((at, payload.prefix.cid(cid.digest())?, payload.data))));
        }
        blocks.sort_unstable_by_key(|(at, ..)| *at);
        blocks.into_iter().map(|(_, cid, data)| (cid, data)).collect()
    }

    /// Appends the message, without its length, as bitswap 1.2 writes it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_entries(out);
        self.payloads.iter().for_each(|payload| payload.encode(out));
        self.encode_presences(out);
    }

    /// Appends the message behind its length. A block is copied once.
    pub fn encode_delimited(&self, out: &mut Vec<u8>) {
        let (mut entries, mut presences) = (Vec::new(), Vec::new());
        self.encode_entries(&mut entries);
        self.encode_presences(&mut presences);
        let blocks = self.payloads.iter().map(|payload| protobuf::bytes_len(field::PAYLOAD, payload.inner_bytes())).sum::<usize>();
        let len = entries.len() + blocks + presences.len();
        out.reserve(varint::len(len as u64) + len);
        varint::write(len as u64, out);
        out.append(&mut entries);
        self.payloads.iter().for_each(|payload| payload.encode(out));
        out.append(&mut presences);
    }

    fn encode_entries(&self, out: &mut Vec<u8>) {
        if self.is_full || !self.entries.is_empty() {
            let mut list = Vec::new();
            self.entries.iter().for_each(|entry| write_bytes(1, &entry.encode(), &mut list));
            if self.is_full {
                write_varint(2, 1, &mut list);
            }
            write_bytes(field::WANTLIST, &list, out);
        }
    }

    fn encode_presences(&self, out: &mut Vec<u8>) {
        for (cid, is_there) in &self.presences {
            let mut presence = Vec::new();
            write_bytes(1, cid.as_bytes(), &mut presence);
            if !is_there {
                write_varint(2, 1, &mut presence);
            }
            write_bytes(field::PRESENCE, &presence, out);
        }
        if self.pending_bytes != 0 {
            write_varint(field::PENDING_BYTES, i64::from(self.pending_bytes).cast_unsigned(), out);
        }
    }
}

impl Payload<'_> {
    /// Bytes of the message within.
    fn inner_bytes(&self) -> usize {
        protobuf::bytes_len(1, self.prefix.encode().len()) + protobuf::bytes_len(2, self.data.len())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        protobuf::write_bytes_header(field::PAYLOAD, self.inner_bytes(), out);
        write_bytes(1, &self.prefix.encode(), out);
        write_bytes(2, self.data, out);
    }
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_bytes(1, self.cid.as_bytes(), &mut out);
        if self.priority != 0 {
            write_varint(2, i64::from(self.priority).cast_unsigned(), &mut out);
        }
        let flags = [(3, self.want == Want::Cancel), (4, self.want == Want::Have), (5, self.wants_dont_have)];
        flags.into_iter().filter(|(_, is_set)| *is_set).for_each(|(number, _)| write_varint(number, 1, &mut out));
        out
    }
}

/// An entry, or why its CID is none. A CID that holds its own block is never wanted, and is no reason to be rude.
fn decode_entry(bytes: &[u8]) -> Result<Result<Entry, CidError>, ProtobufError> {
    let mut reader = Reader::new(bytes);
    let (mut cid, mut priority, mut is_cancel, mut is_have, mut wants_dont_have) = (Err(CidError::Truncated), 0, false, false, false);
    while let Some((number, value)) = reader.field()? {
        match number {
            1 => cid = Cid::from_bytes(value.bytes()?),
            2 => priority = value.int32()?,
            3 => is_cancel = value.flag()?,
            4 => is_have = value.flag()?,
            5 => wants_dont_have = value.flag()?,
            _ => {}
        }
    }
    let want = match (is_cancel, is_have) {
        (true, _) => Want::Cancel,
        (false, true) => Want::Have,
        (false, false) => Want::Block,
    };
    Ok(cid.map(|cid| Entry { cid, want, priority, wants_dont_have }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shoal_core::hash::cid_v1;

    fn cid(data: &[u8]) -> Cid {
        cid_v1(Hash::Sha256, codec::RAW, data).unwrap()
    }

    fn encoded(message: &Message<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        message.encode(&mut out);
        out
    }

    #[test]
    fn the_bytes_are_those_of_the_schema() {
        let small = Cid::v1(codec::RAW, code::IDENTITY, b"").unwrap();
        let message = Message {
            entries: vec![Entry { cid: small.clone(), want: Want::Have, priority: 7, wants_dont_have: true }],
            is_full: true,
            payloads: vec![Payload { prefix: Prefix::of(&cid(b"data")), data: b"data" }],
            presences: vec![(small.clone(), true), (small, false)],
            pending_bytes: 5,
            skipped: 0,
        };
        let bytes = b"\x0a\x10\x0a\x0c\x0a\x04\x01\x55\x00\x00\x10\x07\x20\x01\x28\x01\x10\x01\
            \x1a\x0c\x0a\x04\x01\x55\x12\x20\x12\x04data\
            \x22\x06\x0a\x04\x01\x55\x00\x00\x22\x08\x0a\x04\x01\x55\x00\x00\x10\x01\x28\x05";
        assert_eq!(encoded(&message), bytes);
        let mut framed = Vec::new();
        message.encode_delimited(&mut framed);
        assert_eq!(framed, [&[u8::try_from(bytes.len()).unwrap()][..], bytes].concat());
        assert_eq!(Message::decode(bytes), Ok(message));
        assert_eq!(Message::decode(b""), Ok(Message::default()));
        assert!(encoded(&Message::default()).is_empty());
    }

    #[test]
    fn blocks_of_all_versions_get_the_cids_of_their_bytes() {
        let blocks: Vec<Vec<u8>> = (0..40u8).map(|i| vec![i; usize::from(i) * 97]).collect();
        let cids: Vec<Cid> = blocks
            .iter()
            .enumerate()
            .map(|(i, data)| match i % 4 {
                0 => cid_v1(Hash::Blake3, codec::RAW, data).unwrap(),
                1 => cid_v1(Hash::Sha512, codec::DAG_CBOR, data).unwrap(),
                2 => cid_v1(Hash::Sha256, codec::DAG_PB, data).unwrap().to_v0().unwrap(),
                _ => cid(data),
            })
            .collect();
        let payloads = cids.iter().zip(&blocks).map(|(cid, data)| Payload { prefix: Prefix::of(cid), data }).collect();
        let bytes = encoded(&Message { payloads, ..Message::default() });
        let message = Message::decode(&bytes).unwrap();
        let found = message.hash_blocks();
        assert!(found.iter().map(|(cid, _)| cid).eq(&cids));
        assert!(found.iter().map(|(_, data)| *data).eq(blocks.iter().map(Vec::as_slice)));
        // Bitswap 1.0 sends bare blocks.
        let old = Message::decode(b"\x12\x04data").unwrap().hash_blocks();
        assert_eq!(old, [(cid_v1(Hash::Sha256, codec::DAG_PB, b"data").unwrap().to_v0().unwrap(), &b"data"[..])]);
    }

    #[test]
    fn payloads_that_make_no_cid_are_left_out() {
        let right = Prefix::of(&cid(b""));
        for prefix in [
            Prefix { version: 2, ..right },
            Prefix { version: 0, ..right },
            Prefix { hash: 0x11, ..right },
            Prefix { hash: code::IDENTITY, digest_bytes: 4, ..right },
            Prefix { digest_bytes: 33, ..right },
            Prefix { digest_bytes: 19, ..right },
            Prefix { digest_bytes: u64::MAX >> 1, ..right },
        ] {
            let bytes = encoded(&Message {
                payloads: vec![Payload { prefix, data: b"data" }, Payload { prefix: right, data: b"data" }],
                ..Message::default()
            });
            let message = Message::decode(&bytes).unwrap();
            assert_eq!(message.hash_blocks(), [(cid(b"data"), &b"data"[..])], "{prefix:?}");
        }
    }

    #[test]
    fn what_means_nothing_is_skipped_and_counted() {
        let bad_entry = b"\x0a\x05\x0a\x03\x0a\x01\x02";
        let bad_prefix = b"\x1a\x05\x0a\x01\x01\x12\x00";
        let no_cid = b"\x22\x02\x10\x01";
        let good = encoded(&Message { presences: vec![(cid(b"a"), true)], ..Message::default() });
        let bytes = [&bad_entry[..], bad_prefix, no_cid, &good].concat();
        let message = Message::decode(&bytes).unwrap();
        assert_eq!((message.skipped, message.presences.len()), (3, 1));
        assert_eq!(Message::decode(b"\x08\x01"), Err(ProtobufError::Type));
    }

    #[test]
    fn entries_and_blocks_are_bounded_and_priorities_may_be_negative() {
        let entry = Entry { cid: cid(b"a"), want: Want::Cancel, priority: -1, wants_dont_have: false };
        let bytes = encoded(&Message { entries: vec![entry.clone(); BITSWAP_ENTRIES_MAX + 3], ..Message::default() });
        let message = Message::decode(&bytes).unwrap();
        assert_eq!((message.entries.len(), message.skipped), (BITSWAP_ENTRIES_MAX, 3));
        assert_eq!(message.entries.first(), Some(&entry));
        let empty = b"\x12\x00".repeat(BITSWAP_BLOCKS_MAX + 1);
        assert_eq!(Message::decode(&empty).unwrap().payloads.len(), BITSWAP_BLOCKS_MAX);
        for (bytes, kept) in [(BLOCK_BYTES_MAX, 1), (BLOCK_BYTES_MAX + 1, 0)] {
            let mut message = Vec::new();
            write_bytes(2, &vec![0; bytes], &mut message);
            assert_eq!(Message::decode(&message).unwrap().payloads.len(), kept);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_read_is_read_again(tail: Vec<u8>, number in 1u8..6) {
            let bytes = [&[number << 3 | 2, u8::try_from(tail.len().min(127)).unwrap()][..], &tail].concat();
            if let Ok(message) = Message::decode(&bytes) {
                let _ = message.hash_blocks();
                let again = encoded(&message);
                prop_assert_eq!(Message::decode(&again).map(|m| Message { skipped: message.skipped, ..m }), Ok(message));
            }
        }
    }
}
