//! A connection to one peer: every machine of this room, stacked.
//!
//! Bytes → multistream-select → Noise or TLS → yamux, agreed on inside the handshake or by multistream-select → streams, each
//! with its own multistream-select. identify, its push and ping are handled here; all other protocols are the caller's.
//! One contract: change it once (`receive`, `open`, `write`, `on_time`), then drain `event` and `transmit`, then wait for the
//! peer, or until `deadline`. The rule: a connection ends once, with one [`CloseReason`], and every stage has a deadline.

mod channel;
mod stream;
mod streams;

use crate::identify::{Identify, IdentifyError};
use crate::key::{PublicKey, SecretKey};
use crate::limits::{CLOSE_SECONDS, UPGRADE_SECONDS};
use crate::multiaddr::Multiaddr;
use crate::multistream::{Negotiation, NegotiationError};
use crate::noise::{self, Noise, NoiseError, NoiseSecrets};
use crate::peer_id::PeerId;
use crate::tls::{self, Credentials, Tls, TlsError};
use crate::yamux::frame::{Header, Kind};
use crate::yamux::{self, Read, Session, Shared, StreamId, YamuxError};
use channel::Channel;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use stream::Stream;

/// The one muxer there is.
const YAMUX: &str = "/yamux/1.0.0";
/// The code of a session that ends because of the peer's fault.
const GO_AWAY_FAULT: u32 = 1;

/// How a connection is made safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS 1.3: AES, the quicker one.
    Tls,
    /// Noise XX: ChaCha20-Poly1305.
    Noise,
}

impl Security {
    fn protocol(self) -> &'static str {
        match self {
            Self::Tls => tls::PROTOCOL,
            Self::Noise => noise::PROTOCOL,
        }
    }
}

/// What all connections of a node share.
#[derive(Debug)]
pub struct Config {
    /// Who we are.
    pub key: SecretKey,
    /// The certificate that TLS shows.
    pub credentials: Credentials,
    /// What we speak, the best first.
    pub security: Vec<Security>,
    /// Protocols that a peer may begin streams for, beside those handled here.
    pub protocols: Vec<String>,
    /// What we say of ourselves, without the address that we see the peer at. At most 4 KiB.
    pub identify: Identify,
}

/// What one connection needs at its start.
#[derive(Debug)]
pub struct Start {
    /// The time, since the caller's epoch.
    pub now: Duration,
    /// The time since 1970, for the dates of certificates.
    pub unix_time: Duration,
    /// Drawn for this connection alone.
    pub secrets: NoiseSecrets,
    /// Where we see the peer, which identify tells it.
    pub observed: Option<Multiaddr>,
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq)]
pub enum CloseReason {
    /// We closed it, and everything written before is sent.
    Ours,
    /// The peer closed it.
    Theirs,
    /// The peer closed it, or the network did, before it was open.
    Early,
    /// No agreement on how to be safe.
    Security(NegotiationError),
    /// Noise failed, or the peer is another one.
    Noise(NoiseError),
    /// TLS failed, or the peer is another one.
    Tls(TlsError),
    /// No agreement on how to carry streams.
    Muxer(NegotiationError),
    /// The peer broke the rules of yamux, or is silent.
    Yamux(YamuxError),
    /// The peer says to be another one than the channel proved.
    Identify(IdentifyError),
    /// It was not open in time.
    UpgradeTimedOut,
    /// We closed it, and the peer did not take what was written before.
    CloseTimedOut,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours => f.write_str("closed by us"),
            Self::Theirs => f.write_str("closed by the peer"),
            Self::Early => f.write_str("closed by the peer before it was open"),
            Self::Security(e) => write!(f, "no agreement on a secure channel: {e}"),
            Self::Noise(e) => e.fmt(f),
            Self::Tls(e) => e.fmt(f),
            Self::Muxer(e) => write!(f, "no agreement on a multiplexer: {e}"),
            Self::Yamux(e) => e.fmt(f),
            Self::Identify(e) => e.fmt(f),
            Self::UpgradeTimedOut => write!(f, "not open within {UPGRADE_SECONDS} s"),
            Self::CloseTimedOut => write!(f, "closed by us; the peer did not take what was left within {CLOSE_SECONDS} s"),
        }
    }
}
impl std::error::Error for CloseReason {}

