//! Two sessions over a fake link with its own clock, which delays and cuts bytes as TCP may, and frames written by hand.
//!
//! The law: what one side writes, the other reads, in order and to its end, however the link cuts it; and nothing that a
//! peer sends panics, or makes a session hold more than its limits.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panics")]

#[path = "support/frames.rs"]
mod frames;

use frames::{data, frame, update};
use proptest::prelude::*;
use shoal_wire::limits::{
    CHURN_MAX, INBOUND_STREAMS_MAX, PING_SECONDS, PONG_SECONDS, PONGS_MAX, UNACKNOWLEDGED_STREAMS_MAX, UNREAD_BYTES_MAX, UNSENT_BYTES_MAX,
    WINDOW_BYTES_FIRST,
};
use shoal_wire::yamux::frame::{ACK, FIN, Kind, RST, SYN};
use shoal_wire::yamux::{Event, OpenError, Session, StreamId, YamuxError};
use std::collections::VecDeque;
use std::time::Duration;

const WINDOW: usize = WINDOW_BYTES_FIRST as usize;

/// Two sides, and bytes under way: each way a queue of (arrival, bytes).
struct Pair {
    sides: [Session; 2],
    link: [VecDeque<(Duration, Vec<u8>)>; 2],
    delay: Duration,
    /// Bytes a receive is given at most.
    step: usize,
    now: Duration,
}

impl Pair {
    fn new(delay: Duration, step: usize) -> Self {
        let now = Duration::from_secs(1000);
        Self { sides: [Session::new(true, now), Session::new(false, now)], link: Default::default(), delay, step, now }
    }

    /// Both sides send what they have.
    fn send(&mut self) {
        for side in 0..2 {
            self.sides[side].on_time(self.now);
            let mut out = Vec::new();
            self.sides[side].transmit(&mut out, 1 << 20);
            if !out.is_empty() {
                self.link[side].push_back((self.now + self.delay, out));
            }
        }
    }

    /// One moment: both sides send, then the clock goes to the next arrival. False when the link is empty.
    fn turn(&mut self) -> bool {
        self.send();
        let Some(next) = self.link.iter().filter_map(|way| way.front().map(|(at, _)| *at)).min() else { return false };
        self.now = self.now.max(next);
        for side in 0..2 {
            while self.link[side].front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, bytes) = self.link[side].pop_front().unwrap();
                for piece in bytes.chunks(self.step) {
                    self.sides[1 - side].receive(piece, self.now).unwrap();
                }
            }
        }
        true
    }

    fn quiet(&mut self) {
        for _ in 0..10_000 {
            if !self.turn() {
                return;
            }
        }
        panic!("the link is never quiet");
    }

    fn events(&mut self, side: usize) -> Vec<Event> {
        std::iter::from_fn(|| self.sides[side].event()).collect()
    }

    /// Sends `data` on one stream of `from` and reads it on the other side, until its end. Returns the data and the moments.
    fn carry(&mut self, from: usize, data: &[u8]) -> (Vec<u8>, Duration) {
        let begun = self.now;
        let id = self.sides[from].open(self.now).unwrap();
        let (mut written, mut found) = (0, Vec::new());
        for _ in 0..200_000 {
            // As a socket with room does: what is written goes out, and makes room for more.
            while let Some(taken @ 1..) = self.sides[from].write(id, &data[written..]) {
                written += taken;
                self.send();
            }
            if written == data.len() {
                self.sides[from].finish(id);
            }
            self.turn();
            if self.sides[1 - from].read(id, usize::MAX, &mut found, self.now).is_end && found.len() == data.len() {
                self.sides[1 - from].finish(id);
                self.quiet();
                let mut nothing = Vec::new();
                assert!(self.sides[from].read(id, 1, &mut nothing, self.now).is_end);
                return (found, self.now - begun);
            }
        }
        panic!("the data did not arrive");
    }
}

fn painted(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| u8::try_from(i % 251).unwrap()).collect()
}

