//! Streams before they are the caller's, and those that never are: agreements, identify, its push, and ping.

use super::stream::{Purpose, Stage, Stream};
use super::{CloseReason, Connection, Event};
use crate::identify::{self, Gathering, Identify, IdentifyError};
use crate::limits::{ECHOES_MAX, IDENTIFY_SECONDS, MULTISTREAM_LINE_BYTES_MAX, PING_SECONDS_MAX, STREAM_SECONDS};
use crate::multistream::{Negotiation, NegotiationError};
use crate::ping::{self, Echo, PING_BYTES, is_answer};
use crate::yamux::{self, OpenError, Session, StreamId};
use std::time::Duration;

/// Bytes of a stream handled here that are read at once.
const PIECE_BYTES: usize = 4096;

/// What a step of a stream found.
enum Step {
    /// Nothing more for now.
    Wait,
    /// Another stage, which may have something to read.
    Next(Stage),
    /// It is done with, and forgotten; its own end is on its way.
    Done,
    /// It is to be reset.
    Reset,
}

impl Connection {
    fn session(&mut self) -> Option<&mut Session> {
        if let super::Stage::Open(_, session) = &mut self.stage { Some(session) } else { None }
    }

    pub(super) fn begin_stream(&mut self, protocols: Vec<String>, purpose: Purpose, now: Duration) -> Result<StreamId, OpenError> {
        if self.close_deadline.is_some() {
            return Err(OpenError::NotOpen);
        }
        let id = self.session().ok_or(OpenError::NotOpen)?.open(now)?;
        let deadline = now.saturating_add(Duration::from_secs(STREAM_SECONDS));
        let mut negotiation = Negotiation::dialer(protocols.clone(), deadline);
        let mut proposal = Vec::new();
        negotiation.transmit(&mut proposal);
        if let Some(session) = self.session() {
            session.write(id, &proposal);
        }
        self.keep(id, Stage::Negotiating { negotiation, protocols, purpose: Some(purpose) }, Some(deadline));
        Ok(id)
    }

    /// Asks the peer what it is; answers of a peer that does not say are not waited for.
    pub(super) fn ask_identify(&mut self, now: Duration) {
        let _ = self.begin_stream(vec![identify::PROTOCOL.to_owned()], Purpose::Identify, now);
    }

    /// Says of us what has changed: to this peer now, and whenever it asks. What is left out has not changed.
    pub fn push(&mut self, changed: Identify, now: Duration) -> Result<(), OpenError> {
        let mut message = Vec::new();
        changed.encode_delimited(&mut message);
        self.identify.update(changed);
        self.begin_stream(vec![identify::PROTOCOL_PUSH.to_owned()], Purpose::Push(message), now).map(|_| ())
    }

    /// Sends these bytes, which the caller drew, to come back: [`Event::Pinged`] follows.
    pub fn ping(&mut self, bytes: [u8; PING_BYTES], now: Duration) -> Result<(), OpenError> {
        self.begin_stream(vec![ping::PROTOCOL.to_owned()], Purpose::Ping(bytes), now).map(|_| ())
    }

    fn keep(&mut self, id: StreamId, stage: Stage, deadline: Option<Duration>) {
        self.forget(id);
        self.echoes += usize::from(matches!(stage, Stage::Echo { .. }));
        self.waits.extend(deadline.map(|at| (at, id)));
        self.streams.insert(id, Stream { stage, deadline });
    }

    pub(super) fn forget(&mut self, id: StreamId) -> Option<Stage> {
        let Stream { stage, deadline } = self.streams.remove(&id)?;
        self.echoes = self.echoes.saturating_sub(usize::from(matches!(stage, Stage::Echo { .. })));
        deadline.map(|at| self.waits.remove(&(at, id)));
        Some(stage)
    }

    /// Hands on what happened in the session.
    pub(super) fn drain_session(&mut self, now: Duration) -> Result<(), CloseReason> {
        while let Some(event) = self.session().and_then(Session::event) {
            match event {
                yamux::Event::Acknowledged(_) => {}
                yamux::Event::GoneAway(code) => self.events.push_back(Event::GoneAway(code)),
                yamux::Event::Inbound(id) => self.accept(id, now),
                yamux::Event::Reset(id) => self.on_reset(id),
                yamux::Event::Readable(id) | yamux::Event::Writable(id) => match self.streams.get(&id).map(|stream| &stream.stage) {
                    None | Some(Stage::Early(_)) if matches!(event, yamux::Event::Readable(_)) => {
                        self.events.push_back(Event::Readable(id))
                    }
                    None | Some(Stage::Early(_)) => self.events.push_back(Event::Writable(id)),
                    Some(_) => self.run_stream(id, now)?,
                },
            }
        }
        match self.session().and_then(|session| session.error()) {
            Some(e) => Err(CloseReason::Yamux(e)),
            None => Ok(()),
        }
    }

