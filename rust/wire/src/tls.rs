//! The TLS channel: TLS 1.3 in which both sides show a certificate made for libp2p (`/tls/1.0.0`).
//!
//! `rustls` does the handshake, through its unbuffered interface, and is given one record at a time, so that at its end nothing
//! of what follows is inside. Records behind it are opened and sealed where they stand, in `records.rs`. The secrets of a handshake are the one thing that a caller cannot draw: rustls takes them from
//! the system through ring, and offers no other way. It reads no clock; the caller says what day it is, for the dates of certificates.
//! Spec: <https://github.com/libp2p/specs/blob/master/tls/tls.md>.

mod certificate;
mod credentials;
mod records;
#[cfg(test)]
mod vectors;
mod verifier;

pub use certificate::CertificateError;
pub use credentials::Credentials;
pub use records::RECORD_PLAIN_BYTES_MAX;

use crate::key::PublicKey;
use crate::limits::TLS_PART_BYTES_MAX;
use crate::peer_id::PeerId;
use records::{HEADER_BYTES, Records, Source, is_record, sealed_bytes};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection};
use rustls::time_provider::TimeProvider;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::version::TLS13;
use rustls::{ClientConfig, InvalidMessage, OtherError, ServerConfig};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use verifier::Verifier;

/// The channel's id.
pub const PROTOCOL: &str = "/tls/1.0.0";
/// What both sides offer beside their muxers.
const ALPN: &[u8] = b"libp2p";

/// Why there is no channel, or none any more.
#[derive(Debug, Clone, PartialEq)]
pub enum TlsError {
    /// The peer's certificate proves nobody.
    Certificate(CertificateError),
    /// Another peer than the one that was dialed.
    AnotherPeer,
    /// What rustls says of the peer, or of the peer's alert.
    Protocol(rustls::Error),
    /// More bytes than any message takes, and still no message.
    TooLong,
    /// The secret of a certificate is none of P-256.
    Secret,
    /// The channel is not open yet.
    NotOpen,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(e) => write!(f, "tls: {e}"),
            Self::AnotherPeer => f.write_str("tls: another peer answers at this address"),
            Self::Protocol(e) => write!(f, "tls: {e}"),
            Self::TooLong => write!(f, "tls: a message is longer than the {TLS_PART_BYTES_MAX} bytes allowed"),
            Self::Secret => f.write_str("tls: the certificate's secret is none; draw another"),
            Self::NotOpen => f.write_str("tls: the handshake is not done"),
        }
    }
}
impl std::error::Error for TlsError {}

impl From<CertificateError> for TlsError {
    fn from(e: CertificateError) -> Self {
        Self::Certificate(e)
    }
}

impl From<rustls::Error> for TlsError {
    /// Our verifier's errors come back wrapped.
    fn from(e: rustls::Error) -> Self {
        if let rustls::Error::InvalidCertificate(rustls::CertificateError::Other(OtherError(inner))) = &e
            && let Some(ours) = inner.downcast_ref::<Self>()
        {
            return ours.clone();
        }
        match e {
            rustls::Error::NoCertificatesPresented => Self::Certificate(CertificateError::Number(0)),
            e => Self::Protocol(e),
        }
    }
}

/// ring's ciphers, AES of 128 bits first: nobody breaks it, and it is the quickest.
fn provider() -> CryptoProvider {
    use ring::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256};
    CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256],
        ..ring::default_provider()
    }
}

/// The time that the caller says it is.
#[derive(Debug)]
struct Told(Duration);

impl TimeProvider for Told {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0))
    }
}

enum Side {
    Dialer(UnbufferedClientConnection),
    Listener(UnbufferedServerConnection),
}