#[test]
fn what_is_written_is_read_to_its_end_whichever_way_and_however_it_is_cut() {
    for (step, bytes) in [(1, 3000), (7, 100_000), (4096, WINDOW + 1), (1 << 20, 4 * WINDOW + 3)] {
        for from in [0, 1] {
            let data = painted(bytes);
            let mut pair = Pair::new(Duration::from_millis(20), step);
            assert!(pair.carry(from, &data).0 == data, "{bytes} bytes by {step} from side {from}");
            assert_eq!((pair.sides[0].streams(), pair.sides[1].streams()), (0, 0));
        }
    }
}

#[test]
fn a_window_grows_where_it_is_what_the_sender_waits_for() {
    let data = painted(64 * WINDOW);
    let mut pair = Pair::new(Duration::from_millis(30), 1 << 20);
    pair.quiet();
    assert_eq!(pair.sides[1].round_trip(), Some(Duration::from_millis(60)));
    let (found, took) = pair.carry(0, &data);
    assert!(found == data);
    // With windows of their first size it would be a round trip for each: 64 of them.
    assert!(took < Duration::from_millis(60 * 20), "{took:?}");
}

#[test]
fn streams_are_opened_acknowledged_and_ended_by_halves() {
    let mut pair = Pair::new(Duration::from_millis(5), 1 << 20);
    let id = pair.sides[0].open(pair.now).unwrap();
    assert_eq!(id, StreamId(1));
    pair.sides[0].finish(id);
    assert_eq!(pair.sides[0].write(id, b"late"), None);
    pair.quiet();
    assert_eq!(pair.events(0), [Event::Acknowledged(id)]);
    assert_eq!(pair.events(1), [Event::Inbound(id), Event::Readable(id)]);
    assert_eq!(pair.sides[1].write(id, b"answer"), Some(6));
    pair.sides[1].finish(id);
    pair.quiet();
    assert_eq!(pair.events(0), [Event::Readable(id)]);
    let mut found = Vec::new();
    let read = pair.sides[0].read(id, 3, &mut found, pair.now);
    assert_eq!((read.bytes, read.is_end), (3, false));
    let read = pair.sides[0].read(id, 100, &mut found, pair.now);
    assert_eq!((read.bytes, read.is_end, &found[..]), (3, true, &b"answer"[..]));
    assert_eq!(pair.sides[1].open(pair.now), Ok(StreamId(2)));
}

#[test]
fn a_reader_that_stops_stops_its_peer_at_the_window() {
    let mut pair = Pair::new(Duration::from_millis(5), 1 << 20);
    let id = pair.sides[0].open(pair.now).unwrap();
    let data = painted(UNSENT_BYTES_MAX);
    let mut taken = 0;
    for _ in 0..10 {
        taken += pair.sides[0].write(id, &data).unwrap();
        pair.quiet();
    }
    assert_eq!(taken, WINDOW + UNSENT_BYTES_MAX);
    assert_eq!(pair.sides[0].write(id, b"x"), Some(0));
    pair.events(0);
    let mut found = Vec::new();
    assert_eq!(pair.sides[1].read(id, usize::MAX, &mut found, pair.now).bytes, WINDOW);
    pair.quiet();
    assert!(pair.events(0).contains(&Event::Writable(id)));
}

#[test]
fn streams_take_turns() {
    let mut pair = Pair::new(Duration::from_millis(5), 1 << 20);
    let ids = [0; 3].map(|_| pair.sides[0].open(pair.now).unwrap());
    for id in ids {
        pair.sides[0].write(id, &painted(200_000));
    }
    let mut out = Vec::new();
    pair.sides[0].transmit(&mut out, 210_000);
    pair.sides[1].receive(&out, pair.now).unwrap();
    for id in ids {
        let mut found = Vec::new();
        assert!(pair.sides[1].read(id, usize::MAX, &mut found, pair.now).bytes > 60_000, "{id:?}");
    }
    assert!(out.len() <= 210_000);
}

