//! Records behind the handshake: sealed and opened where they stand, with ring, under the keys that rustls agreed on.
//!
//! rustls keeps the secrets, and gives new keys when either side changes its own. What else may come behind the handshake
//! is little: data, alerts, changes of keys, and tickets, which are skipped. Everything else ends the channel, with an alert.
//! The handshake itself, with all that is hard in TLS, stays in rustls ([why](../../../../docs/decisions/2026-11-24-tls-records.md)).
//! Spec: RFC 8446, §4.6, §5 and §6.

use super::TlsError;
use crate::limits::{TLS_IDLE_RECORDS_MAX, TLS_MESSAGE_BYTES_MAX};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{AlertDescription, ConnectionTrafficSecrets, Error, ExtractedSecrets, InvalidMessage, PeerMisbehaved};

/// Bytes of a record's header: kind, version, length.
pub(super) const HEADER_BYTES: usize = 5;
/// Plain bytes that one record holds at most.
pub const RECORD_PLAIN_BYTES_MAX: usize = 16 * 1024;
const TAG_BYTES: usize = 16;
/// A sealed record's bytes behind its header, by RFC 8446 §5.2.
const SEALED_BYTES_MAX: usize = RECORD_PLAIN_BYTES_MAX + 256;
/// Records sealed under one key. AES-GCM may seal 2^24.5 full ones (RFC 8446, §5.5); the other cipher has no such bound.
const RECORDS_MAX: u64 = 1 << 24;

const CHANGE_CIPHER: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const VERSION: [u8; 2] = [3, 3];
const TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// May be the header of a record, of the handshake or behind it.
pub(super) fn is_record([kind, _, _, high, low]: [u8; HEADER_BYTES]) -> bool {
    (CHANGE_CIPHER..=DATA).contains(&kind) && usize::from(u16::from_be_bytes([high, low])) <= SEALED_BYTES_MAX
}

/// The length of a record behind the handshake, by its header.
pub(super) fn sealed_bytes(header: [u8; HEADER_BYTES]) -> Result<usize, TlsError> {
    let [kind, _, _, high, low] = header;
    let len = usize::from(u16::from_be_bytes([high, low]));
    match kind {
        DATA if len > SEALED_BYTES_MAX => Err(TlsError::Protocol(Error::PeerSentOversizedRecord)),
        DATA => Ok(len),
        _ => Err(TlsError::Protocol(Error::InvalidMessage(InvalidMessage::InvalidContentType))),
    }
}

/// One direction: its key, and the number of the next record.
struct Keys {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    number: u64,
}

impl Keys {
    fn new(number: u64, secrets: &ConnectionTrafficSecrets) -> Option<Self> {
        let (algorithm, key, iv): (&'static Algorithm, _, _) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv),
            _ => return None,
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).ok()?);
        Some(Self { key, iv: iv.as_ref().try_into().ok()?, number })
    }

    /// The nonce of a record: its number, big-endian, over the end of the direction's own bytes. No number is used twice.
    fn next(&mut self) -> Result<Nonce, TlsError> {
        let following = self.number.checked_add(1).ok_or(TlsError::Protocol(Error::EncryptError))?;
        let mut nonce = self.iv;
        if let Some((_, end)) = nonce.split_last_chunk_mut::<8>() {
            end.iter_mut().zip(self.number.to_be_bytes()).for_each(|(byte, of)| *byte ^= of);
        }
        self.number = following;
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    /// Appends one record to `out`, of what `fill` appends; false where that is nothing.
    fn seal(&mut self, kind: u8, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) -> Result<bool, TlsError> {
        let at = out.len();
        let inner = at.saturating_add(HEADER_BYTES);
        out.extend_from_slice(&[0; HEADER_BYTES]);
        fill(out);
        let plain = out.len().saturating_sub(inner);
        if plain == 0 {
            out.truncate(at);
            return Ok(false);
        }
        debug_assert!(plain <= RECORD_PLAIN_BYTES_MAX, "a caller's fill keeps to the record");
        out.push(kind);
        let len = u16::try_from(plain + 1 + TAG_BYTES).map_err(|_| TlsError::Protocol(Error::EncryptError))?;
        let [high, low] = len.to_be_bytes();
        let header = [DATA, VERSION[0], VERSION[1], high, low];
        let nonce = self.next()?;
        let (front, plain) = out.split_at_mut(inner);
        if let Some((_, slot)) = front.split_last_chunk_mut::<HEADER_BYTES>() {
            *slot = header;
        }
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(header), plain);
        let Ok(tag) = tag else { return Err(TlsError::Protocol(Error::EncryptError)) };
        out.extend_from_slice(tag.as_ref());
        Ok(true)
    }

    /// Opens a record where it stands in `record`, which is then its plain bytes, and says of what kind they are.
    fn open(&mut self, header: [u8; HEADER_BYTES], record: &mut Vec<u8>) -> Result<u8, TlsError> {
        let nonce = self.next()?;
        let opened = self.key.open_in_place(nonce, Aad::from(header), record);
        let inner = opened.map_err(|_| TlsError::Protocol(Error::DecryptError))?;
        // The kind is the last byte that is not zero; zeros behind it hide the length.
        let Some((at, kind)) = inner.iter().enumerate().rev().find(|(_, byte)| **byte != 0).map(|(at, byte)| (at, *byte)) else {
            return Err(TlsError::Protocol(Error::InvalidMessage(InvalidMessage::InvalidContentType)));
        };
        record.truncate(at);
        if at > RECORD_PLAIN_BYTES_MAX { Err(TlsError::Protocol(Error::PeerSentOversizedRecord)) } else { Ok(kind) }
    }
}

