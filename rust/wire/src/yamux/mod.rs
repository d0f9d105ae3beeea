//! yamux: many streams over one connection, each with a window of its own.
//!
//! A [`Session`] is one side. The peer's bytes go into `receive`, ours into `write`; `transmit` fills a buffer with as many
//! frames as it takes, control frames first and the streams by turns. Spec:
//! <https://github.com/hashicorp/yamux/blob/master/spec.md>, and what libp2p's implementations do where it is silent.

pub mod frame;
mod queue;
mod session;
mod stream;

pub use queue::Shared;
pub use session::{Event, Read, Session, StreamId};

use std::fmt;

/// What ends a session. The connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YamuxError {
    /// A version other than 0.
    Version(u8),
    /// A frame of a type that yamux does not have.
    Kind(u8),
    /// Flags that yamux does not have.
    Flags(u16),
    /// A frame of the session on a stream, or the other way round.
    Stream(u32),
    /// The peer began a stream with one of our numbers, or one that is open.
    Begin(u32),
    /// More bytes than the stream's window lets the peer send.
    Window(u32),
    /// More credit than 32 bits hold.
    Credit(u32),
    /// More questions than the peer reads answers to.
    Flood,
    /// Streams begun and reset over and over.
    Churn,
    /// Nothing was heard since a ping.
    Silence,
}

impl fmt::Display for YamuxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "yamux: version {version} is not known (0 is)"),
            Self::Kind(kind) => write!(f, "yamux: frame of the unknown type {kind}"),
            Self::Flags(flags) => write!(f, "yamux: frame with the unknown flags 0x{flags:x}"),
            Self::Stream(id) => write!(f, "yamux: frame that does not belong on stream {id}"),
            Self::Begin(id) => write!(f, "yamux: the peer may not begin stream {id}"),
            Self::Window(id) => write!(f, "yamux: the peer sent more on stream {id} than its window holds"),
            Self::Credit(id) => write!(f, "yamux: the credit of stream {id} overflows"),
            Self::Flood => f.write_str("yamux: the peer asks more than it reads answers to"),
            Self::Churn => f.write_str("yamux: the peer begins and resets streams too quickly"),
            Self::Silence => f.write_str("yamux: the peer does not answer any more"),
        }
    }
}
impl std::error::Error for YamuxError {}

/// Why there is no new stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// The peer takes no new ones.
    GoneAway,
    /// So many wait for its acknowledgement that another has to wait.
    Backlog,
    /// All numbers were used.
    Exhausted,
    /// The connection is not open yet, or not any more.
    NotOpen,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GoneAway => "the peer takes no new streams on this connection",
            Self::Backlog => "the peer has not acknowledged the streams that it has; try again later",
            Self::NotOpen => "the connection is not open yet, or not any more",
            Self::Exhausted => "this connection has no numbers left for streams; open another",
        })
    }
}
impl std::error::Error for OpenError {}
