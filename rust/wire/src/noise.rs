//! The Noise channel: `Noise_XX_25519_ChaChaPoly_SHA256` under libp2p's proof of who is there (`/noise`).
//!
//! Three messages, each behind two bytes of length; the second and the third carry a key, its signature of the sender's
//! Noise key, and the muxers that the sender has. Then frames of up to 65,535 bytes. `snow` does the handshake with the
//! caller's secrets; frames are sealed and opened in place with ring, one copy each way.
//! Spec: <https://github.com/libp2p/specs/blob/master/noise/README.md>.

mod frames;
mod payload;
mod x25519;

use crate::key::{KeyError, PublicKey, SecretKey};
use crate::limits::{HANDSHAKE_BYTES_MAX, NOISE_FRAME_BYTES_MAX};
use crate::peer_id::PeerId;
use crate::protobuf::ProtobufError;
use frames::{Opening, Sealing, TAG_BYTES};
use payload::Payload;
use snow::HandshakeState;
use std::fmt;

/// The channel's id.
pub const PROTOCOL: &str = "/noise";
/// Bytes that one sealed frame holds at most.
pub const FRAME_PLAIN_BYTES_MAX: usize = NOISE_FRAME_BYTES_MAX - TAG_BYTES;

/// Bytes of a frame's length.
const LENGTH_BYTES: usize = 2;

/// Why there is no channel, or none any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoiseError {
    /// A handshake message of so many bytes, more than any needs.
    HandshakeTooLong(usize),
    /// A handshake message that is not one, or was changed on its way.
    Handshake,
    /// What the peer proves itself with is not protobuf.
    Payload(ProtobufError),
    /// The peer shows no key, or no signature.
    Unproven,
    /// The peer's key is none, or did not sign the peer's Noise key.
    Key(KeyError),
    /// Another peer than the one that was dialed.
    AnotherPeer,
    /// A frame shorter than its tag, or one that was changed on its way.
    Frame,
    /// All numbers of frames were used.
    Exhausted,
}

impl fmt::Display for NoiseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandshakeTooLong(bytes) => {
                write!(f, "noise: a handshake message of {bytes} bytes is longer than the {HANDSHAKE_BYTES_MAX} allowed")
            }
            Self::Handshake => f.write_str("noise: a handshake message is malformed, or was changed on its way"),
            Self::Payload(e) => write!(f, "noise: the peer's proof is malformed: {e}"),
            Self::Unproven => f.write_str("noise: the peer does not prove who it is"),
            Self::Key(e) => write!(f, "noise: the peer's proof does not hold: {e}"),
            Self::AnotherPeer => f.write_str("noise: another peer answers at this address"),
            Self::Frame => f.write_str("noise: a frame is too short, or was changed on its way"),
            Self::Exhausted => f.write_str("noise: no frame numbers are left; open another connection"),
        }
    }
}
impl std::error::Error for NoiseError {}

/// What one channel needs of chance: two secrets, drawn by the caller for this channel alone.
pub struct NoiseSecrets {
    /// The channel's Noise key, which the peer's own key signs.
    pub fixed: [u8; 32],
    /// The key of the first message.
    pub ephemeral: [u8; 32],
}

impl fmt::Debug for NoiseSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoiseSecrets").finish_non_exhaustive()
    }
}

enum Stage {
    /// `messages` were sent or received.
    Handshake {
        state: Box<HandshakeState>,
        messages: u8,
    },
    Open {
        sealing: Box<Sealing>,
        opening: Box<Opening>,
    },
    Failed(NoiseError),
}

/// One side of a channel.
pub struct Noise {
    is_dialer: bool,
    stage: Stage,
    /// What we prove ourselves with, until it is sent.
    proof: Vec<u8>,
    muxers: Vec<String>,
    expected: Option<PeerId>,
    /// The peer's key, and the muxer that both sides name, as its position in our list.
    peer: Option<(PublicKey, Option<usize>)>,
    /// The start of a frame that is not whole.
    part: Vec<u8>,
    output: Vec<u8>,
}

