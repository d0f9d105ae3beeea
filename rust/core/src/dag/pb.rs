//! dag-pb: the protobuf nodes of UnixFS (<https://ipld.io/specs/codecs/dag-pb/spec/>).
//!
//! A node is a list of links and optional data; a link is a CID, an optional name and an optional size.
//! This is not a protobuf library: exactly the two messages, strictly, so that every block that decodes has one meaning.
//! The one rule: what is not the form that encoders write (links and data in either order, fields of a link in order,
//! shortest varints, nothing unknown) is an error. Names are bytes: the spec wants UTF-8, file systems and Kubo do not care.

use crate::cid::{Cid, CidError};
use crate::varint::{self, VarintError};

const NODE_DATA: u8 = 0x0a;
const NODE_LINKS: u8 = 0x12;
const LINK_HASH: u8 = 0x0a;
const LINK_NAME: u8 = 0x12;
const LINK_TSIZE: u8 = 0x18;

/// A link to another block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link<'a> {
    /// The block (`Hash`).
    pub cid: Cid,
    /// Its name; UnixFS files have empty ones, which is not the same as none.
    pub name: Option<&'a [u8]>,
    /// Bytes of all blocks under it, as its maker claims (`Tsize`).
    pub dag_bytes: Option<u64>,
}

/// A decoded node, borrowed from its block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node<'a> {
    /// In the order of the block, which need not be sorted.
    pub links: Vec<Link<'a>>,
    /// UnixFS's own message; no data and empty data differ.
    pub data: Option<&'a [u8]>,
}

/// Why a block is not dag-pb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PbError {
    /// The block ends inside a field.
    Truncated,
    /// A length or size is malformed.
    Varint(VarintError),
    /// A field or wire type that dag-pb does not have (its first tag byte).
    Field(u8),
    /// Data stands between links, or the fields of a link are not in the order Hash, Name, Tsize.
    Order,
    /// A field stands twice.
    Duplicate,
    /// A link without Hash.
    NoHash,
    /// A link's Hash is not a CID.
    Cid(CidError),
}

impl std::fmt::Display for PbError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncated => f.write_str("dag-pb block is cut short"),
            Self::Varint(e) => write!(f, "dag-pb block has a bad {e}"),
            Self::Field(tag) => write!(f, "dag-pb block has a field with tag 0x{tag:02x}, which the format does not know"),
            Self::Order => f.write_str("dag-pb block has fields in a wrong order"),
            Self::Duplicate => f.write_str("dag-pb block has a field twice"),
            Self::NoHash => f.write_str("dag-pb block has a link without a CID"),
            Self::Cid(e) => write!(f, "dag-pb block has a bad link: {e}"),
        }
    }
}
impl std::error::Error for PbError {}

impl From<VarintError> for PbError {
    fn from(e: VarintError) -> Self {
        match e {
            VarintError::Truncated => Self::Truncated,
            e => Self::Varint(e),
        }
    }
}

fn take_varint(input: &mut &[u8]) -> Result<u64, PbError> {
    let (value, n) = varint::read(input)?;
    *input = input.get(n..).unwrap_or_default();
    Ok(value)
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], PbError> {
    let len = usize::try_from(take_varint(input)?).map_err(|_| PbError::Truncated)?;
    let (bytes, rest) = input.split_at_checked(len).ok_or(PbError::Truncated)?;
    *input = rest;
    Ok(bytes)
}

fn decode_link(mut input: &[u8]) -> Result<Link<'_>, PbError> {
    let (mut cid, mut name, mut dag_bytes) = (None, None, None);
    while let Some((&tag, rest)) = input.split_first() {
        input = rest;
        match tag {
            LINK_HASH if cid.is_some() => return Err(PbError::Duplicate),
            LINK_HASH if name.is_some() || dag_bytes.is_some() => return Err(PbError::Order),
            LINK_HASH => cid = Some(Cid::from_bytes(take_bytes(&mut input)?).map_err(PbError::Cid)?),
            LINK_NAME if name.is_some() => return Err(PbError::Duplicate),
            LINK_NAME if dag_bytes.is_some() => return Err(PbError::Order),
            LINK_NAME => name = Some(take_bytes(&mut input)?),
            LINK_TSIZE if dag_bytes.is_some() => return Err(PbError::Duplicate),
            LINK_TSIZE => dag_bytes = Some(take_varint(&mut input)?),
            tag => return Err(PbError::Field(tag)),
        }
    }
    Ok(Link { cid: cid.ok_or(PbError::NoHash)?, name, dag_bytes })
}

