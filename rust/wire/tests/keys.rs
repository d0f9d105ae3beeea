//! Keys and peer ids against the vectors of the peer id specification, and against keys and signatures that OpenSSL 3 made.

use proptest::prelude::*;
use shoal_wire::key::{KeyError, KeyKind, PublicKey, SecretKey};
use shoal_wire::peer_id::{PeerId, PeerIdError};

// <https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md>, test vectors.
const ED25519_SECRET: &str = "080112407e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e";
const ED25519: &str = "080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e";
const SECP256K1: &str = "08021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99";

// `openssl genrsa`, `openssl ecparam -name prime256v1`, `openssl dgst -sha256 -sign`, over MESSAGE.
const MESSAGE: &[u8] = b"painted message";
const RSA_INFO: &str = "30820122300d06092a864886f70d01010105000382010f003082010a0282010100e6be2ee08aaf7a697560a0049f1057450aa7d65034f5c2523a66c919202b13a62cb75e312260f4d35a429ea0048e6a06c4d2ab3b7be5ff8c9c237d09d84687ef864d766c3ff30de81391e7f0137eb81840867c727ba0c95470f255749562b9e86f66bf5950253e882015072de2d2ee853b01faa0332f31f06bd9f9bdaa815ae840f0d702b74a212ee767e98b8e43db0409dbfaa47d347935b6c659a395967fd4c77849cb56381223626be3fc938d84febed65ea61b6673c69dd9bd1f922e0bcd1b985bf394ae623be82e9e40ebf6495e738f6dff9fb0d5d9be14e41b4c1b0f739fdc540c433ef5b1dda6c9fb036cbd7ea71b95e1c9c3121d4cfa0bc08f4c13330203010001";
const RSA_SIGNATURE: &str = "df31ffa9a0f27fdccad0df071ef21a305f945d855e6df3564e2959ad9ea84fb36e1e293b23768c9f0211ce309f81db5cf220fd4adbf85607214bf11b9f243315f48176e84d2150af23586cf3633987095d7bb40342d520725d56ac20fb8867409be3fa481a81297f74332f7f9fe7f1513e3ac6dcb2164abeacf8d672390717a92d9627829af5312ea5ca714c72d73ae1114161807f57082b45423adbb3a0bed012acf91756a0b3b744c657ee18bb85616ada0cdd5a267c72a3de97893c6dc92bced53521b63ea769b8632dfb025826cfe18863b65f0638728f34a734160b5d331b7e820b16e256cae660043aae578da580181c7562d7796ea80d896f2614c2ae";
const RSA_1024_INFO: &str = "30819f300d06092a864886f70d010101050003818d0030818902818100a935c5d76bd9979111a9fc2fbc642689806ced0a536f5eb43c21a6ac9579c5116b0d6d0628b3250098978d8ce1fc1fc60495fe705c8500617042bbc3a088db30c806b6fad2571a5aeef410a828d15917a2015025b27a03df83562c9245e0dee1a981078ab1fbd430765efcbab1726be2aa4bf3db1a5b2cadb361c7df85eb852b0203010001";
const P256_INFO: &str = "3059301306072a8648ce3d020106082a8648ce3d03010703420004bcc61b3a263f3405e81c248a28891b72f24506eff3ca64523601660711883a8dc37ebb48f11619d747dfd4b91386fa79238c1f2ba4f4d51e3305efea31886e29";
const P256_SIGNATURE: &str = "3045022100e44692ecafbe3c27b508695ff51fff40466692007a1539d10eb06df22dcd36390220687605e60e76d2a9786595d9ff86f7b99d7fc81222bd99ebca887e89631a0ff8";
// A key of `openssl ecparam -name secp256k1`; OpenSSL's signature, in both of its forms.
const SECP256K1_POINT: &str = "031b3d3a1171429874794209afc91e59ea778cc55f7fe5d4b86cd1b990739c5b3a";
const SECP256K1_LOW: &str = "304302203b0b1fd472a36956cba32f5ccf765685d567e4b97b86cb4cce59068911d54db1021f033b9b87dc352204692968bc614eb80982f5669f48d14301a4010704053c75";
const SECP256K1_HIGH: &str = "304502203b0b1fd472a36956cba32f5ccf765685d567e4b97b86cb4cce59068911d54db1022100fffcc4647823caddfb96d697439eb146b12be7800fffcef8be2e5d85cc3104cc";

fn hex(text: &str) -> Vec<u8> {
    multibase::Base::Base16Lower.decode(text).unwrap_or_default()
}

/// A key's protobuf, written by hand.
fn protobuf(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x08, kind, 0x12];
    shoal_core::varint::write(data.len() as u64, &mut out);
    out.extend_from_slice(data);
    out
}