    fn accept(&mut self, id: StreamId, now: Duration) {
        let inside = [identify::PROTOCOL, identify::PROTOCOL_PUSH, ping::PROTOCOL].map(str::to_owned);
        let protocols: Vec<_> = self.config.protocols.iter().cloned().chain(inside).collect();
        let deadline = now.saturating_add(Duration::from_secs(STREAM_SECONDS));
        let negotiation = Negotiation::listener(protocols.clone(), deadline);
        self.keep(id, Stage::Negotiating { negotiation, protocols, purpose: None }, Some(deadline));
    }

    fn on_reset(&mut self, id: StreamId) {
        match self.forget(id) {
            None | Some(Stage::Early(_)) => self.events.push_back(Event::Reset(id)),
            Some(stage) => self.give_up(id, &stage, NegotiationError::Refused),
        }
    }

    /// Tells the caller of a stream that came to nothing, where it waits for it.
    fn give_up(&mut self, id: StreamId, stage: &Stage, error: NegotiationError) {
        match stage {
            Stage::Negotiating { purpose: Some(Purpose::Caller), .. } => self.events.push_back(Event::Refused { stream: id, error }),
            Stage::Negotiating { purpose: Some(Purpose::Ping(_)), .. } | Stage::Pinging { .. } => {
                self.events.push_back(Event::Pinged(None))
            }
            _ => {}
        }
    }

    pub(super) fn end_late_streams(&mut self, now: Duration) {
        while let Some((_, id)) = self.waits.first().copied().filter(|(at, _)| *at <= now) {
            let Some(stage) = self.forget(id) else { return };
            self.give_up(id, &stage, NegotiationError::TimedOut);
            if let Some(session) = self.session() {
                session.reset(id);
            }
        }
    }

