//! What decoders take of memory for a stranger's bytes. A file of its own: it counts all that this process allocates.
//!
//! The rule: no claim in a header costs memory, only bytes that came. So the peak of a refused block is at most four times its
//! length and 64 KiB, however much it claims; and that of an honest block of the smallest items has the bound stated here.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail where it likes")]

use shoal_core::car::{Limits, Reader, v1};
use shoal_core::cid::codec::{DAG_CBOR, DAG_JSON, DAG_PB};
use shoal_core::dag;
use shoal_core::limits::BLOCK_BYTES_MAX;
use shoal_core::varint;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator cannot be written without; it only counts")]
// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), SeqCst) + layout.size();
        PEAK.fetch_max(now, SeqCst);
        // SAFETY: as promised by our caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), SeqCst);
        // SAFETY: as promised by our caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One measurement at a time: tests run side by side.
static TURN: Mutex<()> = Mutex::new(());

/// The most bytes that `job` had allocated at once, beyond what there was before.
fn peak_bytes<T>(job: impl FnOnce() -> T) -> usize {
    let before = NOW.load(SeqCst);
    PEAK.store(before, SeqCst);
    let result = job();
    let peak = PEAK.load(SeqCst).saturating_sub(before);
    drop(result);
    peak
}

fn check(name: &str, input: &[u8], job: impl FnOnce()) {
    let bound = 4 * input.len() + 64 * 1024;
    let peak = peak_bytes(job);
    assert!(peak <= bound, "{name}: {peak} bytes at once for {} of input", input.len());
}

/// `head`, then `filler` up to a length.
fn filled(head: &[u8], filler: &[u8], bytes: usize) -> Vec<u8> {
    let mut block = head.to_vec();
    while block.len() + filler.len() <= bytes {
        block.extend_from_slice(filler);
    }
    block
}

