//! The TLS channel: TLS 1.3 in which both sides show a certificate made for libp2p (`/tls/1.0.0`).
//!
//! `rustls` does the handshake and the records, through its unbuffered interface: records are opened where they came in, and
//! sealed where they go out. The secrets of a handshake are the one thing that a caller cannot draw: rustls takes them from
//! the system through ring, and offers no other way. It reads no clock; the caller says what day it is, for the dates of certificates.
//! Spec: <https://github.com/libp2p/specs/blob/master/tls/tls.md>.

mod certificate;
mod credentials;
#[cfg(test)]
mod vectors;
mod verifier;

pub use certificate::CertificateError;
pub use credentials::Credentials;

use crate::key::PublicKey;
use crate::limits::TLS_PART_BYTES_MAX;
use crate::peer_id::PeerId;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection};
use rustls::time_provider::TimeProvider;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::version::TLS13;
use rustls::{ClientConfig, OtherError, ServerConfig};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use verifier::Verifier;

/// The channel's id.
pub const PROTOCOL: &str = "/tls/1.0.0";
/// What both sides offer beside their muxers.
const ALPN: &[u8] = b"libp2p";
/// Plain bytes of a record, and what sealing adds to it: a header, the kind, a tag.
const RECORD_PLAIN_BYTES_MAX: usize = 16 * 1024;
const RECORD_EXTRA_BYTES: usize = 5 + 1 + 16;

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
}

/// What one step of rustls asks for.
enum Step {
    Again,
    Wait,
    Ready,
    Ended,
}

/// One side of a channel.
pub struct Tls {
    side: Side,
    verifier: Arc<Verifier>,
    muxers: Vec<String>,
    peer: Option<PublicKey>,
    is_ended: bool,
    /// Received and not opened: a part of a record, or of a message of the handshake.
    incoming: Vec<u8>,
    /// How much of it is done with.
    opened: usize,
    output: Vec<u8>,
    error: Option<TlsError>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("peer", &self.peer).field("error", &self.error).finish_non_exhaustive()
    }
}

impl Tls {
    /// The side that dialed `expected`, or anybody. `muxers` is what the channel is to carry, the best first. `unix_time` is
    /// the time since 1970.
    pub fn dialer(credentials: &Credentials, muxers: Vec<String>, expected: Option<PeerId>, unix_time: Duration) -> Result<Self, TlsError> {
        let verifier = Self::verifier(credentials, expected, unix_time);
        let mut config = ClientConfig::builder_with_details(credentials.provider.clone(), Arc::new(Told(unix_time)))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(credentials.certified.clone());
        config.alpn_protocols = alpn(&muxers);
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        // A name has to be given, and is not sent.
        let name = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
        Self::new(Side::Dialer(UnbufferedClientConnection::new(Arc::new(config), name)?), verifier, muxers)
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
        Self::new(Side::Listener(UnbufferedServerConnection::new(Arc::new(config))?), verifier, muxers)
    }

    fn verifier(credentials: &Credentials, expected: Option<PeerId>, unix_time: Duration) -> Arc<Verifier> {
        let unix_seconds = i64::try_from(unix_time.as_secs()).unwrap_or(i64::MAX);
        Arc::new(Verifier { expected, unix_seconds, algorithms: credentials.provider.signature_verification_algorithms })
    }

    fn new(side: Side, verifier: Arc<Verifier>, muxers: Vec<String>) -> Result<Self, TlsError> {
        let mut new =
            Self { side, verifier, muxers, peer: None, is_ended: false, incoming: Vec::new(), opened: 0, output: Vec::new(), error: None };
        new.receive(&[], &mut Vec::new())?;
        Ok(new)
    }

