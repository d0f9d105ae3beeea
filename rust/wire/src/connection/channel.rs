//! Either channel, as the connection uses it.

use super::CloseReason;
use crate::key::PublicKey;
use crate::noise::{FRAME_PLAIN_BYTES_MAX, Noise};
use crate::tls::Tls;
use crate::yamux::Session;

#[derive(Debug)]
pub(super) enum Channel {
    Noise(Box<Noise>),
    Tls(Box<Tls>),
}

impl Channel {
    /// Opens what came; `output` gets what the handshake, or an alert, has to say, after an error as well.
    pub(super) fn receive(&mut self, bytes: &[u8], plain: &mut Vec<u8>, output: &mut Vec<u8>) -> Result<(), CloseReason> {
        match self {
            Self::Noise(noise) => {
                let outcome = noise.receive(bytes, plain);
                noise.transmit(output);
                outcome.map_err(CloseReason::Noise)
            }
            Self::Tls(tls) => {
                let outcome = tls.receive(bytes, plain);
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

    /// Seals what the session has to send, until `out` holds `bytes_max` bytes or more, by less than a frame. `plain` is room to work in.
    pub(super) fn seal_session(
        &mut self,
        session: &mut Session,
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), CloseReason> {
        match self {
            // The session writes where the frame is sealed.
            Self::Noise(noise) => {
                while out.len() < bytes_max {
                    let fill = |out: &mut Vec<u8>| {
                        let until = out.len() + FRAME_PLAIN_BYTES_MAX;
                        session.transmit(out, until);
                    };
                    if !noise.seal_with(out, fill).map_err(CloseReason::Noise)? {
                        break;
                    }
                }
                Ok(())
            }
            Self::Tls(tls) => {
                plain.clear();
                session.transmit(plain, bytes_max.saturating_sub(out.len()));
                if plain.is_empty() { Ok(()) } else { tls.seal(plain, out).map_err(CloseReason::Tls) }
            }
        }
    }
}