#[test]
fn claims_in_cbor_cost_nothing() {
    let _turn = TURN.lock();
    let mut cases: Vec<(String, Vec<u8>)> = Vec::new();
    for major in [0x40, 0x60, 0x80, 0xa0] {
        for count in [&[26, 0x40, 0, 0, 0][..], &[27, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[26, 0, 0x1f, 0xff, 0xf0]] {
            let head = [&[major | count[0]], &count[1..]].concat();
            cases.push((format!("short claim {head:x?}"), head.clone()));
            // The claim again and again, each inside the one before, and with as many bytes behind as it claims items.
            cases.push((format!("nested claim {head:x?}"), filled(b"", &head, 5000)));
            cases.push((format!("believable claim {head:x?}"), filled(&head, b"\xff", BLOCK_BYTES_MAX)));
        }
    }
    cases.push(("deep lists".into(), vec![0x81; BLOCK_BYTES_MAX]));
    cases.push(("deep maps".into(), filled(b"", b"\xa1\x61a", BLOCK_BYTES_MAX)));
    cases.push(("deep wide lists".into(), filled(b"", b"\x98\xff", BLOCK_BYTES_MAX)));
    for (name, block) in &cases {
        check(name, block, || assert!(dag::decode(DAG_CBOR, block).is_err()));
        check(name, block, || assert!(dag::decode_relaxed(DAG_CBOR, block).is_err()));
        let mut links = Vec::new();
        check(name, block, || assert!(dag::links(DAG_CBOR, block, &mut links).is_err()));
    }
}

#[test]
fn claims_in_json_cost_nothing() {
    let _turn = TURN.lock();
    let cases = [
        ("deep lists", vec![b'['; BLOCK_BYTES_MAX]),
        ("deep maps", filled(b"", b"{\"a\":", BLOCK_BYTES_MAX)),
        ("deep links", filled(b"", b"{\"/\":", BLOCK_BYTES_MAX)),
        ("an endless string", filled(b"\"", b"a", BLOCK_BYTES_MAX)),
        ("an endless string of escapes", filled(b"\"", b"\\n", BLOCK_BYTES_MAX)),
        ("an endless number", filled(b"", b"9", BLOCK_BYTES_MAX)),
        ("an endless fraction", filled(b"0.", b"9", BLOCK_BYTES_MAX)),
        ("an endless link", filled(b"{\"/\":\"b", b"a", BLOCK_BYTES_MAX)),
        ("spaces", filled(b"", b" ", BLOCK_BYTES_MAX)),
    ];
    for (name, block) in &cases {
        check(name, block, || assert!(dag::decode(DAG_JSON, block).is_err()));
        let mut links = Vec::new();
        check(name, block, || drop(dag::links(DAG_JSON, block, &mut links)));
    }
}

#[test]
fn claims_in_archives_cost_nothing() {
    let _turn = TURN.lock();
    let framed = |length: u64, rest: &[u8]| {
        let mut out = Vec::new();
        varint::write(length, &mut out);
        [&out, rest].concat()
    };
    let roots = |head: &[u8]| {
        let body = [b"\xa2\x65roots", head, b"\x67version\x01"].concat();
        framed(body.len() as u64, &body)
    };
    let header = v1::encode_header(&[]);
    let section = |length: u64, rest: &[u8]| [&header[..], &framed(length, rest)].concat();
    let v2 = |offset: u64, size: u64, index: u64| {
        let numbers = [offset, size, index].map(u64::to_le_bytes);
        [&shoal_core::car::v2::PRAGMA[..], &[0; 16], numbers.as_flattened(), &header].concat()
    };
    let cases = [
        ("header of 2^30 bytes", framed(1 << 30, b"\xa2")),
        ("header at its limit", framed(1 << 20, &[0xa2; 5000])),
        ("2^30 roots", roots(b"\x9a\x40\x00\x00\x00")),
        ("2^64 roots", roots(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff")),
        ("section of 2^30 bytes", section(1 << 30, b"\x01\x55")),
        ("section of 2^63 bytes", section((1 << 63) - 1, b"\x01\x55")),
        ("section at its limit", section(2 << 20, &[1; 5000])),
        ("varint without end", section(0, &[0xff; 5000])),
        ("data far away", v2(1 << 62, 1000, 0)),
        ("data without end", v2(51, (1 << 62) - 1, 0)),
        ("index far away", v2(51, header.len() as u64, 1 << 62)),
    ];
    for (name, archive) in &cases {
        check(name, archive, || {
            let mut reader = Reader::new(Limits::default());
            for piece in archive.chunks(100) {
                reader.push(piece);
                while let Ok(Some(_)) = reader.next() {}
            }
            assert!(reader.finish().is_err(), "{name}");
        });
        check(name, archive, || drop(v1::parse_section(archive)));
    }
}

/// Behind its data nothing of a version 2 is kept, and before them neither.
#[test]
fn what_is_skipped_in_an_archive_costs_nothing() {
    let _turn = TURN.lock();
    let data = v1::encode_header(&[]);
    let header = shoal_core::car::v2::Header {
        characteristics: [0; 16],
        data_offset: 1_000_051,
        data_bytes: data.len() as u64,
        index_offset: 1_000_051 + data.len() as u64,
    };
    let pieces = [&header.encode()[..], &vec![0; 1_000_000], &data, &vec![1; 10_000_000]].concat();
    let peak = peak_bytes(|| {
        let mut reader = Reader::new(Limits::default());
        for piece in pieces.chunks(10_000) {
            reader.push(piece);
            while reader.next().unwrap().is_some() {}
        }
        assert_eq!(reader.finish(), Ok(()));
    });
    assert!(peak < 100_000, "{peak} bytes");
}

/// A reader in the middle of a long archive holds one section and what was pushed last, not the archive.
#[test]
fn a_long_archive_passes_through_little_memory() {
    let _turn = TURN.lock();
    let data = vec![7; 100_000];
    let cid = shoal_core::hash::cid_v1(shoal_core::hash::Hash::Sha256, 0x55, &data).unwrap();
    let mut section = Vec::new();
    v1::section_prefix(&cid, data.len(), &mut section);
    section.extend_from_slice(&data);
    let peak = peak_bytes(|| {
        let mut reader = Reader::new(Limits::default());
        reader.push(&v1::encode_header(&[]));
        let mut blocks = 0;
        for _ in 0..200 {
            for piece in section.chunks(65_536) {
                reader.push(piece);
                while reader.next().unwrap().is_some() {
                    blocks += 1;
                }
            }
        }
        assert_eq!(blocks, 201);
    });
    assert!(peak < 800_000, "{peak} bytes");
}

/// Values are larger than the smallest items that make them: the worst block costs this many times its length while it is a
/// [`dag::Value`]. A walk of links, which is what strangers can make us do, costs nothing of the kind.
#[test]
fn the_worst_honest_block_has_a_known_cost() {
    let _turn = TURN.lock();
    let items = u32::try_from(BLOCK_BYTES_MAX - 5).unwrap();
    let cbor = filled(&[&[0x9a][..], &items.to_be_bytes()].concat(), b"\x00", BLOCK_BYTES_MAX);
    let mut json = filled(b"[0", b",0", BLOCK_BYTES_MAX - 1);
    json.push(b']');
    for (codec, block) in [(DAG_CBOR, &cbor), (DAG_JSON, &json)] {
        let peak = peak_bytes(|| dag::decode_relaxed(codec, block).unwrap());
        // Two are held while a list grows: the old half and the new whole.
        assert!(peak <= 48 * 2 * block.len(), "{codec}: {peak}");
        let mut links = Vec::new();
        let peak = peak_bytes(|| dag::links(codec, block, &mut links).unwrap());
        assert!(peak <= 1024, "{codec}: {peak}");
    }
}

/// The bound of the test above was met by the block it looked at and broken by others: lists of one item each kept room for four,
/// and took 119 times their length.
#[test]
fn no_shape_of_a_block_costs_more_than_the_worst_that_is_stated() {
    let _turn = TURN.lock();
    let cbor_list = |item: &[u8], count: usize| [&[0x9a][..], &u32::try_from(count).unwrap().to_be_bytes(), &item.repeat(count)].concat();
    let json_list = |item: &str, count: usize| format!("[{}]", vec![item; count].join(",")).into_bytes();
    // A link in dag-pb: an empty identity CID, the shortest there is.
    let pb_links = |count: usize| b"\x12\x06\x0a\x04\x01\x55\x00\x00".repeat(count);
    let mut cases = Vec::new();
    for count in [(1 << 14) - 1, 1 << 14, (1 << 14) + 1] {
        for item in [
            &b"\x00"[..],
            b"\x80",
            b"\x81\x00",
            b"\x82\x00\x00",
            b"\x85\x00\x00\x00\x00\x00",
            b"\xa1\x60\x00",
            b"\x81\x81\x80",
            b"\x60",
            b"\x61a",
        ] {
            cases.push((DAG_CBOR, cbor_list(item, count)));
        }
        for item in ["0", "[]", "[0]", "[0,0,0,0,0]", "{}", "{\"\":0}", "\"\"", "\"a\""] {
            cases.push((DAG_JSON, json_list(item, count)));
        }
        cases.push((DAG_PB, pb_links(count)));
    }
    for (codec, block) in &cases {
        let peak = peak_bytes(|| dag::decode_relaxed(*codec, block).unwrap());
        assert!(peak <= 96 * block.len() + 64 * 1024, "{codec:#x} {:02x?}: {} times", &block[..12], peak / block.len());
    }
}