/// Walks the fields of a node: `link` gets each link, the data is returned.
fn walk<'a>(mut input: &'a [u8], mut link: impl FnMut(Link<'a>)) -> Result<Option<&'a [u8]>, PbError> {
    let mut data = None;
    let (mut has_links, mut data_after_links) = (false, false);
    while let Some((&tag, rest)) = input.split_first() {
        input = rest;
        match tag {
            NODE_DATA if data.is_some() => return Err(PbError::Duplicate),
            NODE_DATA => {
                data = Some(take_bytes(&mut input)?);
                data_after_links = has_links;
            }
            NODE_LINKS if data_after_links => return Err(PbError::Order),
            NODE_LINKS => {
                link(decode_link(take_bytes(&mut input)?)?);
                has_links = true;
            }
            tag => return Err(PbError::Field(tag)),
        }
    }
    Ok(data)
}

/// Reads a block. Memory is proportional to its bytes: a link takes eight of them at least.
pub fn decode(block: &[u8]) -> Result<Node<'_>, PbError> {
    let mut links = Vec::new();
    let data = walk(block, |link| links.push(link))?;
    Ok(Node { links, data })
}

/// Appends the CIDs that a block links to `out`, in its order. On an error `out` is as it was.
pub fn links(block: &[u8], out: &mut Vec<Cid>) -> Result<(), PbError> {
    let before = out.len();
    let walked = walk(block, |link| out.push(link.cid));
    if walked.is_err() {
        out.truncate(before);
    }
    walked.map(drop)
}

fn bytes_len(len: usize) -> usize {
    1 + varint::len(len as u64) + len
}

impl Link<'_> {
    /// Bytes of the link's message, without its own tag and length.
    fn inner_len(&self) -> usize {
        bytes_len(self.cid.as_bytes().len())
            + self.name.map_or(0, |name| bytes_len(name.len()))
            + self.dag_bytes.map_or(0, |n| 1 + varint::len(n))
    }

    /// Bytes this link adds to a node.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        bytes_len(self.inner_len())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(NODE_LINKS);
        varint::write(self.inner_len() as u64, out);
        write_bytes(LINK_HASH, self.cid.as_bytes(), out);
        if let Some(name) = self.name {
            write_bytes(LINK_NAME, name, out);
        }
        if let Some(n) = self.dag_bytes {
            out.push(LINK_TSIZE);
            varint::write(n, out);
        }
    }
}

