//! The reserve: a disk without a byte of room can be emptied, and adding never gets at what that needs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use shoal_store::collect::{CollectOptions, collect};
use shoal_store::disk::{Disk, write_all_at};
use shoal_store::{Error, Operation, Options, Store};
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;
use support::expected::{ROOTS, Transaction, whole};
use support::small_disk::SmallDisk;

const RESERVE: u64 = 4000;
const DISK: u64 = 120_000;

fn options(reserve_bytes: u64) -> Options {
    Options { reserve_bytes, ..support::options(9000) }
}

fn open(disk: &SmallDisk, reserve_bytes: u64) -> Store {
    Store::open(Arc::new(disk.clone()), Path::new(support::STORE), options(reserve_bytes)).unwrap()
}

fn reserve_bytes(disk: &SmallDisk) -> u64 {
    disk.below.identity(Path::new("/store/reserve")).map_or(0, |file| file.bytes)
}

/// Adds DAGs until the disk is full: how many.
fn add_until_full(store: &Store) -> u64 {
    for n in ROOTS.. {
        match (Transaction { puts: whole(n), pins: vec![n], ..Transaction::default() }).run(store) {
            Ok(()) => {}
            Err(Error::Full { .. }) => return n - ROOTS,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!()
}

/// Leaves not a byte.
fn fill_up(disk: &SmallDisk) {
    let file = disk.create(Path::new("/store/config.toml")).unwrap();
    let mut at = 0;
    while write_all_at(&*file, &mut [IoSlice::new(&[1])], at).is_ok() {
        at += 1;
    }
    assert_eq!(disk.left(), 0);
}

fn unpin(store: &Store, n: u64) -> Result<(), Error> {
    Transaction { unpins: vec![ROOTS + n], ..Transaction::default() }.run(store)
}

#[test]
fn a_disk_without_a_byte_of_room_takes_the_removal_of_pins_and_is_emptied_by_a_collection() {
    let disk = SmallDisk::new(support::memory(), DISK);
    let store = open(&disk, RESERVE);
    let added = add_until_full(&store);
    assert!(added > 8);
    fill_up(&disk);
    // By other processes, one for each.
    (0..added).step_by(2).for_each(|n| unpin(&open(&disk, RESERVE), n).unwrap());
    let done = collect(&open(&disk, RESERVE), CollectOptions::default(), &Operation::new()).unwrap();
    assert!(done.freed_disk_bytes > DISK / 6, "{done:?}");
    assert!(disk.left() > 0);
    let store = open(&disk, RESERVE);
    for n in (1..added).step_by(2).flat_map(|n| whole(ROOTS + n)) {
        assert!(store.block(&support::expected::block(n).0).is_ok());
    }
    Transaction { puts: whole(ROOTS), pins: vec![ROOTS], ..Transaction::default() }.run(&store).unwrap();
    assert_eq!(reserve_bytes(&disk), RESERVE, "made again as soon as there is room");
}

#[test]
fn without_a_reserve_such_a_disk_stays_full() {
    let disk = SmallDisk::new(support::memory(), DISK);
    let store = open(&disk, 0);
    add_until_full(&store);
    fill_up(&disk);
    assert!(matches!(unpin(&store, 0), Err(Error::Full { .. })));
    assert_eq!(reserve_bytes(&disk), 0);
}

#[test]
fn adding_never_gets_at_the_reserve() {
    let disk = SmallDisk::new(support::memory(), DISK);
    let store = open(&disk, RESERVE);
    for _ in 0..5 {
        add_until_full(&store);
        assert_eq!(reserve_bytes(&disk), RESERVE);
    }
}

#[test]
fn as_much_as_there_is_room_for_is_kept_back() {
    for room in [0, 1, RESERVE - 1, RESERVE, RESERVE + 1] {
        let disk = SmallDisk::new(support::memory(), DISK);
        let store = open(&disk, 0);
        add_until_full(&store);
        let filler = disk.create(Path::new("/store/config.toml")).unwrap();
        while disk.left() > room {
            let at = filler.identity().unwrap().bytes;
            let step = usize::try_from(disk.left() - room).unwrap();
            write_all_at(&*filler, &mut [IoSlice::new(&vec![1; step])], at).unwrap();
        }
        let room = disk.left();
        drop(open(&disk, RESERVE).write().unwrap());
        assert_eq!(reserve_bytes(&disk), room.min(RESERVE));
    }
}
