//! Checks of the core's decoders: each takes any bytes, never panics, keeps to its memory, and holds the laws written over it.
//!
//! libFuzzer runs them (`fuzz_targets/`), and over the committed corpus every run of the tests does.

use crate::memory::{TIMES, bounded};
use crate::replay::Target;
use shoal_core::bao::{GROUP_BYTES, Groups, Mismatch, PAIR_BYTES, Part, Slice, Tree, halves_of, parent_root};
use shoal_core::car::{CarError, Event, Limits, Reader, v1, v2};
use shoal_core::chunk::{Chunker, segment};
use shoal_core::cid::{Base, codec};
use shoal_core::dag::{self, Value, pb};
use shoal_core::limits::DECODE_DEPTH_MAX;
use shoal_core::unixfs::{Block, Child, DirectoryBuilder, Metadata, Node, Profile, Slot, decode_node, slot};
use shoal_core::{Cid, varint};

/// All of them, by name.
pub const TARGETS: &[Target] = &[
    ("cid", cid),
    ("cid_text", cid_text),
    ("varint", varint),
    ("dag_cbor", dag_cbor),
    ("dag_json", dag_json),
    ("dag_pb", dag_pb),
    ("unixfs", unixfs),
    ("hamt", hamt),
    ("car", car),
    ("chunker", chunker),
    ("chunker_text", chunker_text),
    ("groups", groups),
    ("bao_slice", bao_slice),
    ("bao_claim", bao_claim),
];

/// For values in memory, the larger cost of many tiny items: a `Value` has 48 bytes, a byte is enough to make one, and while a
/// list grows its old half is held beside the new whole.
const TIMES_OF_VALUES: usize = 96;

const BASES: [Base; 5] = [Base::Base58Btc, Base::Base32, Base::Base36, Base::Base64Url, Base::Base16];

/// A CID is its bytes, and survives every text.
pub fn cid(input: &[u8]) {
    bounded(TIMES, input, || {
        let Ok((cid, bytes)) = Cid::read(input) else { return };
        assert_eq!(cid.as_bytes(), &input[..bytes]);
        assert_eq!(Cid::from_bytes(input).is_ok(), bytes == input.len());
        assert_eq!(cid.to_string().parse(), Ok(cid.clone()));
        for base in BASES {
            if let Ok(text) = cid.encode(base) {
                assert_eq!(text.parse(), Ok(cid.clone()), "{}", base.name());
            }
        }
        assert_eq!(cid.to_v1().version(), 1);
        assert_eq!(cid.to_v1().digest(), cid.digest());
        if let Ok(old) = cid.to_v0() {
            assert_eq!(old.to_v1(), cid.to_v1());
        }
    });
}

/// What is read from a text is written as the same CID again.
pub fn cid_text(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    bounded(TIMES, input, || {
        if let Ok(cid) = text.parse::<Cid>() {
            assert_eq!(cid.to_string().parse(), Ok(cid.clone()));
            assert_eq!(Cid::from_bytes(cid.as_bytes()), Ok(cid));
        }
    });
}

/// A number has one form.
pub fn varint(input: &[u8]) {
    bounded(TIMES, input, || {
        if let Ok((value, bytes)) = varint::read(input) {
            let mut again = Vec::new();
            varint::write(value, &mut again);
            assert_eq!(again, &input[..bytes]);
            assert_eq!(varint::len(value), bytes);
        }
    });
}

fn depth(value: &Value) -> usize {
    match value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(map) => 1 + map.entries().iter().map(|(_, value)| depth(value)).max().unwrap_or(0),
        _ => 0,
    }
}

/// What is accepted as canonical is what the encoder writes; what is read leniently can be written and read back.
fn codec_laws(codec: u64, input: &[u8]) {
    let strict = bounded(TIMES_OF_VALUES, input, || dag::decode(codec, input));
    let relaxed = bounded(TIMES_OF_VALUES, input, || dag::decode_relaxed(codec, input));
    if let Ok(value) = &strict {
        assert!(depth(value) <= DECODE_DEPTH_MAX);
        assert_eq!(relaxed.as_ref(), Ok(value));
        if codec != codec::DAG_PB {
            assert_eq!(dag::encode(codec, value).unwrap(), input);
        }
    }
    if let Ok(value) = &relaxed {
        assert!(depth(value) <= DECODE_DEPTH_MAX);
        // A lenient reader takes maps that the strict form has no room for.
        if let Ok(block) = dag::encode(codec, value) {
            let again = dag::decode(codec, &block).unwrap();
            // dag-pb's encoder sorts links by name, as its specification asks: the value read may have had them in any order.
            assert!(again == *value || codec == codec::DAG_PB);
            assert_eq!(dag::encode(codec, &again).unwrap(), block);
        }
    }
    let mut links = Vec::new();
    // Twice: the first pass says how many links there are, and only they may cost more than the rule.
    let found = dag::links(codec, input, &mut links);
    let room = 3 * size_of::<Cid>() * links.len();
    let mut again = Vec::new();
    bounded(TIMES + room.div_ceil(input.len().max(1)), input, || drop(dag::links(codec, input, &mut again)));
    assert_eq!(again, links);
    match (&strict, found) {
        (Ok(value), Ok(())) => assert!(value.links().eq(&links)),
        (Ok(_), Err(error)) => panic!("a good block has no links: {error}"),
        (Err(_), _) => {}
    }
}