fn write_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    varint::write(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends the one canonical encoding of a node to `out`: links sorted by name (equal names keep their order, none counts
/// as empty), then data, or data before links.
pub fn encode(links: &[Link<'_>], data: Option<&[u8]>, data_first: bool, out: &mut Vec<u8>) {
    out.reserve(links.iter().map(Link::encoded_len).sum::<usize>() + data.map_or(0, |d| bytes_len(d.len())));
    if let (true, Some(data)) = (data_first, data) {
        write_bytes(NODE_DATA, data, out);
    }
    if links.is_sorted_by_key(|link| link.name.unwrap_or_default()) {
        links.iter().for_each(|link| link.encode(out));
    } else {
        let mut sorted: Vec<&Link<'_>> = links.iter().collect();
        sorted.sort_by_key(|link| link.name.unwrap_or_default());
        sorted.into_iter().for_each(|link| link.encode(out));
    }
    if let (false, Some(data)) = (data_first, data) {
        write_bytes(NODE_DATA, data, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cid() -> Cid {
        "bafkqaaa".parse().unwrap()
    }

    fn encoded(links: &[Link<'_>], data: Option<&[u8]>, data_first: bool) -> Vec<u8> {
        let mut out = Vec::new();
        encode(links, data, data_first, &mut out);
        out
    }

    #[test]
    fn no_data_empty_data_and_both_orders_are_kept_apart() {
        let link = Link { cid: cid(), name: Some(b"a"), dag_bytes: Some(0) };
        assert_eq!(encoded(&[], None, false), b"");
        assert_eq!(encoded(&[], Some(b""), false), b"\x0a\x00");
        assert_eq!(encoded(std::slice::from_ref(&link), Some(b"d"), false), b"\x12\x0b\x0a\x04\x01\x55\x00\x00\x12\x01a\x18\x00\x0a\x01d");
        assert_eq!(encoded(std::slice::from_ref(&link), Some(b"d"), true), b"\x0a\x01d\x12\x0b\x0a\x04\x01\x55\x00\x00\x12\x01a\x18\x00");
        for data_first in [false, true] {
            let block = encoded(std::slice::from_ref(&link), Some(b"d"), data_first);
            assert_eq!(decode(&block), Ok(Node { links: vec![link.clone()], data: Some(b"d") }));
        }
    }

    #[test]
    fn links_are_written_by_name_and_read_in_the_order_of_the_block() {
        let link = |name: Option<&'static [u8]>, n| Link { cid: cid(), name, dag_bytes: Some(n) };
        let block =
            encoded(&[link(Some(b"b"), 1), link(Some(b""), 2), link(None, 3), link(Some(b"\xff"), 4), link(Some(b"aa"), 5)], None, false);
        let sizes: Vec<_> = decode(&block).unwrap().links.iter().map(|l| l.dag_bytes.unwrap()).collect();
        assert_eq!(sizes, [2, 3, 5, 1, 4]);
        let unsorted = [encoded(&[link(Some(b"b"), 1)], None, false), encoded(&[link(Some(b"a"), 2)], None, false)].concat();
        let sizes: Vec<_> = decode(&unsorted).unwrap().links.iter().map(|l| l.dag_bytes.unwrap()).collect();
        assert_eq!(sizes, [1, 2]);
    }

    #[test]
    fn what_is_not_dag_pb_is_refused_with_its_reason() {
        let hash = b"\x0a\x04\x01\x55\x00\x00";
        let link = |fields: &[u8]| [&[0x12, u8::try_from(fields.len()).unwrap()], fields].concat();
        let whole = link(hash);
        for (block, error) in [
            (b"\x0a".to_vec(), PbError::Truncated),
            (b"\x0a\x05abcd".to_vec(), PbError::Truncated),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(), PbError::Truncated),
            (b"\x0a\x80\x00".to_vec(), PbError::Varint(VarintError::NotMinimal)),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".to_vec(), PbError::Varint(VarintError::TooLong)),
            (b"\x08\x01".to_vec(), PbError::Field(0x08)),
            (b"\x1a\x00".to_vec(), PbError::Field(0x1a)),
            (b"\x0a\x00\x0a\x00".to_vec(), PbError::Duplicate),
            ([&whole[..], b"\x0a\x00", &whole].concat(), PbError::Order),
            (link(b""), PbError::NoHash),
            (link(b"\x12\x01a\x18\x01"), PbError::NoHash),
            (link(&[b"\x12\x01a", &hash[..]].concat()), PbError::Order),
            (link(&[&hash[..], b"\x18\x01\x12\x01a"].concat()), PbError::Order),
            (link(&[&hash[..], &hash[..]].concat()), PbError::Duplicate),
            (link(&[&hash[..], b"\x12\x00\x12\x00"].concat()), PbError::Duplicate),
            (link(&[&hash[..], b"\x18\x00\x18\x00"].concat()), PbError::Duplicate),
            // Tsize of 2^63 and more is taken for negative elsewhere.
            (link(&[&hash[..], b"\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"].concat()), PbError::Varint(VarintError::TooLong)),
            (link(b"\x0a\x05\x01\x55\x00\x00\x00"), PbError::Cid(CidError::TrailingBytes)),
            (link(b"\x0a\x00"), PbError::Cid(CidError::Truncated)),
            (link(&[&hash[..], b"\x20\x00"].concat()), PbError::Field(0x20)),
        ] {
            assert_eq!(decode(&block), Err(error.clone()), "{block:02x?}");
            let mut cids = vec![cid()];
            assert_eq!(links(&block, &mut cids), Err(error), "{block:02x?}");
            assert_eq!(cids.len(), 1);
        }
    }

    proptest! {
        /// Whatever decodes is encoded to the same bytes again, once its links are in order.
        #[test]
        fn decoding_undoes_encoding(
            links in proptest::collection::vec((any::<[u8; 20]>(), any::<Option<Vec<u8>>>(), any::<Option<u32>>()), 0..20),
            data: Option<Vec<u8>>, data_first: bool,
        ) {
            let links: Vec<Link<'_>> = links.iter().map(|(digest, name, n)| Link {
                cid: Cid::v1(0x70, 0x11, digest).unwrap(), name: name.as_deref(), dag_bytes: n.map(u64::from),
            }).collect();
            let block = encoded(&links, data.as_deref(), data_first);
            let node = decode(&block).unwrap();
            prop_assert_eq!(node.data, data.as_deref());
            prop_assert_eq!(node.links.len(), links.len());
            prop_assert_eq!(&encoded(&node.links, node.data, data_first), &block);
            let mut cids = Vec::new();
            super::links(&block, &mut cids).unwrap();
            prop_assert!(cids.iter().eq(node.links.iter().map(|l| &l.cid)));
        }

        #[test]
        fn no_bytes_panic(block: Vec<u8>) {
            let _ = decode(&block);
        }
    }
}
