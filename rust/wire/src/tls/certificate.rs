//! What a peer's certificate proves: its key signed the key that the certificate, and so the channel, is signed with.
//!
//! The rules of the specification, each with its error: one certificate, in its time, signed by itself, with libp2p's
//! extension and no critical one that is not known. Nothing else of X.509 matters here: no names, no chains, no uses.

use crate::der;
use crate::key::{KeyError, PublicKey};
use crate::limits::CERTIFICATE_BYTES_MAX;
use rustls::crypto::WebPkiSupportedAlgorithms;
use std::fmt;

/// 1.3.6.1.4.1.53594.1.1, libp2p's.
pub(super) const EXTENSION_ID: &[u8] = b"\x2b\x06\x01\x04\x01\x83\xa2\x5a\x01\x01";
/// What stands before the certificate's key in what is signed.
const SIGNED_PREFIX: &[u8] = b"libp2p-tls-handshake:";
/// Key usage and basic constraints: they limit chains, and there is none.
const UNDERSTOOD: [&[u8]; 2] = [b"\x55\x1d\x0f", b"\x55\x1d\x13"];
const VERSION: u8 = 0xa0;
const ISSUER_UNIQUE_ID: u8 = 0x81;
const SUBJECT_UNIQUE_ID: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;

/// Why a certificate proves nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateError {
    /// None, or more than one.
    Number(usize),
    /// Not a certificate of X.509 version 3.
    Form,
    /// Not valid yet.
    Early,
    /// Not valid any more.
    Expired,
    /// A signature of a kind that is not taken.
    Algorithm,
    /// Not signed by itself.
    SelfSignature,
    /// Without libp2p's extension, or with two.
    Extension,
    /// With a critical extension that is not known.
    Critical,
    /// The peer's key is none, or did not sign the certificate's.
    Key(KeyError),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "the peer shows {number} certificates instead of one"),
            Self::Form => f.write_str("the peer's certificate is malformed"),
            Self::Early => f.write_str("the peer's certificate is not valid yet; compare the clocks of both machines"),
            Self::Expired => f.write_str("the peer's certificate has expired; compare the clocks of both machines"),
            Self::Algorithm => f.write_str("the peer's certificate is signed in a way that is not known"),
            Self::SelfSignature => f.write_str("the peer's certificate is not signed by itself"),
            Self::Extension => f.write_str("the peer's certificate does not prove who it is"),
            Self::Critical => f.write_str("the peer's certificate demands what is not known"),
            Self::Key(e) => write!(f, "the peer's proof does not hold: {e}"),
        }
    }
}
impl std::error::Error for CertificateError {}

/// What the peer's own key signs, for a certificate with this key.
pub(super) fn signed(key_info: &[u8]) -> Vec<u8> {
    [SIGNED_PREFIX, key_info].concat()
}

/// The parts of a certificate, borrowed and not yet believed.
pub(super) struct Unchecked<'a> {
    to_be_signed: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    from: i64,
    until: i64,
    /// SubjectPublicKeyInfo as it stands there, and inside it the algorithm and the key.
    pub(super) key_info: &'a [u8],
    key_algorithm: &'a [u8],
    key: &'a [u8],
    extensions: Option<&'a [u8]>,
}

