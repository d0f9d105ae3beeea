//! CIDs, kept as their own bytes.
//!
//! A [`Cid`] is valid by construction: version, lengths and varints were checked when it was made,
//! so everything else can read its parts without failing. Up to 38 bytes (all common ones) live inline.
//! Spec: <https://github.com/multiformats/cid>, multihash, multicodec; bounds in [`crate::limits`].

use crate::limits::{CID_BYTES_MAX, DIGEST_BYTES_MAX, DIGEST_BYTES_MAX_BLAKE3, DIGEST_BYTES_MIN, IDENTITY_BYTES_MAX};
use crate::varint;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Multicodec numbers of block formats.
pub mod codec {
    /// Plain bytes.
    pub const RAW: u64 = 0x55;
    /// Protobuf nodes of UnixFS.
    pub const DAG_PB: u64 = 0x70;
    /// Canonical CBOR with links.
    pub const DAG_CBOR: u64 = 0x71;
    /// Canonical JSON with links.
    pub const DAG_JSON: u64 = 0x0129;
    /// The key of a libp2p peer.
    pub const LIBP2P_KEY: u64 = 0x72;

    /// The multicodec table's name, for the codecs Shoal knows.
    #[must_use]
    pub fn name(code: u64) -> Option<&'static str> {
        Some(match code {
            RAW => "raw",
            DAG_PB => "dag-pb",
            DAG_CBOR => "dag-cbor",
            DAG_JSON => "dag-json",
            LIBP2P_KEY => "libp2p-key",
            0x51 => "cbor",
            0x0200 => "json",
            _ => return None,
        })
    }

    /// The number for a name, or for a number written out (`0x55`, `85`).
    #[must_use]
    pub fn from_name(name: &str) -> Option<u64> {
        Some(match name {
            "raw" => RAW,
            "dag-pb" => DAG_PB,
            "dag-cbor" => DAG_CBOR,
            "dag-json" => DAG_JSON,
            "libp2p-key" => LIBP2P_KEY,
            "cbor" => 0x51,
            "json" => 0x0200,
            _ => match name.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).ok()?,
                None => name.parse().ok()?,
            },
        })
    }
}

/// Text encodings of a CID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// `z…`, and without prefix the only form of CIDv0.
    Base58Btc,
    /// `b…`, the usual form of CIDv1.
    Base32,
    /// `k…`, for names in host parts of URLs.
    Base36,
    /// `u…`, the shortest.
    Base64Url,
    /// `f…`.
    Base16,
}

impl Base {
    fn multibase(self) -> multibase::Base {
        match self {
            Self::Base58Btc => multibase::Base::Base58Btc,
            Self::Base32 => multibase::Base::Base32Lower,
            Self::Base36 => multibase::Base::Base36Lower,
            Self::Base64Url => multibase::Base::Base64Url,
            Self::Base16 => multibase::Base::Base16Lower,
        }
    }

    /// The multibase name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Base58Btc => "base58btc",
            Self::Base32 => "base32",
            Self::Base36 => "base36",
            Self::Base64Url => "base64url",
            Self::Base16 => "base16",
        }
    }

    /// Reads a multibase name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Base58Btc, Self::Base32, Self::Base36, Self::Base64Url, Self::Base16].into_iter().find(|b| b.name() == name)
    }
}

/// Why bytes or text are not a CID. Never repeats the input: it may be a stranger's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CidError {
    /// The input ended inside the CID.
    Truncated,
    /// There are bytes after the CID.
    TrailingBytes,
    /// A varint inside is malformed.
    Varint(varint::VarintError),
    /// Version other than 0 or 1.
    Version(u64),
    /// A digest whose length its hash does not allow.
    DigestLength {
        /// Multihash code.
        hash: u64,
        /// Length found, in bytes.
        bytes: u64,
    },
    /// Longer than [`CID_BYTES_MAX`].
    TooLong,
    /// CIDv0 is dag-pb with SHA-256 only, and base58btc only.
    NotV0,
    /// Unknown multibase prefix, or characters outside its alphabet.
    Text,
}

