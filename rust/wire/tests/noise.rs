//! Two Noise channels back to back, and a peer that does all of it wrong.
//!
//! The law: what one side seals the other opens, however the bytes are cut; who is there is proved before a byte is handed
//! out; and whatever a peer sends ends in one error that stays.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panics")]

use proptest::prelude::*;
use shoal_wire::limits::HANDSHAKE_BYTES_MAX;
use shoal_wire::noise::{FRAME_PLAIN_BYTES_MAX, Noise, NoiseError, NoiseSecrets};
use shoal_wire::{PeerId, SecretKey};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32]).unwrap()
}

fn secrets(seed: u8) -> NoiseSecrets {
    NoiseSecrets { fixed: [seed; 32], ephemeral: [seed + 100; 32] }
}

fn muxers(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn pair_of(dialers: &[&str], listeners: &[&str], expected: Option<PeerId>) -> (Noise, Noise) {
    let dialer = Noise::dialer(&key(1), &secrets(1), muxers(dialers), expected).unwrap();
    (dialer, Noise::listener(&key(2), &secrets(2), muxers(listeners)).unwrap())
}

/// Carries the handshake, `step` bytes at a time.
fn shake(dialer: &mut Noise, listener: &mut Noise, step: usize) -> Result<(), NoiseError> {
    for _ in 0..4 {
        for (from, to) in [(0, 1), (1, 0)] {
            let sides = [&mut *dialer, &mut *listener];
            let mut bytes = Vec::new();
            sides[from].transmit(&mut bytes);
            let mut plain = Vec::new();
            for piece in bytes.chunks(step) {
                sides[to].receive(piece, &mut plain)?;
            }
            assert!(plain.is_empty());
        }
    }
    Ok(())
}

fn open_pair() -> (Noise, Noise) {
    let (mut dialer, mut listener) = pair_of(&["/yamux/1.0.0"], &["/yamux/1.0.0"], Some(key(2).public().peer_id()));
    shake(&mut dialer, &mut listener, usize::MAX).unwrap();
    (dialer, listener)
}

fn painted(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

#[test]
fn both_sides_prove_who_they_are_however_the_messages_are_cut() {
    for step in [1, 2, 3, 100, usize::MAX] {
        let (mut dialer, mut listener) = pair_of(&["/yamux/1.0.0"], &["/yamux/1.0.0"], Some(key(2).public().peer_id()));
        assert!(!dialer.is_open() && dialer.peer().is_none());
        shake(&mut dialer, &mut listener, step).unwrap();
        assert_eq!((dialer.peer(), listener.peer()), (Some(key(2).public()), Some(key(1).public())));
        assert_eq!((dialer.muxer(), listener.muxer()), (Some(0), Some(0)));
    }
}

#[test]
fn the_muxer_is_the_first_of_the_dialers_that_both_have() {
    for (dialers, listeners, agreed) in [
        (&["/a", "/b"][..], &["/b", "/a"][..], Some("/a")),
        (&["/x", "/b"], &["/a", "/b"], Some("/b")),
        (&["/x"], &["/a"], None),
        (&[], &["/a"], None),
        (&["/a"], &[], None),
    ] {
        let (mut dialer, mut listener) = pair_of(dialers, listeners, None);
        shake(&mut dialer, &mut listener, usize::MAX).unwrap();
        assert_eq!(dialer.muxer().map(|i| dialers[i]), agreed);
        assert_eq!(listener.muxer().map(|i| listeners[i]), agreed);
    }
}

#[test]
fn another_peer_than_the_one_dialed_is_refused_before_the_dialer_proves_itself() {
    let (mut dialer, mut listener) = pair_of(&[], &[], Some(key(3).public().peer_id()));
    assert_eq!(shake(&mut dialer, &mut listener, usize::MAX), Err(NoiseError::AnotherPeer));
    assert!(!dialer.is_open() && dialer.peer().is_none());
    let mut out = Vec::new();
    dialer.transmit(&mut out);
    assert!(out.is_empty());
    assert_eq!(dialer.seal(b"x", &mut out), Err(NoiseError::AnotherPeer));
}

#[test]
fn what_is_sealed_is_opened_on_every_boundary_of_a_frame() {
    let full = FRAME_PLAIN_BYTES_MAX;
    for bytes in [0, 1, 15, 16, 17, full - 1, full, full + 1, 2 * full, 2 * full + 1, 300_000] {
        let (mut dialer, mut listener) = open_pair();
        let (mut sealed, mut plain) = (Vec::new(), b"before".to_vec());
        dialer.seal(&painted(bytes), &mut sealed).unwrap();
        assert_eq!(sealed.len(), bytes + 18 * bytes.div_ceil(full));
        for piece in sealed.chunks(4096) {
            listener.receive(piece, &mut plain).unwrap();
        }
        assert!(plain[6..] == painted(bytes), "{bytes} bytes");
        // And the other way, all at once.
        sealed.clear();
        plain.clear();
        listener.seal(&painted(bytes), &mut sealed).unwrap();
        dialer.receive(&sealed, &mut plain).unwrap();
        assert!(plain == painted(bytes), "{bytes} bytes back");
    }
}

#[test]
fn a_fill_with_nothing_sends_nothing() {
    let (mut dialer, _) = open_pair();
    let mut out = b"before".to_vec();
    assert_eq!(dialer.seal_with(&mut out, |_| ()), Ok(false));
    assert_eq!(out, b"before");
}

#[test]
fn changed_replayed_and_short_frames_end_the_channel_with_one_error() {
    for fault in 0..4 {
        let (mut dialer, mut listener) = open_pair();
        let (mut sealed, mut plain) = (Vec::new(), Vec::new());
        dialer.seal(b"painted", &mut sealed).unwrap();
        match fault {
            0 => sealed[5] ^= 1,
            1 => sealed.extend_from_within(..),
            2 => sealed = vec![0, 0],
            _ => sealed = vec![0, 15, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        }
        assert_eq!(listener.receive(&sealed, &mut plain), Err(NoiseError::Frame), "fault {fault}");
        assert_eq!(plain, if fault == 1 { &b"painted"[..] } else { b"" });
        assert_eq!(listener.receive(&[], &mut plain), Err(NoiseError::Frame));
        assert!(!listener.is_open() && listener.peer().is_none());
    }
}

#[test]
fn a_handshake_message_is_refused_by_its_length_before_it_is_kept() {
    let first = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let (_, mut listener) = pair_of(&[], &[], None);
    assert_eq!(listener.receive(&first(HANDSHAKE_BYTES_MAX), &mut Vec::new()), Ok(()));
    for whole in [false, true] {
        let (_, mut listener) = pair_of(&[], &[], None);
        let mut bytes = first(HANDSHAKE_BYTES_MAX + 1).to_vec();
        bytes.resize(if whole { HANDSHAKE_BYTES_MAX + 3 } else { 2 }, 0);
        assert_eq!(listener.receive(&bytes, &mut Vec::new()), Err(NoiseError::HandshakeTooLong(HANDSHAKE_BYTES_MAX + 1)));
    }
}

#[test]
fn empty_short_and_low_order_first_messages_are_refused() {
    for length in [0u16, 1, 31] {
        let (_, mut listener) = pair_of(&[], &[], None);
        let bytes = [&length.to_be_bytes()[..], &vec![9; usize::from(length)]].concat();
        assert_eq!(listener.receive(&bytes, &mut Vec::new()), Err(NoiseError::Handshake), "{length} bytes");
    }
    for point in [[0; 32], std::array::from_fn(|i| u8::from(i == 0))] {
        let (_, mut listener) = pair_of(&[], &[], None);
        assert_eq!(listener.receive(&[&[0, 32][..], &point].concat(), &mut Vec::new()), Err(NoiseError::Handshake));
    }
}

#[test]
fn every_changed_byte_of_the_handshake_is_noticed() {
    // The second message is the longest, and holds the proof.
    let (mut dialer, mut listener) = pair_of(&["/yamux/1.0.0"], &["/yamux/1.0.0"], None);
    let mut first = Vec::new();
    dialer.transmit(&mut first);
    listener.receive(&first, &mut Vec::new()).unwrap();
    let mut second = Vec::new();
    listener.transmit(&mut second);
    for position in 2..second.len() {
        let (mut dialer, _) = pair_of(&["/yamux/1.0.0"], &[], None);
        let mut changed = second.clone();
        changed[position] ^= 0x40;
        assert!(dialer.receive(&changed, &mut Vec::new()).is_err(), "byte {position}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Garbage at any stage is an error or a wait, and the same however it is cut.
    #[test]
    fn no_bytes_panic_and_no_cut_matters(stage in 0..3, bytes: Vec<u8>, cut: usize) {
        let run = |cut: usize| {
            let (mut dialer, mut listener) = pair_of(&["/yamux/1.0.0"], &["/yamux/1.0.0"], None);
            let mut plain = Vec::new();
            if stage > 0 {
                let mut first = Vec::new();
                dialer.transmit(&mut first);
                listener.receive(&first, &mut plain).unwrap();
            }
            if stage > 1 {
                shake(&mut dialer, &mut listener, usize::MAX).unwrap();
            }
            let (front, back) = bytes.split_at(cut.min(bytes.len()));
            let outcome = listener.receive(front, &mut plain).and_then(|()| listener.receive(back, &mut plain));
            (outcome, plain)
        };
        prop_assert_eq!(run(cut % (bytes.len() + 1)), run(0));
    }
}
