//! Blobs that share their bytes with the file that was added: on btrfs and XFS, which this test makes in a file if it may mount them;
//! on folders named by `SHOAL_REFLINK`, with colons between them; and, as every store, where nothing can be shared.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and says what it could not try"
)]

use shoal_core::unixfs::{Profile, profile::Layout};
use shoal_store::ingest::{AddOptions, add};
use shoal_store::read::FileReader;
use shoal_store::verify::verify;
use shoal_store::{Operation, Options, Store};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Enough for XFS, which makes no smaller ones.
const IMAGE_BYTES: u64 = 320 << 20;
const FILE_BYTES: usize = 24 << 20;

/// A filesystem in a file, mounted until this is dropped.
struct Mounted {
    folder: tempfile::TempDir,
}

impl Mounted {
    /// None where a program is missing, or the system does not let us mount.
    fn new(kind: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
        let at = folder.path().join("at");
        fs::create_dir(&at).unwrap();
        let runs = |command: &mut Command| command.output().is_ok_and(|done| done.status.success());
        let is_made = runs(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&image));
        (is_made && runs(Command::new("mount").args(["-o", "loop"]).args([&image, &at]))).then_some(Self { folder })
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("at")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

fn painted(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i % 251) as u8 ^ ((i / 4096) % 253) as u8).collect()
}

/// Bytes of a filesystem that are taken.
fn used(folder: &Path) -> u64 {
    File::open(folder).unwrap().sync_all().unwrap();
    let _ = Command::new("sync").arg("-f").arg(folder).status();
    let out = Command::new("df").args(["--output=used", "-B1"]).arg(folder).output().unwrap();
    String::from_utf8(out.stdout).unwrap().lines().nth(1).unwrap().trim().parse().unwrap()
}

/// Adds a file as a blob, changes the file, and reads the blob back.
fn add_and_change(folder: &Path, path: &Path, options: &AddOptions) {
    let store = Store::open_path(&folder.join("store"), Options::default()).unwrap();
    let added = add(&store, &[path.to_owned()], options, &Operation::new(), &mut |_| Ok(())).unwrap();
    let cid = &added.roots.first().unwrap().cid;
    assert_eq!((added.new_blocks, added.new_bytes), (1, FILE_BYTES as u64));
    let source = File::options().write(true).open(path).unwrap();
    source.write_all_at(b"later", 12_345_678).unwrap();
    let mut reader = FileReader::open(&store, cid).unwrap();
    let mut data = vec![0; FILE_BYTES];
    let mut at = 0;
    while at < data.len() {
        at += reader.read_at(at as u64, data.get_mut(at..).unwrap()).unwrap();
    }
    assert_eq!(data, painted(FILE_BYTES));
    assert!(verify(&store, &Operation::new()).unwrap().is_sound());
    let left: Vec<_> = fs::read_dir(folder.join("store/blobs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.len() == 2), "{left:?}");
}

fn blob() -> AddOptions {
    AddOptions { profile: Profile { layout: Layout::Blob, ..Profile::blake3() }, ..AddOptions::default() }
}

#[test]
fn a_blob_shares_its_bytes_with_the_file_where_the_filesystem_can() {
    let mounts: Vec<(&str, Option<Mounted>)> = ["btrfs", "xfs"].map(|kind| (kind, Mounted::new(kind))).into();
    let named = std::env::var("SHOAL_REFLINK").unwrap_or_default();
    let mut folders: Vec<PathBuf> = named.split(':').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    for (kind, mount) in &mounts {
        match mount {
            Some(mount) => folders.push(mount.path()),
            None => println!("missing counterpart: {kind}; install its mkfs, and run as one who may mount"),
        }
    }
    for folder in folders {
        let own = tempfile::tempdir_in(&folder).unwrap();
        let path = own.path().join("data");
        fs::write(&path, painted(FILE_BYTES)).unwrap();
        let before = used(&folder);
        symlink("data", own.path().join("link")).unwrap();
        let followed = AddOptions { dereference_symlinks: true, ..blob() };
        add_and_change(own.path(), &own.path().join("link"), &followed);
        let grown = used(&folder).saturating_sub(before);
        assert!(grown < FILE_BYTES as u64 / 2, "{} grew by {grown} bytes", folder.display());
        println!("{}: a blob of {FILE_BYTES} bytes took {grown}", folder.display());
    }
}

#[test]
fn a_blob_is_copied_where_nothing_can_be_shared() {
    let folder = tempfile::tempdir().unwrap();
    // Another filesystem than the store's, as a rule.
    let source = Path::new("/dev/shm");
    let source = if source.is_dir() { tempfile::tempdir_in(source).unwrap() } else { tempfile::tempdir().unwrap() };
    let path = source.path().join("data");
    fs::write(&path, painted(FILE_BYTES)).unwrap();
    add_and_change(folder.path(), &path, &blob());
}