#[test]
fn a_peer_is_pinged_and_its_silence_ends_the_session() {
    let now = Duration::from_secs(1);
    let mut session = Session::new(true, now);
    session.on_time(now);
    let mut out = Vec::new();
    session.transmit(&mut out, 1000);
    assert_eq!(out, frame(Kind::Ping, SYN, 0, 1, b""));
    session.receive(&frame(Kind::Ping, ACK, 0, 1, b""), now + Duration::from_millis(7)).unwrap();
    assert_eq!(session.round_trip(), Some(Duration::from_millis(7)));
    let next = session.deadline().unwrap();
    assert_eq!(next, now + Duration::from_secs(PING_SECONDS));
    session.on_time(next);
    let silence = session.deadline().unwrap();
    assert_eq!(silence, next + Duration::from_secs(PONG_SECONDS));
    session.on_time(silence - Duration::from_nanos(1));
    assert_eq!(session.error(), None);
    session.on_time(silence);
    assert_eq!((session.error(), session.deadline()), (Some(YamuxError::Silence), None));
}

/// What a side that was dialed makes of frames.
fn listener(frames: &[Vec<u8>]) -> (Session, Result<(), YamuxError>) {
    let mut session = Session::new(false, Duration::ZERO);
    let result = session.receive(&frames.concat(), Duration::ZERO);
    (session, result)
}

#[test]
fn flags_stand_on_data_and_on_window_updates_alike() {
    for frames in [
        vec![data(SYN | FIN, 1, b"ab")],
        vec![data(SYN, 1, b"ab"), update(FIN, 1, 0)],
        vec![update(SYN, 1, 9), data(0, 1, b"a"), data(FIN, 1, b"b")],
        vec![update(SYN, 1, 0), data(0, 1, b""), data(0, 1, b"ab"), data(FIN, 1, b"")],
    ] {
        let (mut session, result) = listener(&frames);
        assert_eq!(result, Ok(()));
        assert_eq!(session.event(), Some(Event::Inbound(StreamId(1))));
        let mut found = Vec::new();
        assert!(session.read(StreamId(1), 100, &mut found, Duration::ZERO).is_end);
        assert_eq!(found, b"ab");
    }
}

#[test]
fn what_only_a_broken_peer_sends_ends_the_session() {
    let big = vec![0; WINDOW + 1];
    for (frames, error) in [
        (vec![update(SYN, 2, 0)], YamuxError::Begin(2)),
        (vec![update(SYN, 1, 0), update(SYN, 1, 0)], YamuxError::Begin(1)),
        (vec![data(SYN, 1, &big)], YamuxError::Window(1)),
        (vec![data(SYN, 1, &big[1..]), data(0, 1, b"x")], YamuxError::Window(1)),
        (vec![update(SYN, 1, u32::MAX)], YamuxError::Credit(1)),
        (vec![update(SYN, 1, u32::MAX - WINDOW_BYTES_FIRST), update(0, 1, 1)], YamuxError::Credit(1)),
        (vec![b"GET / HTTP/1.1".to_vec()], YamuxError::Version(b'G')),
    ] {
        let (session, result) = listener(&frames);
        assert_eq!((result, session.error()), (Err(error), Some(error)));
    }
    // The most that is allowed.
    assert_eq!(listener(&[data(SYN, 1, &big[1..])]).1, Ok(()));
    assert_eq!(listener(&[update(SYN, 1, u32::MAX - WINDOW_BYTES_FIRST)]).1, Ok(()));
}

#[test]
fn frames_of_streams_that_are_gone_are_skipped_with_their_bytes() {
    let (mut session, result) = listener(&[data(0, 9, b"unknown"), update(RST, 7, 0), data(SYN, 1, b"a")]);
    assert_eq!((result, session.event()), (Ok(()), Some(Event::Inbound(StreamId(1)))));
    session.reset(StreamId(1));
    session.receive(&[data(0, 1, b"late"), update(FIN, 1, 0)].concat(), Duration::ZERO).unwrap();
    assert_eq!(session.streams(), 0);
    // Data behind the end resets the stream, and no other.
    let (mut session, result) = listener(&[update(SYN, 3, 0), data(SYN | FIN, 1, b"a"), data(0, 1, b"b"), data(0, 3, b"c")]);
    assert_eq!((result, session.streams()), (Ok(()), 1));
    let events: Vec<_> = std::iter::from_fn(|| session.event()).collect();
    assert!(events.contains(&Event::Reset(StreamId(1))) && events.contains(&Event::Readable(StreamId(3))));
}

