//! What the connection keeps of a stream until it is the caller's: an agreement, or one of the protocols handled inside.

use crate::identify::Gathering;
use crate::multistream::Negotiation;
use crate::ping::{Echo, PING_BYTES};
use std::time::Duration;

/// What a stream of ours was begun for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The caller's.
    Caller,
    /// To hear what the peer says of itself.
    Identify,
    /// To say what has changed of us: the message.
    Push(Vec<u8>),
    Ping([u8; PING_BYTES]),
}

#[derive(Debug)]
pub(super) enum Stage {
    /// `purpose` is None where the peer began it.
    Negotiating {
        negotiation: Negotiation,
        protocols: Vec<String>,
        purpose: Option<Purpose>,
    },
    /// The caller's, with bytes that came behind the agreement.
    Early(Vec<u8>),
    /// Pings of the peer's, and answers that wait for room.
    Echo {
        echo: Echo,
        answers: Vec<u8>,
    },
    /// The peer says what it is.
    Gathering(Box<Gathering>),
    /// Everything is said; what still comes is skipped, up to its end.
    Said,
    Pinging {
        sent: [u8; PING_BYTES],
        at: Duration,
        received: Vec<u8>,
    },
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) stage: Stage,
    pub(super) deadline: Option<Duration>,
}
