//! Slices and outboards against the crate `bao-tree`, which iroh uses: the same bytes, in both directions.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "tests")]

use bao_tree::io::outboard::{PostOrderMemOutboard, PreOrderMemOutboard};
use bao_tree::io::sync::{decode_ranges, encode_ranges_validated};
use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges};
use shoal_core::bao::{GROUP_BYTES, Groups, Node, PAIR_BYTES, Part, Slice, Tree};

const BLOCK_SIZE: BlockSize = BlockSize::from_chunk_log(4);
const CHUNKS: u64 = 16;

fn painted(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i % 251) as u8).collect()
}

/// Lengths on both sides of groups and of full subtrees.
fn lengths() -> impl Iterator<Item = usize> {
    (0..12usize).flat_map(|n| [n * GROUP_BYTES, n * GROUP_BYTES + 1, (n + 1) * GROUP_BYTES - 1])
}

fn cut(data: &[u8], wanted: &Groups) -> Vec<u8> {
    let tree = Tree::of(data);
    let mut slice = Slice::new(&tree.digest(), data.len() as u64, wanted.clone());
    let mut out = Vec::new();
    while let Some(part) = slice.next() {
        let bytes = match part {
            Part::Pair(node) => tree.pair(node).to_vec(),
            Part::Group { index, bytes } => data[index as usize * GROUP_BYTES..][..bytes].to_vec(),
        };
        slice.accept(&bytes).unwrap();
        out.extend_from_slice(&bytes);
    }
    out
}

fn chunks(wanted: &Groups) -> ChunkRanges {
    let mut all = ChunkRanges::empty();
    for run in wanted.runs() {
        all |= ChunkRanges::from(ChunkNum(run.start * CHUNKS)..ChunkNum(run.end * CHUNKS));
    }
    all
}

#[test]
fn outboards_in_both_orders_are_those_of_bao_tree() {
    for bytes in lengths() {
        let data = painted(bytes);
        let tree = Tree::of(&data);
        let post = PostOrderMemOutboard::create(&data, BLOCK_SIZE);
        assert_eq!(tree.digest(), *post.root.as_bytes());
        assert_eq!(tree.nodes(), post.data.as_slice(), "{bytes}");
        let mut pre = vec![0; tree.nodes().len()];
        let mut rest = vec![Node::root(bytes as u64)];
        while let Some(node) = rest.pop() {
            if let Some((left, right)) = node.halves() {
                pre[node.pre_order as usize * PAIR_BYTES..][..PAIR_BYTES].copy_from_slice(&tree.pair(node));
                rest.extend([left, right]);
            }
        }
        assert_eq!(pre, PreOrderMemOutboard::create(&data, BLOCK_SIZE).data, "{bytes}");
    }
}

#[test]
fn slices_of_any_groups_are_those_of_bao_tree_and_it_reads_ours() {
    for bytes in lengths() {
        let data = painted(bytes);
        let outboard = PreOrderMemOutboard::create(&data, BLOCK_SIZE);
        let count = data.len().div_ceil(GROUP_BYTES).max(1) as u64;
        // All sets of the first groups, each with and without some further on.
        for bits in 0..1u64 << count.min(5) {
            for further in [None, Some(count - 1), Some(count / 2)] {
                let mut wanted: Groups = (0..count.min(5)).filter(|n| bits >> n & 1 == 1).map(|n| n..n + 1).collect();
                further.into_iter().for_each(|n| wanted.insert(n..n + 1));
                let ranges = chunks(&wanted);
                let mut theirs = Vec::new();
                encode_ranges_validated(&data[..], &outboard, &ranges, &mut theirs).unwrap();
                let ours = cut(&data, &wanted);
                assert_eq!(ours, theirs, "{bytes} {wanted:?}");
                let mut target = Vec::new();
                let mut into = PreOrderMemOutboard {
                    root: outboard.root,
                    tree: BaoTree::new(bytes as u64, BLOCK_SIZE),
                    data: vec![0; outboard.data.len()],
                };
                decode_ranges(&ours[..], &ranges, &mut target, &mut into).unwrap();
                for run in wanted.runs() {
                    let range = run.start as usize * GROUP_BYTES..bytes.min(run.end as usize * GROUP_BYTES);
                    assert_eq!(target[range.clone()], data[range]);
                }
            }
        }
    }
}

#[test]
fn a_range_behind_the_end_is_the_last_group_here_and_its_last_chunk_there() {
    let data = painted(3 * GROUP_BYTES + 700);
    let wanted = Groups::of_bytes(u64::MAX - 1..u64::MAX, data.len() as u64);
    assert!(wanted.runs().eq(std::iter::once(3..4)));
    let outboard = PreOrderMemOutboard::create(&data, BLOCK_SIZE);
    let mut theirs = Vec::new();
    encode_ranges_validated(&data[..], &outboard, &ChunkRanges::from(ChunkNum(u64::MAX >> 10)..), &mut theirs).unwrap();
    assert_eq!(cut(&data, &wanted), theirs, "the same, as the group has one chunk");
}