impl Side {
    fn certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match self {
            Self::Dialer(side) => side.peer_certificates(),
            Self::Listener(side) => side.peer_certificates(),
        }
    }

    fn has_output(&self) -> bool {
        match self {
            Self::Dialer(side) => side.wants_write(),
            Self::Listener(side) => side.wants_write(),
        }
    }

    fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Dialer(side) => side.alpn_protocol(),
            Self::Listener(side) => side.alpn_protocol(),
        }
    }

    /// The keys of what follows, of a handshake that is done.
    fn into_records(self) -> Result<Records, TlsError> {
        let (secrets, source) = match self {
            Self::Dialer(side) => {
                let (secrets, source) = side.dangerous_into_kernel_connection()?;
                (secrets, Source::Dialer(source))
            }
            Self::Listener(side) => {
                let (secrets, source) = side.dangerous_into_kernel_connection()?;
                (secrets, Source::Listener(source))
            }
        };
        Records::new(&secrets, source).ok_or(TlsError::NotOpen)
    }
}

/// What one step of rustls asks for.
enum Step {
    Again,
    Wait,
    Ready,
}

enum Stage {
    Handshake(Box<Side>, Arc<Verifier>),
    Open(Box<Records>),
    Failed(TlsError),
}

/// One side of a channel.
pub struct Tls {
    stage: Stage,
    muxers: Vec<String>,
    /// The peer's key, and the muxer agreed on.
    peer: Option<(PublicKey, Option<usize>)>,
    /// The start of a record, or of a message of the handshake, that is not whole.
    part: Vec<u8>,
    /// How much of `part`, at its front, rustls has seen: messages of the handshake may be longer than a record.
    seen: usize,
    output: Vec<u8>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Tls {
    /// The side that dialed `expected`, or anybody. `muxers` is what the channel is to carry, the best first. `unix_time` is
    /// the time since 1970.
    pub fn dialer(credentials: &Credentials, muxers: Vec<String>, expected: Option<PeerId>, unix_time: Duration) -> Result<Self, TlsError> {
        let verifier = Self::verifier(credentials, expected, unix_time);
        let config = dialer_config(credentials, &verifier, &muxers, unix_time)?;
        Self::new(Side::Dialer(UnbufferedClientConnection::new(Arc::new(config), no_name())?), verifier, muxers)
    }

    /// The side that was dialed.
    pub fn listener(credentials: &Credentials, muxers: Vec<String>, unix_time: Duration) -> Result<Self, TlsError> {
        let verifier = Self::verifier(credentials, None, unix_time);
        let mut config = ServerConfig::builder_with_details(credentials.provider.clone(), Arc::new(Told(unix_time)))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier.clone())
            .with_cert_resolver(credentials.certified.clone());
        config.alpn_protocols = alpn(&muxers);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.enable_secret_extraction = true;
        Self::new(Side::Listener(UnbufferedServerConnection::new(Arc::new(config))?), verifier, muxers)
    }

    fn verifier(credentials: &Credentials, expected: Option<PeerId>, unix_time: Duration) -> Arc<Verifier> {
        let unix_seconds = i64::try_from(unix_time.as_secs()).unwrap_or(i64::MAX);
        Arc::new(Verifier { expected, unix_seconds, algorithms: credentials.provider.signature_verification_algorithms })
    }

    fn new(side: Side, verifier: Arc<Verifier>, muxers: Vec<String>) -> Result<Self, TlsError> {
        let stage = Stage::Handshake(Box::new(side), verifier);
        let mut new = Self { stage, muxers, peer: None, part: Vec::new(), seen: 0, output: Vec::new() };
        new.advance()?;
        Ok(new)
    }

    /// Bytes may be sealed, and what comes is opened: the peer has proved who it is.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// The peer has said that nothing will follow.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(&self.stage, Stage::Open(records) if records.is_ended)
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

