//! Either channel, as the connection uses it.

use super::CloseReason;
use crate::key::PublicKey;
use crate::noise::{FRAME_PLAIN_BYTES_MAX, Noise};
use crate::tls::{RECORD_PLAIN_BYTES_MAX, Tls};
use crate::yamux::Session;

#[derive(Debug)]
pub(super) enum Channel {
    Noise(Box<Noise>),
    Tls(Box<Tls>),
}

impl Channel {
    /// Opens what came, and hands it to `take` in `room`, whose buffer it may keep; `output` gets what the handshake, or an alert,
    /// has to say, after an error as well.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        room: &mut Vec<u8>,
        output: &mut Vec<u8>,
        take: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<(), CloseReason> {
        match self {
            Self::Noise(noise) => {
                let outcome = noise.receive_with(bytes, room, take);
                noise.transmit(output);
                outcome.map_err(CloseReason::Noise)
            }
            Self::Tls(tls) => {
                let outcome = tls.receive_with(bytes, room, take);
                tls.transmit(output);
                outcome.map_err(CloseReason::Tls)
            }
        }
    }

    /// What the handshake has to say before anything came.
    pub(super) fn transmit(&mut self, output: &mut Vec<u8>) {
        match self {
            Self::Noise(noise) => noise.transmit(output),
            Self::Tls(tls) => tls.transmit(output),
        }
    }

    pub(super) fn peer(&self) -> Option<&PublicKey> {
        match self {
            Self::Noise(noise) => noise.peer(),
            Self::Tls(tls) => tls.peer(),
        }
    }

    pub(super) fn muxer(&self) -> Option<usize> {
        match self {
            Self::Noise(noise) => noise.muxer(),
            Self::Tls(tls) => tls.muxer(),
        }
    }

    /// The peer has said that nothing will follow; Noise has no word for it.
    pub(super) fn is_ended(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.is_ended())
    }

    pub(super) fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), CloseReason> {
        match self {
            Self::Noise(noise) => noise.seal(plain, out).map_err(CloseReason::Noise),
            Self::Tls(tls) => tls.seal(plain, out).map_err(CloseReason::Tls),
        }
    }

    /// Says that nothing will follow, where the channel has a word for it.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        if let Self::Tls(tls) = self {
            // A channel that cannot say it any more is at its end all the same.
            let _ = tls.end(out);
        }
    }

    /// Gives back room that is not needed now.
    pub(super) fn give_back(&mut self) {
        match self {
            Self::Noise(noise) => noise.give_back(),
            Self::Tls(tls) => tls.give_back(),
        }
    }

    /// Seals what the session has to send, until `out` holds `bytes_max` bytes or more, by less than a frame. The session
    /// writes where it is sealed.
    pub(super) fn seal_session(&mut self, session: &mut Session, out: &mut Vec<u8>, bytes_max: usize) -> Result<(), CloseReason> {
        while out.len() < bytes_max {
            let mut fill = |out: &mut Vec<u8>, plain_bytes_max: usize| {
                let until = out.len() + plain_bytes_max;
                session.transmit(out, until);
            };
            let is_more = match self {
                Self::Noise(noise) => noise.seal_with(out, |out| fill(out, FRAME_PLAIN_BYTES_MAX)).map_err(CloseReason::Noise)?,
                Self::Tls(tls) => tls.seal_with(out, |out| fill(out, RECORD_PLAIN_BYTES_MAX)).map_err(CloseReason::Tls)?,
            };
            if !is_more {
                break;
            }
        }
        Ok(())
    }
}
