//! Writing DAGs as an archive. One thread reads and verifies ahead while the caller's writes.

use crate::block::Block;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::store::Store;
use crate::walk::{WalkOptions, walk};
use shoal_core::Cid;
use shoal_core::car::{v1, v2};
use std::io::{self, IoSlice, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes of blocks handed over at a time.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Blocks handed over at a time.
const BATCH_BLOCKS: usize = 1024;
/// Batches that may wait for the writer.
const BATCHES_AHEAD: usize = 3;
/// Blocks up to this size are gathered into one buffer; larger ones are written from where they are.
const GATHER_BYTES_MAX: usize = 8 * 1024;

/// Verified blocks, in the order of the archive.
type Batch = Vec<(Cid, Block)>;

/// car §1.2: each CID once.
const WHOLE: WalkOptions = WalkOptions { read_leaves: true, is_exact: true, report_repeats: false, blocks_max: None };

/// Writes the DAGs under `roots` as a CARv1 or CARv2: how many bytes.
///
/// Version 1 of one root is byte for byte what Kubo's `dag export` writes. Version 2 has an index, and costs a second walk and some
/// hundred bytes of memory for each block, since it says in front how long it is. Every block is verified.
/// After an error, what was written is not a whole archive, and does not always look so: throw it away.
pub fn export_car(store: &Store, roots: &[Cid], out: &mut dyn Write, version: u8, operation: &Operation) -> Result<u64> {
    let mut output = Output { out, written: 0 };
    match version {
        1 => {
            output.write(&v1::encode_header(roots))?;
            write_blocks(store, roots, &mut output, operation)?;
        }
        2 => {
            let (data_bytes, index) = lay_out(store, roots, operation)?;
            output.write(&v2::Header::new(data_bytes, true).encode())?;
            output.write(&v1::encode_header(roots))?;
            write_blocks(store, roots, &mut output, operation)?;
            output.write(&v2::encode_index(index.iter().map(|(cid, offset)| (cid, *offset))))?;
        }
        other => return Err(Error::Options(format!("there is no CAR version {other}; 1 and 2 are"))),
    }
    output.out.flush().map_err(Error::Output)?;
    Ok(output.written)
}

/// car §1.4: the length of the data, and where each block's section begins in it.
fn lay_out(store: &Store, roots: &[Cid], operation: &Operation) -> Result<(u64, Vec<(Cid, u64)>)> {
    let mut at = v1::encode_header(roots).len() as u64;
    let mut index = Vec::new();
    let mut blocks = 0u64;
    let mut bytes = 0u64;
    let looking = Operation::new();
    walk(store, roots, WalkOptions { read_leaves: false, ..WHOLE }, &looking, &mut |visited| {
        operation.check()?;
        index.push((visited.cid.clone(), at));
        at += v1::section_bytes(visited.cid, usize::try_from(visited.bytes).unwrap_or(usize::MAX)) as u64;
        blocks += 1;
        bytes += visited.bytes;
        Ok(())
    })?;
    operation.expect(Some(bytes), Some(blocks));
    Ok((at, index))
}

fn write_blocks(store: &Store, roots: &[Cid], output: &mut Output<'_>, operation: &Operation) -> Result<()> {
    let (sender, receiver) = sync_channel(BATCHES_AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(|| read_ahead(store, roots, sender, operation));
        write_batches(receiver, output, operation)
    })
}

fn write_batches(receiver: Receiver<Result<Batch>>, output: &mut Output<'_>, operation: &Operation) -> Result<()> {
    for batch in receiver {
        operation.check()?;
        let batch = batch?;
        output.write_sections(&batch)?;
        operation.add_bytes(batch.iter().map(|(_, block)| block.len() as u64).sum());
    }
    Ok(())
}

fn read_ahead(store: &Store, roots: &[Cid], sender: SyncSender<Result<Batch>>, operation: &Operation) {
    let mut batch = Batch::new();
    let mut bytes = 0;
    // The writer is gone only when it failed itself: its error is the one to tell.
    let gone = |_| Error::Cancelled;
    let walked = walk(store, roots, WHOLE, operation, &mut |visited| {
        let Some(block) = visited.block else { return Ok(()) };
        bytes += block.len();
        batch.push((visited.cid.clone(), block.clone()));
        if bytes >= BATCH_BYTES || batch.len() >= BATCH_BLOCKS {
            bytes = 0;
            sender.send(Ok(std::mem::take(&mut batch))).map_err(gone)?;
        }
        Ok(())
    });
    let _ = sender.send(walked.map(|_| batch));
}

struct Output<'a> {
    out: &'a mut dyn Write,
    written: u64,
}

impl Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(&mut [IoSlice::new(bytes)])
    }

    fn write_sections(&mut self, batch: &Batch) -> Result<()> {
        let mut gathered = Vec::new();
        // What stands in `gathered` up to here, and then perhaps one large block.
        let mut pieces: Vec<(usize, &[u8])> = Vec::new();
        for (cid, block) in batch {
            v1::section_prefix(cid, block.len(), &mut gathered);
            if block.len() <= GATHER_BYTES_MAX {
                gathered.extend_from_slice(block);
            } else {
                pieces.push((gathered.len(), block));
            }
        }
        pieces.push((gathered.len(), &[]));
        let mut buffers = Vec::with_capacity(2 * pieces.len());
        let mut from = 0;
        for (to, block) in pieces {
            buffers.push(IoSlice::new(gathered.get(from..to).unwrap_or_default()));
            buffers.push(IoSlice::new(block));
            from = to;
        }
        self.write_all(&mut buffers)
    }

    fn write_all(&mut self, mut buffers: &mut [IoSlice<'_>]) -> Result<()> {
        IoSlice::advance_slices(&mut buffers, 0);
        while !buffers.is_empty() {
            match self.out.write_vectored(buffers) {
                Ok(0) => return Err(Error::Output(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    self.written += n as u64;
                    IoSlice::advance_slices(&mut buffers, n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::Output(e)),
            }
        }
        Ok(())
    }
}
