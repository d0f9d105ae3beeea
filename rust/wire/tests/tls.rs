//! Two TLS channels back to back, and peers that leave out what they owe.
//!
//! The law: what one side seals the other opens, however the bytes are cut; no byte is handed out before the peer has proved
//! who it is, on either side; and whatever a peer sends ends in one error that stays.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panics")]

use proptest::prelude::*;
use shoal_wire::tls::{CertificateError, Credentials, Tls, TlsError};
use shoal_wire::{PeerId, SecretKey};
use std::time::Duration;

/// 2026-11-24.
const NOW: Duration = Duration::from_secs(1_795_478_400);

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32]).unwrap()
}

fn credentials(seed: u8) -> Credentials {
    Credentials::new(&key(seed), &[seed + 50; 32]).unwrap()
}

fn muxers(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn pair_at(dialers: &[&str], listeners: &[&str], expected: Option<PeerId>, times: [Duration; 2]) -> [Tls; 2] {
    let dialer = Tls::dialer(&credentials(1), muxers(dialers), expected, times[0]).unwrap();
    [dialer, Tls::listener(&credentials(2), muxers(listeners), times[1]).unwrap()]
}

/// Carries the handshake and its alerts, `step` bytes at a time, and returns how each side ended.
fn shake(sides: &mut [Tls; 2], step: usize) -> [Result<(), TlsError>; 2] {
    let mut outcomes = [Ok(()), Ok(())];
    for turn in 0..8 {
        let (from, to) = (turn % 2, 1 - turn % 2);
        let (mut bytes, mut plain) = (Vec::new(), Vec::new());
        sides[from].transmit(&mut bytes);
        for piece in bytes.chunks(step) {
            if outcomes[to].is_ok() {
                outcomes[to] = sides[to].receive(piece, &mut plain);
            }
        }
        assert!(plain.is_empty());
    }
    outcomes
}

fn open_pair() -> [Tls; 2] {
    let mut sides = pair_at(&["/yamux/1.0.0"], &["/yamux/1.0.0"], Some(key(2).public().peer_id()), [NOW; 2]);
    assert_eq!(shake(&mut sides, usize::MAX), [Ok(()), Ok(())]);
    sides
}

fn painted(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

#[test]
fn both_sides_prove_who_they_are_however_the_messages_are_cut() {
    for step in [1, 3, 100, usize::MAX] {
        let mut sides = pair_at(&["/yamux/1.0.0"], &["/yamux/1.0.0"], Some(key(2).public().peer_id()), [NOW; 2]);
        assert!(!sides[0].is_open() && sides[0].peer().is_none());
        assert_eq!(sides[0].seal(b"early", &mut Vec::new()), Err(TlsError::NotOpen));
        assert_eq!(shake(&mut sides, step), [Ok(()), Ok(())]);
        assert_eq!((sides[0].peer(), sides[1].peer()), (Some(key(2).public()), Some(key(1).public())));
        assert_eq!((sides[0].muxer(), sides[1].muxer()), (Some(0), Some(0)));
    }
}

#[test]
fn without_a_muxer_in_common_the_channel_opens_and_names_none() {
    for (dialers, listeners) in [(&["/x"][..], &["/yamux/1.0.0"][..]), (&[], &["/yamux/1.0.0"]), (&["/yamux/1.0.0"], &[])] {
        let mut sides = pair_at(dialers, listeners, None, [NOW; 2]);
        assert_eq!(shake(&mut sides, usize::MAX), [Ok(()), Ok(())]);
        assert_eq!((sides[0].muxer(), sides[1].muxer()), (None, None));
    }
}

#[test]
fn another_peer_than_the_one_dialed_is_refused_and_told_so() {
    let mut sides = pair_at(&[], &[], Some(key(3).public().peer_id()), [NOW; 2]);
    let [dialer, listener] = shake(&mut sides, usize::MAX);
    assert_eq!(dialer, Err(TlsError::AnotherPeer));
    assert!(matches!(listener, Err(TlsError::Protocol(rustls::Error::AlertReceived(_)))), "{listener:?}");
    assert!(sides.iter().all(|side| !side.is_open() && side.peer().is_none()));
    assert_eq!(sides[0].seal(b"x", &mut Vec::new()), Err(TlsError::AnotherPeer));
}

#[test]
fn each_side_checks_the_time_of_the_others_certificate() {
    let early = Duration::from_secs(1000);
    let mut sides = pair_at(&[], &[], None, [early, NOW]);
    assert_eq!(shake(&mut sides, usize::MAX)[0], Err(TlsError::Certificate(CertificateError::Early)));
    let mut sides = pair_at(&[], &[], None, [NOW, early]);
    assert_eq!(shake(&mut sides, usize::MAX)[1], Err(TlsError::Certificate(CertificateError::Early)));
    assert!(!sides[1].is_open());
}

#[test]
fn what_is_sealed_is_opened_on_every_boundary_of_a_record() {
    let full = 16 * 1024;
    let mut sides = open_pair();
    for bytes in [1, 16, full - 1, full, full + 1, 3 * full, 300_000] {
        for (from, step) in [(0, 4096), (1, usize::MAX), (1, 1000)] {
            let (mut sealed, mut plain) = (b"before".to_vec(), b"before".to_vec());
            sides[from].seal(&painted(bytes), &mut sealed).unwrap();
            assert_eq!(sealed.len() - 6, bytes + 22 * bytes.div_ceil(full));
            for piece in sealed[6..].chunks(step) {
                sides[1 - from].receive(piece, &mut plain).unwrap();
            }
            assert!(plain[6..] == painted(bytes), "{bytes} bytes from side {from}");
        }
    }
}

#[test]
fn sealing_goes_on_while_a_record_of_the_peers_is_not_whole() {
    let mut sides = open_pair();
    let (mut sealed, mut plain, mut back) = (Vec::new(), Vec::new(), Vec::new());
    sides[0].seal(&painted(5000), &mut sealed).unwrap();
    sides[1].receive(&sealed[..2000], &mut plain).unwrap();
    sides[1].seal(b"meanwhile", &mut back).unwrap();
    sides[1].receive(&sealed[2000..], &mut plain).unwrap();
    assert!(plain == painted(5000));
    plain.clear();
    sides[0].receive(&back, &mut plain).unwrap();
    assert_eq!(plain, b"meanwhile");
}

#[test]
fn an_end_is_told_from_a_cut() {
    let mut sides = open_pair();
    let mut sealed = Vec::new();
    sides[0].seal(b"last", &mut sealed).unwrap();
    sides[0].end(&mut sealed).unwrap();
    let mut plain = Vec::new();
    sides[1].receive(&sealed, &mut plain).unwrap();
    assert_eq!((&plain[..], sides[1].is_ended()), (&b"last"[..], true));
    // The other direction is still open.
    let mut back = Vec::new();
    sides[1].seal(b"answer", &mut back).unwrap();
    plain.clear();
    sides[0].receive(&back, &mut plain).unwrap();
    assert_eq!((&plain[..], sides[0].is_ended()), (&b"answer"[..], false));
}

#[test]
fn a_changed_record_ends_the_channel_with_one_error() {
    let mut sides = open_pair();
    let (mut sealed, mut plain) = (Vec::new(), Vec::new());
    sides[0].seal(b"painted", &mut sealed).unwrap();
    sealed[9] ^= 1;
    let first = sides[1].receive(&sealed, &mut plain);
    assert!(matches!(first, Err(TlsError::Protocol(rustls::Error::DecryptError))), "{first:?}");
    assert_eq!(sides[1].receive(b"", &mut plain), first);
    assert!(plain.is_empty() && !sides[1].is_open());
}

#[test]
fn a_dialer_without_a_certificate_is_refused() {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let roots = rustls::RootCertStore::empty();
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"libp2p".to_vec()];
    config.dangerous().set_certificate_verifier(std::sync::Arc::new(Trusting));
    let name = rustls::pki_types::ServerName::try_from("libp2p.invalid").unwrap();
    let mut dialer = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut listener = Tls::listener(&credentials(2), muxers(&[]), NOW).unwrap();
    let (mut outcome, mut plain) = (Ok(()), Vec::new());
    for _ in 0..4 {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        while dialer.wants_write() {
            dialer.write_tls(&mut there).unwrap();
        }
        outcome = outcome.and_then(|()| listener.receive(&there, &mut plain));
        listener.transmit(&mut back);
        let mut back = &back[..];
        while !back.is_empty() {
            dialer.read_tls(&mut back).unwrap();
            let _ = dialer.process_new_packets();
        }
    }
    assert_eq!(outcome, Err(TlsError::Certificate(CertificateError::Number(0))));
    assert!(!listener.is_open() && plain.is_empty());
}

/// Believes everybody, as no program should.
#[derive(Debug)]
struct Trusting;

impl rustls::client::danger::ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        panic!("TLS 1.2 was not offered")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Garbage at any stage is an error or a wait, and nothing is handed out.
    #[test]
    fn no_bytes_panic(stage in 0..3, bytes: Vec<u8>, cut: usize) {
        let mut sides = pair_at(&["/yamux/1.0.0"], &["/yamux/1.0.0"], None, [NOW; 2]);
        let mut plain = Vec::new();
        if stage == 1 {
            let mut first = Vec::new();
            sides[0].transmit(&mut first);
            sides[1].receive(&first, &mut plain).unwrap();
        } else if stage == 2 {
            prop_assert_eq!(shake(&mut sides, usize::MAX), [Ok(()), Ok(())]);
        }
        let (front, back) = bytes.split_at(cut % (bytes.len() + 1));
        let _ = sides[1].receive(front, &mut plain).and_then(|()| sides[1].receive(back, &mut plain));
        prop_assert!(plain.is_empty());
    }
}
