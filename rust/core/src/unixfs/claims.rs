//! What a block says of those that it links to: which they are, and how large, where that is known before they are here.
//!
//! Only claims of whoever made the block: good for planning what to fetch, never for memory to set aside.

use super::message::Message;
use crate::Cid;
use crate::cid::codec;
use crate::dag::{self, DagError, pb};
use crate::hash::code;

/// A link, and how many bytes its block has, where the linking block says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The block.
    pub cid: Cid,
    /// Its bytes: known of raw blocks, from a file's block sizes or a link's own.
    pub block_bytes: Option<u64>,
}

impl Claim {
    /// Whether the block links to nothing, whatever is in it.
    #[must_use]
    pub fn is_leaf(&self) -> bool {
        self.cid.codec() == codec::RAW
    }
}

/// The links of a block in their order, repeats included, without those whose CID holds the block itself: nobody fetches these.
pub fn claims(codec: u64, block: &[u8]) -> Result<Vec<Claim>, DagError> {
    let mut found = if codec == codec::DAG_PB {
        of_pb(block)?
    } else {
        let mut links = Vec::new();
        dag::links(codec, block, &mut links)?;
        links.into_iter().map(|cid| Claim { cid, block_bytes: None }).collect()
    };
    found.retain(|claim| claim.cid.hash() != code::IDENTITY);
    Ok(found)
}

fn of_pb(block: &[u8]) -> Result<Vec<Claim>, DagError> {
    let node = pb::decode(block).map_err(DagError::Pb)?;
    // A node that is no UnixFS, or has other sizes than links, claims nothing of them.
    let sizes = node.data.and_then(|data| Message::decode(data).ok()).map(|message| message.block_bytes);
    let sizes = sizes.filter(|sizes| sizes.len() == node.links.len()).unwrap_or_default();
    let claim = |(at, link): (usize, pb::Link<'_>)| {
        let is_leaf = link.cid.codec() == codec::RAW;
        let block_bytes = sizes.get(at).copied().or(link.dag_bytes).filter(|_| is_leaf);
        Claim { cid: link.cid, block_bytes }
    };
    Ok(node.links.into_iter().enumerate().map(claim).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::Value;
    use crate::hash::{Hash, cid_v1};
    use crate::unixfs::{Child, DirectoryBuilder, FileBuilder, Metadata, Profile};

    fn raw(data: &[u8]) -> Child {
        let cid = cid_v1(Hash::Blake3, codec::RAW, data).unwrap();
        Child { cid, file_bytes: data.len() as u64, dag_bytes: data.len() as u64 }
    }

    #[test]
    fn the_leaves_of_a_file_and_the_small_files_of_a_directory_have_known_sizes() {
        let profile = Profile::named("blake3").unwrap();
        let leaves = [raw(&[1; 300]), raw(&[2; 200])];
        let mut blocks = Vec::new();
        let mut file = FileBuilder::new(&profile, Metadata::default());
        leaves.iter().for_each(|leaf| file.push(leaf.clone(), &mut blocks));
        let root = file.finish(&mut blocks);
        let sizes = |data: &[u8]| claims(codec::DAG_PB, data).unwrap().into_iter().map(|c| (c.cid, c.block_bytes)).collect::<Vec<_>>();
        let known: Vec<_> = leaves.iter().map(|leaf| (leaf.cid.clone(), Some(leaf.file_bytes))).collect();
        assert_eq!(sizes(&blocks.last().unwrap().data), known);

        let mut directory = DirectoryBuilder::new(&profile, Metadata::default());
        directory.push(b"file", &root).unwrap();
        directory.push(b"leaf", &leaves[0]).unwrap();
        directory.finish(&mut blocks).unwrap();
        assert_eq!(sizes(&blocks.last().unwrap().data), [(root.cid, None), (leaves[0].cid.clone(), Some(300))]);
    }

    #[test]
    fn a_block_in_its_own_cid_is_not_to_be_fetched() {
        let inline = Cid::v1(codec::RAW, code::IDENTITY, b"abc").unwrap();
        let other = raw(b"x").cid;
        let block = dag::encode(codec::DAG_CBOR, &Value::List(vec![Value::Link(inline), Value::Link(other.clone())])).unwrap();
        assert_eq!(claims(codec::DAG_CBOR, &block), Ok(vec![Claim { cid: other, block_bytes: None }]));
        assert_eq!(claims(codec::RAW, b"anything"), Ok(vec![]));
        assert!(claims(codec::DAG_PB, b"\xff").is_err());
    }
}
