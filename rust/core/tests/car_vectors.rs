//! Content archives against `tests/vectors/car.json`, which the slow oracle `tests/reference/car.py` writes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail where it likes")]

use shoal_core::Cid;
use shoal_core::car::{CarError, Event, Limits, Reader, v1, v2};
use shoal_core::dag::{self, Budget, Value, json};
use shoal_core::limits::{CAR_HEADER_BYTES_MAX, CAR_SECTION_BYTES_MAX};

const VECTORS: &str = include_str!("../../../tests/vectors/car.json");

fn list(value: &Value, key: &str) -> Vec<Value> {
    match dag::resolve(value, key) {
        Some(Value::List(entries)) => entries.clone(),
        other => panic!("{key}: {other:?}"),
    }
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    match dag::resolve(entry, key) {
        Some(Value::String(text)) => text,
        other => panic!("{key}: {other:?}"),
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// An archive and what the oracle says of it.
struct Accepted {
    name: String,
    archive: Vec<u8>,
    index: Vec<u8>,
    events: Vec<Event>,
}

impl Accepted {
    fn roots(&self) -> &[Cid] {
        match self.events.first() {
            Some(Event::Header { roots, .. }) => roots,
            other => panic!("{other:?}"),
        }
    }

    fn blocks(&self) -> impl Iterator<Item = (&Cid, &[u8])> {
        self.events.iter().filter_map(|event| match event {
            Event::Block { cid, data } => Some((cid, data.as_slice())),
            Event::Header { .. } => None,
        })
    }

    /// Our own archive of version 1 with the same content, and the offsets of its sections.
    fn rewritten(&self) -> (Vec<u8>, Vec<u64>) {
        let mut out = v1::encode_header(self.roots());
        let mut offsets = Vec::new();
        for (cid, data) in self.blocks() {
            offsets.push(out.len() as u64);
            let before = out.len();
            v1::section_prefix(cid, data.len(), &mut out);
            out.extend_from_slice(data);
            assert_eq!(out.len() - before, v1::section_bytes(cid, data.len()));
        }
        (out, offsets)
    }
}

fn vectors() -> Value {
    json::decode_relaxed(VECTORS.as_bytes(), &Budget::default()).unwrap()
}

fn accepted() -> Vec<Accepted> {
    let read = |entry: &Value| {
        let roots = list(entry, "roots").into_iter().map(|root| match root {
            Value::String(hex) => Cid::from_bytes(&unhex(&hex)).unwrap(),
            other => panic!("{other:?}"),
        });
        let version = match dag::resolve(entry, "version") {
            Some(Value::Integer(version)) => u8::try_from(*version).unwrap(),
            other => panic!("{other:?}"),
        };
        let mut events = vec![Event::Header { version, roots: roots.collect() }];
        for block in list(entry, "blocks") {
            events.push(Event::Block { cid: Cid::from_bytes(&unhex(text(&block, "cid"))).unwrap(), data: unhex(text(&block, "data")) });
        }
        Accepted { name: text(entry, "name").into(), archive: unhex(text(entry, "archive")), index: unhex(text(entry, "index")), events }
    };
    list(&vectors(), "accepted").iter().map(read).collect()
}

fn refused() -> Vec<(String, Vec<u8>)> {
    list(&vectors(), "refused").iter().map(|entry| (text(entry, "name").into(), unhex(text(entry, "archive")))).collect()
}

/// All events of an archive pushed in pieces of these sizes, over and over.
fn read(archive: &[u8], limits: Limits, pieces: &[usize]) -> Result<Vec<Event>, CarError> {
    let mut reader = Reader::new(limits);
    let mut events = Vec::new();
    let mut rest = archive;
    let mut sizes = pieces.iter().cycle();
    while !rest.is_empty() {
        let (piece, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        rest = later;
        reader.push(piece);
        while let Some(event) = reader.next()? {
            events.push(event);
        }
    }
    reader.finish().map(|()| events)
}

#[test]
fn archives_say_the_same_in_whatever_pieces_they_come() {
    let accepted = accepted();
    assert!(accepted.len() >= 12);
    for vector in accepted {
        for pieces in [&[usize::MAX][..], &[1], &[2, 3], &[7, 64, 1, 1000], &[0, 1]] {
            let events = read(&vector.archive, Limits::default(), pieces);
            assert_eq!(events.as_ref(), Ok(&vector.events), "{} in pieces of {pieces:?}", vector.name);
        }
    }
}

#[test]
fn broken_archives_are_refused_in_whatever_pieces_they_come() {
    let refused = refused();
    assert!(refused.len() >= 35);
    for (name, archive) in refused {
        for pieces in [&[usize::MAX][..], &[1], &[7, 64, 1, 1000]] {
            let events = read(&archive, Limits::default(), pieces);
            assert!(events.is_err(), "{name} in pieces of {pieces:?}: {events:?}");
        }
    }
}

#[test]
fn an_archive_cut_anywhere_but_between_sections_is_known_to_be_cut() {
    for vector in accepted() {
        let is_v2 = matches!(vector.events.first(), Some(Event::Header { version: 2, .. }));
        let mut whole_at = Vec::new();
        if !is_v2 {
            let (_, header_bytes) = v1::read_header(&vector.archive, CAR_HEADER_BYTES_MAX).unwrap();
            whole_at.push(header_bytes);
            for section in v1::sections(&vector.archive[header_bytes..]) {
                let (at, section) = section.unwrap();
                whole_at.push(header_bytes + at + section.total_len);
            }
        }
        for n in (0..vector.archive.len()).filter(|n| n % 11 == 0 || *n < 200 || whole_at.contains(n)) {
            let whole = read(&vector.archive[..n], Limits::default(), &[4096]).is_ok();
            // Version 2 says how long its data are, and no more than that its index begins.
            let expected = if is_v2 { whole && n > vector.archive.len() - vector.index.len() } else { whole_at.contains(&n) };
            assert_eq!(whole, expected, "{} cut to {n}", vector.name);
        }
    }
}

#[test]
fn what_we_write_is_what_the_oracle_writes() {
    for vector in accepted() {
        let (data, offsets) = vector.rewritten();
        let index = v2::encode_index(vector.blocks().map(|(cid, _)| cid).zip(offsets));
        assert_eq!(index, vector.index, "{}", vector.name);
        match vector.name.as_str() {
            "null for no roots" => {}
            "version 2" => {
                let header = v2::Header::new(data.len() as u64, true);
                assert_eq!([&header.encode()[..], &data, &index].concat(), vector.archive);
            }
            "version 2 without index" => {
                let header = v2::Header::new(data.len() as u64, false);
                assert_eq!([&header.encode()[..], &data].concat(), vector.archive);
            }
            name if name.starts_with("version 2") => {
                assert!(vector.archive.windows(data.len()).any(|window| window == data), "{name}");
            }
            name => assert_eq!(data, vector.archive, "{name}"),
        }
    }
}

#[test]
fn sections_in_a_slice_are_those_of_the_stream() {
    for vector in accepted() {
        let (archive, offsets) = vector.rewritten();
        let (roots, header_bytes) = v1::read_header(&archive, CAR_HEADER_BYTES_MAX).unwrap();
        assert_eq!(roots, vector.roots());
        let body = &archive[header_bytes..];
        let found: Vec<_> = v1::sections(body).map(Result::unwrap).collect();
        assert_eq!(found.len(), offsets.len());
        for (((at, section), (cid, data)), offset) in found.iter().zip(vector.blocks()).zip(offsets) {
            assert_eq!((at + header_bytes) as u64, offset);
            assert_eq!(&section.cid, cid);
            assert_eq!(&body[*at..][section.data_range.clone()], data);
        }
        for n in 0..body.len().min(300) {
            let last = v1::sections(&body[..n]).last();
            let whole = found.iter().any(|(at, section)| at + section.total_len == n);
            assert_eq!(matches!(last, Some(Err(CarError::Truncated))), n > 0 && !whole, "{} cut to {n}", vector.name);
        }
    }
}

#[test]
fn zeros_behind_the_last_section_end_an_archive_only_where_asked() {
    let padded = Limits { zero_padding: true, ..Limits::default() };
    for vector in accepted().into_iter().filter(|vector| !vector.name.starts_with("version 2")) {
        for zeros in [1, 5, 5000] {
            let archive = [&vector.archive[..], &vec![0; zeros]].concat();
            for pieces in [&[usize::MAX][..], &[1, 100]] {
                assert_eq!(read(&archive, padded, pieces).as_ref(), Ok(&vector.events));
                assert_eq!(read(&archive, Limits::default(), pieces), Err(CarError::EmptySection));
            }
            let lying = [&archive[..], &[1]].concat();
            assert_eq!(read(&lying, padded, &[100]), Err(CarError::Padding));
        }
        // The same inside a version 2.
        let data = [&vector.archive[..], &[0; 77]].concat();
        let header = v2::Header::new(data.len() as u64, false);
        let archive = [&header.encode()[..], &data].concat();
        assert_eq!(read(&archive, padded, &[100]).map(|events| events.len()), Ok(vector.events.len()));
        assert_eq!(read(&archive, Limits::default(), &[100]), Err(CarError::EmptySection));
    }
}

#[test]
fn sections_up_to_the_limit_pass_and_a_byte_more_does_not() {
    let cid: Cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku".parse().unwrap();
    let mut archive = v1::encode_header(std::slice::from_ref(&cid));
    let header_bytes = archive.len();
    let data = vec![7; CAR_SECTION_BYTES_MAX - cid.as_bytes().len()];
    v1::section_prefix(&cid, data.len(), &mut archive);
    archive.extend_from_slice(&data);
    assert_eq!(read(&archive, Limits::default(), &[100_000]).unwrap().len(), 2);
    assert_eq!(v1::parse_section(&archive[header_bytes..]).unwrap().data_range.len(), data.len());
    archive.truncate(header_bytes);
    v1::section_prefix(&cid, data.len() + 1, &mut archive);
    let too_long = CarError::TooLong { bytes: CAR_SECTION_BYTES_MAX as u64 + 1, bytes_max: CAR_SECTION_BYTES_MAX };
    assert_eq!(read(&archive, Limits::default(), &[100]), Err(too_long.clone()));
    assert_eq!(v1::parse_section(&archive[header_bytes..]), Err(too_long));
}

/// A version 2 whose data end inside a section's length was refused for the bytes behind the data, if they had come by then, and
/// for its layout if they had not: the reader took the length from both sides of that end.
#[test]
fn a_length_that_reaches_over_the_end_of_the_data_is_refused_for_that_however_the_bytes_come() {
    let data = [&v1::encode_header(&[])[..], b"\x80"].concat();
    for behind in [&b""[..], b"\x00", b"\x01", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80", b"\xff\xff\xff\x7f"] {
        let numbers = [51, data.len() as u64, 0].map(u64::to_le_bytes);
        let archive = [&v2::PRAGMA[..], &[0; 16], numbers.as_flattened(), &data, behind].concat();
        for piece in [1, 2, 7, archive.len() - behind.len(), archive.len()] {
            let refused = read(&archive, Limits::default(), &[piece]);
            assert!(matches!(refused, Err(CarError::Layout(_))), "{behind:02x?} in pieces of {piece}: {refused:?}");
        }
    }
}

#[test]
fn a_reader_that_failed_stays_failed() {
    let mut reader = Reader::new(Limits::default());
    reader.push(b"\x00");
    assert_eq!(reader.next(), Err(CarError::EmptySection));
    reader.push(&v1::encode_header(&[]));
    assert_eq!(reader.next(), Err(CarError::EmptySection));
    assert_eq!(reader.finish(), Err(CarError::EmptySection));
}

#[test]
fn a_reader_knows_where_it_stands() {
    for vector in accepted().iter().filter(|vector| !vector.name.starts_with("version 2")) {
        let (archive, offsets) = vector.rewritten();
        let mut reader = Reader::new(Limits::default());
        reader.push(&archive);
        let mut positions = Vec::new();
        while let Some(_event) = reader.next().unwrap() {
            positions.push(reader.position());
        }
        assert_eq!(positions.pop(), Some(archive.len() as u64));
        assert_eq!(positions, offsets);
    }
}

#[test]
fn blocks_that_lie_are_left_for_the_caller_to_find() {
    let vector = accepted().into_iter().find(|vector| vector.name == "every kind of CID, and one twice").unwrap();
    let mut blocks: Vec<_> = vector.blocks().collect();
    let mut failures = Vec::new();
    shoal_core::hash::verify_many(&blocks, &mut failures);
    assert_eq!(failures, []);
    for i in [0, 1, 2, 5] {
        blocks[i].1 = b"lie";
    }
    shoal_core::hash::verify_many(&blocks, &mut failures);
    assert_eq!(failures, [0, 1, 2, 5]);
}
