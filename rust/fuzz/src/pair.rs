//! Checks of two wire machines over a link that cuts where the input says: what one side writes the other reads, whatever else
//! both do meanwhile, and neither ever finds fault with the other.

use crate::replay::Target;
use shoal_core::cid::codec;
use shoal_core::hash::{Hash, cid_v1};
use shoal_wire::SecretKey;
use shoal_wire::bitswap::{Entry, Message, Payload, Prefix, Want};
use shoal_wire::connection::{Config, Connection, Event, Security, Start};
use shoal_wire::delimited::Delimited;
use shoal_wire::identify::Identify;
use shoal_wire::limits::BITSWAP_BYTES_MAX;
use shoal_wire::noise::NoiseSecrets;
use shoal_wire::tls::Credentials;
use shoal_wire::yamux::{Session, Shared, StreamId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// All of them, by name.
pub const TARGETS: &[Target] = &[("wire_yamux_pair", yamux_pair), ("wire_bitswap_pair", bitswap_pair)];

const START: Duration = Duration::from_secs(1000);
/// More would be churn, which a session does not take from anybody.
const DEEDS_MAX: usize = 2000;
/// More would be reset by a side that has enough.
const STREAMS_MAX: usize = 512;

/// Two sessions, their link, and what was written and read: of each stream and writer the count of bytes, which paint them.
struct Sessions {
    sides: [Session; 2],
    link: [Vec<u8>; 2],
    streams: Vec<StreamId>,
    written: BTreeMap<(StreamId, usize), usize>,
    read: BTreeMap<(StreamId, usize), usize>,
    reset: BTreeSet<StreamId>,
}

impl Sessions {
    fn write(&mut self, side: usize, id: StreamId, len: usize, is_shared: bool) {
        let count = self.written.entry((id, side)).or_default();
        let bytes: Vec<u8> = (0..len).map(|i| (*count + i).to_le_bytes()[0]).collect();
        let taken = if is_shared { self.sides[side].write_shared(id, &Shared::new(bytes), 0) } else { self.sides[side].write(id, &bytes) };
        *count += taken.unwrap_or(0);
    }

    fn read(&mut self, side: usize, id: StreamId, len: usize) {
        let count = self.read.entry((id, 1 - side)).or_default();
        let mut check = |piece: &[u8]| {
            for byte in piece {
                assert_eq!(*byte, count.to_le_bytes()[0], "stream {}", id.0);
                *count += 1;
            }
        };
        self.sides[side].read_with(id, len, &mut check, START);
    }

    fn deliver(&mut self, from: usize, len: usize, is_own: bool) {
        let mut bytes: Vec<u8> = self.link[from].drain(..len.min(self.link[from].len())).collect();
        let side = &mut self.sides[1 - from];
        let result = if is_own { side.receive_own(&mut bytes, START) } else { side.receive(&bytes, START) };
        assert_eq!(result, Ok(()));
    }
}

/// Input: deeds of four bytes: side and what, which stream, length.
pub fn yamux_pair(input: &[u8]) {
    let mut pair = Sessions {
        sides: [Session::new(true, START), Session::new(false, START)],
        link: Default::default(),
        streams: Vec::new(),
        written: BTreeMap::new(),
        read: BTreeMap::new(),
        reset: BTreeSet::new(),
    };
    for [what, which, low, high] in input.as_chunks::<4>().0.iter().copied().take(DEEDS_MAX) {
        let (side, len) = (usize::from(what >> 7), usize::from(u16::from_le_bytes([low, high])));
        let id = pair.streams.get(usize::from(which) % pair.streams.len().max(1)).copied();
        match (what % 8, id) {
            (0, _) if pair.streams.len() < STREAMS_MAX => pair.streams.extend(pair.sides[side].open(START)),
            (1 | 2, Some(id)) => pair.write(side, id, len, what % 8 == 2),
            (3, Some(id)) => pair.sides[side].finish(id),
            (4, Some(id)) => {
                pair.sides[side].reset(id);
                pair.reset.insert(id);
            }
            (5, Some(id)) => pair.read(side, id, len),
            (6, _) => {
                let until = pair.link[side].len() + len;
                let Sessions { sides, link, .. } = &mut pair;
                sides[side].transmit(&mut link[side], until);
            }
            (7, _) => pair.deliver(side, len, which & 1 != 0),
            _ => {}
        }
        pair.sides.iter_mut().for_each(|side| while side.event().is_some() {});
    }
    // Both read and send until there is nothing more.
    loop {
        let mut is_more = false;
        for side in 0..2 {
            let Sessions { sides, link, .. } = &mut pair;
            sides[side].transmit(&mut link[side], usize::MAX);
            is_more |= !link[side].is_empty();
            pair.deliver(side, usize::MAX, true);
            while pair.sides[1 - side].event().is_some() {}
            for id in pair.streams.clone() {
                pair.read(1 - side, id, usize::MAX);
            }
        }
        if !is_more {
            break;
        }
    }
    for (key, count) in pair.written.iter().filter(|((id, _), count)| **count > 0 && !pair.reset.contains(id)) {
        assert_eq!(pair.read.get(key), Some(count), "stream {}", key.0.0);
    }
}

const PROTOCOL: &str = "/ipfs/bitswap/1.2.0";

fn config(seed: u8) -> Arc<Config> {
    static CONFIGS: OnceLock<[Arc<Config>; 2]> = OnceLock::new();
    let made = CONFIGS.get_or_init(|| {
        [1, 2].map(|seed| {
            let key = SecretKey::from_seed([seed; 32]).unwrap();
            let credentials = Credentials::new(&key, &[seed + 50; 32]).unwrap();
            let identify = Identify { key: Some(key.public().clone()), ..Identify::default() };
            Arc::new(Config { key, credentials, security: vec![Security::Noise], protocols: vec![PROTOCOL.into()], identify })
        })
    });
    Arc::clone(&made[usize::from(seed - 1)])
}

fn start(seed: u8) -> Start {
    let secrets = NoiseSecrets { fixed: [seed; 32], ephemeral: [seed + 100; 32] };
    Start { now: START, unix_time: Duration::from_secs(1_795_478_400), secrets, observed: None }
}

/// Carries what both have to say, in pieces of `step` bytes; false when that was nothing.
fn carry(sides: &mut [Connection; 2], step: usize, events: &mut Vec<Event>) -> bool {
    let mut is_more = false;
    for from in 0..2 {
        let mut bytes = Vec::new();
        sides[from].transmit(&mut bytes, 1 << 18);
        is_more |= !bytes.is_empty();
        bytes.chunks(step).for_each(|piece| sides[1 - from].receive(piece, START));
        while sides[from].event().is_some() {}
        events.extend(std::iter::from_fn(|| sides[1 - from].event()));
    }
    assert!(!events.iter().any(|event| matches!(event, Event::Closed(_) | Event::Reset(_))), "{events:?}");
    is_more
}

/// Messages over two connections by Noise come out as they went in. Input: step, then messages of four bytes: entries, blocks,
/// bytes of a block.
pub fn bitswap_pair(input: &[u8]) {
    let Some(([low, high], rest)) = input.split_first_chunk::<2>() else { return };
    let step = usize::from(u16::from_le_bytes([*low, *high])).max(16);
    let mut sides = [Connection::dialer(config(1), None, start(1)), Connection::listener(config(2), start(2))];
    let mut events = Vec::new();
    while carry(&mut sides, step, &mut events) {}
    let id = sides[0].open(vec![PROTOCOL.into()], START).unwrap();
    while carry(&mut sides, step, &mut events) {}
    let mut gathered = Delimited::new(BITSWAP_BYTES_MAX);
    for [entries, blocks, low, high] in rest.as_chunks::<4>().0.iter().copied().take(16) {
        let block = vec![entries; usize::from(u16::from_le_bytes([low, high]))];
        let cid = cid_v1(if blocks & 1 == 0 { Hash::Blake3 } else { Hash::Sha256 }, codec::RAW, &block).unwrap();
        let entry = Entry { cid: cid.clone(), want: Want::Have, priority: i32::from(entries) - 7, wants_dont_have: blocks & 2 != 0 };
        let message = Message {
            entries: vec![entry; usize::from(entries)],
            is_full: blocks & 4 != 0,
            payloads: vec![Payload { prefix: Prefix::of(&cid), data: &block }; usize::from(blocks % 4)],
            presences: vec![(cid.clone(), blocks & 8 != 0); usize::from(entries % 8)],
            pending_bytes: i32::from(low),
            skipped: 0,
        };
        let mut framed = Vec::new();
        message.encode_delimited(&mut framed);
        let framed = Shared::new(framed);
        let mut written = 0;
        loop {
            written += sides[0].write_shared(id, &framed, written).unwrap();
            carry(&mut sides, step, &mut events);
            sides[1].read_with(id, BITSWAP_BYTES_MAX, &mut |piece| gathered.receive(piece), START);
            if let Some(found) = gathered.message().unwrap() {
                let found = Message::decode(found).unwrap();
                assert_eq!(found, message);
                assert!(found.hash_blocks().iter().all(|(found, _)| *found == cid));
                break;
            }
        }
        assert!(gathered.is_between_messages());
    }
}
