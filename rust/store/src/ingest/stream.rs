//! Streams, which can be read once and from front to end only: cut while reading, hashed by the workers.

use super::job::{DataJob, Job, Message, Queue};
use super::work::segment_bytes;
use crate::error::{Error, Result};
use crate::operation::Operation;
use shoal_core::chunk::Cutter;
use shoal_core::unixfs::{Metadata, Profile};
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::sync::mpsc::Sender;

/// Reads all of `input` as the one file of this add.
pub(super) fn feed(
    input: &mut (dyn Read + Send),
    name: OsString,
    metadata: Metadata,
    profile: &Profile,
    operation: &Operation,
    queue: &Queue,
    sender: &Sender<Message>,
) -> Result<()> {
    sender.send(Message::Opened { sequence: 0, name: name.into_vec(), metadata }).map_err(|_| Error::Cancelled)?;
    let mut segments = Segments::new(profile);
    for segment in 0.. {
        operation.check()?;
        let (buffer, cuts, last) = segments.next(input).map_err(Error::Stream)?;
        let more = queue.push(Job::Data(DataJob { sequence: 0, segment, metadata, buffer, cuts, last }));
        if last || !more {
            break;
        }
    }
    Ok(())
}

/// Cuts a reader into segments of whole chunks.
pub(super) struct Segments {
    cutter: Cutter,
    segment_bytes: usize,
    /// Read, but not cut yet.
    rest: Vec<u8>,
    /// Whether anything was cut before.
    has_begun: bool,
}

impl Segments {
    pub fn new(profile: &Profile) -> Self {
        let segment_bytes = segment_bytes(profile).max(2 * profile.chunker.chunk_bytes_max());
        Self { cutter: profile.chunker.cutter(), segment_bytes, rest: Vec::new(), has_begun: false }
    }

    /// The next segment: its bytes, the lengths of its chunks, and whether it is the last. An empty stream is one empty chunk.
    pub fn next(&mut self, input: &mut (impl Read + ?Sized)) -> io::Result<(Vec<u8>, Vec<usize>, bool)> {
        let mut buffer = std::mem::take(&mut self.rest);
        let held = buffer.len();
        buffer.resize(self.segment_bytes.max(held), 0);
        let (used, at_end) = fill(input, &mut buffer, held)?;
        buffer.truncate(used);
        let mut cuts = Vec::new();
        let mut at = 0;
        while let Some(length) = buffer.get(at..).filter(|rest| !rest.is_empty()).and_then(|rest| self.cutter.cut(rest, at_end)) {
            cuts.push(length);
            at += length;
        }
        if at_end && cuts.is_empty() && !self.has_begun {
            cuts.push(0);
        }
        self.has_begun = true;
        self.rest = buffer.split_off(at);
        // A stream that ends exactly with a segment is noticed by the next read, which then has nothing to cut: no chunk, not an empty one.
        Ok((buffer, cuts, at_end))
    }
}

/// Reads until `buffer` is full or the input ends: bytes in the buffer, and whether it ended.
fn fill(input: &mut (impl Read + ?Sized), buffer: &mut [u8], held: usize) -> io::Result<(usize, bool)> {
    let mut used = held;
    loop {
        let Some(room) = buffer.get_mut(used..).filter(|room| !room.is_empty()) else { return Ok((used, false)) };
        match input.read(room) {
            Ok(0) => return Ok((used, true)),
            Ok(n) => used += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of exactly one segment once got an empty chunk at its end, and so another CID than the same file.
    #[test]
    fn a_stream_that_ends_with_a_segment_has_no_empty_chunk() {
        let profile = Profile::unixfs_v1_2025();
        let segment_bytes = Segments::new(&profile).segment_bytes;
        for (bytes, chunks) in [(0, 1), (1, 1), (segment_bytes - 1, segment_bytes >> 20), (segment_bytes, segment_bytes >> 20)] {
            let data = vec![7; bytes];
            let (mut input, mut segments) = (data.as_slice(), Segments::new(&profile));
            let mut cut = Vec::new();
            loop {
                let (_, cuts, last) = segments.next(&mut input).unwrap();
                cut.extend(cuts);
                if last {
                    break;
                }
            }
            assert_eq!((cut.len(), cut.iter().sum::<usize>()), (chunks, bytes));
        }
    }
}
