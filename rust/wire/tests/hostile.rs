//! A hostile peer that has a channel and writes every byte behind it by hand, or does not even get so far.
//!
//! The law: whatever it sends, the connection ends with one reason, or goes on and answers; and either way it gives back what
//! it held for the peer. docs/wire.md lists which attack is held off by which test.
#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

#[path = "support/frames.rs"]
mod frames;
#[path = "support/memory.rs"]
mod memory;

use frames::{data, frame, update};
use memory::held;
use shoal_wire::SecretKey;
use shoal_wire::connection::{CloseReason, Config, Connection, Event, Security, Start};
use shoal_wire::identify::{self, Identify};
use shoal_wire::limits::{
    CHURN_MAX, IDENTIFY_BYTES_MAX, IDENTIFY_MESSAGES_MAX, IDENTIFY_SECONDS, PING_SECONDS, PONG_SECONDS, PONGS_MAX, STREAM_SECONDS,
    UNREAD_BYTES_MAX, UNSENT_BYTES_MAX, UPGRADE_SECONDS, WINDOW_BYTES_FIRST,
};
use shoal_wire::multistream::Negotiation;
use shoal_wire::noise::{self, Noise, NoiseSecrets};
use shoal_wire::tls::{self, Credentials, Tls};
use shoal_wire::yamux::StreamId;
use shoal_wire::yamux::YamuxError;
use shoal_wire::yamux::frame::{ACK, Kind, RST, SYN};
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

const PROTOCOL: &str = "/painted/1.0.0";
const YAMUX: &str = "/yamux/1.0.0";
const BEGIN: Duration = Duration::from_secs(1000);
const UNIX_TIME: Duration = Duration::from_secs(1_795_478_400);
const BOTH: [Security; 2] = [Security::Tls, Security::Noise];
/// What tables that have grown may keep.
const KEPT_BYTES: isize = 64 * 1024;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32]).unwrap()
}

fn config(seed: u8, security: Security) -> Arc<Config> {
    let key = key(seed);
    let credentials = Credentials::new(&key, &[seed + 50; 32]).unwrap();
    let identify = Identify { key: Some(key.public().clone()), ..Identify::default() };
    Arc::new(Config { key, credentials, security: vec![security], protocols: vec![PROTOCOL.into()], identify })
}

fn secrets(seed: u8) -> NoiseSecrets {
    NoiseSecrets { fixed: [seed; 32], ephemeral: [seed + 100; 32] }
}

fn start(seed: u8) -> Start {
    Start { now: BEGIN, unix_time: UNIX_TIME, secrets: secrets(seed), observed: None }
}

enum Channel {
    Tls(Tls),
    Noise(Noise),
}

/// The node under attack, and the attacker's end of the channel.
struct Attack {
    node: Connection,
    channel: Channel,
    events: Vec<Event>,
    /// What the node said inside the channel and was not looked at yet.
    heard: Vec<u8>,
    now: Duration,
    /// What this thread held when the channel was open.
    before: isize,
}

impl Attack {
    fn new(security: Security) -> Self {
        let mut node = Connection::listener(config(2, security), start(2));
        let (protocol, muxers) = (if security == Security::Tls { tls::PROTOCOL } else { noise::PROTOCOL }, vec![YAMUX.to_owned()]);
        let mut negotiation = Negotiation::dialer(vec![protocol.to_owned()], BEGIN);
        let (mut there, mut back) = (Vec::new(), Vec::new());
        negotiation.transmit(&mut there);
        node.receive(&there, BEGIN);
        node.transmit(&mut back, 1 << 20);
        assert_eq!((negotiation.receive(&back), negotiation.outcome()), (back.len(), Some(Ok(0))));
        let channel = match security {
            Security::Tls => Channel::Tls(Tls::dialer(&Credentials::new(&key(1), &[51; 32]).unwrap(), muxers, None, UNIX_TIME).unwrap()),
            Security::Noise => Channel::Noise(Noise::dialer(&key(1), &secrets(1), muxers, None).unwrap()),
        };
        let mut attack = Self { node, channel, events: Vec::new(), heard: Vec::new(), now: BEGIN, before: 0 };
        for _ in 0..3 {
            let mut bytes = Vec::new();
            match &mut attack.channel {
                Channel::Tls(tls) => tls.transmit(&mut bytes),
                Channel::Noise(noise) => noise.transmit(&mut bytes),
            }
            attack.node.receive(&bytes, BEGIN);
            attack.hear();
        }
        assert!(matches!(attack.events.first(), Some(Event::Open { .. })));
        // The caches of a thread that has done this before are no part of what is counted.
        attack.heard.clear();
        attack.events.clear();
        attack.before = held();
        attack
    }

