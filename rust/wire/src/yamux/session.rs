//! One side of a yamux session: frames in, events out; intentions in, frames out.
//!
//! The rules: bytes of a stream that is not known are skipped; a stream's own faults (data behind its end) reset it; faults
//! that only a broken or hostile peer makes end the session, with one error. Every queue has a bound in [`crate::limits`],
//! and [`Session::wants_input`] is false while one of them is full: then the caller stops reading the peer.

use super::frame::{ACK, FIN, HEADER_BYTES, Header, Kind, RST, SYN};
use super::queue::Shared;
use super::stream::{Direction, Stream};
use super::{OpenError, YamuxError};
use crate::limits::{
    CHURN_MAX, CHURN_SECONDS, CONTROL_FRAMES_MAX, DATA_FRAME_BYTES_MAX, INBOUND_STREAMS_MAX, PING_SECONDS, PONG_SECONDS, PONGS_MAX,
    UNACKNOWLEDGED_STREAMS_MAX, UNREAD_BYTES_MAX, UNSENT_BYTES_MAX, WINDOW_GROWTH_BYTES_MAX,
};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// A stream's number: odd where the dialer began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// What happened, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The peer began a stream.
    Inbound(StreamId),
    /// The peer has acknowledged a stream of ours.
    Acknowledged(StreamId),
    /// A stream that had nothing to read has bytes, or its end.
    Readable(StreamId),
    /// A stream that took less than all that was written takes more.
    Writable(StreamId),
    /// The peer ended a stream at once, or broke its rules. What was not read is gone.
    Reset(StreamId),
    /// The peer takes no new streams. 0 is its normal end, 1 a fault of ours, 2 one of its own.
    GoneAway(u32),
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Read {
    /// Bytes appended.
    pub bytes: usize,
    /// Nothing will follow: the peer ended its direction, or the stream is gone.
    pub is_end: bool,
}

/// Bytes of a data frame that have not come yet.
#[derive(Debug, Clone, Copy)]
struct Body {
    stream: u32,
    left: usize,
    /// They are the stream's last.
    is_end: bool,
}

/// One side of a session.
#[derive(Debug)]
pub struct Session {
    streams: HashMap<u32, Stream>,
    is_dialer: bool,
    next: Option<u32>,
    inbound: usize,
    unacknowledged: usize,
    header: Vec<u8>,
    body: Option<Body>,
    unread_bytes: usize,
    growth_room: u32,
    control: VecDeque<Header>,
    pongs: usize,
    /// Streams that have something to send, by turns.
    sending: VecDeque<u32>,
    events: VecDeque<Event>,
    round_trip: Option<Duration>,
    ping: Option<(u32, Duration)>,
    ping_at: Duration,
    ping_value: u32,
    heard_at: Duration,
    churn: usize,
    churn_since: Duration,
    is_peer_gone: bool,
    error: Option<YamuxError>,
}

impl Session {
    /// Begins as the side that dialed, or as the one that was.
    #[must_use]
    pub fn new(is_dialer: bool, now: Duration) -> Self {
        Self {
            streams: HashMap::new(),
            is_dialer,
            next: Some(if is_dialer { 1 } else { 2 }),
            inbound: 0,
            unacknowledged: 0,
            header: Vec::with_capacity(HEADER_BYTES),
            body: None,
            unread_bytes: 0,
            growth_room: WINDOW_GROWTH_BYTES_MAX,
            control: VecDeque::new(),
            pongs: 0,
            sending: VecDeque::new(),
            events: VecDeque::new(),
            round_trip: None,
            ping: None,
            // At once: windows do not grow before the round trip is known.
            ping_at: now,
            ping_value: 0,
            heard_at: now,
            churn: 0,
            churn_since: now,
            is_peer_gone: false,
            error: None,
        }
    }

    // Intentions.