impl<'a> Unchecked<'a> {
    pub(super) fn read(certificate: &'a [u8]) -> Result<Self, CertificateError> {
        if certificate.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::Form);
        }
        Self::parts(certificate).ok_or(CertificateError::Form)
    }

    fn parts(certificate: &'a [u8]) -> Option<Self> {
        let mut outer = der::only(der::SEQUENCE, certificate)?;
        let (to_be_signed, mut inner) = der::take_whole(der::SEQUENCE, &mut outer)?;
        let algorithm = der::take(der::SEQUENCE, &mut outer)?;
        let signature = der::only(der::BIT_STRING, outer)?.strip_prefix(&[0])?;
        (der::only(der::INTEGER, der::take(VERSION, &mut inner)?)? == [2]).then_some(())?;
        der::take(der::INTEGER, &mut inner)?;
        // The algorithm stands inside, too, where it is signed.
        (der::take(der::SEQUENCE, &mut inner)? == algorithm).then_some(())?;
        der::take(der::SEQUENCE, &mut inner)?;
        let mut validity = der::take(der::SEQUENCE, &mut inner)?;
        let (from, until) = (take_time(&mut validity)?, take_time(&mut validity)?);
        der::take(der::SEQUENCE, &mut inner)?;
        let (key_info, mut info) = der::take_whole(der::SEQUENCE, &mut inner)?;
        let key_algorithm = der::take(der::SEQUENCE, &mut info)?;
        let key = der::only(der::BIT_STRING, info)?.strip_prefix(&[0])?;
        der::take_if(ISSUER_UNIQUE_ID, &mut inner)?;
        der::take_if(SUBJECT_UNIQUE_ID, &mut inner)?;
        let extensions = match der::take_if(EXTENSIONS, &mut inner)? {
            Some(list) => Some(der::only(der::SEQUENCE, list)?),
            None => None,
        };
        (validity.is_empty() && inner.is_empty()).then_some(())?;
        Some(Self { to_be_signed, algorithm, signature, from, until, key_info, key_algorithm, key, extensions })
    }

    /// The key of the peer that the certificate proves, at so many seconds since 1970.
    pub(super) fn check(&self, unix_seconds: i64, algorithms: &WebPkiSupportedAlgorithms) -> Result<PublicKey, CertificateError> {
        if unix_seconds < self.from {
            return Err(CertificateError::Early);
        }
        if unix_seconds > self.until {
            return Err(CertificateError::Expired);
        }
        let (key, signature) = self.proof()?;
        let is_of_both = |a: &&&dyn rustls::pki_types::SignatureVerificationAlgorithm| {
            *a.public_key_alg_id() == *self.key_algorithm && *a.signature_alg_id() == *self.algorithm
        };
        let algorithm = algorithms.all.iter().find(is_of_both).ok_or(CertificateError::Algorithm)?;
        let verified = algorithm.verify_signature(self.key, self.to_be_signed, self.signature);
        verified.map_err(|_| CertificateError::SelfSignature)?;
        let key = PublicKey::from_protobuf(key).map_err(CertificateError::Key)?;
        key.verify(&signed(self.key_info), signature).map_err(CertificateError::Key)?;
        Ok(key)
    }

    /// The peer's key and signature, out of libp2p's extension.
    fn proof(&self) -> Result<(&'a [u8], &'a [u8]), CertificateError> {
        let mut rest = self.extensions.ok_or(CertificateError::Extension)?;
        let mut found = None;
        while !rest.is_empty() {
            let (id, is_critical, value) = take_extension(&mut rest).ok_or(CertificateError::Form)?;
            if id == EXTENSION_ID {
                let proof = read_proof(value).ok_or(CertificateError::Form)?;
                if found.replace(proof).is_some() {
                    return Err(CertificateError::Extension);
                }
            } else if is_critical && !UNDERSTOOD.contains(&id) {
                return Err(CertificateError::Critical);
            }
        }
        found.ok_or(CertificateError::Extension)
    }
}

fn take_extension<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], bool, &'a [u8])> {
    let mut extension = der::take(der::SEQUENCE, rest)?;
    let id = der::take(der::OBJECT_ID, &mut extension)?;
    let is_critical = match der::take_if(der::BOOLEAN, &mut extension)? {
        None => false,
        Some([0xff]) => true,
        // DER leaves out what is false.
        Some(_) => return None,
    };
    Some((id, is_critical, der::only(der::OCTET_STRING, extension)?))
}

fn read_proof(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = der::only(der::SEQUENCE, value)?;
    let key = der::take(der::OCTET_STRING, &mut parts)?;
    Some((key, der::only(der::OCTET_STRING, parts)?))
}

/// Seconds since 1970 of either kind of time, which X.509 has in UTC and to the second.
fn take_time(input: &mut &[u8]) -> Option<i64> {
    let (year, rest) = match der::take_if(der::UTC_TIME, input)? {
        Some(text) => {
            let (year, rest) = digits(text, 2)?;
            (year + if year < 50 { 2000 } else { 1900 }, rest)
        }
        None => digits(der::take(der::GENERALIZED_TIME, input)?, 4)?,
    };
    let (month, rest) = digits(rest, 2)?;
    let (day, rest) = digits(rest, 2)?;
    let (hour, rest) = digits(rest, 2)?;
    let (minute, rest) = digits(rest, 2)?;
    let (second, rest) = digits(rest, 2)?;
    let is_time = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
    (is_time && rest == b"Z").then_some(())?;
    // Years begin in March here, so that the day that some of them lack is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn digits(text: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (front, rest) = text.split_at_checked(count)?;
    let add = |sum: i64, digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'));
    Some((front.iter().try_fold(0, add)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_time_are_seconds_since_1970() {
        for (tag, text, seconds) in [
            (der::UTC_TIME, &b"700101000000Z"[..], Some(0)),
            (der::UTC_TIME, b"491231235959Z", Some(2_524_607_999)),
            (der::UTC_TIME, b"500101000000Z", Some(-631_152_000)),
            (der::GENERALIZED_TIME, b"20240229120000Z", Some(1_709_208_000)),
            (der::GENERALIZED_TIME, b"40960101000000Z", Some(67_090_118_400)),
            (der::GENERALIZED_TIME, b"00000101000000Z", Some(-62_167_219_200)),
            (der::UTC_TIME, b"701301000000Z", None),
            (der::UTC_TIME, b"700100000000Z", None),
            (der::UTC_TIME, b"700101240000Z", None),
            (der::UTC_TIME, b"700101000000", None),
            (der::UTC_TIME, b"7001010000Z", None),
            (der::UTC_TIME, b"700101000000+0000", None),
            (der::GENERALIZED_TIME, b"-0240229120000Z", None),
            (der::OCTET_STRING, b"700101000000Z", None),
        ] {
            let element = der::write(tag, &[text]);
            assert_eq!(take_time(&mut &element[..]), seconds, "{}", String::from_utf8_lossy(text));
        }
    }
}