/// Where new keys come from.
pub(super) enum Source {
    Dialer(KernelConnection<ClientConnectionData>),
    Listener(KernelConnection<ServerConnectionData>),
}

/// Both directions of a channel that is open.
pub(super) struct Records {
    source: Source,
    sealing: Keys,
    opening: Keys,
    /// The peer asked for new keys of ours, which go before our next data.
    owes_update: bool,
    /// The peer has said that nothing will follow.
    pub(super) is_ended: bool,
    /// A message of the peer's that is not whole.
    message: Vec<u8>,
    /// Records in a row that carried no data.
    idle: usize,
}

impl Records {
    pub(super) fn new(secrets: &ExtractedSecrets, source: Source) -> Option<Self> {
        let (sealing, opening) = (Keys::new(secrets.tx.0, &secrets.tx.1)?, Keys::new(secrets.rx.0, &secrets.rx.1)?);
        Some(Self { source, sealing, opening, owes_update: false, is_ended: false, message: Vec::new(), idle: 0 })
    }

    /// Appends one record of data; false where `fill` had nothing.
    pub(super) fn seal(&mut self, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) -> Result<bool, TlsError> {
        if self.owes_update || self.sealing.number >= RECORDS_MAX {
            self.update_sealing(out)?;
        }
        self.sealing.seal(DATA, out, fill)
    }

    /// Says, under the old keys, that the next record has new ones.
    fn update_sealing(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.sealing.seal(HANDSHAKE, out, |out| out.extend_from_slice(&[KEY_UPDATE, 0, 0, 1, 0]))?;
        let (number, secrets) = match &mut self.source {
            Source::Dialer(source) => source.update_tx_secret(),
            Source::Listener(source) => source.update_tx_secret(),
        }?;
        self.sealing = Keys::new(number, &secrets).ok_or(TlsError::Protocol(Error::EncryptError))?;
        self.owes_update = false;
        Ok(())
    }

