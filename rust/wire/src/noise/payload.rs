//! What a handshake message proves: the sender's key, that it signed the sender's Noise key, and the muxers it has.

use super::NoiseError;
use crate::key::{PublicKey, SecretKey};
use crate::limits::{MUXERS_MAX, PROTOCOL_BYTES_MAX};
use crate::protobuf::{Reader, write_bytes};

const IDENTITY_KEY: u32 = 1;
const IDENTITY_SIGNATURE: u32 = 2;
const EXTENSIONS: u32 = 4;
const STREAM_MUXERS: u32 = 2;
/// What stands before the Noise key in what is signed.
const SIGNED_PREFIX: &[u8] = b"noise-libp2p-static-key:";

fn signed(noise_key: &[u8]) -> Vec<u8> {
    [SIGNED_PREFIX, noise_key].concat()
}

#[derive(Debug)]
pub(super) struct Payload<'a> {
    key: &'a [u8],
    signature: &'a [u8],
    muxers: Vec<&'a [u8]>,
}

impl<'a> Payload<'a> {
    /// The message that proves `key` to be the owner of `noise_key`.
    pub(super) fn prove(key: &SecretKey, noise_key: &[u8; 32], muxers: &[String]) -> Vec<u8> {
        let mut message = Vec::new();
        write_bytes(IDENTITY_KEY, key.public().as_protobuf(), &mut message);
        write_bytes(IDENTITY_SIGNATURE, &key.sign(&signed(noise_key)), &mut message);
        let mut extensions = Vec::new();
        muxers.iter().for_each(|muxer| write_bytes(STREAM_MUXERS, muxer.as_bytes(), &mut extensions));
        write_bytes(EXTENSIONS, &extensions, &mut message);
        message
    }

    /// Reads a message. Muxers beyond the limits are skipped, and so are fields of later versions.
    pub(super) fn read(message: &'a [u8]) -> Result<Self, NoiseError> {
        let (mut key, mut signature, mut muxers) = (None, None, Vec::new());
        let mut reader = Reader::new(message);
        while let Some((number, value)) = reader.field().map_err(NoiseError::Payload)? {
            match number {
                IDENTITY_KEY => key = Some(value.bytes().map_err(NoiseError::Payload)?),
                IDENTITY_SIGNATURE => signature = Some(value.bytes().map_err(NoiseError::Payload)?),
                EXTENSIONS => read_muxers(value.bytes().map_err(NoiseError::Payload)?, &mut muxers)?,
                _ => {}
            }
        }
        match (key, signature) {
            (Some(key), Some(signature)) => Ok(Self { key, signature, muxers }),
            _ => Err(NoiseError::Unproven),
        }
    }

    /// The key, once it is sure that it signed `noise_key`.
    pub(super) fn verify(&self, noise_key: &[u8]) -> Result<PublicKey, NoiseError> {
        let key = PublicKey::from_protobuf(self.key).map_err(NoiseError::Key)?;
        key.verify(&signed(noise_key), self.signature).map_err(NoiseError::Key)?;
        Ok(key)
    }

    /// The first muxer of the dialer's list that both have, as its position in `ours`.
    pub(super) fn muxer(&self, ours: &[String], is_dialer: bool) -> Option<usize> {
        let is_in_both = |muxer: &String| self.muxers.contains(&muxer.as_bytes());
        if is_dialer {
            return ours.iter().position(is_in_both);
        }
        self.muxers.iter().find_map(|muxer| ours.iter().position(|our| our.as_bytes() == *muxer))
    }
}

fn read_muxers<'a>(extensions: &'a [u8], muxers: &mut Vec<&'a [u8]>) -> Result<(), NoiseError> {
    let mut reader = Reader::new(extensions);
    while let Some((number, value)) = reader.field().map_err(NoiseError::Payload)? {
        if number == STREAM_MUXERS && muxers.len() < MUXERS_MAX {
            let muxer = value.bytes().map_err(NoiseError::Payload)?;
            muxers.extend((muxer.len() <= PROTOCOL_BYTES_MAX).then_some(muxer));
        }
    }
    Ok(())
}
