//! multistream-select: how two peers agree on a protocol, for a connection or for a stream.
//!
//! Lines behind their length: first each side's header, then the dialer's proposals, which the listener echoes or refuses
//! with `na`. A [`Negotiation`] is either side of one agreement. It takes no byte more than its own: what follows the last
//! line is the protocol's. The dialer writes header and first proposal at once; a caller that has one protocol only may put
//! its first data right behind them (go-libp2p's lazy negotiation), and must then be ready for a refusal after all.
//! Spec: <https://github.com/multiformats/multistream-select>.

use crate::limits::{MULTISTREAM_LINE_BYTES_MAX, PROPOSALS_MAX};
use shoal_core::varint::{self, VarintError};
use std::fmt;
use std::time::Duration;

const HEADER: &[u8] = b"/multistream/1.0.0";
const REFUSAL: &[u8] = b"na";

/// Why there is no agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NegotiationError {
    /// A line is empty, too long, without its newline, or has a malformed length.
    Line,
    /// The first line is not multistream-select's header.
    Header,
    /// The listener's answer is neither the dialer's proposal nor a refusal.
    Answer,
    /// Every proposal was refused.
    Refused,
    /// The dialer made more proposals than a listener answers.
    TooManyProposals,
    /// No agreement by the deadline.
    TimedOut,
}

impl fmt::Display for NegotiationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line => write!(f, "multistream-select: a line is not 1 to {MULTISTREAM_LINE_BYTES_MAX} bytes that end in a newline"),
            Self::Header => f.write_str("multistream-select: the peer speaks another protocol"),
            Self::Answer => f.write_str("multistream-select: the answer is not to what was proposed"),
            Self::Refused => f.write_str("the peer has none of the protocols proposed"),
            Self::TooManyProposals => write!(f, "multistream-select: the peer made more than {PROPOSALS_MAX} proposals"),
            Self::TimedOut => f.write_str("multistream-select: no agreement in time"),
        }
    }
}
impl std::error::Error for NegotiationError {}

/// Appends one line.
fn write_line(text: &[u8], out: &mut Vec<u8>) {
    varint::write(text.len() as u64 + 1, out);
    out.extend_from_slice(text);
    out.push(b'\n');
}

#[derive(Debug)]
enum Side {
    /// `proposed` is the protocol that waits for its answer.
    Dialer { proposed: usize },
    /// So many proposals were refused.
    Listener { refused: usize },
}

/// One side of an agreement.
#[derive(Debug)]
pub struct Negotiation {
    side: Side,
    protocols: Vec<String>,
    has_header: bool,
    /// The line that is not whole yet, with its length.
    line: Vec<u8>,
    output: Vec<u8>,
    deadline: Duration,
    outcome: Option<Result<usize, NegotiationError>>,
}

impl Negotiation {
    fn new(side: Side, protocols: Vec<String>, deadline: Duration) -> Self {
        Self { side, protocols, has_header: false, line: Vec::new(), output: Vec::new(), deadline, outcome: None }
    }

    /// Proposes `protocols`, the best first. Ids are this program's own: each is to be shorter than a line.
    #[must_use]
    pub fn dialer(protocols: Vec<String>, deadline: Duration) -> Self {
        debug_assert!(protocols.iter().all(|p| p.len() < MULTISTREAM_LINE_BYTES_MAX));
        let mut new = Self::new(Side::Dialer { proposed: 0 }, protocols, deadline);
        write_line(HEADER, &mut new.output);
        new.propose(0);
        new
    }

    /// Accepts one of `protocols`, whichever the dialer proposes first.
    #[must_use]
    pub fn listener(protocols: Vec<String>, deadline: Duration) -> Self {
        Self::new(Side::Listener { refused: 0 }, protocols, deadline)
    }

    fn propose(&mut self, index: usize) {
        match self.protocols.get(index) {
            Some(protocol) => write_line(protocol.as_bytes(), &mut self.output),
            None => self.outcome = Some(Err(NegotiationError::Refused)),
        }
        self.side = Side::Dialer { proposed: index };
    }