    /// Says that nothing will follow.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.sealing.seal(ALERT, out, |out| out.extend_from_slice(&[WARNING, CLOSE_NOTIFY])).map(|_| ())
    }

    /// Tells the peer of an error of its own. An alert that cannot be sealed is left out: the error stands without it.
    pub(super) fn alert(&mut self, error: &TlsError, out: &mut Vec<u8>) {
        let description = match error {
            TlsError::Protocol(Error::DecryptError) => AlertDescription::BadRecordMac,
            TlsError::Protocol(Error::PeerSentOversizedRecord) => AlertDescription::RecordOverflow,
            TlsError::Protocol(Error::PeerMisbehaved(_) | Error::InvalidMessage(_)) | TlsError::TooLong => {
                AlertDescription::UnexpectedMessage
            }
            _ => return,
        };
        let _ = self.sealing.seal(ALERT, out, |out| out.extend_from_slice(&[FATAL, description.into()]));
    }

    /// Opens one record, and leaves its data in `record`: nothing, where it is of another kind.
    pub(super) fn open(&mut self, header: [u8; HEADER_BYTES], record: &mut Vec<u8>) -> Result<(), TlsError> {
        let kind = match self.opening.open(header, record) {
            Ok(kind) => kind,
            Err(e) => {
                record.clear();
                return Err(e);
            }
        };
        let is_data = kind == DATA && !record.is_empty();
        self.idle = if is_data { 0 } else { self.idle + 1 };
        let outcome = match kind {
            _ if self.idle > TLS_IDLE_RECORDS_MAX => Err(Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments).into()),
            // A message of the handshake that is not whole may not be broken off.
            DATA | ALERT if !self.message.is_empty() => Err(unexpected()),
            DATA => return Ok(()),
            ALERT => self.on_alert(record),
            HANDSHAKE => self.on_messages(record),
            _ => Err(unexpected()),
        };
        record.clear();
        outcome
    }

    fn on_alert(&mut self, alert: &[u8]) -> Result<(), TlsError> {
        match alert {
            [_, CLOSE_NOTIFY] => {
                self.is_ended = true;
                Ok(())
            }
            [_, USER_CANCELED] => Ok(()),
            [_, description] => Err(Error::AlertReceived((*description).into()).into()),
            _ => Err(unexpected()),
        }
    }

    fn on_messages(&mut self, bytes: &[u8]) -> Result<(), TlsError> {
        if bytes.is_empty() {
            return Err(unexpected());
        }
        self.message.extend_from_slice(bytes);
        while let Some(([kind, a, b, c], rest)) = self.message.split_first_chunk::<4>() {
            let kind = *kind;
            let len = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap_or(usize::MAX);
            if len > TLS_MESSAGE_BYTES_MAX {
                return Err(TlsError::TooLong);
            }
            let Some((body, behind)) = rest.split_at_checked(len) else { return Ok(()) };
            match (kind, body) {
                // Of no use: connections are not resumed.
                (TICKET, _) if matches!(self.source, Source::Dialer(_)) => {}
                // The last message under its key.
                (KEY_UPDATE, [is_asking @ (0 | 1)]) if behind.is_empty() => {
                    self.owes_update |= *is_asking == 1;
                    let (number, secrets) = match &mut self.source {
                        Source::Dialer(source) => source.update_rx_secret(),
                        Source::Listener(source) => source.update_rx_secret(),
                    }?;
                    self.opening = Keys::new(number, &secrets).ok_or(TlsError::Protocol(Error::DecryptError))?;
                }
                _ => return Err(unexpected()),
            }
            self.message.drain(..4 + len);
        }
        Ok(())
    }
}

