//! The same CIDs as Kubo, asked of Kubo itself: active when `SHOAL_KUBO` names its `ipfs` binary (0.42 or later).
//!
//! Files are compared with `ipfs add --only-hash`. Directories are really added: with `--only-hash` Kubo's own root
//! ignores `--max-directory-links`. `SHOAL_KUBO_TREE` may name a folder to be compared as a whole;
//! `SHOAL_LARGE` asks for 100,000 entries in place of 10,000.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the counterpart reads files")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panics")]

mod memory;

use memory::{Tree, add_file, add_tree, painted};
use shoal_core::chunk::Chunker;
use shoal_core::hash::Hash;
use shoal_core::unixfs::profile::Layout;
use shoal_core::unixfs::{Metadata, Profile};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A fresh Kubo repository.
struct Kubo {
    binary: OsString,
    home: tempfile::TempDir,
}

impl Kubo {
    /// None when there is no Kubo to ask, which the run says.
    #[expect(clippy::print_stderr, reason = "a missing counterpart is named")]
    fn new(profile: &str) -> Option<Self> {
        let Some(binary) = std::env::var_os("SHOAL_KUBO") else {
            eprintln!("not compared with Kubo: SHOAL_KUBO does not name its ipfs binary");
            return None;
        };
        let kubo = Self { binary, home: tempfile::tempdir().unwrap() };
        kubo.run(["init", "--empty-repo", &format!("--profile={profile},test")]);
        Some(kubo)
    }

    fn configured(profile: &str, settings: &[(&str, &str)]) -> Option<Self> {
        let kubo = Self::new(profile)?;
        for (key, value) in settings {
            kubo.run(["config", "--json", key, value]);
        }
        Some(kubo)
    }

    fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let arguments: Vec<OsString> = arguments.into_iter().map(|a| a.as_ref().to_owned()).collect();
        let output = Command::new(&self.binary).args(&arguments).env("IPFS_PATH", self.home.path().join("repo")).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ipfs {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn folder(&self) -> PathBuf {
        tempfile::tempdir_in(self.home.path()).unwrap().keep()
    }

    /// CIDs of files of painted bytes, by their length.
    fn files(&self, arguments: &[&str], lengths: &[usize]) -> HashMap<usize, String> {
        let folder = self.folder();
        let content = painted(*lengths.iter().max().unwrap());
        let paths: Vec<PathBuf> = lengths.iter().map(|n| folder.join(n.to_string())).collect();
        paths.iter().zip(lengths).for_each(|(path, &n)| fs::write(path, &content[..n]).unwrap());
        let mut command: Vec<&OsStr> = ["add", "--only-hash", "--progress=false"].map(OsStr::new).to_vec();
        command.extend(arguments.iter().map(OsStr::new));
        command.extend(paths.iter().map(|path| path.as_os_str()));
        let printed = self.run(command);
        fs::remove_dir_all(folder).unwrap();
        let line = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
            ["added", cid, name] => (name.parse().unwrap(), cid.to_owned()),
            _ => panic!("{line}"),
        };
        printed.lines().map(line).collect()
    }

    /// Compares files of all `lengths`.
    fn same_files(&self, arguments: &[&str], profile: &Profile, metadata: Metadata, lengths: &[usize]) {
        profile.check().unwrap();
        let theirs = self.files(arguments, lengths);
        let content = painted(*lengths.iter().max().unwrap());
        for n in lengths {
            let ours = add_file(profile, metadata, &content[..*n]).cid.to_string();
            assert_eq!(ours, theirs[n], "{n} bytes, {arguments:?}");
        }
    }

    /// Compares a folder. `keep` says what of its metadata counts.
    fn same_folder(&self, arguments: &[&str], profile: &Profile, folder: &Path, keep: Keep) {
        profile.check().unwrap();
        let mut command: Vec<&OsStr> = ["add", "-r", "-Q", "--hidden", "--pin=false"].map(OsStr::new).to_vec();
        command.extend(arguments.iter().map(OsStr::new));
        command.push(folder.as_os_str());
        let theirs = self.run(command);
        let ours = add_tree(profile, &read_tree(folder, keep)).cid.to_string();
        assert_eq!(ours, theirs.trim(), "{arguments:?}");
    }
}