    /// Begins a stream.
    pub fn open(&mut self, now: Duration) -> Result<StreamId, OpenError> {
        if self.is_peer_gone || self.error.is_some() {
            return Err(OpenError::GoneAway);
        }
        if self.unacknowledged >= UNACKNOWLEDGED_STREAMS_MAX {
            return Err(OpenError::Backlog);
        }
        let id = self.next.ok_or(OpenError::Exhausted)?;
        self.next = id.checked_add(2);
        self.unacknowledged += 1;
        self.streams.insert(id, Stream::new(false, now));
        self.push_control(Header { kind: Kind::WindowUpdate, flags: SYN, stream: id, length: 0 });
        Ok(StreamId(id))
    }

    /// Queues bytes, and says how many: fewer than all where the stream holds enough; [`Event::Writable`] then follows.
    /// None of a stream that is gone, or whose end was announced.
    pub fn write(&mut self, id: StreamId, bytes: &[u8]) -> Option<usize> {
        let stream = self.streams.get_mut(&id.0).filter(|stream| stream.sending == Direction::Open)?;
        let taken = bytes.get(..stream.room()).unwrap_or(bytes);
        stream.unsent.push(taken);
        stream.is_blocked = taken.len() < bytes.len();
        let taken = taken.len();
        self.queue(id.0);
        Some(taken)
    }

    /// As [`write`](Self::write), of everything from `from` on, and without a copy: the bytes are held until they are sent.
    pub fn write_shared(&mut self, id: StreamId, bytes: &Shared, from: usize) -> Option<usize> {
        let stream = self.streams.get_mut(&id.0).filter(|stream| stream.sending == Direction::Open)?;
        let left = bytes.bytes().len().saturating_sub(from);
        let taken = left.min(stream.room());
        stream.unsent.push_shared(bytes, from, taken);
        stream.is_blocked = taken < left;
        self.queue(id.0);
        Some(taken)
    }

