//! go-car's test archives: what it reads and refuses, and the index it makes.
//!
//! The data are not ours and not in the repository: `.ci/fixtures` fetches them into SHOAL_FIXTURES. Where that is unset, the
//! vectors of `car_vectors.rs` stand in; where it is set and the data are missing, the test fails.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail where it likes")]
#![expect(clippy::disallowed_methods, reason = "fixtures are files")]

use shoal_core::Cid;
use shoal_core::car::{CarError, Event, Limits, Reader, v1, v2};
use shoal_core::dag::{self, DagError, Reason};
use shoal_core::hash::verify_many;
use shoal_core::limits::CAR_HEADER_BYTES_MAX;
use std::path::PathBuf;

fn file(name: &str) -> Option<Vec<u8>> {
    let folder = PathBuf::from(std::env::var_os("SHOAL_FIXTURES")?).join("cars");
    assert!(folder.is_dir(), "{} is missing: run .ci/fixtures (it reads SHOAL_FIXTURES, too)", folder.display());
    Some(std::fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}")))
}

fn events(archive: &[u8], limits: Limits) -> (Vec<Event>, Result<(), CarError>) {
    let mut reader = Reader::new(limits);
    let mut events = Vec::new();
    for piece in archive.chunks(4096) {
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(e) => return (events, Err(e)),
            }
        }
    }
    let end = reader.finish();
    (events, end)
}

/// Events of an archive that must be whole.
fn whole(name: &str) -> Option<Vec<Event>> {
    let (events, end) = events(&file(name)?, Limits::default());
    assert_eq!(end, Ok(()), "{name}");
    Some(events)
}

fn blocks(events: &[Event]) -> Vec<(&Cid, &[u8])> {
    let mut blocks = Vec::new();
    for event in events {
        if let Event::Block { cid, data } = event {
            blocks.push((cid, data.as_slice()));
        }
    }
    blocks
}

fn header(events: &[Event]) -> (u8, &[Cid]) {
    match events.first() {
        Some(Event::Header { version, roots }) => (*version, roots),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_sample_says_the_same_in_version_1_wrapped_and_without_index() {
    let Some(v1) = whole("sample-v1.car") else { return };
    let root: Cid = "bafy2bzaced4ueelaegfs5fqu4tzsh6ywbbpfk3cxppupmxfdhbpbhzawfw5oy".parse().unwrap();
    assert_eq!(header(&v1), (1, std::slice::from_ref(&root)));
    assert_eq!(blocks(&v1).len(), 1049);
    for name in ["sample-wrapped-v2.car", "sample-v2-indexless.car"] {
        let v2 = whole(name).unwrap();
        assert_eq!(header(&v2), (2, std::slice::from_ref(&root)));
        assert_eq!(v2[1..], v1[1..], "{name}");
    }
    let without_identity: Vec<_> = v1[1..].iter().filter(|e| !matches!(e, Event::Block { cid, .. } if cid.hash() == 0)).cloned().collect();
    assert_eq!(without_identity.len(), 1043);
    assert_eq!(whole("sample-v1-noidentity.car").unwrap()[1..], without_identity);
}

/// Filecoin's blocks: thousands of links, and strings that are not UTF-8, which the strict reader refuses and a walk survives.
#[test]
fn the_sample_can_be_walked_whole() {
    let Some(events) = whole("sample-v1.car") else { return };
    let (mut links, mut not_utf8) = (Vec::new(), 0);
    for (cid, data) in blocks(&events) {
        let before = links.len();
        dag::links(cid.codec(), data, &mut links).unwrap();
        match dag::decode(cid.codec(), data) {
            Ok(value) => {
                assert!(value.links().eq(&links[before..]));
                assert_eq!(dag::encode(cid.codec(), &value).as_deref(), Ok(data));
            }
            Err(DagError::Malformed { reason: Reason::Utf8, .. }) => not_utf8 += 1,
            Err(other) => panic!("{cid}: {other}"),
        }
    }
    assert_eq!((links.len(), not_utf8), (6750, 140));
}

#[test]
fn our_index_is_go_cars_to_the_bit() {
    let Some(archive) = file("sample-v1.car") else { return };
    let (_, header_bytes) = v1::read_header(&archive, CAR_HEADER_BYTES_MAX).unwrap();
    let sections: Vec<_> = v1::sections(&archive[header_bytes..]).map(Result::unwrap).collect();
    let entries = sections.iter().map(|(at, section)| (&section.cid, (header_bytes + at) as u64));
    let index = v2::encode_index(entries);
    assert_eq!(index, file("sample-multihash-index-sorted.carindex").unwrap());
    let wrapped = [&v2::Header::new(archive.len() as u64, true).encode()[..], &archive, &index].concat();
    assert_eq!(wrapped, file("sample-wrapped-v2.car").unwrap());
    let indexless = [&v2::Header::new(archive.len() as u64, false).encode()[..], &archive].concat();
    assert_eq!(indexless, file("sample-v2-indexless.car").unwrap());
}

#[test]
fn archives_of_files_verify() {
    for (name, roots, count) in [("sample-unixfs-v2.car", 1, 3), ("sample-rw-bs-v2.car", 3, 3)] {
        let Some(events) = whole(name) else { return };
        let (version, found) = header(&events);
        assert_eq!((version, found.len(), blocks(&events).len()), (2, roots, count), "{name}");
        let mut failures = Vec::new();
        verify_many(&blocks(&events), &mut failures);
        assert_eq!(failures, [], "{name}");
    }
}

#[test]
fn zero_padding_is_refused_unless_asked_for() {
    for (name, count) in [("sample-v1-with-zero-len-section.car", 1049), ("sample-v1-with-zero-len-section2.car", 20)] {
        let Some(archive) = file(name) else { return };
        let (found, end) = events(&archive, Limits::default());
        assert_eq!((blocks(&found).len(), end), (count, Err(CarError::EmptySection)), "{name}");
        let (found, end) = events(&archive, Limits { zero_padding: true, ..Limits::default() });
        assert_eq!((blocks(&found).len(), end), (count, Ok(())), "{name}");
    }
}

#[test]
fn broken_archives_are_refused() {
    let cases = [
        ("sample-corrupt-pragma.car", 0, CarError::Truncated),
        ("sample-rootless-v42.car", 0, CarError::Version(42)),
        ("sample-v1-tailing-corrupt-section.car", 1048, CarError::Truncated),
        ("sample-v2-corrupt-data-and-index.car", 0, CarError::Layout("the data are longer than any file")),
    ];
    for (name, count, error) in cases {
        let Some(archive) = file(name) else { return };
        let (found, end) = events(&archive, Limits::default());
        assert_eq!((blocks(&found).len(), end), (count, Err(error)), "{name}");
    }
}