impl fmt::Display for CidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("CID is cut short"),
            Self::TrailingBytes => f.write_str("there are bytes after the CID"),
            Self::Varint(e) => write!(f, "CID has a bad {e}"),
            Self::Version(v) => write!(f, "CID version {v} is not known (0 and 1 are)"),
            Self::DigestLength { hash, bytes } => write!(f, "CID has a digest of {bytes} bytes, which hash 0x{hash:x} does not allow"),
            Self::TooLong => write!(f, "CID is longer than {CID_BYTES_MAX} bytes"),
            Self::NotV0 => f.write_str("only dag-pb with SHA-256 can be CIDv0, and only in base58btc"),
            Self::Text => f.write_str("text is not a CID: unknown multibase prefix or bad character"),
        }
    }
}
impl std::error::Error for CidError {}

impl From<varint::VarintError> for CidError {
    fn from(e: varint::VarintError) -> Self {
        match e {
            varint::VarintError::Truncated => Self::Truncated,
            e => Self::Varint(e),
        }
    }
}

const INLINE_BYTES_MAX: usize = 38;

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_BYTES_MAX] },
    Heap(Arc<[u8]>),
}

/// A content identifier: codec and multihash. Ordered and compared by its binary form.
#[derive(Clone)]
pub struct Cid(Repr);

/// The parts of a CID, borrowed from it.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// 0 or 1.
    pub version: u8,
    /// Multicodec of the block's format.
    pub codec: u64,
    /// Multihash code.
    pub hash: u64,
    /// The digest; for the identity hash, the block itself.
    pub digest: &'a [u8],
    /// Hash code, length and digest as they stand in the CID.
    pub multihash: &'a [u8],
}

fn check_digest(hash: u64, bytes: u64) -> Result<usize, CidError> {
    let len = usize::try_from(bytes).map_err(|_| CidError::TooLong)?;
    let allowed = match hash {
        crate::hash::code::IDENTITY => len <= IDENTITY_BYTES_MAX,
        crate::hash::code::BLAKE3 => (DIGEST_BYTES_MIN..=DIGEST_BYTES_MAX_BLAKE3).contains(&len),
        crate::hash::code::SHA2_256 => (DIGEST_BYTES_MIN..=32).contains(&len),
        _ => (DIGEST_BYTES_MIN..=DIGEST_BYTES_MAX).contains(&len),
    };
    if allowed { Ok(len) } else { Err(CidError::DigestLength { hash, bytes }) }
}

/// Reads one CID's parts from the front of `bytes`: the parts, and how many bytes they take.
fn parse(bytes: &[u8]) -> Result<(Parts<'_>, usize), CidError> {
    if let [0x12, 0x20, ..] = bytes {
        let multihash = bytes.get(..34).ok_or(CidError::Truncated)?;
        let digest = multihash.get(2..).ok_or(CidError::Truncated)?;
        return Ok((Parts { version: 0, codec: codec::DAG_PB, hash: crate::hash::code::SHA2_256, digest, multihash }, 34));
    }
    let mut at = 0usize;
    let mut next = || -> Result<(u64, usize), CidError> {
        let start = at;
        let (value, n) = varint::read(bytes.get(at..).unwrap_or_default())?;
        at += n;
        Ok((value, start))
    };
    let (version, _) = next()?;
    if version != 1 {
        return Err(CidError::Version(version));
    }
    let (codec, _) = next()?;
    let (hash, multihash_at) = next()?;
    let (digest_bytes, _) = next()?;
    let digest_len = check_digest(hash, digest_bytes)?;
    let end = at + digest_len;
    if end > CID_BYTES_MAX {
        return Err(CidError::TooLong);
    }
    let digest = bytes.get(at..end).ok_or(CidError::Truncated)?;
    let multihash = bytes.get(multihash_at..end).ok_or(CidError::Truncated)?;
    Ok((Parts { version: 1, codec, hash, digest, multihash }, end))
}

