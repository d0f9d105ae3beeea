//! Content archives: a header naming roots, then blocks one after another.
//!
//! Sans-IO: [`Reader`] takes bytes in any split and gives events; [`v1`] and [`v2`] write the pieces in between. Neither
//! checks a block against its CID: callers do, many at a time ([`crate::hash::verify_many`]).
//! The rule: a length is refused before a byte of it is kept, and an index from outside is never used.
//! Specs: <https://ipld.io/specs/transport/car/carv1/>, <https://ipld.io/specs/transport/car/carv2/>.

pub mod v1;
pub mod v2;

use crate::cid::{Cid, CidError};
use crate::limits::{CAR_HEADER_BYTES_MAX, CAR_SECTION_BYTES_MAX};
use crate::varint::{self, VarintError};
use std::fmt;

/// Why bytes are not a content archive. Offsets are in bytes from its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarError {
    /// The archive ends inside its header or a section: it was cut.
    Truncated,
    /// A length is not a varint.
    Varint(VarintError),
    /// A header or section is longer than the limit.
    TooLong {
        /// Length claimed, in bytes.
        bytes: u64,
        /// The limit.
        bytes_max: usize,
    },
    /// The header is not what the specification says (what was expected).
    Header(&'static str),
    /// A version other than 1 and 2.
    Version(u64),
    /// A section of length zero. Some writers pad with these: [`Limits::zero_padding`].
    EmptySection,
    /// Bytes other than zeros follow the zero padding at the end.
    Padding,
    /// A section begins with something that is not a CID.
    Cid(CidError),
    /// A CARv2 whose data or index lie outside it, or overlap.
    Layout(&'static str),
}

impl fmt::Display for CarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the archive is cut short"),
            Self::Varint(e) => write!(f, "the archive has a bad length: {e}"),
            Self::TooLong { bytes, bytes_max } => write!(f, "the archive has a section of {bytes} bytes (at most {bytes_max} are allowed)"),
            Self::Header(what) => write!(f, "the archive's header is broken: {what}"),
            Self::Version(version) => write!(f, "archive version {version} is not known (1 and 2 are)"),
            Self::EmptySection => f.write_str("the archive has an empty section"),
            Self::Padding => f.write_str("the archive has data after its zero padding"),
            Self::Cid(e) => write!(f, "the archive has a section without a CID: {e}"),
            Self::Layout(what) => write!(f, "the archive's layout is broken: {what}"),
        }
    }
}
impl std::error::Error for CarError {}

/// What a reader accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest header in bytes.
    pub header_bytes_max: usize,
    /// Longest section (CID and block) in bytes.
    pub section_bytes_max: usize,
    /// Whether zeros after the last section end the archive (Filecoin pads its archives so). Otherwise they are an error.
    pub zero_padding: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_bytes_max: CAR_HEADER_BYTES_MAX, section_bytes_max: CAR_SECTION_BYTES_MAX, zero_padding: false }
    }
}

/// What a [`Reader`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The header, once, first.
    Header {
        /// 1 or 2.
        version: u8,
        /// The roots named; there may be none.
        roots: Vec<Cid>,
    },
    /// One block. Nobody has checked `data` against `cid` yet.
    Block {
        /// Its name.
        cid: Cid,
        /// Its bytes; for an identity CID, what the CID says too.
        data: Vec<u8>,
    },
}

/// Reads an archive, version 1 or 2, pushed in pieces of any size.
///
/// After each [`push`](Self::push) take events with [`next`](Self::next) until it gives `None`; the reader then holds no
/// more than one unfinished section. After the last, [`finish`](Self::finish) tells a whole archive from a cut one.
/// After an error it stays failed.
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    buffer: Vec<u8>,
    /// Bytes of `buffer` already used.
    used: usize,
    /// Offset in the archive of `buffer[used]`.
    position: u64,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Before the first byte of a version 1 header or a version 2 pragma.
    Start,
    /// Behind the pragma.
    HeaderV2,
    /// Between the header of version 2 and its data.
    Skip(v2::Header),
    /// At the header of the data that version 2 wraps.
    Inner(v2::Header),
    /// At the start of a section.
    Sections(Option<v2::Header>),
    /// In the zeros behind the last section.
    Zeros(Option<v2::Header>),
    /// Behind the data of version 2: padding and an index, which are not read.
    Tail(v2::Header),
    Failed(CarError),
}