    /// Reads a stream that is handled here for as long as it has something.
    fn run_stream(&mut self, id: StreamId, now: Duration) -> Result<(), CloseReason> {
        while let Some(Stream { stage, deadline }) = self.streams.remove(&id) {
            let was_echo = matches!(stage, Stage::Echo { .. });
            deadline.map(|at| self.waits.remove(&(at, id)));
            self.echoes = self.echoes.saturating_sub(usize::from(was_echo));
            match self.step(id, stage, now)? {
                (stage, Step::Wait) => {
                    self.keep(id, stage, deadline);
                    return Ok(());
                }
                (_, Step::Next(Stage::Early(bytes))) => {
                    if !bytes.is_empty() {
                        self.keep(id, Stage::Early(bytes), None);
                    }
                    // There may be more behind the agreement, or the end, of which the session spoke before.
                    self.events.push_back(Event::Readable(id));
                    return Ok(());
                }
                (_, Step::Next(stage)) => {
                    let deadline = (!matches!(stage, Stage::Echo { .. })).then(|| now.saturating_add(wait_of(&stage)));
                    self.keep(id, stage, deadline);
                }
                (_, Step::Done) => return Ok(()),
                (stage, Step::Reset) => {
                    self.give_up(id, &stage, NegotiationError::Refused);
                    if let Some(session) = self.session() {
                        session.reset(id);
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, id: StreamId, mut stage: Stage, now: Duration) -> Result<(Stage, Step), CloseReason> {
        let step = match &mut stage {
            Stage::Negotiating { negotiation, protocols, purpose } => self.negotiate(id, negotiation, protocols, purpose, now),
            Stage::Early(_) => Step::Done,
            Stage::Echo { echo, answers } => self.echo(id, echo, answers, now),
            Stage::Gathering(gathering) => {
                let (bytes, is_end) = self.take(id, now);
                match gathering.receive(&bytes) {
                    Err(IdentifyError::AnotherPeer) => return Err(CloseReason::Identify(IdentifyError::AnotherPeer)),
                    Err(_) => Step::Reset,
                    Ok(()) if is_end => return self.end_gathering(stage),
                    Ok(()) if bytes.is_empty() => Step::Wait,
                    Ok(()) => return self.step(id, stage, now),
                }
            }
            Stage::Said => match self.take(id, now) {
                (_, true) => Step::Done,
                (bytes, false) if bytes.is_empty() => Step::Wait,
                _ => Step::Next(Stage::Said),
            },
            Stage::Pinging { sent, at, received } => {
                let (bytes, is_end) = self.take(id, now);
                received.extend_from_slice(&bytes);
                match is_answer(sent, received) {
                    None if is_end => Step::Reset,
                    None => Step::Wait,
                    Some(false) => Step::Reset,
                    Some(true) => {
                        let took = now.saturating_sub(*at);
                        self.events.push_back(Event::Pinged(Some(took)));
                        self.say(id, &[]);
                        Step::Next(Stage::Said)
                    }
                }
            }
        };
        Ok((stage, step))
    }

    fn end_gathering(&mut self, stage: Stage) -> Result<(Stage, Step), CloseReason> {
        if let Stage::Gathering(gathering) = stage
            && let Ok(found) = gathering.finish()
        {
            self.known.update(found);
            self.events.push_back(Event::Identified(Box::new(self.known.clone())));
        }
        Ok((Stage::Said, Step::Done))
    }

    /// Takes a piece of what came on a stream that is handled here.
    fn take(&mut self, id: StreamId, now: Duration) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        let read = self.session().map(|session| session.read(id, PIECE_BYTES, &mut bytes, now));
        (bytes, read.is_none_or(|read| read.is_end))
    }

    /// Writes all there is to say on a stream, and ends our direction.
    fn say(&mut self, id: StreamId, bytes: &[u8]) {
        if let Some(session) = self.session() {
            session.write(id, bytes);
            session.finish(id);
        }
    }

    fn negotiate(
        &mut self,
        id: StreamId,
        negotiation: &mut Negotiation,
        protocols: &[String],
        purpose: &mut Option<Purpose>,
        now: Duration,
    ) -> Step {
        loop {
            let mut piece = Vec::new();
            let Some(session) = self.session() else { return Step::Done };
            let read = session.read(id, MULTISTREAM_LINE_BYTES_MAX, &mut piece, now);
            let taken = negotiation.receive(&piece);
            let mut answer = Vec::new();
            negotiation.transmit(&mut answer);
            session.write(id, &answer);
            match negotiation.outcome() {
                Some(Ok(agreed)) => {
                    let early = piece.get(taken..).unwrap_or_default();
                    let protocol = protocols.get(agreed).cloned().unwrap_or_default();
                    return self.begin(id, protocol, purpose.take(), early, read.is_end, now);
                }
                Some(Err(error)) => {
                    // Of its own streams the peer has heard; of ours the caller hears.
                    if let Some(Purpose::Caller) = purpose {
                        self.events.push_back(Event::Refused { stream: id, error });
                        *purpose = None;
                    }
                    return Step::Reset;
                }
                None if read.is_end => return Step::Reset,
                None if read.bytes == 0 => return Step::Wait,
                None => {}
            }
        }
    }

    /// A stream is agreed on. `early` came behind the agreement.
    fn begin(&mut self, id: StreamId, protocol: String, purpose: Option<Purpose>, early: &[u8], is_end: bool, now: Duration) -> Step {
        match purpose {
            Some(Purpose::Caller) => {
                self.events.push_back(Event::Opened { stream: id, protocol });
                Step::Next(Stage::Early(early.to_vec()))
            }
            Some(Purpose::Identify) => {
                self.say(id, &[]);
                self.gather(early, is_end)
            }
            Some(Purpose::Push(message)) => {
                self.say(id, &message);
                Step::Next(Stage::Said)
            }
            Some(Purpose::Ping(sent)) => {
                if let Some(session) = self.session() {
                    session.write(id, &sent);
                }
                Step::Next(Stage::Pinging { sent, at: now, received: early.to_vec() })
            }
            None if protocol == identify::PROTOCOL => {
                let mut message = Vec::new();
                self.identify.encode_delimited(&mut message);
                self.say(id, &message);
                Step::Next(Stage::Said)
            }
            None if protocol == identify::PROTOCOL_PUSH => {
                self.say(id, &[]);
                self.gather(early, is_end)
            }
            None if protocol == ping::PROTOCOL && self.echoes >= ECHOES_MAX => Step::Reset,
            None if protocol == ping::PROTOCOL => {
                let (mut echo, mut answers) = (Echo::default(), Vec::new());
                echo.receive(early, &mut answers);
                Step::Next(Stage::Echo { echo, answers })
            }
            None => {
                self.events.push_back(Event::Inbound { stream: id, protocol });
                Step::Next(Stage::Early(early.to_vec()))
            }
        }
    }

    fn gather(&mut self, early: &[u8], is_end: bool) -> Step {
        let super::Stage::Open(channel, _) = &self.stage else { return Step::Done };
        let Some(peer) = channel.peer().map(crate::PublicKey::peer_id) else { return Step::Done };
        let mut gathering = Box::new(Gathering::new(peer));
        match gathering.receive(early) {
            Err(_) => Step::Reset,
            Ok(()) if is_end && early.is_empty() => Step::Done,
            Ok(()) => Step::Next(Stage::Gathering(gathering)),
        }
    }

    /// Answers pings, and reads no more of them while answers wait for room.
    fn echo(&mut self, id: StreamId, echo: &mut Echo, answers: &mut Vec<u8>, now: Duration) -> Step {
        loop {
            let Some(session) = self.session() else { return Step::Done };
            let Some(written) = session.write(id, answers) else { return Step::Done };
            answers.drain(..written.min(answers.len()));
            if !answers.is_empty() {
                return Step::Wait;
            }
            let (bytes, is_end) = self.take(id, now);
            echo.receive(&bytes, answers);
            if is_end {
                self.say(id, answers);
                return Step::Done;
            }
            if bytes.is_empty() {
                return Step::Wait;
            }
        }
    }
}

/// How long a stage of a stream that is handled here may take.
fn wait_of(stage: &Stage) -> Duration {
    Duration::from_secs(match stage {
        Stage::Pinging { .. } => PING_SECONDS_MAX,
        Stage::Gathering(_) | Stage::Said => IDENTIFY_SECONDS,
        _ => STREAM_SECONDS,
    })
}
