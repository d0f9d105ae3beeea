//! Writing to a descriptor that somebody else gave: a file, pipe, terminal or socket, whether it blocks or not.
//!
//! The rule kept here: a reader who stalls never makes the operation impossible to stop. So nothing is written to a pipe
//! or a terminal that could block for longer than a slice.

use crate::error::{Error, Result};
use crate::operation::Operation;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::{Errno, ReadWriteFlags};
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;

/// Linux lets an ordinary user have pipes of 1 MiB.
const PIPE_BYTES: usize = 1024 * 1024;
/// Between two looks at whether to stop.
const SLICE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// What a pipe that polls as writable takes without blocking (POSIX's PIPE_BUF, on Linux).
const POLLED_BYTES: usize = 4096;

/// How to write without blocking for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A file on disk takes what it is given.
    Plain,
    /// A pipe that can be asked not to block, for one write at a time.
    NoWait,
    /// Anything else: as much as a poll promises.
    Polled,
}

/// A descriptor to write to.
#[derive(Debug)]
pub struct Output<'a> {
    descriptor: BorrowedFd<'a>,
    operation: &'a Operation,
    way: Way,
    /// Whether bytes written count as the operation's progress.
    is_counted: bool,
}

impl<'a> Output<'a> {
    /// Looks at what the descriptor is.
    #[must_use]
    pub fn new(descriptor: BorrowedFd<'a>, operation: &'a Operation, is_counted: bool) -> Self {
        let kind = rustix::fs::fstat(descriptor).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let way = match kind {
            Ok(FileType::RegularFile) => Way::Plain,
            Ok(FileType::Fifo) => {
                // A larger pipe means fewer hand-overs between writer and reader. Not allowed: as before.
                let _ = rustix::pipe::fcntl_setpipe_size(descriptor, PIPE_BYTES);
                Way::NoWait
            }
            _ => Way::Polled,
        };
        Self { descriptor, operation, way, is_counted }
    }

    /// One write, of as many bytes as go without blocking for long.
    fn write_some(&mut self, bytes: &[u8]) -> std::result::Result<usize, Errno> {
        match self.way {
            Way::Plain => rustix::io::write(self.descriptor, bytes),
            Way::NoWait => {
                // The offset -1 is the descriptor's own position, which a pipe does not have.
                match rustix::io::pwritev2(self.descriptor, &[IoSlice::new(bytes)], u64::MAX, ReadWriteFlags::NOWAIT) {
                    Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::SPIPE) => {
                        self.way = Way::Polled;
                        Err(Errno::INTR)
                    }
                    Err(Errno::AGAIN) => {
                        self.wait()?;
                        Err(Errno::INTR)
                    }
                    result => result,
                }
            }
            Way::Polled => {
                if !self.wait()? {
                    return Err(Errno::INTR);
                }
                match rustix::io::write(self.descriptor, bytes.get(..POLLED_BYTES).unwrap_or(bytes)) {
                    Err(Errno::AGAIN) => Err(Errno::INTR),
                    result => result,
                }
            }
        }
    }

    /// Waits up to a slice for room: whether there is some.
    fn wait(&self) -> std::result::Result<bool, Errno> {
        let mut waiting = [PollFd::new(&self.descriptor, PollFlags::OUT)];
        match poll(&mut waiting, Some(&SLICE)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Writes everything, or says why not: [`Error::Output`], or [`Error::Cancelled`].
    pub fn write_all(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.operation.check()?;
            match self.write_some(bytes) {
                Ok(0) => return Err(Error::Output(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    if self.is_counted {
                        self.operation.add_bytes(n as u64);
                    }
                    bytes = bytes.get(n..).unwrap_or_default();
                }
                Err(Errno::INTR) => {}
                Err(e) => return Err(Error::Output(e.into())),
            }
        }
        Ok(())
    }
}

impl io::Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len()).map_err(|error| match error {
            Error::Output(source) => source,
            // Whoever gets this asks the operation, which then says that it was stopped.
            _ => io::Error::other("stopped on request"),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