impl Reader {
    /// A reader at the start of an archive.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: Vec::new(), used: 0, position: 0, state: State::Start }
    }

    /// Takes more of the archive.
    pub fn push(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Failed(_)) {
            return;
        }
        // Behind the data nothing is kept, whatever its length.
        if matches!(self.state, State::Tail(_)) {
            self.position = self.position.saturating_add(bytes.len() as u64);
            return;
        }
        // Move the rest down when that costs less than the bytes it frees.
        if self.used > self.buffer.len() / 2 {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event, or `None` when more bytes are needed (or none are left).
    ///
    /// # Errors
    /// What is wrong with the archive; the same error again on every later call.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: None means more bytes are needed")]
    pub fn next(&mut self) -> Result<Option<Event>, CarError> {
        loop {
            let step = self.step();
            match step {
                Ok(Step::Event(event)) => return Ok(Some(event)),
                Ok(Step::Again) => {}
                Ok(Step::NeedsBytes) => return Ok(None),
                Err(error) => {
                    self.state = State::Failed(error.clone());
                    self.buffer = Vec::new();
                    self.used = 0;
                    return Err(error);
                }
            }
        }
    }

    /// Says whether what was pushed is a whole archive. Take all events first.
    ///
    /// # Errors
    /// [`CarError::Truncated`] when it ends inside the header, a section, or before a promised index.
    pub fn finish(&self) -> Result<(), CarError> {
        let is_whole = match &self.state {
            State::Failed(error) => return Err(error.clone()),
            // Version 1 does not say where it ends: any section's end may be.
            State::Sections(None) | State::Zeros(None) => self.rest().is_empty(),
            State::Tail(header) => header.index_offset == 0 || self.position > header.index_offset,
            _ => false,
        };
        if is_whole { Ok(()) } else { Err(CarError::Truncated) }
    }

    /// Offset in the archive, in bytes, of what comes next: behind the last event.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.used..).unwrap_or_default()
    }

    /// Steps over `n` bytes that are in the buffer.
    fn advance(&mut self, n: usize) {
        self.used += n;
        self.position = self.position.saturating_add(n as u64);
    }

    fn step(&mut self) -> Result<Step, CarError> {
        match self.state.clone() {
            State::Failed(error) => Err(error),
            State::Start => self.header(None),
            State::HeaderV2 => {
                let Some(bytes) = self.rest().first_chunk::<{ v2::HEADER_BYTES }>() else { return Ok(Step::NeedsBytes) };
                let header = v2::Header::parse(bytes)?;
                self.advance(v2::HEADER_BYTES);
                self.state = State::Skip(header);
                Ok(Step::Again)
            }
            State::Skip(header) => {
                if self.skip_until(header.data_offset) {
                    self.state = State::Inner(header);
                    return Ok(Step::Again);
                }
                Ok(Step::NeedsBytes)
            }
            State::Inner(header) => self.header(Some(header)),
            State::Sections(wrapper) => self.section(wrapper),
            State::Zeros(wrapper) => self.zeros(wrapper),
            State::Tail(_) => {
                self.advance(self.rest().len());
                self.buffer = Vec::new();
                self.used = 0;
                Ok(Step::NeedsBytes)
            }
        }
    }

    /// Drops bytes up to an offset in the archive; true when it is reached.
    fn skip_until(&mut self, offset: u64) -> bool {
        let missing = offset.saturating_sub(self.position);
        let skipped = usize::try_from(missing).map_or(self.rest().len(), |n| n.min(self.rest().len()));
        self.advance(skipped);
        self.position >= offset
    }

    /// How many bytes the data of a version 2 has left; version 1 has no bound.
    fn data_left(&self, wrapper: Option<&v2::Header>) -> u64 {
        wrapper.map_or(u64::MAX, |header| header.data_end().saturating_sub(self.position))
    }

    fn header(&mut self, wrapper: Option<v2::Header>) -> Result<Step, CarError> {
        let Some((body, whole)) = framed(self.rest(), self.limits.header_bytes_max, self.data_left(wrapper.as_ref()))? else {
            return Ok(Step::NeedsBytes);
        };
        let body = self.rest().get(body..whole).unwrap_or_default();
        let (version, roots) = v1::parse_header(body)?;
        let next = match (version, &wrapper) {
            (1, _) => State::Sections(wrapper.clone()),
            (2, None) => State::HeaderV2,
            (2, Some(_)) => return Err(CarError::Header("version 2 holds another version 2")),
            (version, _) => return Err(CarError::Version(version)),
        };
        self.advance(whole);
        self.state = next;
        if self.state == State::HeaderV2 {
            return Ok(Step::Again);
        }
        Ok(Step::Event(Event::Header { version: if wrapper.is_some() { 2 } else { 1 }, roots }))
    }

    fn section(&mut self, wrapper: Option<v2::Header>) -> Result<Step, CarError> {
        let data_left = self.data_left(wrapper.as_ref());
        if let (0, Some(header)) = (data_left, &wrapper) {
            self.state = State::Tail(header.clone());
            return Ok(Step::Again);
        }
        if self.limits.zero_padding && self.rest().first() == Some(&0) {
            self.state = State::Zeros(wrapper);
            return Ok(Step::Again);
        }
        let Some((body, whole)) = framed(self.rest(), self.limits.section_bytes_max, data_left)? else {
            return Ok(Step::NeedsBytes);
        };
        let body = self.rest().get(body..whole).unwrap_or_default();
        let (cid, cid_bytes) = Cid::read(body).map_err(CarError::Cid)?;
        let data = body.get(cid_bytes..).unwrap_or_default().to_vec();
        self.advance(whole);
        Ok(Step::Event(Event::Block { cid, data }))
    }

    fn zeros(&mut self, wrapper: Option<v2::Header>) -> Result<Step, CarError> {
        let data_left = self.data_left(wrapper.as_ref());
        let padding = usize::try_from(data_left).map_or(self.rest().len(), |n| n.min(self.rest().len()));
        if self.rest().iter().take(padding).any(|&b| b != 0) {
            return Err(CarError::Padding);
        }
        self.advance(padding);
        match wrapper {
            Some(header) if self.position >= header.data_end() => {
                self.state = State::Tail(header);
                Ok(Step::Again)
            }
            _ => Ok(Step::NeedsBytes),
        }
    }
}