/// What happened, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The peer has proved who it is, and streams may be opened.
    Open {
        /// Its key.
        peer: PublicKey,
        /// The channel agreed on.
        security: Security,
    },
    /// What the peer says of itself, at the start and whenever it says that something changed.
    Identified(Box<Identify>),
    /// A stream of ours is agreed on and may be written to.
    Opened {
        /// Which.
        stream: StreamId,
        /// The one of the proposals that the peer has.
        protocol: String,
    },
    /// A stream of ours is not agreed on, and gone.
    Refused {
        /// Which.
        stream: StreamId,
        /// Why.
        error: NegotiationError,
    },
    /// The peer began a stream for one of our protocols.
    Inbound {
        /// Which.
        stream: StreamId,
        /// One of [`Config::protocols`].
        protocol: String,
    },
    /// There may be something to read, or the stream's end.
    Readable(StreamId),
    /// A stream that took less than all takes more.
    Writable(StreamId),
    /// The peer ended a stream at once.
    Reset(StreamId),
    /// How long a ping of ours took; None where there was no answer.
    Pinged(Option<Duration>),
    /// The peer takes no new streams.
    GoneAway(u32),
    /// The connection is over. The last event.
    Closed(CloseReason),
}

#[derive(Debug)]
enum Stage {
    Security(Negotiation),
    Handshake(Channel),
    Muxer(Channel, Negotiation),
    Open(Channel, Box<Session>),
    Closed,
}

/// One side of a connection.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    is_dialer: bool,
    expected: Option<PeerId>,
    start: Start,
    stage: Stage,
    security: Security,
    /// The time of the last call that said it.
    now: Duration,
    upgrade_deadline: Duration,
    close_deadline: Option<Duration>,
    /// The session of a connection that the peer has closed: what came before that can still be read.
    remains: Option<Box<Session>>,
    streams: HashMap<StreamId, Stream>,
    /// Deadlines of [`Connection::streams`], the next one first.
    waits: BTreeSet<(Duration, StreamId)>,
    echoes: usize,
    identify: Identify,
    known: Identify,
    events: VecDeque<Event>,
    output: Vec<u8>,
    /// Room to open in, kept from call to call.
    room: Vec<u8>,
}

impl Connection {
    /// To a peer that was dialed: `expected`, or whoever answers.
    #[must_use]
    pub fn dialer(config: Arc<Config>, expected: Option<PeerId>, start: Start) -> Self {
        Self::new(config, true, expected, start)
    }

    /// From a peer that dialed.
    #[must_use]
    pub fn listener(config: Arc<Config>, start: Start) -> Self {
        Self::new(config, false, None, start)
    }

    fn new(config: Arc<Config>, is_dialer: bool, expected: Option<PeerId>, start: Start) -> Self {
        let upgrade_deadline = start.now.saturating_add(Duration::from_secs(UPGRADE_SECONDS));
        let protocols = config.security.iter().map(|security| security.protocol().to_owned()).collect();
        let mut negotiation = Self::negotiation(is_dialer, protocols, upgrade_deadline);
        let mut output = Vec::new();
        negotiation.transmit(&mut output);
        Self {
            is_dialer,
            expected,
            stage: Stage::Security(negotiation),
            security: Security::Tls,
            now: start.now,
            upgrade_deadline,
            close_deadline: None,
            remains: None,
            streams: HashMap::new(),
            waits: BTreeSet::new(),
            echoes: 0,
            identify: Identify { observed: start.observed.clone(), ..config.identify.clone() },
            known: Identify::default(),
            events: VecDeque::new(),
            output,
            room: Vec::new(),
            config,
            start,
        }
    }

    fn negotiation(is_dialer: bool, protocols: Vec<String>, deadline: Duration) -> Negotiation {
        if is_dialer { Negotiation::dialer(protocols, deadline) } else { Negotiation::listener(protocols, deadline) }
    }

    // What comes in.

    /// Takes bytes of the peer, all of them.
    pub fn receive(&mut self, bytes: &[u8], now: Duration) {
        self.now = now;
        if let Err(reason) = self.advance(bytes, now) {
            self.end(reason);
        }
    }

    /// The peer's bytes have ended: it, or the network, closed the connection.
    pub fn receive_end(&mut self) {
        self.end(if matches!(self.stage, Stage::Open(..)) { CloseReason::Theirs } else { CloseReason::Early });
    }

