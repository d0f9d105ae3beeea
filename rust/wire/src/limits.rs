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

/// Longest message of the Noise handshake. An RSA key of 8,192 bits and its signature take 2.1 KiB; js-libp2p allows 65,535.
pub const HANDSHAKE_BYTES_MAX: usize = 8 * 1024;
/// Longest frame of Noise behind its length, its tag included: what two bytes count.
pub const NOISE_FRAME_BYTES_MAX: usize = 65_535;
/// Received of TLS and no whole message yet. One record takes 16,640 bytes, one handshake message up to 65,539.
pub const TLS_PART_BYTES_MAX: usize = 128 * 1024;
/// Longest message of TLS behind the handshake: a ticket, which is skipped. Go's take some 2 KiB with a certificate in them.
pub const TLS_MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// Records of TLS in a row that carry no data: empty ones, tickets, changes of keys. rustls and OpenSSL: 32.
pub const TLS_IDLE_RECORDS_MAX: usize = 32;
/// Longest certificate that is read. Ours takes 430 bytes, one with RSA keys of 8,192 bits about 6 KiB.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// Most muxers read of a peer's list; there are two in use.
pub const MUXERS_MAX: usize = 16;

/// Window that both sides of a yamux stream begin with, by its specification. Credit given at the opening is added to it.
pub const WINDOW_BYTES_FIRST: u32 = 256 * 1024;
/// Largest window a stream grows to. go-yamux: the same.
pub const WINDOW_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// How much the windows of one connection may grow beyond their first size, all together. rust-yamux allows 1 GiB.
pub const WINDOW_GROWTH_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// Received and not read yet, of all streams of a connection: from here on the peer is not read. One full window.
pub const UNREAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Written and not sent yet, of one stream; `write` takes no more. As much as one read of a socket brings.
pub const UNSENT_BYTES_MAX: usize = 256 * 1024;
/// Longest data frame we send. go and js send as much; it keeps a stream from holding up the others for long.
pub const DATA_FRAME_BYTES_MAX: usize = 64 * 1024;
/// Streams a peer may have open. Kubo's bitswap opens one for each answer; Helia allows 1,024, rust-yamux 512.
pub const INBOUND_STREAMS_MAX: usize = 1024;
/// Streams we have open that the peer has not acknowledged: the backlog of all implementations.
pub const UNACKNOWLEDGED_STREAMS_MAX: usize = 256;
/// Control frames that wait to be sent; a peer that makes more of them than it reads is cut off.
pub const CONTROL_FRAMES_MAX: usize = 16 * 1024;
/// Pongs that wait to be sent. Peers ping once in some seconds.
pub const PONGS_MAX: usize = 64;
/// Streams that a peer may open and reset again within [`CHURN_SECONDS`] (the "rapid reset" of HTTP/2, CVE-2023-44487).
pub const CHURN_MAX: usize = 4096;
/// See [`CHURN_MAX`].
pub const CHURN_SECONDS: u64 = 10;
/// How often we ping. go-yamux: the same.
pub const PING_SECONDS: u64 = 30;
/// A peer that sends nothing at all for so long after a ping is gone. go-yamux gives a write as long.
pub const PONG_SECONDS: u64 = 10;

/// A connection that is not open in so many seconds is given up. go-libp2p: 15; js-libp2p: 10.
pub const UPGRADE_SECONDS: u64 = 15;
/// How long a connection that we close waits for the peer to take what was written.
pub const CLOSE_SECONDS: u64 = 5;
/// How long the agreement on a stream's protocol may take. go-libp2p: 10.
pub const STREAM_SECONDS: u64 = 10;
/// How long a peer may take to say what it is. go-libp2p: 5.
pub const IDENTIFY_SECONDS: u64 = 5;
/// How long the answer to a ping on a stream may take. go-libp2p: 10.
pub const PING_SECONDS_MAX: u64 = 10;
/// Streams of pings that a peer may have open; the ping specification allows two.
pub const ECHOES_MAX: usize = 2;

/// Longest message of identify that is read. go-libp2p: 8 KiB.
pub const IDENTIFY_BYTES_MAX: usize = 8 * 1024;
/// Longest message of identify to send: rust-libp2p reads no more.
pub const IDENTIFY_SEND_BYTES_MAX: usize = 4 * 1024;
/// Most messages that one stream of identify is made of. go-libp2p: the same.
pub const IDENTIFY_MESSAGES_MAX: usize = 10;
/// Most listen addresses kept of one peer; floods of them filled go-libp2p's peerstore.
pub const IDENTIFY_ADDRESSES_MAX: usize = 128;
/// Most protocols kept of one peer. go-libp2p: 1,024; Kubo speaks some twenty.
pub const PROTOCOLS_MAX: usize = 256;
/// Longest protocol id kept: what a line of multistream-select holds.
pub const PROTOCOL_BYTES_MAX: usize = MULTISTREAM_LINE_BYTES_MAX - 1;
/// Longest name of a program or network that is kept.
pub const AGENT_BYTES_MAX: usize = 256;

/// Longest message of bitswap. Kubo and Helia: the same.
pub const BITSWAP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most entries, and most presences, that are read of one message. Kubo serves 1,024 wants of a peer; its client asks for more.
pub const BITSWAP_ENTRIES_MAX: usize = 8 * 1024;
/// Most blocks that are read of one message: as many of 512 bytes fill it.
pub const BITSWAP_BLOCKS_MAX: usize = 8 * 1024;