enum Step {
    Event(Event),
    /// The state changed; look again.
    Again,
    NeedsBytes,
}

/// Reads a length and says where in `bytes` its body lies: (start, end). `None` while the body is not all there.
fn framed(bytes: &[u8], bytes_max: usize, data_left: u64) -> Result<Option<(usize, usize)>, CarError> {
    // Of a length nothing is read that lies behind the data: what is wrong must not depend on how much of that has come.
    let within = usize::try_from(data_left).ok().and_then(|left| bytes.get(..left)).unwrap_or(bytes);
    let (length, prefix) = match varint::read(within) {
        Ok(read) => read,
        Err(VarintError::Truncated) if (within.len() as u64) < data_left => return Ok(None),
        Err(VarintError::Truncated) => return Err(CarError::Layout("a section reaches over the end of the data")),
        Err(e) => return Err(CarError::Varint(e)),
    };
    if length == 0 {
        return Err(CarError::EmptySection);
    }
    let too_long = CarError::TooLong { bytes: length, bytes_max };
    let body_bytes = usize::try_from(length).ok().filter(|&n| n <= bytes_max).ok_or(too_long)?;
    let end = prefix + body_bytes;
    if end as u64 > data_left {
        return Err(CarError::Layout("a section reaches over the end of the data"));
    }
    Ok((end <= bytes.len()).then_some((prefix, end)))
}