impl Cid {
    fn from_checked(bytes: &[u8]) -> Self {
        let mut inline = [0; INLINE_BYTES_MAX];
        match inline.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                #[expect(clippy::cast_possible_truncation, reason = "it fits in INLINE_BYTES_MAX")]
                let len = bytes.len() as u8;
                Self(Repr::Inline { len, bytes: inline })
            }
            None => Self(Repr::Heap(bytes.into())),
        }
    }

    /// CIDv1 of a codec, hash code and digest.
    pub fn v1(codec: u64, hash: u64, digest: &[u8]) -> Result<Self, CidError> {
        check_digest(hash, digest.len() as u64)?;
        let mut bytes = Vec::with_capacity(INLINE_BYTES_MAX + digest.len());
        varint::write(1, &mut bytes);
        varint::write(codec, &mut bytes);
        varint::write(hash, &mut bytes);
        varint::write(digest.len() as u64, &mut bytes);
        bytes.extend_from_slice(digest);
        if bytes.len() > CID_BYTES_MAX {
            return Err(CidError::TooLong);
        }
        Ok(Self::from_checked(&bytes))
    }

    /// CIDv0: dag-pb under SHA-256.
    #[must_use]
    pub fn v0(sha256: &[u8; 32]) -> Self {
        let mut inline = [0; INLINE_BYTES_MAX];
        for (to, from) in inline.iter_mut().zip([0x12, 0x20].iter().chain(sha256)) {
            *to = *from;
        }
        Self(Repr::Inline { len: 34, bytes: inline })
    }

    /// Exactly one CID in binary.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CidError> {
        let (cid, n) = Self::read(bytes)?;
        if n == bytes.len() { Ok(cid) } else { Err(CidError::TrailingBytes) }
    }

    /// The CID at the front of `bytes`, and how many bytes it takes.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), CidError> {
        let (_, n) = parse(bytes)?;
        Ok((Self::from_checked(bytes.get(..n).unwrap_or_default()), n))
    }

    /// The binary form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Repr::Heap(bytes) => bytes,
        }
    }

    /// All parts at once.
    #[must_use]
    pub fn parts(&self) -> Parts<'_> {
        // Checked when made; the fallback cannot be reached.
        parse(self.as_bytes()).map_or(Parts { version: 1, codec: 0, hash: 0, digest: &[], multihash: &[] }, |(parts, _)| parts)
    }

    /// 0 or 1.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.parts().version
    }

    /// Multicodec of the block's format.
    #[must_use]
    pub fn codec(&self) -> u64 {
        self.parts().codec
    }

    /// Multihash code.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.parts().hash
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        self.parts().digest
    }

    /// Hash code, length and digest, as in the CID.
    #[must_use]
    pub fn multihash(&self) -> &[u8] {
        self.parts().multihash
    }

    /// The block, where the CID itself carries it (identity hash).
    #[must_use]
    pub fn identity(&self) -> Option<&[u8]> {
        let parts = self.parts();
        (parts.hash == crate::hash::code::IDENTITY).then_some(parts.digest)
    }

    /// The same block as CIDv1.
    pub fn to_v1(&self) -> Self {
        let parts = self.parts();
        Self::v1(parts.codec, parts.hash, parts.digest).unwrap_or_else(|_| self.clone())
    }

    /// The same block as CIDv0, where it has one.
    pub fn to_v0(&self) -> Result<Self, CidError> {
        let parts = self.parts();
        match <&[u8; 32]>::try_from(parts.digest) {
            Ok(digest) if parts.codec == codec::DAG_PB && parts.hash == crate::hash::code::SHA2_256 => Ok(Self::v0(digest)),
            _ => Err(CidError::NotV0),
        }
    }

    /// Text in a chosen base. A CIDv0 has one text only.
    pub fn encode(&self, base: Base) -> Result<String, CidError> {
        if self.version() == 0 {
            return if base == Base::Base58Btc { Ok(self.to_string()) } else { Err(CidError::NotV0) };
        }
        Ok(multibase::encode(base.multibase(), self.as_bytes()))
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.version() == 0 {
            f.write_str(&multibase::Base::Base58Btc.encode(self.as_bytes()))
        } else {
            f.write_str(&multibase::encode(multibase::Base::Base32Lower, self.as_bytes()))
        }
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cid({self})")
    }
}

