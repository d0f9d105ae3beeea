//! The wire machines of Shoal: libp2p as bytes in, bytes and events out.
//!
//! Sans-IO: no sockets, no clock, no threads and no randomness. Time comes in as a [`Duration`](std::time::Duration) since
//! an epoch of the caller's choice, secrets as bytes. One contract for every machine: change it once (`receive`, `open`,
//! `write`, `on_time`), then drain it (`event`, `transmit`) until it is quiet, and come back at its `deadline`.
//! Everything that comes from a peer is bounded by [`limits`] before it is used, and nothing that a peer sends can panic.
#![forbid(unsafe_code)]

pub mod bitswap;
pub mod connection;
pub mod delimited;
mod der;
pub mod identify;
pub mod key;
pub mod limits;
pub mod multiaddr;
pub mod multistream;
pub mod noise;
pub mod peer_id;
pub mod ping;
pub mod protobuf;
pub mod tls;
pub mod yamux;

pub use connection::Connection;
pub use key::{PublicKey, SecretKey};
pub use multiaddr::Multiaddr;
pub use peer_id::PeerId;
