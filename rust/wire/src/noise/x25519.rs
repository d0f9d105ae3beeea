//! What `snow` is to compute with: the caller's secrets, X25519 by `x25519-dalek`, and ring for the rest.
//!
//! ring makes X25519 keys from the system's randomness only, and this room draws none.

use super::NoiseSecrets;
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, Error, HandshakeState};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

const NAME: &str = "Noise_XX_25519_ChaChaPoly_SHA256";

/// The public half of a secret.
pub(super) fn public(secret: &[u8; 32]) -> [u8; 32] {
    x25519(*secret, X25519_BASEPOINT_BYTES)
}

/// A handshake that has not begun.
pub(super) fn handshake(is_dialer: bool, secrets: &NoiseSecrets) -> Option<HandshakeState> {
    let params: NoiseParams = NAME.parse().ok()?;
    let resolver = Resolver { ephemeral: secrets.ephemeral };
    let builder = Builder::with_resolver(params, Box::new(resolver)).local_private_key(&secrets.fixed).ok()?;
    if is_dialer { builder.build_initiator() } else { builder.build_responder() }.ok()
}

struct Resolver {
    ephemeral: [u8; 32],
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Drawn(Some(self.ephemeral))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(X25519 { secret: [0; 32], public: [0; 32] }) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        RingResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

/// The secret that the caller drew: handed out once, since two uses would be one key twice.
struct Drawn(Option<[u8; 32]>);

impl Random for Drawn {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        let secret = self.0.take().filter(|secret| secret.len() == out.len()).ok_or(Error::Rng)?;
        out.copy_from_slice(&secret);
        Ok(())
    }
}

struct X25519 {
    secret: [u8; 32],
    public: [u8; 32],
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, secret: &[u8]) {
        if let Ok(secret) = secret.try_into() {
            (self.secret, self.public) = (secret, public(&secret));
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), Error> {
        let mut secret = [0; 32];
        rng.try_fill_bytes(&mut secret)?;
        self.set(&secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.secret
    }

    /// A point of low order makes a secret that everybody knows, zero: it is refused.
    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let public: [u8; 32] = public.get(..32).and_then(|p| p.try_into().ok()).ok_or(Error::Dh)?;
        let shared = x25519(self.secret, public);
        if shared == [0; 32] {
            return Err(Error::Dh);
        }
        out.get_mut(..32).ok_or(Error::Dh)?.copy_from_slice(&shared);
        Ok(())
    }
}