fn key(kind: u8, data: &[u8]) -> Result<PublicKey, KeyError> {
    PublicKey::from_protobuf(&protobuf(kind, data))
}

#[test]
fn the_vectors_of_the_specification_hold() {
    let secret = SecretKey::from_protobuf(&hex(ED25519_SECRET)).unwrap();
    assert_eq!(secret.public().as_protobuf(), hex(ED25519));
    assert_eq!(secret.to_protobuf(), hex(ED25519_SECRET));
    assert_eq!(secret.public().peer_id().to_string(), "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq");
    let secp256k1 = PublicKey::from_protobuf(&hex(SECP256K1)).unwrap();
    assert_eq!((secp256k1.kind(), secp256k1.as_protobuf()), (KeyKind::Secp256k1, &hex(SECP256K1)[..]));
    assert_eq!(secp256k1.verify(MESSAGE, b""), Err(KeyError::Signature));
}

#[test]
fn secp256k1_signatures_of_openssl_verify_in_both_forms_and_fail_at_every_changed_byte() {
    let key = key(2, &hex(SECP256K1_POINT)).unwrap();
    for signature in [hex(SECP256K1_LOW), hex(SECP256K1_HIGH)] {
        assert_eq!(key.verify(MESSAGE, &signature), Ok(()));
        assert_eq!(key.verify(b"another", &signature), Err(KeyError::Signature));
        for at in 0..signature.len() {
            let mut bad = signature.clone();
            bad[at] ^= 1;
            assert_eq!(key.verify(MESSAGE, &bad), Err(KeyError::Signature), "byte {at}");
        }
    }
    assert!(key.peer_id().to_string().starts_with("16Uiu2"));
    // Of the right length and form, and no point of the curve.
    let off = PublicKey::from_protobuf(&protobuf(2, &[&[2][..], &[0; 31], &[5]].concat())).unwrap();
    assert_eq!(off.verify(MESSAGE, &hex(SECP256K1_LOW)), Err(KeyError::Data(KeyKind::Secp256k1)));
}

#[test]
fn a_secret_key_signs_what_its_public_key_verifies_and_nothing_else() {
    let secret = SecretKey::from_seed([7; 32]).unwrap();
    let signature = secret.sign(MESSAGE);
    let public = PublicKey::from_protobuf(secret.public().as_protobuf()).unwrap();
    assert_eq!(public.verify(MESSAGE, &signature), Ok(()));
    assert_eq!(public.verify(b"another", &signature), Err(KeyError::Signature));
    assert_eq!(public.verify(MESSAGE, &signature[..63]), Err(KeyError::Signature));
    assert_eq!(SecretKey::from_seed([8; 32]).unwrap().public().verify(MESSAGE, &signature), Err(KeyError::Signature));
    assert!(!format!("{secret:?}").contains("seed"));
}

#[test]
fn old_key_files_hold_the_public_half_twice_and_both_must_be_its_own() {
    let whole = hex(ED25519_SECRET)[4..].to_vec();
    let secret = |data: &[u8]| SecretKey::from_protobuf(&protobuf(1, data)).map(|key| key.public().peer_id());
    let twice = [&whole[..], &whole[32..]].concat();
    assert_eq!(secret(&twice), secret(&whole));
    assert!(secret(&twice).is_ok());
    for at in [32, 63, 64, 95] {
        let mut bad = twice.clone();
        bad[at] ^= 1;
        assert_eq!(secret(&bad), Err(KeyError::Halves), "{at}");
    }
    for len in [0, 31, 32, 63, 65, 95] {
        assert!(secret(&twice[..len]).is_err(), "{len}");
    }
    assert_eq!(SecretKey::from_protobuf(&protobuf(2, &whole)).map(|_| ()), Err(KeyError::Data(KeyKind::Secp256k1)));
}

#[test]
fn rsa_and_ecdsa_signatures_of_openssl_verify_and_fail_at_every_changed_byte() {
    for (kind, info, signature) in [(0, RSA_INFO, RSA_SIGNATURE), (3, P256_INFO, P256_SIGNATURE)] {
        let key = key(kind, &hex(info)).unwrap();
        let signature = hex(signature);
        assert_eq!(key.verify(MESSAGE, &signature), Ok(()));
        assert_eq!(key.verify(b"another", &signature), Err(KeyError::Signature));
        for at in 0..signature.len() {
            let mut bad = signature.clone();
            bad[at] ^= 1;
            assert_eq!(key.verify(MESSAGE, &bad), Err(KeyError::Signature), "byte {at}");
        }
        assert!(key.peer_id().to_string().starts_with("Qm"));
    }
}