#[test]
fn a_peer_that_floods_is_stopped_at_each_limit() {
    let ping = frame(Kind::Ping, SYN, 0, 7, b"");
    assert_eq!(listener(&[ping.repeat(PONGS_MAX)]).1, Ok(()));
    assert_eq!(listener(&[ping.repeat(PONGS_MAX + 1)]).1, Err(YamuxError::Flood));

    let begin = |n: usize| (0..n).map(|i| update(SYN, u32::try_from(2 * i + 1).unwrap(), 0)).collect::<Vec<_>>();
    let (mut session, result) = listener(&begin(INBOUND_STREAMS_MAX + 10));
    assert_eq!((result, session.streams()), (Ok(()), INBOUND_STREAMS_MAX));
    let mut out = Vec::new();
    session.transmit(&mut out, usize::MAX);
    assert!(out.ends_with(&update(RST, u32::try_from(2 * (INBOUND_STREAMS_MAX + 9) + 1).unwrap(), 0)));
    assert_eq!(listener(&begin(100_000)).1, Err(YamuxError::Flood));

    let churn = |n: usize| (0..n).flat_map(|_| [update(SYN, 1, 0), update(RST, 1, 0)]).collect::<Vec<_>>();
    assert_eq!(listener(&churn(CHURN_MAX)).1, Ok(()));
    assert_eq!(listener(&churn(CHURN_MAX + 1)).1, Err(YamuxError::Churn));

    let full = painted(WINDOW);
    let (session, result) = listener(&(0..64).map(|i| data(SYN, 2 * i + 1, &full)).collect::<Vec<_>>());
    assert_eq!((result, session.wants_input()), (Ok(()), false));
    assert_eq!(64 * WINDOW, UNREAD_BYTES_MAX);
}

#[test]
fn no_stream_is_opened_past_the_backlog_or_after_the_peer_goes_away() {
    let mut session = Session::new(true, Duration::ZERO);
    for _ in 0..UNACKNOWLEDGED_STREAMS_MAX {
        session.open(Duration::ZERO).unwrap();
    }
    assert_eq!(session.open(Duration::ZERO), Err(OpenError::Backlog));
    session.receive(&update(ACK, 1, 0), Duration::ZERO).unwrap();
    assert!(session.open(Duration::ZERO).is_ok());
    session.receive(&frame(Kind::GoAway, 0, 0, 2, b"").repeat(3), Duration::ZERO).unwrap();
    assert_eq!(session.open(Duration::ZERO), Err(OpenError::GoneAway));
    let events: Vec<_> = std::iter::from_fn(|| session.event()).collect();
    assert_eq!(events, [Event::Acknowledged(StreamId(1)), Event::GoneAway(2)]);
}

proptest! {
    /// Frames with small numbers, which mostly mean something, in any order: no panic, and at most one error.
    #[test]
    fn no_frames_panic(frames in proptest::collection::vec((0u8..5, 0u16..17, 0u32..6, 0u32..9), 0..60), step in 1usize..40) {
        let mut bytes = Vec::new();
        for (kind, flags, stream, length) in frames {
            bytes.extend_from_slice(&[0, kind]);
            bytes.extend_from_slice(&flags.to_be_bytes());
            bytes.extend_from_slice(&stream.to_be_bytes());
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&painted(if kind == 0 { length as usize } else { 0 }));
        }
        let mut session = Session::new(false, Duration::ZERO);
        let (mut out, mut first) = (Vec::new(), None);
        for piece in bytes.chunks(step) {
            let error = session.receive(piece, Duration::ZERO).err();
            prop_assert!(first.is_none() || first == error);
            first = error;
            while let Some(event) = session.event() {
                if let Event::Readable(id) = event {
                    session.read(id, 3, &mut out, Duration::ZERO);
                    session.write(id, b"answer");
                    session.finish(id);
                }
            }
            out.clear();
            session.transmit(&mut out, 50);
            prop_assert!(out.len() <= 50);
        }
    }
}
