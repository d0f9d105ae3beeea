//! One change of the store, and how it is written: docs/formats/meta.md §4.

use super::{Check, PIN_NAME_BYTES_MAX, Pin, PinKind};
use crate::pack::ForeignHeader;
use shoal_core::{Cid, limits, varint};

/// §4: one change. A record is a list of them, applied together or not at all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    PackOpened {
        pack: u32,
    },
    PackCommitted {
        pack: u32,
        length: u64,
        entries: u64,
        block_bytes: u64,
        log_check: Check,
    },
    PackSealed {
        pack: u32,
        length: u64,
        entries: u64,
        block_bytes: u64,
    },
    PackRetired {
        pack: u32,
    },
    BlocksDead {
        pack: u32,
        block_bytes: u64,
        offsets: Vec<u64>,
    },
    PinSet(Pin),
    PinRemoved(Cid),
    PackNext {
        pack: u32,
    },
    BlocksDamaged {
        pack: u32,
        offsets: Vec<u64>,
    },
    BlobSet {
        digest: [u8; 32],
        bytes: u64,
    },
    BlobRemoved {
        digest: [u8; 32],
    },
    /// Seconds since 1970; 0 forgets it.
    Used {
        cid: Cid,
        seconds: u64,
    },
    PackAdopted {
        pack: u32,
        header: ForeignHeader,
    },
    ReferencesSet(References),
    ReferencesRemoved {
        table: u32,
    },
}

/// What the journal says of a table of references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct References {
    /// Its number.
    pub table: u32,
    /// Files that it names.
    pub files: u64,
    /// Blocks that stand in them.
    pub blocks: u64,
    /// Their lengths together, in bytes.
    pub block_bytes: u64,
}

impl Op {
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::PackOpened { pack } => {
                out.push(1);
                varint::write(u64::from(*pack), out);
            }
            Self::PackCommitted { pack, length, entries, block_bytes, log_check } => {
                out.push(2);
                for value in [u64::from(*pack), *length, *entries, *block_bytes] {
                    varint::write(value, out);
                }
                out.extend_from_slice(log_check);
            }
            Self::PackSealed { pack, length, entries, block_bytes } => {
                out.push(3);
                for value in [u64::from(*pack), *length, *entries, *block_bytes] {
                    varint::write(value, out);
                }
            }
            Self::PackRetired { pack } => {
                out.push(4);
                varint::write(u64::from(*pack), out);
            }
            Self::BlocksDead { pack, block_bytes, offsets } => {
                out.push(5);
                for value in [u64::from(*pack), *block_bytes] {
                    varint::write(value, out);
                }
                write_offsets(offsets, out);
            }
            Self::PinSet(pin) => {
                out.push(6);
                write_bytes(pin.cid.as_bytes(), out);
                out.push(match pin.kind {
                    PinKind::Recursive => 0,
                    PinKind::Direct => 1,
                });
                out.push(u8::from(pin.name.is_some()));
                if let Some(name) = &pin.name {
                    write_bytes(name.as_bytes(), out);
                }
            }
            Self::PinRemoved(cid) => {
                out.push(7);
                write_bytes(cid.as_bytes(), out);
            }
            Self::PackNext { pack } => {
                out.push(8);
                varint::write(u64::from(*pack), out);
            }
            Self::BlocksDamaged { pack, offsets } => {
                out.push(9);
                varint::write(u64::from(*pack), out);
                write_offsets(offsets, out);
            }
            Self::BlobSet { digest, bytes } => {
                out.push(10);
                out.extend_from_slice(digest);
                varint::write(*bytes, out);
            }
            Self::BlobRemoved { digest } => {
                out.push(11);
                out.extend_from_slice(digest);
            }
            Self::Used { cid, seconds } => {
                out.push(14);
                write_bytes(cid.as_bytes(), out);
                varint::write(*seconds, out);
            }
            Self::PackAdopted { pack, header } => {
                out.push(15);
                varint::write(u64::from(*pack), out);
                varint::write(header.bytes, out);
                out.extend_from_slice(&header.check);
            }
            Self::ReferencesSet(References { table, files, blocks, block_bytes }) => {
                out.push(12);
                for value in [u64::from(*table), *files, *blocks, *block_bytes] {
                    varint::write(value, out);
                }
            }
            Self::ReferencesRemoved { table } => {
                out.push(13);
                varint::write(u64::from(*table), out);
            }
        }
    }
}

