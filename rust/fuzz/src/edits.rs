//! Edits to a store's files, as a fuzzer says them, and checksums made right behind them, by our own reading of docs/formats.
//!
//! Edits: which file, what to do, where (2 bytes), how many bytes, those bytes; one behind the other.

use shoal_store::disk::{Disk, read_to_end, write_all_at};
use shoal_store::memory_disk::MemoryDisk;
use std::io::IoSlice;
use std::path::{Path, PathBuf};

const PAGE_BYTES: usize = 4096;

fn content(disk: &MemoryDisk, path: &Path) -> Option<Vec<u8>> {
    read_to_end(&*disk.open(path, false).ok()?, 0).ok()
}

/// Most edits that are done: a mangled file needs few.
const EDITS_MAX: usize = 16;

/// Does all edits of `input` to the files at `paths`, and then makes checksums right where asked.
pub fn edit_all(disk: &MemoryDisk, paths: &[PathBuf], mut input: &[u8], is_sealed: bool) {
    for _ in 0..EDITS_MAX {
        let Some(([file, deed, low, high, count], behind)) = input.split_first_chunk::<5>() else { return };
        let (bytes, behind) = behind.split_at(usize::from(*count).min(behind.len()));
        let path = &paths[usize::from(*file) % paths.len()];
        edit(disk, paths, path, *deed, u16::from_le_bytes([*low, *high]), bytes, is_sealed);
        input = behind;
    }
}

/// Does one edit to a file.
fn edit(disk: &MemoryDisk, paths: &[PathBuf], path: &Path, deed: u8, at: u16, bytes: &[u8], is_sealed: bool) {
    let mut content = content(disk, path).unwrap_or_default();
    // Of a file that two bytes cannot count, all parts are reached.
    let at = usize::from(at) * content.len().div_ceil(1 << 16).max(1) % (content.len() + 1);
    match deed % 6 {
        0 => {
            content.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
        }
        1 => content.truncate(at),
        2 => content = bytes.to_vec(),
        3 => content.extend_from_slice(bytes),
        4 => drop(content.splice(at..at, bytes.iter().copied())),
        _ => {
            let other = &paths[usize::from(bytes.first().copied().unwrap_or(0)) % paths.len()];
            content = self::content(disk, other).unwrap_or_default();
        }
    }
    if is_sealed {
        seal(path, &mut content);
    }
    let _ = disk.remove(path);
    let Some(parent) = path.parent() else { return };
    disk.create_dir(parent).unwrap();
    let file = disk.create(path).unwrap();
    write_all_at(&*file, &mut [IoSlice::new(&content)], 0).unwrap();
}

fn sum<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut out = [0; N];
    hasher.finalize_xof().fill(&mut out);
    out
}

/// Makes the checksums of a file right, as far as its lengths lead.
fn seal(path: &Path, content: &mut [u8]) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    // The tree of a blob has no checksums: it leads up to the digest.
    let is_of_pack = !path.ancestors().any(|folder| folder.ends_with("blobs"));
    match name.rsplit_once('.').map_or(name, |(_, kind)| kind) {
        "idx" | "mrg" | "tree" if is_of_pack => {
            for (number, page) in (0u64..).zip(content.chunks_exact_mut(PAGE_BYTES)) {
                let (body, check) = page.split_at_mut(PAGE_BYTES - 16);
                check.copy_from_slice(&sum::<16>(&[&number.to_le_bytes(), body]));
            }
        }
        "ref" => {
            // Pages first, as many as the header says; then the list of files.
            let entries = content.get(16..24).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
            let pages = entries.div_ceil(85);
            let pages = usize::try_from(pages.saturating_add(pages.div_ceil(510)).saturating_add(1)).unwrap_or(usize::MAX);
            let list = pages.saturating_mul(PAGE_BYTES).min(content.len());
            let (table, list) = content.split_at_mut(list);
            for (number, page) in (0u64..).zip(table.chunks_exact_mut(PAGE_BYTES)) {
                let (body, check) = page.split_at_mut(PAGE_BYTES - 16);
                check.copy_from_slice(&sum::<16>(&[&number.to_le_bytes(), body]));
            }
            let mut at = 0;
            while let Some((check, rest)) = list.get_mut(at..).and_then(|rest| rest.split_first_chunk_mut::<8>()) {
                let Some(path) = rest.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize) else { return };
                let Some(body) = rest.get(..path.saturating_add(44)) else { return };
                *check = sum(&[&(at as u64).to_le_bytes(), body]);
                at += 52 + path;
            }
        }
        "log" => {
            let mut check = name.split('.').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0).to_le_bytes();
            let mut rest = content;
            while let Some((head, body)) = rest.split_first_chunk_mut::<20>() {
                let count = u32::from_le_bytes(*head.first_chunk().unwrap()) as usize;
                let Some((body, next)) = body.split_at_mut_checked(count.saturating_mul(40)) else { return };
                check = sum(&[&check, &head[..12], body]);
                head[12..].copy_from_slice(&check);
                rest = next;
            }
        }
        "map" => {
            let Some((head, mut rest)) = content.split_first_chunk_mut::<64>() else { return };
            let mut check: [u8; 8] = sum(&[&head[..56]]);
            head[56..].copy_from_slice(&check);
            while let Some((head, body)) = rest.split_first_chunk_mut::<12>() {
                let runs = u32::from_le_bytes(*head.first_chunk().unwrap()) as usize;
                let Some((runs, next)) = body.split_at_mut_checked(runs.saturating_mul(16)) else { return };
                check = sum(&[&check, runs]);
                head[4..].copy_from_slice(&check);
                rest = next;
            }
        }
        "meta" => {
            let Some((head, mut rest)) = content.split_first_chunk_mut::<32>() else { return };
            let mut check: [u8; 8] = sum(&[&head[..24]]);
            head[24..].copy_from_slice(&check);
            while let Some((head, payload)) = rest.split_first_chunk_mut::<12>() {
                let bytes = u32::from_le_bytes(*head.first_chunk().unwrap()) as usize;
                let Some((payload, next)) = payload.split_at_mut_checked(bytes) else { return };
                check = sum(&[&check, payload]);
                head[4..].copy_from_slice(&check);
                rest = next;
            }
        }
        _ => {}
    }
}