#[test]
fn rsa_keys_outside_2048_to_8192_bits_are_refused_before_any_work() {
    assert_eq!(key(0, &hex(RSA_1024_INFO)), Err(KeyError::RsaBits(1024)));
    // A key of 8193 bits and more, made by hand: only its length matters.
    let info = |modulus: &[u8]| {
        let der = |tag: u8, contents: &[u8]| {
            let len = u16::try_from(contents.len()).unwrap().to_be_bytes();
            let header = match contents.len() {
                0..=0x7f => vec![tag, len[1]],
                0x80..=0xff => vec![tag, 0x81, len[1]],
                _ => vec![tag, 0x82, len[0], len[1]],
            };
            [&header[..], contents].concat()
        };
        let key = der(0x30, &[der(2, modulus), der(2, &[1, 0, 1])].concat());
        der(0x30, &[hex("300d06092a864886f70d0101010500"), der(3, &[&[0][..], &key].concat())].concat())
    };
    let modulus = |bits: usize| {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        if !bits.is_multiple_of(8) {
            bytes[0] = 0xff >> (8 - bits % 8);
        } else {
            bytes.insert(0, 0);
        }
        bytes
    };
    for (bits, result) in [(2047, Err(KeyError::RsaBits(2047))), (2048, Ok(())), (8192, Ok(())), (8193, Err(KeyError::RsaBits(8193)))] {
        assert_eq!(key(0, &info(&modulus(bits))).map(|_| ()), result);
    }
    assert_eq!(key(0, &info(&modulus(20_000))), Err(KeyError::TooLong));
    assert_eq!(key(0, &info(&[])), Err(KeyError::Data(KeyKind::Rsa)));
}

#[test]
fn a_key_has_one_form_only() {
    let point = &hex(ED25519)[4..];
    for bytes in [
        [&[0x12, 0x20][..], point, &[0x08, 0x01]].concat(),
        [&[0x08, 0x81, 0x00, 0x12, 0x20][..], point].concat(),
        [&[0x08, 0x01, 0x12, 0xa0, 0x00][..], point].concat(),
        [&hex(ED25519)[..], &[0x18, 0x01]].concat(),
        [&hex(ED25519)[..], &hex(ED25519)].concat(),
        vec![0x08, 0x01],
        vec![],
    ] {
        assert_eq!(PublicKey::from_protobuf(&bytes), Err(KeyError::Form), "{bytes:02x?}");
    }
    assert_eq!(key(4, point), Err(KeyError::Kind(4)));
    assert_eq!(key(1, &point[1..]), Err(KeyError::Data(KeyKind::Ed25519)));
    assert_eq!(key(3, point), Err(KeyError::Data(KeyKind::Ecdsa)));
    assert_eq!(key(0, &hex(P256_INFO)), Err(KeyError::Data(KeyKind::Rsa)));
    assert_eq!(key(2, point), Err(KeyError::Data(KeyKind::Secp256k1)));
}

#[test]
fn a_peer_id_is_read_from_all_its_texts_and_from_nothing_else() {
    let short = PublicKey::from_protobuf(&hex(ED25519)).unwrap();
    let long = key(0, &hex(RSA_INFO)).unwrap();
    for key in [&short, &long] {
        let id = key.peer_id();
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert_eq!(id.to_cid().unwrap().to_string().parse(), Ok(id.clone()));
        assert_eq!(PeerId::from_bytes(id.as_bytes()), Ok(id.clone()));
        assert_eq!(PeerId::from_bytes(&id.as_bytes()[..id.as_bytes().len() - 1]), Err(PeerIdError::Multihash));
        assert_eq!(PeerId::from_bytes(&[id.as_bytes(), &[0]].concat()), Err(PeerIdError::Multihash));
    }
    assert_eq!(short.peer_id().key(), Some(short));
    assert_eq!(long.peer_id().key(), None);
    for text in ["", "Qm", "1", "bafkqaaa", "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3p", &"1".repeat(400)] {
        assert!(text.parse::<PeerId>().is_err(), "{text}");
    }
    // A key of its id's length that is no key.
    assert_eq!(PeerId::from_bytes(&[0, 2, 8, 1]), Err(PeerIdError::Multihash));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, text: String) {
        let _ = PublicKey::from_protobuf(&bytes);
        let _ = SecretKey::from_protobuf(&bytes);
        let _ = PeerId::from_bytes(&bytes);
        let _ = text.parse::<PeerId>();
        for kind in 0..4 {
            if let Ok(key) = key(kind, &bytes) {
                let _ = key.verify(&bytes, &bytes);
            }
        }
    }
}