/// dag-cbor.
pub fn dag_cbor(input: &[u8]) {
    codec_laws(codec::DAG_CBOR, input);
}

/// dag-json.
pub fn dag_json(input: &[u8]) {
    codec_laws(codec::DAG_JSON, input);
}

/// dag-pb: as all codecs; and a node is written again with its links sorted by name, and nothing else changed.
pub fn dag_pb(input: &[u8]) {
    codec_laws(codec::DAG_PB, input);
    let Ok(node) = bounded(TIMES_OF_VALUES, input, || pb::decode(input)) else { return };
    let mut again = Vec::new();
    let is_data_first = input.first() == Some(&0x0a) && !node.links.is_empty();
    pb::encode(&node.links, node.data, is_data_first, &mut again);
    let mut sorted = node.links.clone();
    sorted.sort_by_key(|link| link.name.unwrap_or_default());
    let written = pb::decode(&again).unwrap();
    assert_eq!((written.links, written.data), (sorted, node.data));
}

/// Slots of a shard lie in it, each once and in order; a file's parts add up.
pub fn unixfs(input: &[u8]) {
    let Ok(node) = bounded(TIMES_OF_VALUES, input, || decode_node(codec::DAG_PB, input)) else { return };
    match node {
        Node::Raw(data) => assert_eq!(data, input),
        Node::File(file) => {
            let children = file.children.iter().try_fold(file.data.len() as u64, |sum, child| sum.checked_add(child.file_bytes));
            assert_eq!(children, Some(file.file_bytes));
        }
        Node::Directory(directory) => {
            let mut names: Vec<&[u8]> = directory.entries.iter().map(|entry| entry.name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        }
        Node::Shard(shard) => {
            let index = |slot: &Slot<'_>| match slot {
                Slot::Shard { index, .. } | Slot::Entry { index, .. } => *index,
            };
            assert!(shard.slots.windows(2).all(|pair| index(&pair[0]) < index(&pair[1])));
            assert!(shard.slots.iter().all(|slot| index(slot) < shard.fanout));
        }
        Node::Symlink(link) => assert!(link.target.len() <= shoal_core::limits::SYMLINK_BYTES_MAX),
    }
}

/// Every name put in a sharded directory is found again by its slots, and no other is. Input: fanout, then names between NULs.
pub fn hamt(input: &[u8]) {
    let Some((&first, names)) = input.split_first() else { return };
    let fanout = 8 << (first % 8);
    let profile = Profile { hamt_threshold_bytes: 1, hamt_fanout: fanout, ..Profile::blake3() };
    let child = Child { cid: profile.cid(codec::RAW, b"painted"), file_bytes: 7, dag_bytes: 7 };
    let mut builder = DirectoryBuilder::new(&profile, Metadata::default());
    let mut kept: Vec<&[u8]> = names.split(|&byte| byte == 0).take(256).filter(|name| builder.push(name, &child).is_ok()).collect();
    let mut blocks: Vec<Block> = Vec::new();
    let Ok(root) = builder.finish(&mut blocks) else { return };
    kept.sort_unstable();
    let block_of = |cid: &Cid| blocks.iter().find(|block| block.cid == *cid).map(|block| block.data.as_slice());
    let mut found = Vec::new();
    let mut open = vec![(root.cid, 0)];
    while let Some((cid, depth)) = open.pop() {
        let Some(data) = block_of(&cid) else { panic!("a shard was linked and not written") };
        match decode_node(codec::DAG_PB, data).unwrap() {
            Node::Shard(shard) => {
                assert_eq!(shard.fanout, fanout);
                for part in shard.slots {
                    match part {
                        Slot::Shard { cid, .. } => open.push((cid, depth + 1)),
                        Slot::Entry { index, entry } => {
                            assert_eq!(slot(entry.name, depth, fanout), Some(index));
                            found.push(entry.name.to_vec());
                        }
                    }
                }
            }
            Node::Directory(directory) => found.extend(directory.entries.iter().map(|entry| entry.name.to_vec())),
            _ => panic!("not a directory"),
        }
    }
    found.sort_unstable();
    assert_eq!(found, kept);
}

