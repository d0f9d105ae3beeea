//! Adding real files, reading them back, and writing them out again.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed"
)]

#[path = "support/bench.rs"]
mod bench;

use bench::Bench;
use shoal_core::Cid;
use shoal_core::chunk::Chunker;
use shoal_core::unixfs::{Profile, profile::Layout};
use shoal_store::export::{GetOptions, get};
use shoal_store::ingest::{AddOptions, AddReport, IgnoreRules, add, add_stream};
use shoal_store::read::{FileReader, copy_to};
use shoal_store::{Error, Operation};
use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// Bytes that differ at every place a chunk or group could be mistaken for another.
fn painted(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i % 251) as u8 ^ ((i / 4096) % 253) as u8).collect()
}

impl Bench {
    fn add(&self, path: &Path, options: &AddOptions) -> Result<AddReport, Error> {
        add(&self.store, &[path.to_path_buf()], options, &Operation::new(), &mut |_| Ok(()))
    }

    fn cid(&self, path: &Path, options: &AddOptions) -> Cid {
        self.add(path, options).unwrap().roots[0].cid.clone()
    }

    fn get(&self, cid: &Cid, name: &str, force: bool) -> Result<(), Error> {
        get(&self.store, cid, &self.path(name), GetOptions { force, threads: 2 }, &Operation::new()).map(|_| ())
    }

    /// No temporary name is left in the folder.
    fn assert_clean(&self) {
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(!name.to_string_lossy().ends_with(".partial"), "{name:?} was left behind");
        }
    }
}

fn small_chunks() -> Profile {
    Profile { name: "custom".into(), chunker: Chunker::Size(1000), file_links_max: 3, ..Profile::blake3() }
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let bench = Bench::new();
    bench.file("tree/a.txt", b"a");
    bench.file("tree/empty", b"");
    bench.file("tree/deep/er/large", &painted(9_000_000));
    bench.file("tree/deep/odd \n name \u{fc}", b"odd");
    fs::create_dir(bench.path("tree/nothing")).unwrap();
    symlink("../a.txt", bench.path("tree/deep/link")).unwrap();
    for profile in [Profile::blake3(), Profile::unixfs_v1_2025(), Profile::unixfs_v0_2015(), small_chunks()] {
        let cid = bench.cid(&bench.path("tree"), &AddOptions { profile: profile.clone(), ..AddOptions::default() });
        let out = format!("out-{}", profile.name);
        bench.get(&cid, &out, false).unwrap();
        let same =
            std::process::Command::new("diff").args(["-r", "--no-dereference"]).arg(bench.path("tree")).arg(bench.path(&out)).status();
        assert!(same.unwrap().success(), "{}", profile.name);
    }
    bench.assert_clean();
}

#[test]
fn the_number_of_threads_does_not_change_a_cid() {
    let bench = Bench::new();
    let path = bench.file("large", &painted(7_654_321));
    for profile in [Profile::blake3(), Profile::blake3_cdc(), Profile::unixfs_v1_2025(), small_chunks()] {
        let with = |threads| bench.cid(&path, &AddOptions { profile: profile.clone(), threads, ..AddOptions::default() });
        assert_eq!(with(1), with(8), "{}", profile.name);
    }
}

#[test]
fn a_stream_has_the_cid_of_the_file() {
    let bench = Bench::new();
    let mut profiles = vec![Profile::blake3(), Profile::unixfs_v0_2015(), small_chunks()];
    profiles.push(Profile { chunker: Chunker::Buzhash, ..Profile::blake3() });
    for chunker in ["rabin-1000-4000-9000", "fastcdc-1024-4096-9000", "mincdc-1000-9000"] {
        profiles.push(Profile { chunker: chunker.parse().unwrap(), ..Profile::blake3() });
    }
    profiles.push(Profile::blake3_cdc());
    profiles.push(Profile { layout: Layout::Trickle, ..small_chunks() });
    for profile in profiles {
        for bytes in [0, 1, 999, 1000, 1001, 262_144, 1_048_576, 1_048_577, 5_000_000] {
            let content = painted(bytes);
            let path = bench.file("file", &content);
            let options = AddOptions { profile: profile.clone(), ..AddOptions::default() };
            let file = bench.cid(&path, &options);
            let mut input = OneByOne(content.as_slice());
            let report = add_stream(&bench.store, &mut input, "file".into(), &options, &Operation::new(), &mut |_| Ok(())).unwrap();
            assert_eq!(report.roots[0].cid, file, "{} at {bytes} bytes", profile.chunker);
            assert_eq!(report.roots[0].bytes, bytes as u64);
        }
    }
}

