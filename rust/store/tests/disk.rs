//! What any disk must do; each implementation runs it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use shoal_store::disk::{Disk, Lock, RealDisk, read_full_at, read_to_end, write_all_at};
use shoal_store::memory_disk::MemoryDisk;
use std::io::{ErrorKind, IoSlice};
use std::path::Path;

fn check_disk(disk: &dyn Disk, folder: &Path) {
    let inside = folder.join("a/b");
    disk.create_dir(&inside).unwrap();
    disk.create_dir(&inside).unwrap();
    let path = inside.join("one");

    // Files that are not there.
    assert_eq!(disk.open(&path, false).err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(disk.identity(&path).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.remove(&path).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.rename(&path, &inside.join("two")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.list(&folder.join("none")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.create(&folder.join("none/one")).err().unwrap().kind(), ErrorKind::NotFound);

    // Writes go where they say, in any order, and leave zeros between.
    let file = disk.create(&path).unwrap();
    assert_eq!(disk.create(&path).err().unwrap().kind(), ErrorKind::AlreadyExists);
    write_all_at(&*file, &mut [IoSlice::new(b"xy"), IoSlice::new(b""), IoSlice::new(b"z")], 4).unwrap();
    write_all_at(&*file, &mut [IoSlice::new(b"ab")], 0).unwrap();
    assert_eq!(read_to_end(&*file, 0).unwrap(), b"ab\0\0xyz");
    assert_eq!(read_to_end(&*file, 100).unwrap(), b"");
    let mut buffer = [9; 4];
    assert_eq!(read_full_at(&*file, &mut buffer, 5).unwrap(), 2);
    assert_eq!(buffer, *b"yz\x09\x09");

    // More buffers than a system call takes.
    let many = vec![IoSlice::new(b"0123456789"); 3000];
    write_all_at(&*file, &mut many.clone(), 7).unwrap();
    assert_eq!(read_to_end(&*file, 7).unwrap(), b"0123456789".repeat(3000));

    // Lengths.
    file.set_len(5).unwrap();
    file.sync_data().unwrap();
    assert_eq!(file.identity().unwrap(), disk.identity(&path).unwrap());
    assert_eq!(disk.identity(&path).unwrap().bytes, 5);
    file.set_len(7).unwrap();
    assert_eq!(read_to_end(&*file, 0).unwrap(), b"ab\0\0x\0\0");

    // Maps outlive the name of the file, and what is appended does not disturb them.
    let map = file.map(7).unwrap();
    write_all_at(&*file, &mut [IoSlice::new(b"more")], 7).unwrap();
    assert_eq!(map.get(0, 5), Some(&b"ab\0\0x"[..]));
    assert_eq!(map.get(3, 3), Some(&b""[..]));
    assert_eq!((map.get(0, 8), map.get(5, 3)), (None, None));
    assert_eq!(file.map(0).unwrap().get(0, 0), Some(&b""[..]));

    // Renaming replaces, and keeps the file; links are the same file.
    let (two, three) = (inside.join("two"), inside.join("three"));
    let other = disk.create(&two).unwrap();
    assert!(!other.identity().unwrap().is_same_file(&file.identity().unwrap()));
    disk.rename(&path, &two).unwrap();
    assert!(disk.identity(&two).unwrap().is_same_file(&file.identity().unwrap()));
    disk.link(&two, &three).unwrap();
    assert_eq!(disk.link(&two, &three).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(disk.identity(&three).unwrap().is_same_file(&file.identity().unwrap()));
    let mut names = disk.list(&inside).unwrap();
    names.sort();
    assert_eq!(names, ["three", "two"]);
    disk.sync_dir(&inside).unwrap();
    disk.remove(&two).unwrap();
    disk.remove(&three).unwrap();
    assert!(disk.list(&inside).unwrap().is_empty());
    assert_eq!(map.get(0, 2), Some(&b"ab"[..]));
    assert_eq!(read_to_end(&*file, 7).unwrap(), b"more");

    // One lock at a time; whoever holds it is named; letting go frees it.
    let lock = folder.join("lock");
    let Lock::Taken(held) = disk.lock(&lock).unwrap() else { panic!("free lock not taken") };
    let Lock::Held(pid) = disk.lock(&lock).unwrap() else { panic!("lock taken twice") };
    assert_eq!(pid, Some(std::process::id()));
    drop(held);
    assert!(matches!(disk.lock(&lock).unwrap(), Lock::Taken(_)));
}

#[test]
fn the_real_disk_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    check_disk(&RealDisk, folder.path());
}

#[test]
fn the_disk_in_memory_keeps_the_contract() {
    check_disk(&MemoryDisk::new(), Path::new("/folder"));
}