    /// Frames, as they are, in the channel; the node sends nothing meanwhile.
    fn say(&mut self, frames: &[u8]) {
        for piece in frames.chunks(1 << 18) {
            let mut sealed = Vec::with_capacity(piece.len() * 2);
            match &mut self.channel {
                Channel::Tls(tls) => tls.seal(piece, &mut sealed).unwrap(),
                Channel::Noise(noise) => noise.seal(piece, &mut sealed).unwrap(),
            }
            self.node.receive(&sealed, self.now);
        }
    }

    /// Takes all that the node has to say.
    fn hear(&mut self) {
        loop {
            let mut sealed = Vec::new();
            self.node.transmit(&mut sealed, 1 << 20);
            self.events.extend(std::iter::from_fn(|| self.node.event()));
            if sealed.is_empty() {
                return;
            }
            match &mut self.channel {
                Channel::Tls(tls) => tls.receive(&sealed, &mut self.heard).unwrap(),
                Channel::Noise(noise) => noise.receive(&sealed, &mut self.heard).unwrap(),
            }
        }
    }

    fn reason(&self) -> Option<CloseReason> {
        self.events.iter().find_map(|event| if let Event::Closed(reason) = event { Some(reason.clone()) } else { None })
    }

    fn assert_gave_back(&mut self) {
        (self.heard, self.events) = (Vec::new(), Vec::new());
        let kept = held() - self.before;
        assert!(kept <= KEPT_BYTES, "{kept} bytes are still held");
    }

    fn assert_closed(mut self, reason: YamuxError) {
        self.hear();
        assert_eq!(self.reason(), Some(CloseReason::Yamux(reason)));
        self.assert_gave_back();
    }

    /// It goes on, and answers a ping.
    fn assert_alive(mut self) {
        self.hear();
        self.heard.clear();
        self.say(&frame(Kind::Ping, SYN, 0, 77, b""));
        self.hear();
        assert_eq!(self.reason(), None);
        assert!(self.heard.ends_with(&frame(Kind::Ping, ACK, 0, 77, b"")), "no pong");
        self.assert_gave_back();
    }

    /// A stream of the attacker's, agreed on.
    fn begin(&mut self, stream: u32, protocol: &str) {
        let mut negotiation = Negotiation::dialer(vec![protocol.to_owned()], BEGIN);
        let mut proposal = Vec::new();
        negotiation.transmit(&mut proposal);
        self.say(&data(SYN, stream, &proposal));
        self.hear();
    }

    fn was_reset(&self, stream: u32) -> bool {
        let reset = frame(Kind::WindowUpdate, RST, stream, 0, b"");
        self.heard.windows(reset.len()).any(|bytes| bytes == reset)
    }
}

#[test]
fn what_only_an_attacker_says_in_yamux_closes_the_connection() {
    let window = WINDOW_BYTES_FIRST as usize;
    for security in BOTH {
        for (frames, error) in [
            ([update(SYN, 1, 0), update(0, 1, u32::MAX)].concat(), YamuxError::Credit(1)),
            (data(SYN, 1, &vec![7; window + 1]), YamuxError::Window(1)),
            (frame(Kind::Data, SYN, 1, u32::MAX, b""), YamuxError::Window(1)),
            (update(SYN, 2, 0), YamuxError::Begin(2)),
            (frame(Kind::Ping, SYN, 0, 7, b"").repeat(PONGS_MAX + 1), YamuxError::Flood),
            ([update(SYN, 1, 0), update(RST, 1, 0)].concat().repeat(CHURN_MAX + 1), YamuxError::Churn),
            ((0..100_000).flat_map(|i| update(SYN, 2 * i + 1, 0)).collect(), YamuxError::Flood),
        ] {
            let mut attack = Attack::new(security);
            attack.say(&frames);
            attack.assert_closed(error);
        }
    }
}