    /// Bytes may be sealed, and what comes is opened: the peer has proved who it is.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.peer.is_some() && self.error.is_none()
    }

    /// The peer has said that nothing will follow.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The key of the peer, once it is proved.
    #[must_use]
    pub fn peer(&self) -> Option<&PublicKey> {
        self.peer.as_ref().filter(|_| self.is_open())
    }

    /// The muxer agreed on inside the handshake, as its position in our list; None where it is to be agreed on in the channel.
    #[must_use]
    pub fn muxer(&self) -> Option<usize> {
        let agreed = self.side.alpn()?;
        self.muxers.iter().position(|muxer| muxer.as_bytes() == agreed)
    }

    /// Moves messages of the handshake, and alerts, into `out`.
    pub fn transmit(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.output);
    }

    /// Takes bytes of the peer, all of them, and appends what they hold to `plain`. After an error there may still be an alert to
    /// [`transmit`](Self::transmit); then the connection is to be closed.
    pub fn receive(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), TlsError> {
        if let Some(e) = &self.error {
            return Err(e.clone());
        }
        self.incoming.extend_from_slice(bytes);
        let outcome = self.advance(plain);
        if let Err(e) = &outcome {
            self.error = Some(e.clone());
            self.drain_alert();
            (self.incoming, self.opened) = (Vec::new(), 0);
        }
        outcome
    }

    fn advance(&mut self, plain: &mut Vec<u8>) -> Result<(), TlsError> {
        loop {
            match self.step(plain)? {
                Step::Again => {}
                Step::Ended => self.is_ended = true,
                Step::Wait => break,
                Step::Ready => {
                    if self.peer.is_none() {
                        let certificates: Vec<_> = self.side.certificates().unwrap_or_default().iter().collect();
                        self.peer = Some(self.verifier.check(&certificates)?);
                    }
                    break;
                }
            }
        }
        self.forget_opened();
        if self.incoming.len() > TLS_PART_BYTES_MAX { Err(TlsError::TooLong) } else { Ok(()) }
    }

    fn step(&mut self, plain: &mut Vec<u8>) -> Result<Step, TlsError> {
        let incoming = self.incoming.get_mut(self.opened..).unwrap_or_default();
        let (discard, step) = match &mut self.side {
            Side::Dialer(side) => step(side.process_tls_records(incoming), plain, &mut self.output),
            Side::Listener(side) => step(side.process_tls_records(incoming), plain, &mut self.output),
        };
        self.opened = self.opened.saturating_add(discard).min(self.incoming.len());
        step
    }

    fn forget_opened(&mut self) {
        self.incoming.drain(..self.opened);
        self.opened = 0;
    }

    /// After an error rustls has an alert to send. It is asked for no more than that: it would read on, and panic, since it still
    /// counts on the bytes that it knows, and sends no second alert.
    fn drain_alert(&mut self) {
        while self.side.has_output() && matches!(self.step(&mut Vec::new()), Ok(Step::Again)) {}
    }

    /// Appends records with all of `plain` to `out`.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.write(Some(plain), out)
    }

    /// Appends the record that says that nothing will follow.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.write(None, out)
    }

    fn write(&mut self, plain: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), TlsError> {
        if let Some(e) = &self.error {
            return Err(e.clone());
        }
        if !self.is_open() {
            return Err(TlsError::NotOpen);
        }
        out.append(&mut self.output);
        match &mut self.side {
            Side::Dialer(side) => seal(side.process_tls_records(&mut self.incoming), plain, out),
            Side::Listener(side) => seal(side.process_tls_records(&mut self.incoming), plain, out),
        }
    }
}

fn alpn(muxers: &[String]) -> Vec<Vec<u8>> {
    muxers.iter().map(|muxer| muxer.as_bytes().to_vec()).chain([ALPN.to_vec()]).collect()
}

/// Does what one state asks for, and says how many bytes at the front are done with.
fn step<Data>(status: UnbufferedStatus<'_, '_, Data>, plain: &mut Vec<u8>, output: &mut Vec<u8>) -> (usize, Result<Step, TlsError>) {
    let UnbufferedStatus { mut discard, state } = status;
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
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                None => break Ok(Step::Again),
                Some(Err(e)) => break Err(e.into()),
                Some(Ok(record)) => {
                    plain.extend_from_slice(record.payload);
                    discard = discard.saturating_add(record.discard);
                }
            }
        },
        Ok(ConnectionState::WriteTraffic(_)) => Ok(Step::Ready),
        Ok(ConnectionState::PeerClosed) => Ok(Step::Ended),
        Ok(_) => Ok(Step::Wait),
    };
    (discard, step)
}

/// Seals where the channel is open, and that is the only state left after every [`Tls::receive`].
fn seal<Data>(status: UnbufferedStatus<'_, '_, Data>, plain: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), TlsError> {
    let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state else { return Err(TlsError::NotOpen) };
    let at = out.len();
    let records = plain.map_or(1, |plain| plain.len().div_ceil(RECORD_PLAIN_BYTES_MAX));
    let mut room = plain.map_or(0, <[u8]>::len).saturating_add(records.saturating_mul(RECORD_EXTRA_BYTES));
    // Twice: a change of keys, which goes first, takes room that is not foreseen.
    for _ in 0..2 {
        out.resize(at.saturating_add(room), 0);
        let target = out.get_mut(at..).unwrap_or_default();
        let written = match plain {
            Some(plain) => traffic.encrypt(plain, target),
            None => traffic.queue_close_notify(target),
        };
        match written {
            Ok(written) => {
                out.truncate(at.saturating_add(written));
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(size)) => room = size.required_size,
            Err(EncryptError::EncryptExhausted) => break,
        }
    }
    out.truncate(at);
    Err(TlsError::Protocol(rustls::Error::EncryptError))
}