    /// Ends our direction behind what was written.
    pub fn finish(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id.0).filter(|stream| stream.sending == Direction::Open) {
            stream.sending = Direction::Ending;
            self.queue(id.0);
        }
    }

    /// Ends a stream at once; nothing more is heard of it.
    pub fn reset(&mut self, id: StreamId) {
        if self.remove(id.0) {
            self.push_control(Header { kind: Kind::WindowUpdate, flags: RST, stream: id.0, length: 0 });
        }
    }

    /// Moves up to `bytes_max` bytes of a stream to the end of `out`, and gives the peer credit for them.
    pub fn read(&mut self, id: StreamId, bytes_max: usize, out: &mut Vec<u8>, now: Duration) -> Read {
        self.read_with(id, bytes_max, &mut |piece| out.extend_from_slice(piece), now)
    }

    /// As [`read`](Self::read), handing the bytes to `take` where they are, piece by piece.
    pub fn read_with(&mut self, id: StreamId, bytes_max: usize, take: &mut dyn FnMut(&[u8]), now: Duration) -> Read {
        let Some(stream) = self.streams.get_mut(&id.0) else { return Read { bytes: 0, is_end: true } };
        let bytes = stream.unread.len().min(bytes_max);
        stream.unread.take_front(bytes, take);
        self.unread_bytes = self.unread_bytes.saturating_sub(bytes);
        let is_end = stream.unread.is_empty() && stream.receiving == Direction::Ended;
        let credit = stream.credit(now, self.round_trip, &mut self.growth_room);
        if stream.is_over() {
            self.remove(id.0);
        } else if let Some(length) = credit {
            self.push_control(Header { kind: Kind::WindowUpdate, flags: 0, stream: id.0, length });
        }
        Read { bytes, is_end }
    }

    /// Tells the peer to begin no new streams (0 normal, 1 a fault of its, 2 one of ours).
    pub fn go_away(&mut self, code: u32) {
        self.push_control(Header { kind: Kind::GoAway, flags: 0, stream: 0, length: code });
    }

    // What comes out.

    /// The next thing that happened.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What ended the session.
    #[must_use]
    pub fn error(&self) -> Option<YamuxError> {
        self.error
    }

    /// False while something of the peer's waits that has to be read, or sent, before more is taken.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.error.is_none() && self.unread_bytes < UNREAD_BYTES_MAX && self.control.len() < CONTROL_FRAMES_MAX / 4
    }

    /// When [`on_time`](Self::on_time) wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        match (self.error, self.ping) {
            (Some(_), _) => None,
            (None, Some((_, sent))) => Some(sent.max(self.heard_at).saturating_add(Duration::from_secs(PONG_SECONDS))),
            (None, None) => Some(self.ping_at),
        }
    }

    /// The shortest time a ping took; None before the first answer.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Streams that are open, in either direction.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Nothing is left to send, not even for want of credit.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        let is_sent = |stream: &Stream| stream.unsent.is_empty() && stream.sending != Direction::Ending;
        self.control.is_empty() && self.streams.values().all(is_sent)
    }

    /// Pings when it is time to, and ends the session when nothing was heard since. A peer that we do not read, because
    /// [`wants_input`](Self::wants_input) is false, is not blamed for it.
    pub fn on_time(&mut self, now: Duration) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.ping.is_none() {
            self.ping_value = self.ping_value.wrapping_add(1);
            self.ping = Some((self.ping_value, now));
            self.ping_at = now.saturating_add(Duration::from_secs(PING_SECONDS));
            self.control.push_front(Header { kind: Kind::Ping, flags: SYN, stream: 0, length: self.ping_value });
        } else if self.wants_input() {
            self.fail(YamuxError::Silence);
        } else {
            self.heard_at = now;
        }
    }

    /// Gives back what tables and queues have grown to and do not need now.
    pub fn give_back(&mut self) {
        self.control.shrink_to_fit();
        self.sending.shrink_to_fit();
        self.events.shrink_to_fit();
        self.streams.shrink_to_fit();
    }

    /// Appends frames to `out` until it holds `bytes_max` bytes or nothing is left: control frames, then the streams by turns.
    pub fn transmit(&mut self, out: &mut Vec<u8>, bytes_max: usize) {
        while out.len() + HEADER_BYTES < bytes_max {
            if let Some(header) = self.control.pop_front() {
                if header.kind == Kind::Ping && header.has(ACK) {
                    self.pongs = self.pongs.saturating_sub(1);
                }
                header.encode(out);
            } else if let Some(id) = self.sending.pop_front() {
                self.transmit_stream(id, out, bytes_max);
            } else {
                return;
            }
        }
    }

    /// One frame of a stream, data or its end, and the stream goes to the end of the queue if it has more.
    fn transmit_stream(&mut self, id: u32, out: &mut Vec<u8>, bytes_max: usize) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.is_queued = false;
        let room = bytes_max.saturating_sub(out.len()).saturating_sub(HEADER_BYTES);
        let len = stream.sendable().min(DATA_FRAME_BYTES_MAX).min(room);
        if let (1.., Ok(length)) = (len, u32::try_from(len)) {
            Header { kind: Kind::Data, flags: 0, stream: id, length }.encode(out);
            stream.unsent.take_front(len, &mut |piece| out.extend_from_slice(piece));
            stream.send_credit = stream.send_credit.saturating_sub(length);
            if stream.is_blocked && stream.room() >= UNSENT_BYTES_MAX / 2 {
                stream.is_blocked = false;
                self.events.push_back(Event::Writable(StreamId(id)));
            }
        } else if stream.sending == Direction::Ending && stream.unsent.is_empty() {
            Header { kind: Kind::WindowUpdate, flags: FIN, stream: id, length: 0 }.encode(out);
            stream.sending = Direction::Ended;
            if stream.is_over() {
                self.remove(id);
            }
        }
        self.queue(id);
    }

    // What comes in.

    /// Takes bytes of the peer, all of them. After an error there is nothing more to do but to close the connection.
    pub fn receive(&mut self, mut bytes: &[u8], now: Duration) -> Result<(), YamuxError> {
        if !bytes.is_empty() {
            self.heard_at = now;
        }
        while self.error.is_none() && !bytes.is_empty() {
            let taken = self.receive_part(bytes, now);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        self.error.map_or(Ok(()), Err)
    }

    /// As [`receive`](Self::receive), but where the bytes end with many of one stream, their buffer is taken to hold them: it
    /// comes back empty.
    pub fn receive_own(&mut self, bytes: &mut Vec<u8>, now: Duration) -> Result<(), YamuxError> {
        if !bytes.is_empty() {
            self.heard_at = now;
        }
        let mut at = 0;
        while self.error.is_none() && at < bytes.len() {
            at = match self.body {
                Some(body) if body.left >= bytes.len() - at => {
                    let len = bytes.len() - at;
                    if let Some(stream) = self.receiver(body.stream, len) {
                        stream.unread.push_own(bytes, at);
                    }
                    self.end_body(body, len);
                    break;
                }
                _ => at.saturating_add(self.receive_part(bytes.get(at..).unwrap_or_default(), now)),
            };
        }
        self.error.map_or(Ok(()), Err)
    }

    /// Takes what is left of a body, or of a header, and says how many bytes that was.
    fn receive_part(&mut self, bytes: &[u8], now: Duration) -> usize {
        if let Some(body) = self.body {
            let piece = bytes.get(..body.left).unwrap_or(bytes);
            if let Some(stream) = self.receiver(body.stream, piece.len()) {
                stream.unread.push(piece);
            }
            self.end_body(body, piece.len());
            return piece.len();
        }
        let missing = HEADER_BYTES.saturating_sub(self.header.len());
        let piece = bytes.get(..missing).unwrap_or(bytes);
        self.header.extend_from_slice(piece);
        if let Ok(whole) = <&[u8; HEADER_BYTES]>::try_from(&self.header[..]) {
            let handled = Header::decode(whole).and_then(|header| self.on_header(header, now));
            self.header.clear();
            if let Err(e) = handled {
                self.fail(e);
            }
        }
        piece.len()
    }

    /// The stream that gets the next `len` bytes; None where they are to be skipped.
    fn receiver(&mut self, id: u32, len: usize) -> Option<&mut Stream> {
        let stream = self.streams.get_mut(&id).filter(|stream| stream.receiving == Direction::Open)?;
        if stream.unread.is_empty() {
            self.events.push_back(Event::Readable(StreamId(id)));
        }
        self.unread_bytes += len;
        Some(stream)
    }

    /// So many bytes of a body have come.
    fn end_body(&mut self, body: Body, len: usize) {
        let left = body.left.saturating_sub(len);
        self.body = (left > 0).then_some(Body { left, ..body });
        if left == 0 && body.is_end {
            self.end(body.stream);
        }
    }

    fn on_header(&mut self, header: Header, now: Duration) -> Result<(), YamuxError> {
        match header.kind {
            Kind::Ping => self.on_ping(header, now),
            Kind::GoAway => {
                if !std::mem::replace(&mut self.is_peer_gone, true) {
                    self.events.push_back(Event::GoneAway(header.length));
                }
                Ok(())
            }
            Kind::Data | Kind::WindowUpdate => self.on_stream(header, now),
        }
    }

    fn on_ping(&mut self, header: Header, now: Duration) -> Result<(), YamuxError> {
        if header.has(SYN) {
            self.pongs += 1;
            if self.pongs > PONGS_MAX {
                return Err(YamuxError::Flood);
            }
            self.control.push_front(Header { kind: Kind::Ping, flags: ACK, stream: 0, length: header.length });
        } else if let Some((_, sent)) = self.ping.filter(|(value, _)| header.has(ACK) && *value == header.length) {
            let took = now.saturating_sub(sent);
            self.round_trip = Some(self.round_trip.map_or(took, |best| best.min(took)));
            self.ping = None;
        }
        Ok(())
    }

    fn on_stream(&mut self, header: Header, now: Duration) -> Result<(), YamuxError> {
        let id = header.stream;
        if header.has(SYN) {
            self.on_begin(id, now)?;
        }
        if header.kind == Kind::Data && header.length > 0 {
            let left = usize::try_from(header.length).map_err(|_| YamuxError::Window(id))?;
            self.body = Some(Body { stream: id, left, is_end: header.has(FIN) });
        }
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        if header.has(ACK) && !stream.is_acknowledged {
            stream.is_acknowledged = true;
            self.unacknowledged = self.unacknowledged.saturating_sub(1);
            self.events.push_back(Event::Acknowledged(StreamId(id)));
        }
        if header.has(RST) {
            return self.on_reset(id, now);
        }
        match header.kind {
            Kind::WindowUpdate => {
                stream.send_credit = stream.send_credit.checked_add(header.length).ok_or(YamuxError::Credit(id))?;
                self.queue(id);
            }
            _ if header.length > 0 && stream.receiving != Direction::Open => {
                self.reset(StreamId(id));
                self.events.push_back(Event::Reset(StreamId(id)));
                return Ok(());
            }
            _ if !stream.spend(header.length) => return Err(YamuxError::Window(id)),
            _ => {}
        }
        // Behind a data frame's bytes its end is the last of them.
        if header.has(FIN) && self.body.is_none() {
            self.end(id);
        }
        Ok(())
    }

    fn on_begin(&mut self, id: u32, now: Duration) -> Result<(), YamuxError> {
        let is_theirs = (id % 2 == 1) != self.is_dialer;
        if !is_theirs || self.streams.contains_key(&id) {
            return Err(YamuxError::Begin(id));
        }
        if self.inbound >= INBOUND_STREAMS_MAX {
            // Unknown from here on, so that its bytes are skipped.
            self.push_control(Header { kind: Kind::WindowUpdate, flags: RST, stream: id, length: 0 });
            return Ok(());
        }
        self.inbound += 1;
        self.streams.insert(id, Stream::new(true, now));
        self.push_control(Header { kind: Kind::WindowUpdate, flags: ACK, stream: id, length: 0 });
        self.events.push_back(Event::Inbound(StreamId(id)));
        Ok(())
    }

    fn on_reset(&mut self, id: u32, now: Duration) -> Result<(), YamuxError> {
        let is_theirs = self.streams.get(&id).is_some_and(|stream| stream.is_inbound);
        self.remove(id);
        self.events.push_back(Event::Reset(StreamId(id)));
        if now.saturating_sub(self.churn_since) >= Duration::from_secs(CHURN_SECONDS) {
            (self.churn, self.churn_since) = (0, now);
        }
        self.churn += usize::from(is_theirs);
        if self.churn > CHURN_MAX { Err(YamuxError::Churn) } else { Ok(()) }
    }

    /// The peer's direction of a stream ends here.
    fn end(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.receiving == Direction::Open) else { return };
        stream.receiving = Direction::Ended;
        if stream.unread.is_empty() {
            self.events.push_back(Event::Readable(StreamId(id)));
        }
    }

    // What all of them need.

    fn queue(&mut self, id: u32) {
        if let Some(stream) = self.streams.get_mut(&id).filter(|stream| !stream.is_queued && stream.has_output()) {
            stream.is_queued = true;
            self.sending.push_back(id);
        }
    }

    fn push_control(&mut self, header: Header) {
        if self.control.len() >= CONTROL_FRAMES_MAX {
            self.fail(YamuxError::Flood);
        } else {
            self.control.push_back(header);
        }
    }

    /// Forgets a stream and gives back what it held; false where there was none.
    fn remove(&mut self, id: u32) -> bool {
        let Some(stream) = self.streams.remove(&id) else { return false };
        self.inbound = self.inbound.saturating_sub(usize::from(stream.is_inbound));
        self.unacknowledged = self.unacknowledged.saturating_sub(usize::from(!stream.is_acknowledged));
        self.unread_bytes = self.unread_bytes.saturating_sub(stream.unread.len());
        self.growth_room = self.growth_room.saturating_add(stream.growth());
        true
    }

    fn fail(&mut self, error: YamuxError) {
        self.error.get_or_insert(error);
    }
}