    /// Moves messages of the handshake, and alerts, into `out`.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.output);
    }

    /// Takes bytes of the peer, all of them, and appends what they hold to `plain`. After an error there may still be an alert to
    /// [`transmit`](Self::transmit); then the connection is to be closed.
    pub fn receive(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), TlsError> {
        self.receive_with(bytes, &mut Vec::new(), &mut |record| plain.append(record))
    }

    /// As [`receive`](Self::receive), record by record, each in `room`, from which `take` may take the buffer.
    pub(crate) fn receive_with(
        &mut self,
        mut bytes: &[u8],
        room: &mut Vec<u8>,
        take: &mut dyn FnMut(&mut Vec<u8>),
    ) -> Result<(), TlsError> {
        loop {
            let outcome = match &mut self.stage {
                Stage::Failed(e) => return Err(e.clone()),
                Stage::Handshake(..) => match gather(&mut self.part, self.seen, &mut bytes) {
                    Ok(false) => return Ok(()),
                    Ok(true) => self.advance(),
                    Err(e) => Err(e),
                },
                Stage::Open(records) if records.is_ended => return Ok(()),
                Stage::Open(records) => match open_next(records, &mut self.part, &mut bytes, room) {
                    Ok(false) => return Ok(()),
                    Ok(true) => {
                        if !room.is_empty() {
                            take(room);
                        }
                        Ok(())
                    }
                    Err(e) => Err(e),
                },
            };
            if let Err(e) = outcome {
                self.fail(&e);
                return Err(e);
            }
        }
    }

    /// One more record of the handshake has come, or none was needed.
    fn advance(&mut self) -> Result<(), TlsError> {
        loop {
            match self.step()? {
                Step::Again => {}
                Step::Wait => break,
                Step::Ready => return self.open(),
            }
        }
        self.seen = self.part.len();
        if self.seen > TLS_PART_BYTES_MAX { Err(TlsError::TooLong) } else { Ok(()) }
    }

    fn step(&mut self) -> Result<Step, TlsError> {
        let Stage::Handshake(side, _) = &mut self.stage else { return Err(TlsError::NotOpen) };
        let (discard, step) = match &mut **side {
            Side::Dialer(side) => step(side.process_tls_records(&mut self.part), &mut self.output),
            Side::Listener(side) => step(side.process_tls_records(&mut self.part), &mut self.output),
        };
        self.part.drain(..discard.min(self.part.len()));
        step
    }

    /// The handshake is done: from here on the records are ours.
    fn open(&mut self) -> Result<(), TlsError> {
        let stage = std::mem::replace(&mut self.stage, Stage::Failed(TlsError::NotOpen));
        let Stage::Handshake(side, verifier) = stage else { return Err(TlsError::NotOpen) };
        let certificates: Vec<_> = side.certificates().unwrap_or_default().iter().collect();
        let muxer = side.alpn().and_then(|agreed| self.muxers.iter().position(|muxer| muxer.as_bytes() == agreed));
        let key = verifier.check(&certificates)?;
        // What rustls has seen and not done with would be lost: it has all of the handshake, and nothing else.
        if !self.part.is_empty() {
            return Err(TlsError::NotOpen);
        }
        self.peer = Some((key, muxer));
        (self.part, self.seen) = (Vec::new(), 0);
        self.stage = Stage::Open(Box::new(side.into_records()?));
        Ok(())
    }

    fn fail(&mut self, error: &TlsError) {
        match &mut self.stage {
            Stage::Open(records) => records.alert(error, &mut self.output),
            Stage::Handshake(..) => self.drain_alert(),
            Stage::Failed(_) => {}
        }
        self.stage = Stage::Failed(error.clone());
        (self.part, self.seen) = (Vec::new(), 0);
    }

    /// After an error rustls has an alert to send. It is asked for no more than that: it would read on, and panic, since it still
    /// counts on the bytes that it knows, and sends no second alert.
    fn drain_alert(&mut self) {
        while matches!(&self.stage, Stage::Handshake(side, _) if side.has_output()) && matches!(self.step(), Ok(Step::Again)) {}
    }

    /// Gives back the room of records that were gathered.
    pub(crate) fn give_back(&mut self) {
        self.part.shrink_to_fit();
        self.output.shrink_to_fit();
    }

    /// Appends one record to `out`. Its bytes are what `fill` appends: up to [`RECORD_PLAIN_BYTES_MAX`], sealed where they stand.
    /// False where `fill` had nothing, and nothing is sent.
    pub fn seal_with(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) -> Result<bool, TlsError> {
        self.records()?.seal(out, fill)
    }

    /// Appends records with all of `plain` to `out`.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        let records = self.records()?;
        plain.chunks(RECORD_PLAIN_BYTES_MAX).try_for_each(|piece| records.seal(out, |out| out.extend_from_slice(piece)).map(|_| ()))
    }

    /// Appends the record that says that nothing will follow.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.records()?.end(out)
    }

    fn records(&mut self) -> Result<&mut Records, TlsError> {
        match &mut self.stage {
            Stage::Open(records) => Ok(records),
            Stage::Handshake(..) => Err(TlsError::NotOpen),
            Stage::Failed(e) => Err(e.clone()),
        }
    }
}