#[test]
fn floods_that_mean_nothing_are_read_and_forgotten() {
    let many = 50_000;
    for security in BOTH {
        for frames in [
            [update(SYN, 1, 0), update(0, 1, 0).repeat(many), update(RST, 1, 0)].concat(),
            update(0, 7, 1 << 31).repeat(many),
            [update(SYN, 1, 0), data(0, 1, b"").repeat(many), update(RST, 1, 0)].concat(),
            data(0, 9, &[7; 100]).repeat(many),
            frame(Kind::Ping, ACK, 0, 1234, b"").repeat(many),
            frame(Kind::GoAway, 0, 0, 0, b"").repeat(many),
            update(RST, 2, 0).repeat(many),
        ] {
            let mut attack = Attack::new(security);
            attack.say(&frames);
            attack.assert_alive();
        }
    }
}

#[test]
fn pings_that_are_read_are_answered_however_many() {
    let mut attack = Attack::new(Security::Noise);
    for _ in 0..1000 {
        attack.say(&frame(Kind::Ping, SYN, 0, 7, b"").repeat(PONGS_MAX));
        attack.hear();
        attack.heard.clear();
    }
    attack.assert_alive();
}

#[test]
fn a_peer_that_never_reads_holds_one_window_and_one_queue_and_goes() {
    for security in BOTH {
        let mut attack = Attack::new(security);
        attack.begin(1, PROTOCOL);
        let (mut taken, piece) = (0, vec![7; 100_000]);
        for _ in 0..20 {
            taken += attack.node.write(StreamId(1), &piece).unwrap();
            attack.hear();
        }
        // The proposal's answer went first.
        assert!((UNSENT_BYTES_MAX..=UNSENT_BYTES_MAX + WINDOW_BYTES_FIRST as usize).contains(&taken), "{taken} bytes");
        attack.heard = Vec::new();
        let pinged = attack.now + Duration::from_secs(PING_SECONDS);
        for at in [pinged, pinged + Duration::from_secs(PONG_SECONDS)] {
            attack.node.on_time(at);
            attack.hear();
        }
        drop(piece);
        attack.assert_closed(YamuxError::Silence);
    }
}

#[test]
fn what_is_sent_and_not_read_stops_the_peer_and_is_given_back_with_the_streams() {
    let full = vec![7; WINDOW_BYTES_FIRST as usize];
    let mut attack = Attack::new(Security::Tls);
    for stream in (1..).step_by(2).take(UNREAD_BYTES_MAX / full.len()) {
        assert!(attack.node.wants_input());
        attack.say(&data(SYN, stream, &full));
    }
    // Garbage at the front of a stream is no agreement, so that they are gone as soon as they came.
    assert!(attack.node.wants_input());
    attack.assert_alive();

    let mut attack = Attack::new(Security::Tls);
    let streams: Vec<u32> = (1..).step_by(2).take(UNREAD_BYTES_MAX / full.len()).collect();
    streams.iter().for_each(|stream| attack.begin(*stream, PROTOCOL));
    streams.iter().for_each(|stream| attack.say(&data(0, *stream, &full[..full.len() - 100])));
    let kept = held() - attack.before;
    assert!(kept < 2 * UNREAD_BYTES_MAX.cast_signed(), "{kept} bytes");
    streams.iter().for_each(|stream| attack.node.reset(StreamId(*stream)));
    attack.assert_alive();
}

