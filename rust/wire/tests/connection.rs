//! Two connections over a fake link with its own clock: delays, cuts, stalls, garbage, one byte at a time.
//!
//! The law: what one side writes on a stream the other reads, to its end; a connection ends once, with one reason that a
//! person can read; and at every stage there is a deadline.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panics")]

use proptest::prelude::*;
use shoal_wire::connection::{CloseReason, Config, Connection, Event, Security, Start};
use shoal_wire::identify::{self, Identify};
use shoal_wire::limits::{CLOSE_SECONDS, PING_SECONDS_MAX, STREAM_SECONDS, UPGRADE_SECONDS};
use shoal_wire::multistream::NegotiationError;
use shoal_wire::noise::{NoiseError, NoiseSecrets};
use shoal_wire::tls::{Credentials, TlsError};
use shoal_wire::yamux::StreamId;
use shoal_wire::{PeerId, SecretKey};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const ECHO: &str = "/painted/1.0.0";
const BEGIN: Duration = Duration::from_secs(1000);
const BOTH: [Security; 2] = [Security::Tls, Security::Noise];

fn peer(seed: u8) -> PeerId {
    SecretKey::from_seed([seed; 32]).unwrap().public().peer_id()
}

fn config(seed: u8, security: &[Security]) -> Arc<Config> {
    let key = SecretKey::from_seed([seed; 32]).unwrap();
    let credentials = Credentials::new(&key, &[seed + 50; 32]).unwrap();
    let identify = Identify {
        key: Some(key.public().clone()),
        protocols: vec![ECHO.into(), identify::PROTOCOL.into()],
        agent: Some(format!("painted/{seed}")),
        ..Identify::default()
    };
    Arc::new(Config { key, credentials, security: security.to_vec(), protocols: vec![ECHO.into()], identify })
}

fn start(seed: u8) -> Start {
    Start {
        now: BEGIN,
        unix_time: Duration::from_secs(1_795_478_400),
        secrets: NoiseSecrets { fixed: [seed; 32], ephemeral: [seed + 100; 32] },
        observed: "/ip4/192.0.2.1/tcp/4001".parse().ok(),
    }
}

struct Pair {
    sides: [Connection; 2],
    link: [VecDeque<(Duration, Vec<u8>)>; 2],
    events: [Vec<Event>; 2],
    delay: Duration,
    step: usize,
    now: Duration,
    /// Bytes that went each way.
    sent: [usize; 2],
}

impl Pair {
    fn of(dialers: &[Security], listeners: &[Security], expected: Option<PeerId>) -> Self {
        let dialer = Connection::dialer(config(1, dialers), expected, start(1));
        let sides = [dialer, Connection::listener(config(2, listeners), start(2))];
        Self {
            sides,
            link: Default::default(),
            events: Default::default(),
            delay: Duration::from_millis(20),
            step: 1 << 20,
            now: BEGIN,
            sent: [0; 2],
        }
    }

    fn open(security: Security) -> Self {
        let mut pair = Self::of(&[security], &[security], Some(peer(2)));
        pair.quiet();
        pair.events.iter_mut().for_each(Vec::clear);
        pair
    }

    fn send(&mut self) {
        for side in 0..2 {
            if self.sides[side].deadline().is_some_and(|deadline| deadline <= self.now) {
                self.sides[side].on_time(self.now);
            }
            let mut out = Vec::new();
            self.sides[side].transmit(&mut out, 1 << 18);
            self.sent[side] += out.len();
            if !out.is_empty() {
                self.link[side].push_back((self.now + self.delay, out));
            }
            self.events[side].extend(std::iter::from_fn(|| self.sides[side].event()));
        }
    }

    /// Both sides send, then the clock goes to the next arrival. False when the link is empty.
    fn turn(&mut self) -> bool {
        self.send();
        let Some(next) = self.link.iter().filter_map(|way| way.front().map(|(at, _)| *at)).min() else { return false };
        self.now = self.now.max(next);
        for side in 0..2 {
            while self.link[side].front().is_some_and(|(at, _)| *at <= self.now) && self.sides[1 - side].wants_input() {
                let (_, bytes) = self.link[side].pop_front().unwrap();
                bytes.chunks(self.step).for_each(|piece| self.sides[1 - side].receive(piece, self.now));
            }
            if !self.sides[1 - side].wants_input() {
                self.link[side].retain(|_| self.sides[1 - side].peer().is_some());
            }
        }
        true
    }

