//! Every bound on what a peer sends, with its reason and what the neighbours do.

/// Longest public key in its protobuf: RSA of 8192 bits takes 1,065 bytes. Longer ones are refused before they are read.
pub const KEY_BYTES_MAX: usize = 2048;
/// Shortest RSA modulus. go-libp2p, js-libp2p and ring refuse shorter ones.
pub const RSA_BITS_MIN: usize = 2048;
/// Longest RSA modulus (CVE-2023-39533: giant keys kept processors busy). go-libp2p uses the same.
pub const RSA_BITS_MAX: usize = 8192;
/// Longest key that a peer id holds as it is, by the peer id specification; longer ones are hashed.
pub const INLINE_KEY_BYTES_MAX: usize = 42;

/// Longest multiaddr. The longest in use, WebTransport with two certificate hashes behind a relay, takes some 250 bytes.
pub const MULTIADDR_BYTES_MAX: usize = 1024;
/// Most parts of a multiaddr; those in use have up to ten.
pub const MULTIADDR_PARTS_MAX: usize = 32;

/// Longest line of multistream-select, its newline included. js-libp2p: 1,024; rust: 16,383; go: 65,535.
pub const MULTISTREAM_LINE_BYTES_MAX: usize = 1024;
/// Most proposals a listener answers before it gives up. Kubo proposes four versions of bitswap at most.
pub const PROPOSALS_MAX: usize = 32;