impl FromStr for Cid {
    type Err = CidError;

    /// Reads `Qm…`, or any multibase CIDv1.
    fn from_str(text: &str) -> Result<Self, CidError> {
        // base16 is the longest text: two characters a byte and its prefix.
        if text.len() > 2 * CID_BYTES_MAX + 1 {
            return Err(CidError::TooLong);
        }
        if text.len() == 46 && text.starts_with("Qm") {
            let bytes = multibase::Base::Base58Btc.decode(text).map_err(|_| CidError::Text)?;
            return Self::from_bytes(&bytes);
        }
        let (_, bytes) = multibase::decode(text).map_err(|_| CidError::Text)?;
        let cid = Self::from_bytes(&bytes)?;
        // The spec forbids a multibase CIDv0, whichever the base.
        if cid.version() == 0 { Err(CidError::NotV0) } else { Ok(cid) }
    }
}

impl PartialEq for Cid {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for Cid {}
impl PartialOrd for Cid {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Cid {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}
impl std::hash::Hash for Cid {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cid_is_small() {
        assert!(size_of::<Cid>() <= 40);
    }

    #[test]
    fn known_texts_round_trip() {
        for text in [
            "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
            "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
            "bafkqaaa",
        ] {
            let cid: Cid = text.parse().unwrap();
            assert_eq!(cid.to_string(), text);
            assert_eq!(Cid::from_bytes(cid.as_bytes()).unwrap(), cid);
        }
    }

    #[test]
    fn a_v0_and_its_v1_name_the_same_digest() {
        let v0: Cid = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG".parse().unwrap();
        let v1 = v0.to_v1();
        assert_eq!(v1.to_string(), "bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf6d2ho34");
        assert_eq!(v1.to_v0().unwrap(), v0);
        assert_eq!(v0.multihash(), v1.multihash());
    }

    #[test]
    fn every_base_reads_back() {
        let cid: Cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku".parse().unwrap();
        for base in [Base::Base58Btc, Base::Base32, Base::Base36, Base::Base64Url, Base::Base16] {
            assert_eq!(cid.encode(base).unwrap().parse::<Cid>().unwrap(), cid);
        }
    }

    #[test]
    fn digests_out_of_bounds_are_refused_at_the_edge() {
        assert!(Cid::v1(codec::RAW, crate::hash::code::IDENTITY, &[0; 128]).is_ok());
        assert!(Cid::v1(codec::RAW, crate::hash::code::IDENTITY, &[0; 129]).is_err());
        assert!(Cid::v1(codec::RAW, crate::hash::code::BLAKE3, &[0; 128]).is_ok());
        assert!(Cid::v1(codec::RAW, crate::hash::code::BLAKE3, &[0; 129]).is_err());
        assert!(Cid::v1(codec::RAW, crate::hash::code::SHA2_256, &[0; 19]).is_err());
        assert!(Cid::v1(codec::RAW, crate::hash::code::SHA2_256, &[0; 33]).is_err());
        assert!(Cid::v1(codec::RAW, crate::hash::code::SHA2_512, &[0; 65]).is_err());
    }

    #[test]
    fn every_truncation_is_an_error() {
        let cid: Cid = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi".parse().unwrap();
        for n in 0..cid.as_bytes().len() {
            assert!(Cid::from_bytes(&cid.as_bytes()[..n]).is_err());
        }
        assert_eq!(Cid::from_bytes(&[cid.as_bytes(), &[0]].concat()), Err(CidError::TrailingBytes));
    }
}