/// Offsets are ascending, so that each is a small step from the one before.
fn write_offsets(offsets: &[u64], out: &mut Vec<u8>) {
    varint::write(offsets.len() as u64, out);
    let mut last = 0;
    for offset in offsets {
        varint::write(offset.saturating_sub(last), out);
        last = *offset;
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    varint::write(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Reads a payload from its front; `None` is "not what we write".
pub(crate) struct Payload<'a>(pub &'a [u8]);

impl<'a> Payload<'a> {
    fn number(&mut self) -> Option<u64> {
        let (value, n) = varint::read(self.0).ok()?;
        self.0 = self.0.get(n..)?;
        Some(value)
    }

    fn pack(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn bytes(&mut self, bytes_max: usize) -> Option<&'a [u8]> {
        let n = usize::try_from(self.number()?).ok().filter(|n| *n <= bytes_max)?;
        self.take(n)
    }

    fn cid(&mut self) -> Option<Cid> {
        Cid::from_bytes(self.bytes(limits::CID_BYTES_MAX)?).ok()
    }

    fn offsets(&mut self) -> Option<Vec<u64>> {
        let count = self.number()?;
        // Grows with the bytes that are really there, one or more for each offset.
        let mut offsets = Vec::new();
        let mut last = 0u64;
        for _ in 0..count {
            last = last.checked_add(self.number()?)?;
            offsets.push(last);
        }
        Some(offsets)
    }

    fn op(&mut self) -> Option<Op> {
        Some(match self.byte()? {
            1 => Op::PackOpened { pack: self.pack()? },
            2 => Op::PackCommitted {
                pack: self.pack()?,
                length: self.number()?,
                entries: self.number()?,
                block_bytes: self.number()?,
                log_check: self.take(8)?.try_into().ok()?,
            },
            3 => Op::PackSealed { pack: self.pack()?, length: self.number()?, entries: self.number()?, block_bytes: self.number()? },
            4 => Op::PackRetired { pack: self.pack()? },
            5 => Op::BlocksDead { pack: self.pack()?, block_bytes: self.number()?, offsets: self.offsets()? },
            6 => {
                let cid = self.cid()?;
                let kind = match self.byte()? {
                    0 => PinKind::Recursive,
                    1 => PinKind::Direct,
                    _ => return None,
                };
                let name = match self.byte()? {
                    0 => None,
                    1 => Some(String::from_utf8(self.bytes(PIN_NAME_BYTES_MAX)?.to_vec()).ok()?),
                    _ => return None,
                };
                Op::PinSet(Pin { cid, kind, name })
            }
            7 => Op::PinRemoved(self.cid()?),
            8 => Op::PackNext { pack: self.pack()? },
            9 => Op::BlocksDamaged { pack: self.pack()?, offsets: self.offsets()? },
            10 => Op::BlobSet { digest: self.take(32)?.try_into().ok()?, bytes: self.number()? },
            11 => Op::BlobRemoved { digest: self.take(32)?.try_into().ok()? },
            12 => Op::ReferencesSet(References {
                table: self.pack()?,
                files: self.number()?,
                blocks: self.number()?,
                block_bytes: self.number()?,
            }),
            13 => Op::ReferencesRemoved { table: self.pack()? },
            14 => Op::Used { cid: self.cid()?, seconds: self.number()? },
            15 => {
                let pack = self.pack()?;
                let bytes = self.number()?;
                Op::PackAdopted { pack, header: ForeignHeader { bytes, check: self.take(8)?.try_into().ok()? } }
            }
            _ => return None,
        })
    }

    pub fn ops(mut self) -> Option<Vec<Op>> {
        let mut ops = Vec::new();
        while !self.0.is_empty() {
            ops.push(self.op()?);
        }
        Some(ops)
    }
}