/// Several workers cut one file: each begins where the one before it ended, wherever that is. Segments have 4 MiB.
#[test]
fn workers_cut_a_large_file_where_one_alone_does() {
    let bench = Bench::new();
    let mut state = 1u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    });
    let mut content: Vec<u8> = noise.take(14_000_000).collect();
    // A run over a border of segments, in which a guess never meets the cuts.
    content[3_000_000..6_000_000].fill(0);
    for chunker in ["mincdc", "mincdc-1000-9000", "mincdc-698965-2096896", "fastcdc-1024-4096-9000", "buzhash", "rabin-1000-4000-9000"] {
        let profile = Profile { chunker: chunker.parse().unwrap(), ..Profile::blake3() };
        for bytes in [4 << 20, (4 << 20) + 1, 8 << 20, 14_000_000] {
            let path = bench.file("file", &content[..bytes]);
            let mut options = AddOptions { profile: profile.clone(), only_hash: true, threads: 1, ..AddOptions::default() };
            let mut input = &content[..bytes];
            let alone = add_stream(&bench.store, &mut input, "file".into(), &options, &Operation::new(), &mut |_| Ok(())).unwrap();
            for threads in [1, 2, 5] {
                options.threads = threads;
                assert_eq!(bench.cid(&path, &options), alone.roots[0].cid, "{chunker}, {bytes} bytes, {threads} threads");
            }
        }
    }
}

/// Zeros were cut, hashed and looked up as if each chunk were another.
#[test]
fn a_run_of_zeros_is_one_block_and_the_nodes_above_it() {
    let bench = Bench::new();
    let path = bench.file("zeros", &vec![0; 100 * 87_381]);
    let options = AddOptions { profile: Profile::blake3_cdc(), ..AddOptions::default() };
    let report = add(&bench.store, &[path], &options, &Operation::new(), &mut |_| Ok(())).unwrap();
    assert_eq!((report.new_blocks, report.roots[0].bytes), (2, 100 * 87_381));
    bench.get(&report.roots[0].cid, "out", false).unwrap();
    assert_eq!(fs::read(bench.path("out")).unwrap(), vec![0; 100 * 87_381]);
}

/// A file that shrinks while it is added: the worker that notices lets go of those that wait for it.
#[test]
fn a_cut_that_fails_ends_the_add() {
    let bench = Bench::new();
    let path = bench.file("large", b"");
    // All of it would take seconds: it shrinks before.
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(16 << 30).unwrap();
    let options = AddOptions { profile: Profile::blake3_cdc(), threads: 4, ..AddOptions::default() };
    let operation = Operation::new();
    let opened = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let outcome = std::thread::scope(|scope| {
        let adding = scope.spawn(|| add(&bench.store, std::slice::from_ref(&path), &options, &operation, &mut |_| Ok(())));
        while operation.progress().bytes == 0 && !adding.is_finished() {
            std::thread::yield_now();
        }
        opened.set_len(5_000_000).unwrap();
        adding.join().unwrap()
    });
    assert!(matches!(outcome, Err(Error::SourceChanged { .. })), "{outcome:?}");
}

/// A reader that gives a little at a time, as a pipe may.
struct OneByOne<'a>(&'a [u8]);