    fn advance(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), CloseReason> {
        if let Stage::Security(negotiation) = &mut self.stage {
            let taken = negotiation.receive(bytes);
            negotiation.transmit(&mut self.output);
            bytes = bytes.get(taken..).unwrap_or_default();
            match negotiation.outcome() {
                None => return Ok(()),
                Some(outcome) => self.begin_handshake(outcome.map_err(CloseReason::Security)?)?,
            }
        }
        if matches!(self.stage, Stage::Open(..)) { self.open_frames(bytes, now) } else { self.open_first(bytes, now) }
    }

    fn begin_handshake(&mut self, agreed: usize) -> Result<(), CloseReason> {
        self.security = self.config.security.get(agreed).copied().unwrap_or(Security::Tls);
        let (muxers, Start { secrets, unix_time, .. }) = (vec![YAMUX.to_owned()], &self.start);
        let expected = self.expected.clone();
        let mut channel = match (self.security, self.is_dialer) {
            (Security::Noise, true) => {
                Channel::Noise(Box::new(Noise::dialer(&self.config.key, secrets, muxers, expected).map_err(CloseReason::Noise)?))
            }
            (Security::Noise, false) => {
                Channel::Noise(Box::new(Noise::listener(&self.config.key, secrets, muxers).map_err(CloseReason::Noise)?))
            }
            (Security::Tls, true) => {
                Channel::Tls(Box::new(Tls::dialer(&self.config.credentials, muxers, expected, *unix_time).map_err(CloseReason::Tls)?))
            }
            (Security::Tls, false) => {
                Channel::Tls(Box::new(Tls::listener(&self.config.credentials, muxers, *unix_time).map_err(CloseReason::Tls)?))
            }
        };
        channel.transmit(&mut self.output);
        self.stage = Stage::Handshake(channel);
        Ok(())
    }

    /// Bytes of an open connection: each frame goes to the session as soon as it is opened.
    fn open_frames(&mut self, bytes: &[u8], now: Duration) -> Result<(), CloseReason> {
        let Stage::Open(channel, session) = &mut self.stage else { return Ok(()) };
        let mut handled = Ok(());
        let mut take = |frame: &mut Vec<u8>| {
            if handled.is_ok() {
                handled = session.receive_own(frame, now);
            }
        };
        channel.receive(bytes, &mut self.room, &mut self.output, &mut take)?;
        let is_ended = channel.is_ended();
        handled.map_err(CloseReason::Yamux)?;
        self.drain_session(now)?;
        if is_ended {
            self.receive_end();
        }
        Ok(())
    }

    /// Bytes of a connection that is not open yet, or is so by them.
    fn open_first(&mut self, bytes: &[u8], now: Duration) -> Result<(), CloseReason> {
        let (Stage::Handshake(channel) | Stage::Muxer(channel, _)) = &mut self.stage else { return Ok(()) };
        let mut plain = Vec::new();
        channel.receive(bytes, &mut self.room, &mut self.output, &mut |frame| plain.append(frame))?;
        let is_ended = channel.is_ended();
        let mut rest = &plain[..];
        if matches!(&self.stage, Stage::Handshake(channel) if channel.peer().is_some()) {
            self.end_handshake(now)?;
        }
        if let Stage::Muxer(channel, negotiation) = &mut self.stage {
            let taken = negotiation.receive(rest);
            rest = rest.get(taken..).unwrap_or_default();
            let mut answer = Vec::new();
            negotiation.transmit(&mut answer);
            channel.seal(&answer, &mut self.output)?;
            if let Some(outcome) = negotiation.outcome() {
                outcome.map_err(CloseReason::Muxer)?;
                self.begin_session(now);
            }
        }
        if let Stage::Open(_, session) = &mut self.stage {
            session.receive(rest, now).map_err(CloseReason::Yamux)?;
            self.drain_session(now)?;
        }
        if is_ended {
            self.receive_end();
        }
        Ok(())
    }