    fn quiet(&mut self) {
        for _ in 0..100_000 {
            if !self.turn() {
                return;
            }
        }
        panic!("the link is never quiet");
    }

    fn on_time(&mut self, now: Duration) {
        self.now = now;
        self.sides.iter_mut().for_each(|side| side.on_time(now));
    }

    fn closed(&self, side: usize) -> Vec<CloseReason> {
        self.events[side].iter().filter_map(|event| if let Event::Closed(reason) = event { Some(reason.clone()) } else { None }).collect()
    }

    /// A stream of `from`, agreed on by both.
    fn stream(&mut self, from: usize) -> StreamId {
        let id = self.sides[from].open(vec![ECHO.into()], self.now).unwrap();
        self.quiet();
        assert!(self.events[from].contains(&Event::Opened { stream: id, protocol: ECHO.into() }));
        assert!(self.events[1 - from].contains(&Event::Inbound { stream: id, protocol: ECHO.into() }));
        id
    }

    /// Writes `data` on a stream and its end, and reads it on the other side.
    fn carry(&mut self, from: usize, id: StreamId, data: &[u8]) {
        let (mut written, mut found) = (0, Vec::with_capacity(data.len()));
        for _ in 0..1_000_000 {
            while let Some(taken @ 1..) = self.sides[from].write(id, &data[written..]) {
                written += taken;
                self.send();
            }
            if written == data.len() {
                self.sides[from].finish(id);
            }
            self.turn();
            if self.sides[1 - from].read(id, usize::MAX, &mut found, self.now).is_end {
                assert!(found == data, "{} of {} bytes", found.len(), data.len());
                return;
            }
        }
        panic!("the data did not arrive");
    }
}

fn painted(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

#[test]
fn a_connection_opens_and_both_sides_hear_who_is_there_however_the_bytes_are_cut() {
    for (dialers, listeners, security) in [
        (&BOTH[..], &BOTH[..], Security::Tls),
        (&[Security::Noise, Security::Tls], &BOTH, Security::Noise),
        (&BOTH, &[Security::Noise], Security::Noise),
        (&[Security::Tls], &BOTH, Security::Tls),
    ] {
        for step in [1, 7, 1 << 20] {
            let mut pair = Pair::of(dialers, listeners, Some(peer(2)));
            pair.step = step;
            pair.quiet();
            for (side, other) in [(0, 2), (1, 1)] {
                let Some(Event::Open { peer: key, security: found }) = pair.events[side].first() else { panic!("not open") };
                assert_eq!((key.peer_id(), *found), (peer(other), security));
                let said: Vec<_> = pair.events[side].iter().filter(|event| matches!(event, Event::Identified(_))).collect();
                assert_eq!(said.len(), 1);
                let known = pair.sides[side].identified();
                assert_eq!(known.agent, Some(format!("painted/{other}")));
                assert_eq!(known.observed.as_ref().unwrap().to_string(), "/ip4/192.0.2.1/tcp/4001");
                assert!(pair.sides[side].round_trip().is_some());
            }
        }
    }
}

#[test]
fn a_stream_carries_data_each_way_and_each_direction_ends_by_itself() {
    for security in BOTH {
        for from in [0, 1] {
            let mut pair = Pair::open(security);
            let id = pair.stream(from);
            pair.carry(from, id, &painted(100_000));
            pair.carry(1 - from, id, &painted(300_000));
            assert_eq!(pair.sides[from].write(id, b"late"), None);
        }
    }
}

#[test]
fn sixty_four_mebibytes_go_through() {
    for security in BOTH {
        let mut pair = Pair::open(security);
        let id = pair.stream(0);
        pair.carry(0, id, &painted(64 << 20));
        // Nothing is sealed twice, and frames are full: under one part in a hundred is not data.
        assert!(pair.sent[0] < (64 << 20) / 100 * 101, "{} bytes", pair.sent[0]);
    }
}

#[test]
fn a_thousand_streams_live_side_by_side() {
    let mut pair = Pair::open(Security::Noise);
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.extend((0..100).map(|_| pair.sides[0].open(vec![ECHO.into()], pair.now).unwrap()));
        pair.quiet();
    }
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(pair.sides[0].write(*id, &painted(number)), Some(number));
        pair.sides[0].finish(*id);
    }
    pair.quiet();
    for (number, id) in ids.iter().enumerate() {
        let mut found = Vec::new();
        assert!(pair.sides[1].read(*id, usize::MAX, &mut found, pair.now).is_end);
        assert!(found == painted(number), "stream {number}");
    }
}