    /// The protocol agreed on, as its position in the list, or why there is none. None while it goes on.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<usize, NegotiationError>> {
        self.outcome
    }

    /// When [`on_time`](Self::on_time) wants to be called, while there is no outcome.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.outcome.is_none().then_some(self.deadline)
    }

    /// Ends it when its time is over.
    pub fn on_time(&mut self, now: Duration) {
        if self.outcome.is_none() && now >= self.deadline {
            self.outcome = Some(Err(NegotiationError::TimedOut));
        }
    }

    /// Moves what is to be sent into `out`. There may be some after the outcome, too: the last answer.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.output);
    }

    /// Takes bytes of the peer, and says how many: fewer than all once there is an outcome.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while self.outcome.is_none() {
            let rest = bytes.get(taken..).unwrap_or_default();
            match self.missing() {
                Err(e) => self.outcome = Some(Err(e)),
                Ok(0) => self.end_line(),
                Ok(_) if rest.is_empty() => break,
                Ok(missing) => {
                    // The header byte by byte, so that what is none ends it at the same byte however it comes.
                    let wanted = if self.has_header { missing } else { 1 };
                    let piece = rest.get(..wanted).unwrap_or(rest);
                    self.line.extend_from_slice(piece);
                    taken += piece.len();
                    if !self.has_header && !self.may_become_header() {
                        self.outcome = Some(Err(NegotiationError::Header));
                    }
                }
            }
        }
        taken
    }

    /// How many bytes the line surely lacks: one while its length is not known.
    fn missing(&self) -> Result<usize, NegotiationError> {
        let (len, header) = match varint::read(&self.line) {
            Ok(found) => found,
            Err(VarintError::Truncated) if self.line.len() < 2 => return Ok(1),
            Err(_) => return Err(NegotiationError::Line),
        };
        match usize::try_from(len) {
            Ok(len @ 1..=MULTISTREAM_LINE_BYTES_MAX) => Ok((header + len).saturating_sub(self.line.len())),
            _ => Err(NegotiationError::Line),
        }
    }

    /// Whether what came of the first line can still be the header: who speaks another protocol is not waited for.
    fn may_become_header(&self) -> bool {
        match self.line.split_first() {
            // A length of two bytes is another line; how long is seen elsewhere.
            Some((0x80.., _)) | None => true,
            Some((_, text)) => text.iter().zip(HEADER).all(|(came, is)| came == is),
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let header = varint::read(&line).map_or(0, |(_, n)| n);
        match line.get(header..).and_then(|text| text.strip_suffix(b"\n")) {
            None => self.outcome = Some(Err(NegotiationError::Line)),
            Some(text) if !self.has_header => self.on_header(text),
            Some(text) => match self.side {
                Side::Dialer { proposed } => self.on_answer(text, proposed),
                Side::Listener { refused } => self.on_proposal(text, refused),
            },
        }
    }

    fn on_header(&mut self, text: &[u8]) {
        if text != HEADER {
            self.outcome = Some(Err(NegotiationError::Header));
            return;
        }
        self.has_header = true;
        if let Side::Listener { .. } = self.side {
            write_line(HEADER, &mut self.output);
        }
    }

    fn on_answer(&mut self, text: &[u8], proposed: usize) {
        if text == REFUSAL {
            self.propose(proposed.saturating_add(1));
        } else if self.protocols.get(proposed).is_some_and(|p| p.as_bytes() == text) {
            self.outcome = Some(Ok(proposed));
        } else {
            self.outcome = Some(Err(NegotiationError::Answer));
        }
    }

    fn on_proposal(&mut self, text: &[u8], refused: usize) {
        if let Some(agreed) = self.protocols.iter().position(|p| p.as_bytes() == text) {
            write_line(text, &mut self.output);
            self.outcome = Some(Ok(agreed));
        } else if refused + 1 >= PROPOSALS_MAX {
            self.outcome = Some(Err(NegotiationError::TooManyProposals));
        } else {
            // So is `ls`, which nobody uses any more.
            write_line(REFUSAL, &mut self.output);
            self.side = Side::Listener { refused: refused + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEADLINE: Duration = Duration::from_secs(15);

    fn ids(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("/{name}")).collect()
    }

    /// Carries bytes between two sides, `step` at a time, until both are quiet. What neither took is returned.
    fn pump(dialer: &mut Negotiation, listener: &mut Negotiation, behind: &[u8], step: usize) -> Vec<u8> {
        let mut left = Vec::new();
        let mut first = true;
        loop {
            let (mut there, mut back) = (Vec::new(), Vec::new());
            dialer.transmit(&mut there);
            if std::mem::take(&mut first) {
                there.extend_from_slice(behind);
            }
            for piece in there.chunks(step) {
                let taken = listener.receive(piece);
                left.extend_from_slice(&piece[taken..]);
            }
            listener.transmit(&mut back);
            for piece in back.chunks(step) {
                assert_eq!(dialer.receive(piece), piece.len());
            }
            if there.is_empty() && back.is_empty() {
                return left;
            }
        }
    }

    #[test]
    fn two_sides_agree_on_the_first_proposal_that_the_listener_has() {
        for step in [1, 2, 3, 7, 1000] {
            for (theirs, agreed) in [(&["a", "b"][..], 0), (&["x", "b"], 1), (&["x", "y", "c"], 2)] {
                let mut dialer = Negotiation::dialer(ids(theirs), DEADLINE);
                let mut listener = Negotiation::listener(ids(&["b", "a", "c"]), DEADLINE);
                assert!(pump(&mut dialer, &mut listener, b"", step).is_empty());
                assert_eq!(dialer.outcome(), Some(Ok(agreed)));
                let Some(Ok(position)) = listener.outcome() else { panic!("no agreement") };
                assert_eq!(ids(&["b", "a", "c"])[position], ids(theirs)[agreed]);
                assert_eq!(dialer.deadline(), None);
            }
        }
    }

    #[test]
    fn data_right_behind_the_proposal_is_left_for_the_protocol() {
        for step in [1, 5, 1000] {
            let mut dialer = Negotiation::dialer(ids(&["a"]), DEADLINE);
            let mut listener = Negotiation::listener(ids(&["a"]), DEADLINE);
            assert_eq!(pump(&mut dialer, &mut listener, b"\x05data\n", step), b"\x05data\n");
            assert_eq!((dialer.outcome(), listener.outcome()), (Some(Ok(0)), Some(Ok(0))));
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let mut dialer = Negotiation::dialer(vec!["/noise".into()], DEADLINE);
        let mut out = Vec::new();
        dialer.transmit(&mut out);
        assert_eq!(out, b"\x13/multistream/1.0.0\n\x07/noise\n");
        let mut listener = Negotiation::listener(vec!["/tls/1.0.0".into()], DEADLINE);
        assert_eq!(listener.receive(&out), out.len());
        out.clear();
        listener.transmit(&mut out);
        assert_eq!(out, b"\x13/multistream/1.0.0\n\x03na\n");
    }

    #[test]
    fn nothing_agreed_on_is_an_outcome_too() {
        let mut dialer = Negotiation::dialer(ids(&["x", "y"]), DEADLINE);
        let mut listener = Negotiation::listener(ids(&["a"]), DEADLINE);
        pump(&mut dialer, &mut listener, b"", 1000);
        assert_eq!((dialer.outcome(), listener.outcome()), (Some(Err(NegotiationError::Refused)), None));
        listener.on_time(DEADLINE - Duration::from_nanos(1));
        assert_eq!(listener.outcome(), None);
        listener.on_time(listener.deadline().unwrap());
        assert_eq!(listener.outcome(), Some(Err(NegotiationError::TimedOut)));
        assert_eq!(listener.receive(b"late"), 0);
        assert_eq!(Negotiation::dialer(vec![], DEADLINE).outcome(), Some(Err(NegotiationError::Refused)));
    }

    #[test]
    fn endless_proposals_end() {
        let header = b"\x13/multistream/1.0.0\n".to_vec();
        for (proposals, outcome) in [(PROPOSALS_MAX - 1, None), (PROPOSALS_MAX, Some(Err(NegotiationError::TooManyProposals)))] {
            let mut listener = Negotiation::listener(ids(&["a"]), DEADLINE);
            listener.receive(&[&header[..], &b"\x03ls\n".repeat(proposals)].concat());
            assert_eq!(listener.outcome(), outcome);
        }
        let mut dialer = Negotiation::dialer(ids(&["a"]), DEADLINE);
        dialer.receive(&[&header[..], &b"\x03na\n".repeat(1000)].concat());
        assert_eq!(dialer.outcome(), Some(Err(NegotiationError::Refused)));
    }

    #[test]
    fn what_is_no_line_ends_it_with_one_error() {
        let header = "\x13/multistream/1.0.0\n";
        for (bytes, error) in [
            (b"\x00".to_vec(), NegotiationError::Line),
            (b"\x80\x00".to_vec(), NegotiationError::Line),
            (b"\x81\x08".to_vec(), NegotiationError::Line),
            (b"\x80\x80".to_vec(), NegotiationError::Line),
            (b"\x02ab".to_vec(), NegotiationError::Header),
            (b"GE".to_vec(), NegotiationError::Header),
            ([header.as_bytes(), b"\x02ab"].concat(), NegotiationError::Line),
            (b"GET / HTTP/1.1\r\n\r\n".repeat(9), NegotiationError::Header),
            (b"\x02a\n".to_vec(), NegotiationError::Header),
            ([header.as_bytes(), b"\x03/b\n"].concat(), NegotiationError::Answer),
            ([header.as_bytes(), b"\x03\xff\xfe\n"].concat(), NegotiationError::Answer),
        ] {
            let mut dialer = Negotiation::dialer(ids(&["a"]), DEADLINE);
            dialer.receive(&bytes);
            assert_eq!(dialer.outcome(), Some(Err(error)), "{bytes:02x?}");
        }
        // A line of exactly the limit is read.
        let mut listener = Negotiation::listener(ids(&["a"]), DEADLINE);
        let line = [header.as_bytes(), b"\x80\x08", &[b'x'; MULTISTREAM_LINE_BYTES_MAX - 1], b"\n"].concat();
        assert_eq!((listener.receive(&line), listener.outcome()), (line.len(), None));
    }

    proptest! {
        /// However the bytes come, the outcome and what was taken are the same.
        #[test]
        fn no_bytes_panic_and_no_cut_matters(tail: Vec<u8>, with_header: bool, cut: usize) {
            let header: &[u8] = if with_header { b"\x13/multistream/1.0.0\n\x03/x\n" } else { b"" };
            let bytes = [header, &tail].concat();
            let cut = cut % (bytes.len() + 1);
            let mut whole = Negotiation::listener(ids(&["a"]), DEADLINE);
            let taken = whole.receive(&bytes);
            let mut pieces = Negotiation::listener(ids(&["a"]), DEADLINE);
            let first = pieces.receive(&bytes[..cut]);
            let second = if first == cut { pieces.receive(&bytes[cut..]) } else { 0 };
            prop_assert_eq!((taken, whole.outcome()), (first + second, pieces.outcome()));
        }
    }
}