    /// The channel is open: streams at once where both named a muxer inside the handshake.
    fn end_handshake(&mut self, now: Duration) -> Result<(), CloseReason> {
        let Stage::Handshake(channel) = &self.stage else { return Ok(()) };
        if channel.muxer().is_some() {
            self.begin_session(now);
            return Ok(());
        }
        let mut negotiation = Self::negotiation(self.is_dialer, vec![YAMUX.to_owned()], self.upgrade_deadline);
        let mut proposal = Vec::new();
        negotiation.transmit(&mut proposal);
        if let Stage::Handshake(mut channel) = std::mem::replace(&mut self.stage, Stage::Closed) {
            channel.seal(&proposal, &mut self.output)?;
            self.stage = Stage::Muxer(channel, negotiation);
        }
        Ok(())
    }

    fn begin_session(&mut self, now: Duration) {
        let stage = std::mem::replace(&mut self.stage, Stage::Closed);
        let (Stage::Handshake(channel) | Stage::Muxer(channel, _)) = stage else { return };
        if let Some(peer) = channel.peer().cloned() {
            self.events.push_back(Event::Open { peer, security: self.security });
        }
        self.stage = Stage::Open(channel, Box::new(Session::new(self.is_dialer, now)));
        self.ask_identify(now);
    }