#[test]
fn data_byte_by_byte_costs_twice_its_bytes_at_most() {
    let mut attack = Attack::new(Security::Noise);
    attack.begin(1, PROTOCOL);
    let before = held();
    for _ in 0..50 {
        attack.say(&data(0, 1, b"x").repeat(4000));
    }
    let kept = held() - before;
    assert!(kept < 2 * 200_000 + KEPT_BYTES, "{kept} bytes for 200,000");
    attack.node.reset(StreamId(1));
    attack.assert_alive();
}

#[test]
fn identify_that_is_too_long_or_never_done_resets_its_stream() {
    let length = |bytes: usize| {
        let mut out = Vec::new();
        shoal_core::varint::write(bytes as u64, &mut out);
        out
    };
    for security in BOTH {
        for said in [
            length(IDENTIFY_BYTES_MAX + 1),
            length(usize::MAX >> 2),
            [length(IDENTIFY_BYTES_MAX), vec![0xff; IDENTIFY_BYTES_MAX]].concat(),
            [2, 0x10, 7].repeat(IDENTIFY_MESSAGES_MAX + 1),
        ] {
            let mut attack = Attack::new(security);
            attack.begin(1, identify::PROTOCOL_PUSH);
            attack.say(&data(0, 1, &said));
            attack.hear();
            assert!(attack.was_reset(1), "{:?}", &said[..4]);
            attack.assert_alive();
        }
        // One byte a second, for ever.
        let mut attack = Attack::new(security);
        attack.begin(1, identify::PROTOCOL_PUSH);
        let mut seconds = 0;
        while !attack.was_reset(1) {
            assert!(seconds <= IDENTIFY_SECONDS);
            seconds += 1;
            attack.now += Duration::from_secs(1);
            attack.say(&data(0, 1, &[0x80]));
            attack.node.on_time(attack.now);
            attack.hear();
        }
        attack.assert_alive();
    }
}

#[test]
fn a_stream_whose_agreement_drips_is_reset_in_time() {
    let mut attack = Attack::new(Security::Noise);
    let proposal = b"\x13/multistream/1.0.0\n\x0f/painted/1.0.0\n";
    attack.say(&update(SYN, 1, 0));
    for byte in proposal.iter().take(STREAM_SECONDS.try_into().unwrap()) {
        attack.say(&data(0, 1, &[*byte]));
        attack.hear();
        assert!(!attack.was_reset(1));
        attack.now += Duration::from_secs(1);
        attack.node.on_time(attack.now);
    }
    attack.hear();
    assert!(attack.was_reset(1));
    attack.assert_alive();
}

/// An honest dialer, whose bytes drip from some byte of the way to an open connection on: a byte every half second.
#[test]
fn a_drip_at_any_stage_ends_when_the_time_for_opening_is_over() {
    for security in BOTH {
        for quick in (0..1000).step_by(83) {
            let mut dialer = Connection::dialer(config(1, security), None, start(1));
            let mut node = Connection::listener(config(2, security), start(2));
            let (mut now, mut passed, mut is_open) = (BEGIN, 0, false);
            let mut reason = None;
            let mut way: std::collections::VecDeque<u8> = std::collections::VecDeque::new();
            for _ in 0..5000 {
                let mut bytes = Vec::new();
                dialer.transmit(&mut bytes, 1 << 20);
                way.extend(bytes);
                let Some(byte) = way.pop_front() else { break };
                if passed >= quick {
                    now += Duration::from_millis(500);
                }
                passed += 1;
                node.receive(&[byte], now);
                node.on_time(now);
                let mut answer = Vec::new();
                node.transmit(&mut answer, 1 << 20);
                dialer.receive(&answer, now);
                for event in std::iter::from_fn(|| node.event()) {
                    match event {
                        Event::Open { .. } => is_open = true,
                        Event::Closed(why) => reason = Some(why),
                        _ => {}
                    }
                }
                if is_open || reason.is_some() {
                    break;
                }
            }
            assert!(is_open || reason == Some(CloseReason::UpgradeTimedOut), "{security:?}, from byte {quick} on: {reason:?}");
            assert!(now <= BEGIN + Duration::from_secs(UPGRADE_SECONDS));
            assert_eq!(is_open, reason.is_none());
        }
    }
}