fn unexpected() -> TlsError {
    TlsError::Protocol(Error::InvalidMessage(InvalidMessage::UnexpectedMessage("behind the handshake")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;
    use crate::tls::{Credentials, Stage, Tls, dialer_config, no_name};
    use std::io::{Read, Write};
    use std::sync::Arc;
    use std::time::Duration;

    const NOW: Duration = Duration::from_secs(1_795_478_400);

    fn credentials(seed: u8) -> Credentials {
        Credentials::new(&SecretKey::from_seed([seed; 32]).unwrap(), &[seed + 50; 32]).unwrap()
    }

    fn pair() -> [Tls; 2] {
        let mut dialer = Tls::dialer(&credentials(1), Vec::new(), None, NOW).unwrap();
        let mut listener = Tls::listener(&credentials(2), Vec::new(), NOW).unwrap();
        for _ in 0..3 {
            carry(&mut dialer, &mut listener).unwrap();
            carry(&mut listener, &mut dialer).unwrap();
        }
        assert!(dialer.is_open() && listener.is_open());
        [dialer, listener]
    }

    fn carry(from: &mut Tls, to: &mut Tls) -> Result<(), TlsError> {
        let mut bytes = Vec::new();
        from.transmit(&mut bytes);
        to.receive(&bytes, &mut Vec::new())
    }

    fn records(side: &mut Tls) -> &mut Records {
        let Stage::Open(records) = &mut side.stage else { panic!("not open") };
        records
    }

    /// Seals a record of any kind on one side and opens it on the other.
    fn say(from: &mut Tls, to: &mut Tls, kind: u8, bytes: &[u8]) -> Result<Vec<u8>, TlsError> {
        let (mut sealed, mut plain) = (Vec::new(), Vec::new());
        assert!(records(from).sealing.seal(kind, &mut sealed, |out| out.extend_from_slice(bytes)).unwrap());
        to.receive(&sealed, &mut plain).map(|()| plain)
    }

    /// rustls' own records are the model: it changes its keys, asks for new ones of ours, and understands what we seal.
    #[test]
    fn rustls_and_our_records_understand_each_other_through_changes_of_keys() {
        let theirs = credentials(1);
        let verifier = Tls::verifier(&theirs, None, NOW);
        let config = dialer_config(&theirs, &verifier, &[], NOW).unwrap();
        let mut dialer = rustls::ClientConnection::new(Arc::new(config), no_name()).unwrap();
        let mut listener = Tls::listener(&credentials(2), Vec::new(), NOW).unwrap();
        let (mut plain, mut read) = (Vec::new(), Vec::new());
        for round in 0..12u8 {
            if listener.is_open() {
                if round % 3 == 0 {
                    dialer.refresh_traffic_keys().unwrap();
                }
                dialer.writer().write_all(&[round; 40_000]).unwrap();
            }
            let (mut there, mut back) = (Vec::new(), Vec::new());
            while dialer.wants_write() {
                dialer.write_tls(&mut there).unwrap();
            }
            listener.receive(&there, &mut plain).unwrap();
            listener.transmit(&mut back);
            if listener.is_open() {
                listener.seal(&[round; 40_000], &mut back).unwrap();
            }
            let mut back = &back[..];
            while !back.is_empty() {
                dialer.read_tls(&mut back).unwrap();
                dialer.process_new_packets().unwrap();
                let mut piece = [0; 1 << 16];
                while let Ok(bytes @ 1..) = dialer.reader().read(&mut piece) {
                    read.extend_from_slice(piece.get(..bytes).unwrap());
                }
            }
        }
        assert_eq!(plain.len() % 40_000, 0);
        assert!(plain.len() >= 10 * 40_000 && read.len() >= 10 * 40_000, "{} there, {} back", plain.len(), read.len());
        for all in [plain, read] {
            assert!(all.chunks(40_000).all(|piece| piece.iter().all(|byte| Some(byte) == piece.first())));
        }
        assert!(records(&mut listener).opening.number < 20 && records(&mut listener).sealing.number < 20, "keys were changed");
    }

    #[test]
    fn a_key_seals_so_many_records_and_is_changed_before_the_next() {
        let [mut a, mut b] = pair();
        records(&mut a).sealing.number = RECORDS_MAX - 1;
        records(&mut b).opening.number = RECORDS_MAX - 1;
        for (data, number) in [(b"last", RECORDS_MAX), (b"next", 1)] {
            let (mut sealed, mut plain) = (Vec::new(), Vec::new());
            a.seal(data, &mut sealed).unwrap();
            b.receive(&sealed, &mut plain).unwrap();
            assert_eq!((&plain[..], records(&mut a).sealing.number), (&data[..], number));
        }
        records(&mut a).sealing.number = u64::MAX;
        assert_eq!(records(&mut a).sealing.next().err(), Some(TlsError::Protocol(Error::EncryptError)));
    }

    #[test]
    fn zeros_behind_the_data_are_taken_off_and_tickets_are_skipped_however_they_are_cut() {
        let [mut dialer, mut listener] = pair();
        let mut padded = b"data".to_vec();
        padded.push(DATA);
        // The kind that is appended is one more zero.
        padded.extend_from_slice(&[0; 99]);
        assert_eq!(say(&mut listener, &mut dialer, 0, &padded), Ok(b"data".to_vec()));
        let ticket = [&[TICKET, 0, 1, 0][..], &[7; 256]].concat();
        for cut in [1, 4, 100, 259] {
            let (front, back) = ticket.split_at(cut);
            assert_eq!(say(&mut listener, &mut dialer, HANDSHAKE, front), Ok(Vec::new()));
            assert_eq!(say(&mut listener, &mut dialer, HANDSHAKE, back), Ok(Vec::new()));
            assert_eq!(say(&mut listener, &mut dialer, DATA, b"more"), Ok(b"more".to_vec()));
        }
    }

    #[test]
    fn what_may_not_come_ends_the_channel_with_an_alert() {
        let update = [KEY_UPDATE, 0, 0, 1, 0];
        let ticket = [TICKET, 0, 0, 1, 7];
        for (to_listener, first, second) in [
            (true, None, (HANDSHAKE, &ticket[..])),
            (false, None, (HANDSHAKE, &[1, 0, 0, 0])),
            (false, None, (HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 2])),
            (false, None, (HANDSHAKE, &[KEY_UPDATE, 0, 0, 0])),
            (false, None, (HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 0, TICKET])),
            (false, None, (HANDSHAKE, &[TICKET, 0xff, 0xff, 0xff])),
            (false, Some((HANDSHAKE, &ticket[..3])), (DATA, b"data")),
            (false, None, (ALERT, &[WARNING])),
            (false, None, (CHANGE_CIPHER, &[1])),
            (false, None, (0, &[0])),
        ] {
            let [mut dialer, mut listener] = pair();
            let (from, to) = if to_listener { (&mut dialer, &mut listener) } else { (&mut listener, &mut dialer) };
            if let Some((kind, bytes)) = first {
                assert_eq!(say(from, to, kind, bytes), Ok(Vec::new()));
            }
            let outcome = say(from, to, second.0, second.1);
            assert!(outcome.is_err(), "{second:?}");
            assert_eq!(to.receive(b"", &mut Vec::new()).err(), outcome.err());
            let told = carry(to, from);
            assert!(matches!(told, Err(TlsError::Protocol(Error::AlertReceived(_)))), "{second:?}: {told:?}");
        }
        // A fatal alert is not answered.
        let [mut dialer, mut listener] = pair();
        let refused = say(&mut listener, &mut dialer, ALERT, &[FATAL, 80]);
        assert_eq!(refused, Err(TlsError::Protocol(Error::AlertReceived(AlertDescription::InternalError))));
        assert_eq!(carry(&mut dialer, &mut listener), Ok(()));
        // A change of keys is fine by itself.
        let [mut dialer, mut listener] = pair();
        assert_eq!(say(&mut dialer, &mut listener, HANDSHAKE, &update), Ok(Vec::new()));
    }

    #[test]
    fn records_without_data_are_counted() {
        let [mut dialer, mut listener] = pair();
        for _ in 0..3 {
            for _ in 0..TLS_IDLE_RECORDS_MAX {
                assert_eq!(say(&mut dialer, &mut listener, ALERT, &[WARNING, USER_CANCELED]), Ok(Vec::new()));
            }
            assert_eq!(say(&mut dialer, &mut listener, DATA, b"data"), Ok(b"data".to_vec()));
        }
        for _ in 0..TLS_IDLE_RECORDS_MAX {
            assert_eq!(say(&mut dialer, &mut listener, 0, &[DATA, 0]), Ok(Vec::new()));
        }
        assert!(say(&mut dialer, &mut listener, ALERT, &[WARNING, USER_CANCELED]).is_err());
    }

    #[test]
    fn a_length_is_refused_before_its_record_comes() {
        for (len, is_fine) in [(SEALED_BYTES_MAX, true), (SEALED_BYTES_MAX + 1, false)] {
            let [high, low] = u16::try_from(len).unwrap().to_be_bytes();
            let [_, mut listener] = pair();
            assert_eq!(listener.receive(&[DATA, 3, 3, high, low], &mut Vec::new()).is_ok(), is_fine, "{len}");
        }
    }
}
