//! What a store does for its users: blocks and pins kept, found, read back and forgotten.

use shoal_core::Cid;
use shoal_core::hash::{Hash, cid_v1};
use shoal_store::disk::{Disk, RealDisk};
use shoal_store::memory_disk::MemoryDisk;
use shoal_store::{Error, Options, Pin, PinKind, Store};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A block whose bytes follow from its number and length.
fn painted(n: u64, bytes: usize) -> (Cid, Vec<u8>) {
    let mut data = vec![0; bytes];
    blake3::Hasher::new().update(&n.to_le_bytes()).finalize_xof().fill(&mut data);
    let hash = if n % 2 == 0 { Hash::Blake3 } else { Hash::Sha256 };
    (cid_v1(hash, 0x55, &data).unwrap(), data)
}

/// Both disks, each with a folder for a store.
fn disks() -> Vec<(Arc<dyn Disk>, PathBuf, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let memory = MemoryDisk::new();
    memory.create_dir(Path::new("/")).unwrap();
    vec![(Arc::new(memory), PathBuf::from("/store"), None), (Arc::new(RealDisk), folder.path().join("store"), Some(folder))]
}

fn small_packs() -> Options {
    Options { pack_bytes_max: 64 * 1024, ..Options::default() }
}

#[test]
fn what_is_committed_is_there_after_reopening() {
    for (disk, path, _folder) in disks() {
        let store = Store::open(Arc::clone(&disk), &path, small_packs()).unwrap();
        let blocks: Vec<_> = (0..500).map(|n| painted(n, (n as usize * 37) % 3000)).collect();
        let session = store.write().unwrap();
        for (cid, data) in &blocks {
            assert!(session.put(cid, data).unwrap());
            assert!(!session.put(cid, data).unwrap());
            assert_eq!(&*session.block(cid).unwrap(), data.as_slice());
        }
        session.pin(Pin { cid: blocks[3].0.clone(), kind: PinKind::Recursive, name: Some("three".into()) }).unwrap();
        session.commit().unwrap();
        for store in [store.clone(), Store::open(Arc::clone(&disk), &path, small_packs()).unwrap()] {
            for (cid, data) in &blocks {
                assert!(store.has(cid).unwrap());
                assert_eq!(store.size(cid).unwrap(), data.len() as u64);
                assert_eq!(&*store.block(cid).unwrap(), data.as_slice());
            }
            let cids: Vec<Cid> = blocks.iter().map(|(cid, _)| cid.clone()).collect();
            assert_eq!(store.has_many(&cids).unwrap(), vec![true; 500]);
            for (block, (_, data)) in store.blocks(&cids).into_iter().zip(&blocks) {
                assert_eq!(&*block.unwrap(), data.as_slice());
            }
            assert_eq!(store.pins().unwrap().len(), 1);
            assert_eq!(store.pin(&blocks[3].0).unwrap().unwrap().name.as_deref(), Some("three"));
            let stat = store.stat().unwrap();
            assert_eq!(stat.blocks, 500);
            assert_eq!(stat.block_bytes, blocks.iter().map(|(_, data)| data.len() as u64).sum::<u64>());
            assert!(stat.packs > 5);
            let mut listed: Vec<Cid> = store.entries().unwrap().map(|entry| entry.unwrap().cid).collect();
            listed.sort();
            let mut expected = cids.clone();
            expected.sort();
            assert_eq!(listed, expected);
            assert_eq!(store.recovery(), None);
        }
    }
}

#[test]
fn what_is_not_committed_is_seen_by_its_session_only_and_then_gone() {
    for (disk, path, _folder) in disks() {
        let store = Store::open(Arc::clone(&disk), &path, Options::default()).unwrap();
        let (cid, data) = painted(1, 100_000);
        let session = store.write().unwrap();
        session.put(&cid, &data).unwrap();
        let block = session.block(&cid).unwrap();
        assert!(session.has(&cid).unwrap());
        assert!(!store.has(&cid).unwrap());
        assert!(matches!(store.block(&cid), Err(Error::NotFound { .. })));
        drop(session);
        assert_eq!(&*block, data.as_slice(), "a block read before the rollback stays readable after it");
        assert!(!store.has(&cid).unwrap());
        let session = store.write().unwrap();
        assert!(session.put(&cid, &data).unwrap());
        session.commit().unwrap();
        assert_eq!(&*store.block(&cid).unwrap(), data.as_slice());
    }
}