fn events(pieces: impl Iterator<Item = impl AsRef<[u8]>>, zero_padding: bool) -> (Vec<Event>, Result<(), CarError>) {
    let mut reader = Reader::new(Limits { zero_padding, ..Limits::default() });
    let mut events = Vec::new();
    for piece in pieces {
        reader.push(piece.as_ref());
        loop {
            match reader.next() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Err(error)),
            }
        }
    }
    (events, reader.finish())
}

/// An archive has the same events, and is whole or wrong for the same reason, however its bytes are split. Input: a byte that says how, then the archive.
pub fn car(input: &[u8]) {
    let Some((&first, archive)) = input.split_first() else { return };
    let zero_padding = first & 0x80 != 0;
    let piece = usize::from(first & 0x7f) + 1;
    // Blocks are handed over as copies: one time for those, and the buffer of the reader.
    let times = TIMES + size_of::<Event>();
    let whole = bounded(times, input, || events(std::iter::once(archive), zero_padding));
    let split = bounded(times, input, || events(archive.chunks(piece), zero_padding));
    assert_eq!(whole, split);
    if let Ok((roots, bytes)) = bounded(times, input, || v1::read_header(archive, archive.len())) {
        assert!(bytes <= archive.len());
        assert_eq!(v1::read_header(&v1::encode_header(&roots), usize::MAX).unwrap().0, roots);
    }
    bounded(TIMES, input, || {
        let mut end = 0;
        for (at, section) in v1::sections(archive).map_while(Result::ok) {
            assert_eq!(at, end);
            end = at + section.total_len;
            assert!(end <= archive.len());
        }
    });
    if let Some(Ok(header)) = archive.first_chunk().map(v2::Header::parse) {
        assert_eq!(&header.encode()[v2::PRAGMA.len()..], &archive[..v2::HEADER_BYTES]);
        assert!(header.data_end() > header.data_offset);
    }
}

const CHUNKERS: [Chunker; 8] = [
    Chunker::Size(1),
    Chunker::Size(100),
    Chunker::Rabin { min: 16, avg: 48, max: 72 },
    Chunker::Rabin { min: 64, avg: 256, max: 512 },
    Chunker::Buzhash,
    Chunker::MinCdc { min: 4, max: 5 },
    Chunker::MinCdc { min: 48, max: 100 },
    Chunker::FastCdc { min: 64, avg: 256, max: 1024 },
];

/// Ends of the chunks of `data` when `step` bytes more are seen at a time.
fn ends(chunker: Chunker, data: &[u8], step: usize) -> Vec<usize> {
    let mut cutter = chunker.cutter();
    let (mut ends, mut start, mut seen) = (Vec::new(), 0, 0);
    loop {
        seen = data.len().min(seen + step);
        while let Some(n) = cutter.cut(&data[start..seen], seen == data.len()) {
            assert!(n > 0 && n <= chunker.chunk_bytes_max());
            start += n;
            ends.push(start);
        }
        if seen == data.len() {
            return ends;
        }
    }
}

/// Where a file is cut depends on its bytes alone: not on how they come, nor on segments. Input: chunker, step, content.
pub fn chunker(input: &[u8]) {
    let Some(([which, step], content)) = input.split_first_chunk::<2>() else { return };
    let chunker = CHUNKERS[usize::from(*which) % CHUNKERS.len()];
    // Buzhash cuts nothing below 128 KiB: its content is repeated until there is something to cut.
    let repeated =
        if chunker == Chunker::Buzhash { content.repeat((400_000usize).div_ceil(content.len().max(1))) } else { content.to_vec() };
    let content = if content.is_empty() { content } else { &repeated[..] };
    let step = if chunker == Chunker::Buzhash { 4096 * (usize::from(*step) + 1) } else { usize::from(*step) + 1 };
    let whole = ends(chunker, content, content.len().max(1));
    assert_eq!(whole.last().copied().unwrap_or(0), content.len());
    assert_eq!(ends(chunker, content, step), whole);
    let middle = content.len() / 2;
    let mut halves = segment::cuts(&chunker, content, 0, middle, true);
    let met = halves.last().copied().unwrap_or(0);
    let (second, start) = (&content[middle..], met - middle);
    let guess = segment::cuts(&chunker, second, 0, second.len(), true);
    let own = segment::cuts_until_met(&chunker, second, start, second.len(), true, &guess);
    halves.extend(own.iter().map(|end| end + middle));
    assert_eq!(halves, whole);
}