impl Read for OneByOne<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = buffer.len().min(self.0.len()).min(4093);
        buffer[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

#[test]
fn any_range_of_a_file_reads_as_it_was_added() {
    let bench = Bench::new();
    let content = painted(123_457);
    let path = bench.file("file", &content);
    for profile in [small_chunks(), Profile { layout: Layout::Trickle, ..small_chunks() }, Profile { raw_leaves: false, ..small_chunks() }]
    {
        let cid = bench.cid(&path, &AddOptions { profile, ..AddOptions::default() });
        let mut reader = FileReader::open(&bench.store, &cid).unwrap();
        assert_eq!(reader.size(), content.len() as u64);
        for (offset, length) in
            [(0, 10), (999, 2), (1000, 1000), (2999, 3002), (123_456, 100), (123_457, 1), (500_000, 1), (0, 123_457), (60_000, 7)]
        {
            let mut buffer = vec![0; length];
            let n = reader.read_at(offset as u64, &mut buffer).unwrap();
            let expected = content.get(offset..).map_or(&[][..], |rest| &rest[..rest.len().min(length)]);
            assert_eq!(&buffer[..n], expected, "{length} bytes at {offset}");
        }
        let out = fs::File::create(bench.path("copy")).unwrap();
        assert_eq!(copy_to(&reader, out.as_fd(), 1500, Some(50_000), &Operation::new()).unwrap(), 50_000);
        assert_eq!(fs::read(bench.path("copy")).unwrap(), content[1500..51_500]);
    }
}

#[test]
fn adding_again_stores_nothing_and_counts_nothing() {
    let bench = Bench::new();
    let path = bench.file("file", &painted(3_000_000));
    let first = bench.add(&path, &AddOptions::default()).unwrap();
    assert!(first.new_blocks > 0 && first.new_bytes >= 3_000_000);
    let second = bench.add(&path, &AddOptions::default()).unwrap();
    assert_eq!((second.new_blocks, second.new_bytes), (0, 0));
    assert_eq!(first.roots, second.roots);
}

#[test]
fn only_hash_leaves_the_store_as_it_was() {
    let bench = Bench::new();
    let path = bench.file("file", &painted(3_000_000));
    let before = bench.store.stat().unwrap().blocks;
    let hashed = bench.cid(&path, &AddOptions { only_hash: true, ..AddOptions::default() });
    assert_eq!(bench.store.stat().unwrap().blocks, before);
    assert_eq!(hashed, bench.cid(&path, &AddOptions::default()));
}

#[test]
fn entries_are_told_children_first_in_the_order_of_their_names() {
    let bench = Bench::new();
    for name in ["t/b/2", "t/b/1", "t/a", "t/c/x/y"] {
        bench.file(name, name.as_bytes());
    }
    let mut names = Vec::new();
    add(&bench.store, &[bench.path("t")], &AddOptions::default(), &Operation::new(), &mut |added| {
        names.push(added.name.to_string_lossy().into_owned());
        Ok(())
    })
    .unwrap();
    assert_eq!(names, ["t/a", "t/b/1", "t/b/2", "t/b", "t/c/x/y", "t/c/x", "t/c", "t"]);
}

#[test]
fn hidden_and_ignored_entries_are_left_out() {
    let bench = Bench::new();
    for name in ["t/.git/x", "t/keep.txt", "t/drop.pyc", "t/build/x", "t/sub/build/y", "t/sub/drop.pyc"] {
        bench.file(name, name.as_bytes());
    }
    let names = |options: &AddOptions| {
        let mut names = Vec::new();
        let mut note = |added: &shoal_store::ingest::Added| {
            names.push(added.name.to_string_lossy().into_owned());
            Ok(())
        };
        add(&bench.store, &[bench.path("t")], options, &Operation::new(), &mut note).unwrap();
        names
    };
    let ignore = IgnoreRules { patterns: vec!["*.pyc".into(), "/build".into()], files: vec![] };
    assert_eq!(names(&AddOptions { ignore, ..AddOptions::default() }), ["t/keep.txt", "t/sub/build/y", "t/sub/build", "t/sub", "t"]);
    assert!(names(&AddOptions { hidden: true, ..AddOptions::default() }).contains(&"t/.git/x".to_owned()));
}

#[test]
fn empty_directories_can_be_left_out_and_only_those() {
    let bench = Bench::new();
    bench.file("t/a", b"a");
    fs::create_dir_all(bench.path("t/x/y/z")).unwrap();
    let with = bench.cid(&bench.path("t"), &AddOptions::default());
    let without = bench.cid(&bench.path("t"), &AddOptions { empty_directories: false, ..AddOptions::default() });
    assert_ne!(with, without);
    fs::remove_dir(bench.path("t/x/y/z")).unwrap();
    assert_eq!(without, bench.cid(&bench.path("t"), &AddOptions::default()));
}

#[test]
fn what_cannot_be_added_is_named_and_nothing_is_kept() {
    let bench = Bench::new();
    bench.file("t/aa", &painted(3_000_000));
    let before = bench.store.stat().unwrap();
    let refused = |path: &Path, options: &AddOptions| {
        let error = bench.add(path, options).unwrap_err();
        let after = bench.store.stat().unwrap();
        assert_eq!((after.blocks, after.pins), (before.blocks, before.pins), "{error}");
        error
    };
    assert!(matches!(refused(&bench.path("no such"), &AddOptions::default()), Error::Source { path, .. } if path.ends_with("no such")));
    symlink(".", bench.path("t/loop")).unwrap();
    let follow = AddOptions { dereference_symlinks: true, ..AddOptions::default() };
    assert!(matches!(refused(&bench.path("t"), &follow), Error::SourceCycle { path } if path.ends_with("t/loop")));
    fs::remove_file(bench.path("t/loop")).unwrap();
    symlink("nowhere", bench.path("t/dangling")).unwrap();
    assert!(matches!(refused(&bench.path("t"), &follow), Error::Source { path, .. } if path.ends_with("t/dangling")));
    fs::remove_file(bench.path("t/dangling")).unwrap();
    let fifo = bench.path("t/zz-fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
    assert!(matches!(refused(&bench.path("t"), &AddOptions::default()), Error::SourceKind { path } if path == fifo));
    fs::remove_file(fifo).unwrap();
    bench.add(&bench.path("t"), &AddOptions::default()).unwrap();
}

#[test]
fn a_stream_that_breaks_leaves_nothing() {
    struct Breaks(usize);
    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("unplugged"));
            }
            let n = buffer.len().min(self.0);
            self.0 -= n;
            Ok(n)
        }
    }
    let bench = Bench::new();
    let result = add_stream(&bench.store, &mut Breaks(20_000_000), "x".into(), &AddOptions::default(), &Operation::new(), &mut |_| Ok(()));
    assert!(matches!(result, Err(Error::Stream(_))));
    assert_eq!(bench.store.stat().unwrap().blocks, 0);
}