#[test]
fn another_peer_than_the_one_dialed_ends_both_sides() {
    for (security, reason) in
        [(Security::Tls, CloseReason::Tls(TlsError::AnotherPeer)), (Security::Noise, CloseReason::Noise(NoiseError::AnotherPeer))]
    {
        let mut pair = Pair::of(&[security], &[security], Some(peer(3)));
        pair.quiet();
        pair.sides[1].receive_end();
        pair.quiet();
        assert_eq!(pair.closed(0), [reason]);
        assert_eq!((pair.closed(1).len(), pair.events[1].len()), (1, 1));
        assert!(pair.sides.iter().all(|side| side.peer().is_none() && side.deadline().is_none()));
    }
}

#[test]
fn peers_without_a_channel_in_common_say_so() {
    let mut pair = Pair::of(&[Security::Tls], &[Security::Noise], None);
    pair.quiet();
    assert_eq!(pair.closed(0), [CloseReason::Security(NegotiationError::Refused)]);
    assert_eq!(pair.closed(0)[0].to_string(), "no agreement on a secure channel: the peer has none of the protocols proposed");
}

/// Runs a connection until `bytes` went one way, then lets `fault` act.
fn stopped_after(security: Security, to: usize, bytes: usize) -> Pair {
    let mut pair = Pair::of(&[security], &[security], Some(peer(2)));
    let mut seen = 0;
    loop {
        pair.send();
        for side in 0..2 {
            while let Some((_, sent)) = pair.link[side].pop_front() {
                let left = if side == 1 - to { bytes - seen } else { sent.len() };
                let piece = &sent[..sent.len().min(left)];
                seen += if side == 1 - to { piece.len() } else { 0 };
                pair.sides[1 - side].receive(piece, pair.now);
            }
        }
        if seen == bytes || pair.sides.iter().all(|side| side.peer().is_some()) {
            return pair;
        }
    }
}

#[test]
fn a_cut_a_stall_or_garbage_at_any_byte_ends_a_connection_once() {
    for security in BOTH {
        for to in [0, 1] {
            for bytes in (0..1200).step_by(if security == Security::Tls { 37 } else { 13 }) {
                for fault in 0..3 {
                    let mut pair = stopped_after(security, to, bytes);
                    let was_open = pair.sides[to].peer().is_some();
                    match fault {
                        0 => pair.sides[to].receive_end(),
                        1 => pair.sides[to].receive(&[0xa5; 70_000], pair.now),
                        _ => {
                            let deadline = pair.sides[to].deadline().unwrap();
                            assert!(deadline <= BEGIN + Duration::from_secs(UPGRADE_SECONDS));
                            pair.sides[to].on_time(deadline - Duration::from_nanos(1));
                            pair.send();
                            assert_eq!(pair.closed(to), []);
                            pair.sides[to].on_time(deadline);
                        }
                    }
                    pair.sides[to].receive_end();
                    pair.send();
                    assert_eq!(pair.closed(to).len(), 1, "{security:?} to {to} at {bytes}, fault {fault}");
                    assert!(matches!(pair.events[to].last(), Some(Event::Closed(_))));
                    if fault == 2 && !was_open {
                        assert_eq!(pair.closed(to), [CloseReason::UpgradeTimedOut]);
                    }
                    let mut out = Vec::new();
                    pair.sides[to].receive(b"late", pair.now);
                    pair.sides[to].transmit(&mut out, 1 << 20);
                    assert!(out.is_empty() && pair.sides[to].event().is_none());
                }
            }
        }
    }
}