/// What is read from a text passes its own check and is written as a text that means the same.
pub fn chunker_text(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    bounded(TIMES, input, || {
        if let Ok(chunker) = text.parse::<Chunker>() {
            assert_eq!(chunker.check(), Ok(()));
            assert_eq!(chunker.to_string().parse(), Ok(chunker));
        }
        if let Some(profile) = Profile::named(text) {
            assert_eq!(profile.name, text);
            assert_eq!(profile.check(), Ok(()));
        }
    });
}

/// Runs of groups are a set: as one bit for each group says. Input: runs of a start and a length.
pub fn groups(input: &[u8]) {
    let (runs, rest) = input.as_chunks::<2>();
    let mut bits = [false; 512];
    let mut set = Groups::new();
    for [start, count] in runs {
        let run = usize::from(*start)..usize::from(*start) + usize::from(*count);
        set.insert(run.start as u64..run.end as u64);
        bits[run].fill(true);
    }
    assert_eq!(set.count(), bits.iter().filter(|bit| **bit).count() as u64);
    assert!((0..512).all(|n| set.contains(n as u64) == bits[n]));
    let total = rest.first().map_or(511, |n| u64::from(*n) + 1);
    let missing = set.missing(total * GROUP_BYTES as u64);
    assert!((0..total).all(|n| missing.contains(n) != set.contains(n)));
    let runs: Vec<_> = set.runs().collect();
    assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
}

type Read<'a> = Result<Vec<(u64, &'a [u8])>, Mismatch>;

fn read_slice<'a>(digest: &[u8; 32], bytes: u64, wanted: Groups, mut input: &'a [u8]) -> Read<'a> {
    let mut slice = Slice::new(digest, bytes, wanted);
    let mut groups = Vec::new();
    while let Some(part) = slice.next() {
        let (data, rest) = input.split_at(part.bytes().min(input.len()));
        slice.accept(data)?;
        if let Part::Group { index, .. } = part {
            groups.push((index, data));
        }
        input = rest;
    }
    Ok(groups)
}

/// A slice gives the groups asked for, and with any byte changed an error or, if the change hit nothing, the same.
/// Input: length, groups wanted, where to change, by what.
pub fn bao_slice(input: &[u8]) {
    let Some(([length @ .., wanted, at_low, at_high, change], _)) = input.split_first_chunk::<6>() else { return };
    let bytes = usize::from(u16::from_le_bytes(*length)) * 2;
    let data: Vec<u8> = (0..bytes).map(|i| (i % 251).to_le_bytes()[0]).collect();
    let tree = Tree::of(&data);
    let all = Groups::all(bytes as u64);
    let wanted: Groups = (0..all.end()).filter(|n| wanted >> (n % 8) & 1 == 1).map(|n| n..n + 1).collect();
    let group = |index: u64| data.chunks(GROUP_BYTES).nth(usize::try_from(index).unwrap()).unwrap_or_default();
    let mut sender = Slice::new(&tree.digest(), bytes as u64, wanted.clone());
    let mut sent = Vec::new();
    while let Some(part) = sender.next() {
        let piece = match part {
            Part::Pair(node) => tree.pair(node).to_vec(),
            Part::Group { index, .. } => group(index).to_vec(),
        };
        sender.accept(&piece).unwrap();
        sent.extend_from_slice(&piece);
    }
    let asked: Vec<(u64, &[u8])> = wanted.runs().flatten().map(|index| (index, group(index))).collect();
    assert_eq!(read_slice(&tree.digest(), bytes as u64, wanted.clone(), &sent), Ok(asked.clone()));
    let at = usize::from(u16::from_le_bytes([*at_low, *at_high])) % sent.len().max(1);
    if let Some(byte) = sent.get_mut(at) {
        *byte ^= change;
        let read = bounded(TIMES, &sent, || read_slice(&tree.digest(), bytes as u64, wanted.clone(), &sent));
        assert_eq!(read.is_ok(), *change == 0);
    }
}

/// Any length may be claimed, and a first pair made to fit the digest: a reader takes no memory for what did not come.
/// Input: length, first group wanted, how many, then the slice.
pub fn bao_claim(input: &[u8]) {
    let Some((head, body)) = input.split_first_chunk::<24>() else { return };
    let mut numbers = head.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number));
    let mut number = || numbers.next().unwrap();
    let (bytes, first, count) = (number(), number(), number());
    let digest = body.first_chunk::<PAIR_BYTES>().map_or([0; 32], |pair| {
        let (left, right) = halves_of(pair);
        parent_root(&left, &right)
    });
    bounded(TIMES, input, || {
        let wanted = Groups::of_bytes(first..first.saturating_add(count), bytes);
        drop(read_slice(&digest, bytes, wanted, body));
        let mut outboard = Slice::outboard(&digest, bytes);
        for pair in body.chunks(PAIR_BYTES) {
            if outboard.accept(pair).is_err() {
                break;
            }
        }
    });
}