#[test]
fn a_cancelled_add_leaves_nothing() {
    let bench = Bench::new();
    bench.file("t/a", &painted(5_000_000));
    let operation = Operation::new();
    operation.cancel();
    let result = add(&bench.store, &[bench.path("t")], &AddOptions::default(), &operation, &mut |_| Ok(()));
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_eq!(bench.store.stat().unwrap().blocks, 0);
}

#[test]
fn an_error_of_the_listener_ends_the_add() {
    let bench = Bench::new();
    for i in 0..500 {
        bench.file(&format!("t/{i}"), &painted(i));
    }
    let result = add(&bench.store, &[bench.path("t")], &AddOptions::default(), &Operation::new(), &mut |_| Err(Error::Cancelled));
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_eq!(bench.store.stat().unwrap().blocks, 0);
}

#[test]
fn an_existing_target_is_kept_unless_force_is_given() {
    let bench = Bench::new();
    let cid = bench.cid(&bench.file("new", b"new"), &AddOptions::default());
    bench.file("target", b"old");
    assert!(matches!(bench.get(&cid, "target", false), Err(Error::TargetExists { .. })));
    assert_eq!(fs::read(bench.path("target")).unwrap(), b"old");
    bench.get(&cid, "target", true).unwrap();
    assert_eq!(fs::read(bench.path("target")).unwrap(), b"new");
    bench.assert_clean();
}

#[test]
fn force_adds_to_a_directory_and_follows_no_link_in_it() {
    let bench = Bench::new();
    bench.file("t/sub/a", b"new");
    let cid = bench.cid(&bench.path("t"), &AddOptions::default());
    bench.file("out/other", b"stays");
    bench.file("out/sub/a", b"old");
    bench.get(&cid, "out", true).unwrap();
    assert_eq!(fs::read(bench.path("out/sub/a")).unwrap(), b"new");
    assert_eq!(fs::read(bench.path("out/other")).unwrap(), b"stays");
    fs::remove_dir_all(bench.path("out/sub")).unwrap();
    fs::create_dir(bench.path("canary")).unwrap();
    symlink(bench.path("canary"), bench.path("out/sub")).unwrap();
    assert!(matches!(bench.get(&cid, "out", true), Err(Error::Export { .. })));
    assert_eq!(fs::read_dir(bench.path("canary")).unwrap().count(), 0);
}

