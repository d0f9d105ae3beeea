//! What Python has to give piece by piece, as a stream that Rust reads: Python's thread advances the iterator, the work reads.

use crate::buffer::Bytes;
use pyo3::prelude::*;
use pyo3::types::PyIterator;
use shoal_store::operation::Operation as Counters;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Python's end: an iterator of bytes-like pieces.
pub struct Feed<'py> {
    pieces: Option<Bound<'py, PyIterator>>,
    pipe: Arc<Pipe>,
}

impl<'py> Feed<'py> {
    pub fn new(pieces: &Bound<'py, PyAny>) -> PyResult<Self> {
        Ok(Self { pieces: Some(pieces.try_iter()?), pipe: Arc::default() })
    }

    pub fn pipe(&self) -> Arc<Pipe> {
        Arc::clone(&self.pipe)
    }

    /// Hands on one piece, or waits a slice for room: whether there may be more.
    pub fn step(&mut self, py: Python<'_>) -> PyResult<bool> {
        let Some(iterator) = &mut self.pieces else { return Ok(false) };
        if py.detach(|| self.pipe.wait_for_room()) {
            if let Some(piece) = iterator.next() {
                self.pipe.push(Some(piece?.extract()?));
            } else {
                self.pipe.push(None);
                self.pieces = None;
            }
        }
        Ok(true)
    }
}

/// Pieces that may wait between Python's thread and the work.
const PIECES_MAX: usize = 4;
const SLICE: Duration = Duration::from_millis(50);

/// Pieces on their way from Python's thread to the work.
#[derive(Default)]
pub struct Pipe {
    state: Mutex<PipeState>,
    changed: Condvar,
}

#[derive(Default)]
struct PipeState {
    pieces: VecDeque<Bytes>,
    /// No more pieces will come.
    is_complete: bool,
    /// Nobody reads any more.
    is_closed: bool,
}

impl Pipe {
    /// The work's end.
    pub fn reader<'a>(&'a self, operation: &'a Counters) -> PipeReader<'a> {
        PipeReader { pipe: self, operation, piece: None }
    }

    fn lock(&self) -> MutexGuard<'_, PipeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for a piece now, or within a slice.
    fn wait_for_room(&self) -> bool {
        let is_full = |state: &mut PipeState| state.pieces.len() >= PIECES_MAX && !state.is_closed;
        let state = self.changed.wait_timeout_while(self.lock(), SLICE, is_full).unwrap_or_else(PoisonError::into_inner).0;
        state.pieces.len() < PIECES_MAX && !state.is_closed
    }

    /// `None` ends the stream.
    fn push(&self, piece: Option<Bytes>) {
        let mut state = self.lock();
        match piece {
            Some(piece) => state.pieces.push_back(piece),
            None => state.is_complete = true,
        }
        self.changed.notify_all();
    }
}

/// The work's end of a [`Pipe`].
pub struct PipeReader<'a> {
    pipe: &'a Pipe,
    operation: &'a Counters,
    piece: Option<(Bytes, usize)>,
}

impl Read for PipeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some((piece, at)) = &mut self.piece {
                let rest = piece.get(*at..).unwrap_or_default();
                if !rest.is_empty() && !buffer.is_empty() {
                    let n = rest.len().min(buffer.len());
                    if let (Some(to), Some(from)) = (buffer.get_mut(..n), rest.get(..n)) {
                        to.copy_from_slice(from);
                    }
                    *at += n;
                    return Ok(n);
                }
                self.piece = None;
            }
            if buffer.is_empty() {
                return Ok(0);
            }
            let mut state = self.pipe.lock();
            loop {
                if let Some(piece) = state.pieces.pop_front() {
                    self.piece = Some((piece, 0));
                    break;
                }
                if state.is_complete {
                    return Ok(0);
                }
                if self.operation.check().is_err() {
                    return Err(io::Error::other("stopped on request"));
                }
                state = self.pipe.changed.wait_timeout(state, SLICE).unwrap_or_else(PoisonError::into_inner).0;
            }
            drop(state);
            self.pipe.changed.notify_all();
        }
    }
}

impl Drop for PipeReader<'_> {
    fn drop(&mut self) {
        self.pipe.lock().is_closed = true;
        self.pipe.changed.notify_all();
    }
}