    /// Ends the connection, once. What is in the output by now, such as an alert, is still to be sent.
    fn end(&mut self, reason: CloseReason) {
        match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Closed if self.is_over() => return,
            Stage::Open(mut channel, _) if matches!(reason, CloseReason::Yamux(_) | CloseReason::Identify(_)) => {
                let mut frame = Vec::new();
                Header { kind: Kind::GoAway, flags: 0, stream: 0, length: GO_AWAY_FAULT }.encode(&mut frame);
                // The reason stands, whether the peer hears of it or not.
                let _ = channel.seal(&frame, &mut self.output);
                channel.end(&mut self.output);
            }
            Stage::Open(_, session) if reason == CloseReason::Theirs => self.remains = Some(session),
            _ => {}
        }
        self.streams.retain(|_, stream| matches!(stream.stage, stream::Stage::Early(_)));
        self.waits.clear();
        self.close_deadline = Some(Duration::MAX);
        self.events.push_back(Event::Closed(reason));
    }

    /// It has ended, with its reason among the events, and only [`transmit`](Self::transmit) may still have something.
    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Closed) && self.close_deadline == Some(Duration::MAX)
    }

    // Intentions.

    /// Closes it: no new streams, and its end once everything written is sent, or in 5 s.
    pub fn close(&mut self, now: Duration) {
        match &mut self.stage {
            Stage::Open(_, session) if self.close_deadline.is_none() => {
                session.go_away(0);
                self.close_deadline = Some(now.saturating_add(Duration::from_secs(CLOSE_SECONDS)));
            }
            Stage::Open(..) | Stage::Closed => {}
            _ => self.end(CloseReason::Ours),
        }
    }

    /// Queues bytes of a stream, and says how many; [`Event::Writable`] follows where it is less than all. None where the stream
    /// is gone, finished, or not agreed on yet.
    pub fn write(&mut self, id: StreamId, bytes: &[u8]) -> Option<usize> {
        match (&mut self.stage, self.streams.get(&id)) {
            (Stage::Open(_, session), None | Some(Stream { stage: stream::Stage::Early(_), .. })) => session.write(id, bytes),
            _ => None,
        }
    }

    /// As [`write`](Self::write), of everything from `from` on, and without a copy: the bytes are held until they are sent.
    pub fn write_shared(&mut self, id: StreamId, bytes: &Shared, from: usize) -> Option<usize> {
        match (&mut self.stage, self.streams.get(&id)) {
            (Stage::Open(_, session), None | Some(Stream { stage: stream::Stage::Early(_), .. })) => session.write_shared(id, bytes, from),
            _ => None,
        }
    }

    /// Moves up to `bytes_max` bytes of a stream to the end of `out`, and gives the peer room for as many. What came before the
    /// peer closed the connection can be read behind its end.
    pub fn read(&mut self, id: StreamId, bytes_max: usize, out: &mut Vec<u8>, now: Duration) -> Read {
        self.read_with(id, bytes_max, &mut |piece| out.extend_from_slice(piece), now)
    }

    /// As [`read`](Self::read), handing the bytes to `take` where they are, piece by piece.
    pub fn read_with(&mut self, id: StreamId, bytes_max: usize, take: &mut dyn FnMut(&[u8]), now: Duration) -> Read {
        let session = match &mut self.stage {
            Stage::Open(_, session) => session,
            _ => match &mut self.remains {
                Some(session) => session,
                None => return Read { bytes: 0, is_end: true },
            },
        };
        let mut early = 0;
        match self.streams.get_mut(&id) {
            None => {}
            Some(Stream { stage: stream::Stage::Early(bytes), .. }) => {
                early = bytes.len().min(bytes_max);
                take(bytes.get(..early).unwrap_or_default());
                bytes.drain(..early);
                if !bytes.is_empty() {
                    return Read { bytes: early, is_end: false };
                }
                self.streams.remove(&id);
            }
            Some(_) => return Read::default(),
        }
        let rest = session.read_with(id, bytes_max.saturating_sub(early), take, now);
        Read { bytes: early.saturating_add(rest.bytes), ..rest }
    }

    /// Ends our direction of a stream behind what was written.
    pub fn finish(&mut self, id: StreamId) {
        if let Stage::Open(_, session) = &mut self.stage {
            session.finish(id);
        }
    }

    /// Ends a stream at once; nothing more is heard of it.
    pub fn reset(&mut self, id: StreamId) {
        self.forget(id);
        if let Stage::Open(_, session) = &mut self.stage {
            session.reset(id);
        }
    }

    // What comes out.

    /// The next thing that happened.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Appends what is to be sent to `out`, until it holds `bytes_max` bytes or more, by less than a frame.
    pub fn transmit(&mut self, out: &mut Vec<u8>, bytes_max: usize) {
        out.append(&mut self.output);
        let Stage::Open(channel, session) = &mut self.stage else { return };
        let outcome = channel.seal_session(session, out, bytes_max);
        let is_done = self.close_deadline.is_some() && session.is_flushed();
        if is_done {
            channel.end(out);
        }
        if let Err(reason) = outcome {
            self.end(reason);
        } else if is_done {
            self.end(CloseReason::Ours);
        } else if let Err(reason) = self.drain_session(self.now) {
            self.end(reason);
        }
    }

    /// False while the peer is not to be read: what it sent before waits for the caller, or for the peer itself.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        match &self.stage {
            Stage::Open(_, session) => session.wants_input(),
            Stage::Closed => false,
            _ => true,
        }
    }

    /// When [`on_time`](Self::on_time) wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        match &self.stage {
            Stage::Closed => None,
            Stage::Open(_, session) => {
                let wait = self.waits.first().map(|(at, _)| *at);
                [session.deadline(), wait, self.close_deadline].into_iter().flatten().min()
            }
            _ => Some(self.upgrade_deadline),
        }
    }

    /// Ends what is late, and gives back what a busy time has left behind: the next deadline is never far.
    pub fn on_time(&mut self, now: Duration) {
        self.now = now;
        match &mut self.stage {
            Stage::Closed => {}
            Stage::Open(channel, session) => {
                session.on_time(now);
                session.give_back();
                channel.give_back();
                self.room = Vec::new();
                self.output.shrink_to_fit();
                self.events.shrink_to_fit();
                self.streams.shrink_to_fit();
                if let Some(e) = session.error() {
                    self.end(CloseReason::Yamux(e));
                } else if self.close_deadline.is_some_and(|deadline| now >= deadline) {
                    self.end(CloseReason::CloseTimedOut);
                } else {
                    self.end_late_streams(now);
                }
            }
            _ if now >= self.upgrade_deadline => self.end(CloseReason::UpgradeTimedOut),
            _ => {}
        }
    }

    /// The peer's key, once the connection is open.
    #[must_use]
    pub fn peer(&self) -> Option<&PublicKey> {
        if let Stage::Open(channel, _) = &self.stage { channel.peer() } else { None }
    }

    /// What the peer has said of itself by now.
    #[must_use]
    pub fn identified(&self) -> &Identify {
        &self.known
    }

    /// The shortest time a ping of yamux took.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        if let Stage::Open(_, session) = &self.stage { session.round_trip() } else { None }
    }

    /// Begins a stream for the first of `protocols` that the peer has: [`Event::Opened`] or [`Event::Refused`] follows.
    pub fn open(&mut self, protocols: Vec<String>, now: Duration) -> Result<StreamId, yamux::OpenError> {
        self.begin_stream(protocols, stream::Purpose::Caller, now)
    }
}