#[derive(Clone, Copy, PartialEq)]
struct Keep {
    mode: bool,
    mtime: bool,
}

const NOTHING: Keep = Keep { mode: false, mtime: false };

fn read_tree(path: &Path, keep: Keep) -> Tree {
    let stat = fs::symlink_metadata(path).unwrap();
    let metadata = Metadata {
        mode: keep.mode.then_some(stat.mode() & 0o7777),
        mtime: keep.mtime.then(|| (stat.mtime(), u32::try_from(stat.mtime_nsec()).unwrap())),
    };
    if stat.is_symlink() {
        Tree::Symlink(fs::read_link(path).unwrap().into_os_string().into_vec(), metadata)
    } else if stat.is_dir() {
        let entry = |entry: fs::DirEntry| (entry.file_name().into_vec(), read_tree(&entry.path(), keep));
        Tree::Directory(fs::read_dir(path).unwrap().map(|e| entry(e.unwrap())).collect(), metadata)
    } else {
        Tree::File(path.to_owned(), metadata)
    }
}

/// Each boundary with its neighbours.
fn around(boundaries: &[usize]) -> Vec<usize> {
    let mut lengths: Vec<usize> = boundaries.iter().flat_map(|&n| [n.saturating_sub(1), n, n + 1]).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

#[test]
fn files_of_the_older_profile_on_every_boundary() {
    let Some(kubo) = Kubo::new("unixfs-v0-2015") else { return };
    let profile = Profile::unixfs_v0_2015();
    let chunk = 262_144;
    kubo.same_files(&[], &profile, Metadata::default(), &around(&[0, 1, chunk, 2 * chunk, 174 * chunk]));
}

#[test]
fn files_of_the_newer_profile_on_every_boundary() {
    let Some(kubo) = Kubo::new("unixfs-v1-2025") else { return };
    let profile = Profile::unixfs_v1_2025();
    let chunk = 1 << 20;
    kubo.same_files(&[], &profile, Metadata::default(), &around(&[0, 1, chunk, 2 * chunk, 20 * chunk]));
    // 1024 links and one more, cheaply.
    let small = Profile { chunker: Chunker::Size(64), ..profile };
    kubo.same_files(&["--chunker=size-64"], &small, Metadata::default(), &around(&[1024 * 64, 2 * 1024 * 64, 2048 * 64 + 64]));
}

/// Small nodes, so that a few hundred bytes have many levels.
#[test]
fn trees_of_many_levels_under_every_option() {
    let Some(kubo) = Kubo::new("unixfs-v1-2025") else { return };
    let lengths: Vec<usize> =
        (0..70).chain([80, 81, 82, 242, 243, 244, 245, 300, 486, 487, 728, 729, 730, 731, 1000, 2187, 2188]).collect();
    let base = Profile { chunker: Chunker::Size(3), file_links_max: 3, ..Profile::unixfs_v1_2025() };
    let mode = Metadata { mode: Some(0o640), mtime: None };
    let time = Metadata { mode: None, mtime: Some((1_600_000_000, 0)) };
    let both = Metadata { mode: Some(0o7), mtime: Some((-5, 999_999_999)) };
    let none = Metadata::default();
    type Case<'a> = (&'a [&'a str], &'a dyn Fn(&mut Profile), Metadata);
    let cases: &[Case<'_>] = &[
        (&[], &|_| {}, none),
        (&["--trickle"], &|p| p.layout = Layout::Trickle, none),
        (&["--raw-leaves=false"], &|p| p.raw_leaves = false, none),
        (&["--trickle", "--raw-leaves=false"], &|p| (p.layout, p.raw_leaves) = (Layout::Trickle, false), none),
        (&["--cid-version=0"], &|p| p.cid_version = 0, none),
        (&["--cid-version=0", "--raw-leaves=false"], &|p| (p.cid_version, p.raw_leaves) = (0, false), none),
        (&["--hash=blake3"], &|p| p.hash = Hash::Blake3, none),
        (&["--hash=sha2-512", "--trickle"], &|p| (p.hash, p.layout) = (Hash::Sha512, Layout::Trickle), none),
        (&["--inline"], &|p| p.inline_bytes_max = 32, none),
        (&["--inline", "--inline-limit=2"], &|p| p.inline_bytes_max = 2, none),
        (&["--inline", "--inline-limit=3"], &|p| p.inline_bytes_max = 3, none),
        (&["--inline", "--inline-limit=128"], &|p| p.inline_bytes_max = 128, none),
        (&["--inline", "--inline-limit=128", "--hash=blake3"], &|p| (p.inline_bytes_max, p.hash) = (128, Hash::Blake3), none),
        (
            &["--inline", "--inline-limit=9", "--raw-leaves=false", "--cid-version=0"],
            &|p| (p.inline_bytes_max, p.raw_leaves, p.cid_version) = (9, false, 0),
            none,
        ),
        (&["--raw-leaves=false", "--mode=0640"], &|p| p.raw_leaves = false, mode),
        (&["--raw-leaves=false", "--mtime=1600000000"], &|p| p.raw_leaves = false, time),
        (&["--raw-leaves=false", "--mode=0007", "--mtime=-5", "--mtime-nsecs=999999999"], &|p| p.raw_leaves = false, both),
        (
            &["--trickle", "--raw-leaves=false", "--mode=0007", "--mtime=-5", "--mtime-nsecs=999999999"],
            &|p| (p.layout, p.raw_leaves) = (Layout::Trickle, false),
            both,
        ),
    ];
    for (arguments, change, metadata) in cases {
        let mut profile = base.clone();
        change(&mut profile);
        kubo.same_files(&[&["--chunker=size-3", "--max-file-links=3"], *arguments].concat(), &profile, *metadata, &lengths);
    }
    for links in [2usize, 4, 7, 174] {
        for layout in [Layout::Balanced, Layout::Trickle] {
            let profile = Profile { layout, file_links_max: links, chunker: Chunker::Size(1), ..base.clone() };
            let flag = if layout == Layout::Trickle { "--trickle" } else { "--trickle=false" };
            let lengths: Vec<usize> = (0..50).chain(around(&[links * links, links.pow(3).min(60_000), 2000])).collect();
            kubo.same_files(&["--chunker=size-1", &format!("--max-file-links={links}"), flag], &profile, Metadata::default(), &lengths);
        }
    }
    let one = Profile { layout: Layout::Trickle, file_links_max: 1, ..base };
    kubo.same_files(&["--trickle", "--max-file-links=1", "--chunker=size-3"], &one, Metadata::default(), &lengths);
}

#[test]
fn content_defined_chunks() {
    let Some(kubo) = Kubo::new("unixfs-v1-2025") else { return };
    for chunker in [
        "rabin",
        "rabin-16-17-18",
        "rabin-16-32-64",
        "rabin-48",
        "rabin-1000",
        "rabin-100-4096-5000",
        "rabin-87381-262144-393216",
        "rabin-16-262144-1000000",
        "rabin-min:20-avg:1000-max:2000",
        "rabin-1397931",
        "rabin-1000000-1500000-2096896",
        "buzhash",
    ] {
        let profile = Profile { chunker: chunker.parse().unwrap(), ..Profile::unixfs_v1_2025() };
        let lengths = match profile.chunker {
            Chunker::Rabin { max: ..10_000, .. } => vec![0, 1, 15, 16, 17, 18, 31, 32, 33, 64, 65, 1000, 2000, 5000, 5001, 65_536, 200_000],
            Chunker::Rabin { .. } => vec![0, 1, 393_215, 393_216, 393_217, 600_000, 3_000_000, 20_000_000],
            _ => around(&[1, 131_072, 131_073, 524_288, 524_289, 1_000_000, 3_000_000, 20_000_000]),
        };
        kubo.same_files(&[&format!("--chunker={chunker}")], &profile, Metadata::default(), &lengths);
    }
}

#[test]
fn names_of_all_sorts_in_nested_directories() {
    for (name, profile) in [("unixfs-v1-2025", Profile::unixfs_v1_2025()), ("unixfs-v0-2015", Profile::unixfs_v0_2015())] {
        let Some(kubo) = Kubo::new(name) else { return };
        let folder = kubo.folder();
        kubo.same_folder(&[], &profile, &folder, NOTHING);
        fs::write(folder.join("one"), "x").unwrap();
        kubo.same_folder(&[], &profile, &folder, NOTHING);
        let names: [&[u8]; 12] = [
            b"a",
            b"A",
            b"a b",
            b" ",
            b"line\nfeed",
            b".hidden",
            b"...",
            "\u{e9}\u{1f980}".as_bytes(),
            "e\u{301}".as_bytes(),
            b"\xff\xfe",
            b"-r",
            b"%41",
        ];
        for name in names.iter().copied().chain([&[b'n'; 255][..]]) {
            fs::write(folder.join(OsStr::from_bytes(name)), name).unwrap();
        }
        fs::create_dir_all(folder.join("empty/empty")).unwrap();
        fs::create_dir_all(folder.join("deep/a/b/c")).unwrap();
        fs::write(folder.join("deep/a/b/c/d"), painted(3_000_000)).unwrap();
        fs::write(folder.join("deep/nothing"), "").unwrap();
        for (target, name) in [("one", "link"), ("../..", "deep/up"), ("/nowhere", "deep/a/dangling"), ("\u{e9} \n", "odd")] {
            std::os::unix::fs::symlink(target, folder.join(name)).unwrap();
        }
        kubo.same_folder(&[], &profile, &folder, NOTHING);
        let inline = Profile { inline_bytes_max: 100, ..profile.clone() };
        kubo.same_folder(&["--inline", "--inline-limit=100"], &inline, &folder, NOTHING);
        let blake3 = Profile { hash: Hash::Blake3, cid_version: 1, ..profile.clone() };
        kubo.same_folder(&["--hash=blake3", "--cid-version=1"], &blake3, &folder, NOTHING);
        keep_metadata(&kubo, &profile, &folder);
    }
}

/// Odd modes and times on all of a folder, kept singly and together.
fn keep_metadata(kubo: &Kubo, profile: &Profile, folder: &Path) {
    let profile = Profile { raw_leaves: false, ..profile.clone() };
    let set = |name: &str, mode| fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    for (name, mode) in [("one", 0o4755), ("a", 0o7777), (".hidden", 0o400), ("empty", 0o1700), ("deep/nothing", 0o2644)] {
        set(name, mode);
    }
    let time = |seconds: i64, nanoseconds: u32| {
        let whole = std::time::Duration::from_secs(seconds.unsigned_abs());
        let base = if seconds < 0 { std::time::UNIX_EPOCH - whole } else { std::time::UNIX_EPOCH + whole };
        base + std::time::Duration::from_nanos(u64::from(nanoseconds))
    };
    for (name, seconds, nanoseconds) in
        [("one", 0, 0), ("a", -1, 0), (".hidden", -3, 250_000_000), ("deep", 1, 1), ("deep/a/b", 4_000_000_000, 999_999_999)]
    {
        fs::File::open(folder.join(name)).unwrap().set_modified(time(seconds, nanoseconds)).unwrap();
    }
    kubo.same_folder(&["--raw-leaves=false", "--preserve-mode"], &profile, folder, Keep { mode: true, mtime: false });
    kubo.same_folder(&["--raw-leaves=false", "--preserve-mtime"], &profile, folder, Keep { mode: false, mtime: true });
    kubo.same_folder(&["--raw-leaves=false", "--preserve-mode", "--preserve-mtime"], &profile, folder, Keep { mode: true, mtime: true });
    // Readable by root and its like only.
    let is_readable = || fs::read(folder.join("one")).is_ok() && fs::read_dir(folder.join("empty")).is_ok();
    set("one", 0);
    set("empty", 0);
    if is_readable() {
        kubo.same_folder(&["--raw-leaves=false", "--preserve-mode"], &profile, folder, Keep { mode: true, mtime: false });
    }
    set("one", 0o644);
    set("empty", 0o755);
}

/// A folder of `count` files of one byte, the names of `name_bytes` bytes.
fn many(kubo: &Kubo, count: usize, name_bytes: usize) -> PathBuf {
    let folder = kubo.folder();
    (0..count).for_each(|i| fs::write(folder.join(format!("{i:0name_bytes$}")), "x").unwrap());
    folder
}

#[test]
fn directories_on_both_sides_of_the_default_threshold() {
    // Entries that still fit 256 KiB: by name and CID; and by the whole block, with 4 bytes beside the links.
    for (name, profile, fitting) in [
        ("unixfs-v0-2015", Profile::unixfs_v0_2015(), 262_144 / (222 + 34)),
        ("unixfs-v1-2025", Profile::unixfs_v1_2025(), (262_144 - 4) / (222 + 36 + 10)),
    ] {
        let Some(kubo) = Kubo::new(name) else { return };
        for count in [fitting, fitting + 1] {
            let folder = many(&kubo, count, 222);
            kubo.same_folder(&[], &profile, &folder, NOTHING);
        }
        for count in [1_000, if std::env::var_os("SHOAL_LARGE").is_some() { 100_000 } else { 10_000 }] {
            let folder = many(&kubo, count, 6);
            kubo.same_folder(&[], &profile, &folder, NOTHING);
        }
    }
}

#[test]
fn directories_on_both_sides_of_other_limits() {
    for (estimation, profile) in [("links", Profile::unixfs_v0_2015()), ("block", Profile::unixfs_v1_2025())] {
        let settings = [
            ("Import.UnixFSHAMTDirectorySizeThreshold", "\"2000\""),
            ("Import.UnixFSHAMTDirectorySizeEstimation", &format!("{estimation:?}")),
        ];
        let Some(kubo) = Kubo::configured(&profile.name, &settings) else { return };
        let small = Profile { hamt_threshold_bytes: 2000, ..profile.clone() };
        for count in [1, 30, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 400] {
            let folder = many(&kubo, count, 5);
            kubo.same_folder(&[], &small, &folder, NOTHING);
            if [33, 36, 400].contains(&count) {
                keep_shards(&kubo, &small, &folder);
            }
        }
        let folder = many(&kubo, 700, 3);
        for fanout in [8, 16, 32, 64, 128, 256, 512, 1024] {
            let profile = Profile { hamt_fanout: fanout, ..small.clone() };
            kubo.same_folder(&[&format!("--max-hamt-fanout={fanout}")], &profile, &folder, NOTHING);
        }
        let inline = Profile { inline_bytes_max: 128, ..small.clone() };
        kubo.same_folder(&["--inline", "--inline-limit=128"], &inline, &folder, NOTHING);

        let folder = many(&kubo, 21, 3);
        for links in [1, 20, 21, 22] {
            let profile = Profile { directory_links_max: links, ..small.clone() };
            kubo.same_folder(&[&format!("--max-directory-links={links}")], &profile, &folder, NOTHING);
        }
        // Sharded directories in sharded directories.
        for i in 0..60 {
            let below = folder.join(format!("directory {i}"));
            fs::create_dir(&below).unwrap();
            (0..i).for_each(|j| fs::write(below.join(format!("{j:05}")), painted(j)).unwrap());
        }
        kubo.same_folder(&[], &small, &folder, NOTHING);
        keep_shards(&kubo, &small, &folder);
    }
}

fn keep_shards(kubo: &Kubo, profile: &Profile, folder: &Path) {
    let profile = Profile { raw_leaves: false, ..profile.clone() };
    kubo.same_folder(&["--raw-leaves=false", "--preserve-mode", "--preserve-mtime"], &profile, folder, Keep { mode: true, mtime: true });
}

#[test]
fn a_folder_of_the_users_choice() {
    let Some(folder) = std::env::var_os("SHOAL_KUBO_TREE") else { return };
    for (name, profile) in [("unixfs-v1-2025", Profile::unixfs_v1_2025()), ("unixfs-v0-2015", Profile::unixfs_v0_2015())] {
        let Some(kubo) = Kubo::new(name) else { return };
        kubo.same_folder(&[], &profile, Path::new(&folder), NOTHING);
    }
}