#[test]
fn a_stream_that_the_peer_does_not_have_is_refused_and_one_without_answer_times_out() {
    let mut pair = Pair::open(Security::Noise);
    let id = pair.sides[0].open(vec!["/none/1".into(), "/none/2".into()], pair.now).unwrap();
    pair.quiet();
    assert!(pair.events[0].contains(&Event::Refused { stream: id, error: NegotiationError::Refused }));
    let id = pair.sides[0].open(vec![ECHO.into()], pair.now).unwrap();
    assert_eq!(pair.sides[0].write(id, b"early"), None);
    let late = pair.now + Duration::from_secs(STREAM_SECONDS);
    pair.on_time(late - Duration::from_nanos(1));
    assert!(pair.sides[0].event().is_none());
    pair.on_time(late);
    assert_eq!(pair.sides[0].event(), Some(Event::Refused { stream: id, error: NegotiationError::TimedOut }));
    assert_eq!(pair.sides[0].event(), None);
}

#[test]
fn pings_take_a_round_trip_or_are_given_up() {
    let mut pair = Pair::open(Security::Tls);
    pair.sides[0].ping([7; 32], pair.now).unwrap();
    pair.quiet();
    assert!(pair.events[0].contains(&Event::Pinged(Some(Duration::from_millis(40)))), "{:?}", pair.events[0]);
    pair.sides[0].ping([8; 32], pair.now).unwrap();
    pair.on_time(pair.now + Duration::from_secs(PING_SECONDS_MAX));
    assert_eq!(pair.sides[0].event(), Some(Event::Pinged(None)));
}

#[test]
fn what_changes_is_pushed() {
    let mut pair = Pair::open(Security::Noise);
    pair.sides[1].push(Identify { agent: Some("newer".into()), ..Identify::default() }, pair.now).unwrap();
    pair.quiet();
    let Some(Event::Identified(said)) = pair.events[0].last() else { panic!("nothing was said") };
    assert_eq!((said.agent.as_deref(), said.protocols.len()), (Some("newer"), 2));
}

#[test]
fn a_close_sends_what_was_written_and_says_goodbye() {
    for security in BOTH {
        let mut pair = Pair::open(security);
        let id = pair.stream(0);
        assert_eq!(pair.sides[0].write(id, &painted(200_000)), Some(200_000));
        pair.sides[0].close(pair.now);
        assert!(pair.sides[0].open(vec![ECHO.into()], pair.now).is_err());
        pair.quiet();
        assert_eq!(pair.closed(0), [CloseReason::Ours]);
        assert!(pair.events[1].contains(&Event::GoneAway(0)));
        // Noise has no word for the end.
        assert_eq!(pair.closed(1).len(), usize::from(security == Security::Tls));
        pair.sides[1].receive_end();
        pair.quiet();
        let mut found = Vec::new();
        pair.sides[1].read(id, usize::MAX, &mut found, pair.now);
        assert!(found == painted(200_000));
        assert_eq!(pair.closed(1), [CloseReason::Theirs]);
    }
}

#[test]
fn a_close_does_not_wait_for_a_peer_that_takes_nothing() {
    let mut pair = Pair::open(Security::Noise);
    let id = pair.stream(0);
    // More than a window: it waits for credit that does not come.
    for _ in 0..2 {
        pair.sides[0].write(id, &painted(256 * 1024));
        pair.send();
    }
    pair.sides[0].close(pair.now);
    pair.send();
    assert_eq!(pair.closed(0), []);
    pair.on_time(pair.now + Duration::from_secs(CLOSE_SECONDS));
    pair.send();
    assert_eq!(pair.closed(0), [CloseReason::CloseTimedOut]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However the link cuts and delays, the data arrives.
    #[test]
    fn no_cut_and_no_delay_matters(tls: bool, step in 1usize..5000, delay in 0u64..300, bytes in 0usize..200_000, from in 0usize..2) {
        let security = if tls { Security::Tls } else { Security::Noise };
        let mut pair = Pair::of(&[security], &[security], Some(peer(2)));
        (pair.step, pair.delay) = (step, Duration::from_millis(delay));
        pair.quiet();
        let id = pair.stream(from);
        pair.carry(from, id, &painted(bytes));
    }
}