/// Moves bytes to `part`, up to the end of the record that begins at `from`; true once it is whole. A length that no record has
/// is refused before its bytes are kept.
fn gather(part: &mut Vec<u8>, from: usize, bytes: &mut &[u8]) -> Result<bool, TlsError> {
    loop {
        let record = part.get(from..).unwrap_or_default();
        let missing = match record.first_chunk::<HEADER_BYTES>() {
            None => HEADER_BYTES.saturating_sub(record.len()),
            Some(header) if !is_record(*header) => {
                return Err(TlsError::Protocol(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)));
            }
            Some([_, _, _, high, low]) => {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                match (HEADER_BYTES + len).checked_sub(record.len()) {
                    Some(0) | None => return Ok(true),
                    Some(missing) => missing,
                }
            }
        };
        let (piece, rest) = bytes.split_at(bytes.len().min(missing));
        if piece.is_empty() {
            return Ok(false);
        }
        part.extend_from_slice(piece);
        *bytes = rest;
    }
}

/// Opens the next record into `room`: of `bytes` where it is whole there, else as gathered in `part`. False until more comes.
fn open_next(records: &mut Records, part: &mut Vec<u8>, bytes: &mut &[u8], room: &mut Vec<u8>) -> Result<bool, TlsError> {
    room.clear();
    if part.is_empty()
        && let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>()
        && let Some((sealed, rest)) = rest.split_at_checked(sealed_bytes(*header)?)
    {
        room.extend_from_slice(sealed);
        *bytes = rest;
        records.open(*header, room)?;
        return Ok(true);
    }
    if !gather(part, 0, bytes)? {
        return Ok(false);
    }
    let Some(header) = part.first_chunk::<HEADER_BYTES>().copied() else { return Ok(false) };
    sealed_bytes(header)?;
    room.extend_from_slice(part.get(HEADER_BYTES..).unwrap_or_default());
    part.clear();
    records.open(header, room)?;
    Ok(true)
}

fn dialer_config(
    credentials: &Credentials,
    verifier: &Arc<Verifier>,
    muxers: &[String],
    unix_time: Duration,
) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_details(credentials.provider.clone(), Arc::new(Told(unix_time)))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_cert_resolver(credentials.certified.clone());
    config.alpn_protocols = alpn(muxers);
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.enable_secret_extraction = true;
    Ok(config)
}

/// A name has to be given, and is not sent.
fn no_name() -> ServerName<'static> {
    ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST))
}

fn alpn(muxers: &[String]) -> Vec<Vec<u8>> {
    muxers.iter().map(|muxer| muxer.as_bytes().to_vec()).chain([ALPN.to_vec()]).collect()
}

/// Does what one state asks for, and says how many bytes at the front are done with.
fn step<Data>(status: UnbufferedStatus<'_, '_, Data>, output: &mut Vec<u8>) -> (usize, Result<Step, TlsError>) {
    let UnbufferedStatus { discard, state } = status;
    let step = match state {
        Err(e) => Err(e.into()),
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let at = output.len();
            // The first call says how much room it takes.
            if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
                output.resize(at.saturating_add(size.required_size), 0);
            }
            let written = data.encode(output.get_mut(at..).unwrap_or_default());
            output.truncate(at.saturating_add(written.unwrap_or(0)));
            Ok(Step::Again)
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::WriteTraffic(_)) => Ok(Step::Ready),
        // Data before the end of the handshake were not agreed on, and whoever ends it there ends all.
        Ok(ConnectionState::ReadTraffic(_) | ConnectionState::PeerClosed | ConnectionState::Closed) => {
            Err(TlsError::Protocol(rustls::Error::HandshakeNotComplete))
        }
        Ok(_) => Ok(Step::Wait),
    };
    (discard, step)
}