impl fmt::Debug for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Noise").field("is_dialer", &self.is_dialer).field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Noise {
    /// The side that dialed `expected`, or anybody. `muxers` is what the channel is to carry, the best first.
    pub fn dialer(key: &SecretKey, secrets: &NoiseSecrets, muxers: Vec<String>, expected: Option<PeerId>) -> Result<Self, NoiseError> {
        let mut new = Self::new(true, key, secrets, muxers)?;
        new.expected = expected;
        new.send_message();
        Ok(new)
    }

    /// The side that was dialed.
    pub fn listener(key: &SecretKey, secrets: &NoiseSecrets, muxers: Vec<String>) -> Result<Self, NoiseError> {
        Self::new(false, key, secrets, muxers)
    }

    fn new(is_dialer: bool, key: &SecretKey, secrets: &NoiseSecrets, muxers: Vec<String>) -> Result<Self, NoiseError> {
        let state = x25519::handshake(is_dialer, secrets).ok_or(NoiseError::Handshake)?;
        let proof = Payload::prove(key, &x25519::public(&secrets.fixed), &muxers);
        Ok(Self {
            is_dialer,
            stage: Stage::Handshake { state: Box::new(state), messages: 0 },
            proof,
            muxers,
            expected: None,
            peer: None,
            part: Vec::new(),
            output: Vec::new(),
        })
    }

    /// Bytes may be sealed, and what comes is opened: the peer has proved who it is.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open { .. })
    }

    /// The key of the peer, once it is proved.
    #[must_use]
    pub fn peer(&self) -> Option<&PublicKey> {
        self.peer.as_ref().filter(|_| self.is_open()).map(|(key, _)| key)
    }

    /// The muxer agreed on inside the handshake, as its position in our list; None where it is to be agreed on in the channel.
    #[must_use]
    pub fn muxer(&self) -> Option<usize> {
        self.peer.as_ref().and_then(|(_, muxer)| *muxer)
    }

    /// Moves messages of the handshake into `out`.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.output);
    }

    /// Takes bytes of the peer, all of them, and appends what they hold to `plain`. After an error the connection is to be closed.
    pub fn receive(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), NoiseError> {
        self.receive_with(bytes, &mut Vec::new(), &mut |frame| plain.append(frame))
    }

    /// As [`receive`](Self::receive), frame by frame, each in `room`, from which `take` may take the buffer.
    pub(crate) fn receive_with(
        &mut self,
        mut bytes: &[u8],
        room: &mut Vec<u8>,
        take: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<(), NoiseError> {
        loop {
            if let Stage::Failed(e) = self.stage {
                return Err(e);
            }
            room.clear();
            let frame = if self.part.is_empty() { whole_frame(bytes) } else { None };
            if let Some((frame, rest)) = frame {
                self.on_frame(frame, room);
                bytes = rest;
            } else if self.gather(&mut bytes)? {
                let mut part = std::mem::take(&mut self.part);
                self.on_frame(part.get(LENGTH_BYTES..).unwrap_or_default(), room);
                part.clear();
                self.part = part;
            } else {
                return Ok(());
            }
            if !room.is_empty() {
                take(room);
            }
        }
    }

    /// Moves bytes to the frame that is not whole; true once it is.
    fn gather(&mut self, bytes: &mut &[u8]) -> Result<bool, NoiseError> {
        loop {
            let missing = match self.part.first_chunk::<LENGTH_BYTES>() {
                None => LENGTH_BYTES - self.part.len(),
                Some(length) => {
                    let length = usize::from(u16::from_be_bytes(*length));
                    if let (Stage::Handshake { .. }, true) = (&self.stage, length > HANDSHAKE_BYTES_MAX) {
                        let error = NoiseError::HandshakeTooLong(length);
                        self.stage = Stage::Failed(error);
                        return Err(error);
                    }
                    (LENGTH_BYTES + length).saturating_sub(self.part.len())
                }
            };
            if missing == 0 {
                return Ok(true);
            }
            let (piece, rest) = bytes.split_at(bytes.len().min(missing));
            if piece.is_empty() {
                return Ok(false);
            }
            self.part.extend_from_slice(piece);
            *bytes = rest;
        }
    }

    fn on_frame(&mut self, frame: &[u8], plain: &mut Vec<u8>) {
        let handled = match &mut self.stage {
            Stage::Open { opening, .. } => opening.open(frame, plain),
            Stage::Handshake { .. } => self.on_message(frame),
            Stage::Failed(e) => Err(*e),
        };
        if let Err(e) = handled {
            self.stage = Stage::Failed(e);
        }
    }

    fn on_message(&mut self, frame: &[u8]) -> Result<(), NoiseError> {
        let Stage::Handshake { state, messages } = &mut self.stage else { return Ok(()) };
        if frame.len() > HANDSHAKE_BYTES_MAX {
            return Err(NoiseError::HandshakeTooLong(frame.len()));
        }
        let mut payload = vec![0; frame.len()];
        let length = state.read_message(frame, &mut payload).map_err(|_| NoiseError::Handshake)?;
        payload.truncate(length);
        *messages += 1;
        // The first message proves nothing; the second is the listener's, the third the dialer's.
        if *messages > 1 {
            let theirs = state.get_remote_static().ok_or(NoiseError::Handshake)?;
            let proved = Payload::read(&payload)?;
            let key = proved.verify(theirs)?;
            if self.expected.as_ref().is_some_and(|expected| *expected != key.peer_id()) {
                return Err(NoiseError::AnotherPeer);
            }
            let muxer = proved.muxer(&self.muxers, self.is_dialer);
            self.peer = Some((key, muxer));
        }
        if *messages < 3 {
            self.send_message();
        }
        self.open_after_three();
        Ok(())
    }

    fn send_message(&mut self) {
        let Stage::Handshake { state, messages } = &mut self.stage else { return };
        let payload = if *messages > 0 { std::mem::take(&mut self.proof) } else { Vec::new() };
        let mut message = vec![0; HANDSHAKE_BYTES_MAX];
        match state.write_message(&payload, &mut message).map(|length| (length, u16::try_from(length))) {
            Ok((length, Ok(prefix))) => {
                *messages += 1;
                self.output.extend_from_slice(&prefix.to_be_bytes());
                self.output.extend_from_slice(message.get(..length).unwrap_or_default());
                self.open_after_three();
            }
            _ => self.stage = Stage::Failed(NoiseError::Handshake),
        }
    }

    fn open_after_three(&mut self) {
        if let Stage::Handshake { state, messages: 3 } = &mut self.stage {
            let (dialers, listeners) = state.dangerously_get_raw_split();
            let (ours, theirs) = if self.is_dialer { (dialers, listeners) } else { (listeners, dialers) };
            self.stage = match (Sealing::new(&ours), Opening::new(&theirs)) {
                (Some(sealing), Some(opening)) => Stage::Open { sealing: Box::new(sealing), opening: Box::new(opening) },
                _ => Stage::Failed(NoiseError::Handshake),
            };
        }
    }

    /// Gives back the room of frames that were gathered.
    pub(crate) fn give_back(&mut self) {
        self.part.shrink_to_fit();
        self.output.shrink_to_fit();
    }

    /// Appends one frame to `out`. Its bytes are what `fill` appends: up to [`FRAME_PLAIN_BYTES_MAX`], sealed where they stand.
    /// False where `fill` had nothing, and nothing is sent.
    pub fn seal_with(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) -> Result<bool, NoiseError> {
        match &mut self.stage {
            Stage::Open { sealing, .. } => sealing.seal_with(out, fill),
            Stage::Handshake { .. } => Err(NoiseError::Handshake),
            Stage::Failed(e) => Err(*e),
        }
    }

    /// Appends frames with all of `plain` to `out`.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), NoiseError> {
        for piece in plain.chunks(FRAME_PLAIN_BYTES_MAX) {
            self.seal_with(out, |out| out.extend_from_slice(piece))?;
        }
        Ok(())
    }
}

/// The frame at the front of `bytes`, without its length, and what follows it.
fn whole_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