#[test]
fn mode_and_time_come_back_when_kept() {
    let bench = Bench::new();
    let path = bench.file("t/run", b"#!/bin/sh\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(bench.path("t"), fs::Permissions::from_mode(0o711)).unwrap();
    let options = AddOptions { preserve_mode: true, preserve_mtime: true, ..AddOptions::default() };
    let cid = bench.cid(&bench.path("t"), &options);
    bench.get(&cid, "out", false).unwrap();
    for name in ["", "run"] {
        let (was, is) = (fs::metadata(bench.path("t").join(name)).unwrap(), fs::metadata(bench.path("out").join(name)).unwrap());
        assert_eq!((was.mode() & 0o7777, was.mtime(), was.mtime_nsec()), (is.mode() & 0o7777, is.mtime(), is.mtime_nsec()), "{name:?}");
    }
}

mod hostile {
    //! Directories nobody honest makes, written block by block.

    use super::*;
    use shoal_core::cid::codec;
    use shoal_core::dag::pb::{self, Link};
    use shoal_core::hash::{Hash, cid_v1};
    use shoal_core::unixfs::{Metadata, encode_symlink};

    fn put(bench: &Bench, codec: u64, data: &[u8]) -> Cid {
        let cid = cid_v1(Hash::Blake3, codec, data).unwrap();
        let session = bench.store.write().unwrap();
        session.put(&cid, data).unwrap();
        session.commit().unwrap();
        cid
    }

    fn directory(bench: &Bench, entries: &[(&[u8], Cid)]) -> Cid {
        let links: Vec<_> = entries.iter().map(|(name, cid)| Link { cid: cid.clone(), name: Some(*name), dag_bytes: Some(1) }).collect();
        let mut block = Vec::new();
        pb::encode(&links, Some(&[8, 1]), false, &mut block);
        put(bench, codec::DAG_PB, &block)
    }

    fn link(bench: &Bench, target: &[u8]) -> Cid {
        let mut blocks = Vec::new();
        let child = encode_symlink(&Profile::blake3(), target, Metadata::default(), &mut blocks);
        let session = bench.store.write().unwrap();
        for block in &blocks {
            session.put(&block.cid, &block.data).unwrap();
        }
        session.commit().unwrap();
        child.cid
    }

    #[test]
    fn names_that_are_paths_are_refused_and_nothing_is_left() {
        let bench = Bench::new();
        let file = put(&bench, codec::RAW, b"escaped");
        for name in [&b".."[..], b".", b"", b"/", b"a/b", b"../x", b"/etc/x", b"a\0b", &[b'x'; 256]] {
            let cid = directory(&bench, &[(b"aaa", file.clone()), (name, file.clone())]);
            let error = bench.get(&cid, "out", false).unwrap_err();
            assert!(matches!(error, Error::UnsafeEntry { .. } | Error::Dag { .. }), "{name:?}: {error}");
            assert!(!bench.path("out").exists());
            bench.assert_clean();
        }
    }

    #[test]
    fn a_name_twice_is_refused() {
        let bench = Bench::new();
        let (one, two) = (put(&bench, codec::RAW, b"one"), put(&bench, codec::RAW, b"two"));
        let cid = directory(&bench, &[(b"same", one), (b"same", two)]);
        assert!(bench.get(&cid, "out", false).is_err());
        assert!(!bench.path("out").exists());
        bench.assert_clean();
    }

    #[test]
    fn links_that_lead_out_are_refused_and_nothing_is_left() {
        let bench = Bench::new();
        let here = link(&bench, b".");
        for target in [&b"/etc"[..], b"..", b"../../x", b"sub/../../x", b"hop/..", b"hop/hop/../.."] {
            let cid = directory(&bench, &[(b"bad", link(&bench, target)), (b"hop", here.clone())]);
            let error = bench.get(&cid, "out", false).unwrap_err();
            assert!(matches!(&error, Error::UnsafeEntry { name, .. } if name == b"bad"), "{target:?}: {error}");
            assert!(!bench.path("out").exists());
            bench.assert_clean();
        }
    }

    #[test]
    fn a_file_through_a_link_of_the_same_name_is_refused() {
        let bench = Bench::new();
        fs::create_dir(bench.path("canary")).unwrap();
        let inner = directory(&bench, &[(b"pwned", put(&bench, codec::RAW, b"x"))]);
        let cid = directory(&bench, &[(b"d", link(&bench, b"canary")), (b"d", inner)]);
        assert!(bench.get(&cid, "out", false).is_err());
        assert_eq!(fs::read_dir(bench.path("canary")).unwrap().count(), 0);
        bench.assert_clean();
    }

    #[test]
    fn a_missing_leaf_is_named_and_nothing_is_left() {
        let bench = Bench::new();
        let cid =
            directory(&bench, &[(b"there", put(&bench, codec::RAW, b"x")), (b"gone", cid_v1(Hash::Blake3, codec::RAW, b"gone").unwrap())]);
        assert!(matches!(bench.get(&cid, "out", false), Err(Error::NotFound { .. })));
        assert!(!bench.path("out").exists());
        bench.assert_clean();
    }
}
