//! What a connection costs beside the ciphers under it: two machines over memory, sender and receiver timed apart.
//!
//!     cargo run --release -p shoal-wire --example wire_speed -- [MiB] [rounds]
//!
//! Yardsticks and machines take turns in each round; a ratio is of one round, and the median of all rounds is printed beside
//! the best figure. Times are of one core. The yardsticks seal and open records of 16 KiB where they stand, in a buffer as large
//! as what a machine hands out at once.
#![expect(clippy::disallowed_types, clippy::print_stdout, reason = "an example does what the room does not")]

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use shoal_core::cid::codec;
use shoal_core::hash::{Hash, cid_v1};
use shoal_wire::bitswap::{self, Message, Payload, Prefix};
use shoal_wire::connection::{Config, Connection, Event, Security, Start};
use shoal_wire::delimited::Delimited;
use shoal_wire::identify::Identify;
use shoal_wire::limits::BITSWAP_BYTES_MAX;
use shoal_wire::noise::NoiseSecrets;
use shoal_wire::tls::Credentials;
use shoal_wire::yamux::{Shared, StreamId};
use shoal_wire::{PeerId, SecretKey};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What a machine is asked for at a time: what the pump in Python asks for.
const CHUNK_BYTES: usize = 256 * 1024;
const RECORD_BYTES: usize = 16 * 1024;
const BLOCK_BYTES: usize = 1024 * 1024;
const PROTOCOL: &str = bitswap::PROTOCOLS[0];

fn painted(bytes: usize) -> Vec<u8> {
    (0..=250).cycle().take(bytes).collect()
}

/// Seconds that a deed takes, added to `sum`.
fn timed<T>(sum: &mut Duration, deed: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = deed();
    *sum += begun.elapsed();
    result
}

// Yardsticks.

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    if let Some((_, counter)) = nonce.split_last_chunk_mut::<8>() {
        *counter = number.to_be_bytes();
    }
    Nonce::assume_unique_for_key(nonce)
}

/// Sealing and opening alone.
fn cipher(algorithm: &'static Algorithm, bytes: usize) -> Outcome<(Duration, Duration)> {
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &vec![7; algorithm.key_len()])?);
    let (mut sealing, mut opening) = (Duration::ZERO, Duration::ZERO);
    let sealed_bytes = RECORD_BYTES + algorithm.tag_len();
    let mut buffer = vec![0; CHUNK_BYTES / RECORD_BYTES * sealed_bytes];
    let mut number = 0u64;
    for _ in 0..bytes / CHUNK_BYTES {
        let first = number;
        timed(&mut sealing, || {
            for record in buffer.chunks_exact_mut(sealed_bytes) {
                let (plain, slot) = record.split_at_mut(RECORD_BYTES);
                slot.copy_from_slice(key.seal_in_place_separate_tag(nonce(number), Aad::empty(), plain)?.as_ref());
                number += 1;
            }
            Ok::<_, ring::error::Unspecified>(())
        })?;
        number = first;
        timed(&mut opening, || {
            for record in buffer.chunks_exact_mut(sealed_bytes) {
                key.open_in_place(nonce(number), Aad::empty(), record)?;
                number += 1;
            }
            Ok::<_, ring::error::Unspecified>(())
        })?;
    }
    Ok((sealing, opening))
}

fn copying(bytes: usize) -> Duration {
    let from = painted(CHUNK_BYTES);
    let mut to = vec![0; CHUNK_BYTES];
    let mut took = Duration::ZERO;
    timed(&mut took, || {
        for _ in 0..bytes / CHUNK_BYTES {
            to.copy_from_slice(std::hint::black_box(&from));
            std::hint::black_box(&mut to);
        }
    });
    took
}

// Machines.

struct Pair {
    dialer: Connection,
    listener: Connection,
    begun: Instant,
    out: Vec<u8>,
    sender: Duration,
    receiver: Duration,
}

fn config(seed: u8, security: Security) -> Outcome<(Arc<Config>, PeerId)> {
    let key = SecretKey::from_seed([seed; 32])?;
    let credentials = Credentials::new(&key, &[seed + 50; 32])?;
    let peer = key.public().peer_id();
    let identify = Identify { key: Some(key.public().clone()), ..Identify::default() };
    Ok((Arc::new(Config { key, credentials, security: vec![security], protocols: vec![PROTOCOL.into()], identify }), peer))
}

fn start(seed: u8) -> Start {
    Start {
        now: Duration::ZERO,
        unix_time: Duration::from_secs(1_795_478_400),
        secrets: NoiseSecrets { fixed: [seed; 32], ephemeral: [seed + 100; 32] },
        observed: None,
    }
}

impl Pair {
    fn open(security: Security) -> Outcome<(Self, StreamId)> {
        let ((dials, _), (listens, peer)) = (config(1, security)?, config(2, security)?);
        let mut pair = Self {
            dialer: Connection::dialer(dials, Some(peer), start(1)),
            listener: Connection::listener(listens, start(2)),
            begun: Instant::now(),
            out: Vec::with_capacity(2 * CHUNK_BYTES),
            sender: Duration::ZERO,
            receiver: Duration::ZERO,
        };
        while pair.turn() {}
        let stream = pair.dialer.open(vec![PROTOCOL.into()], pair.begun.elapsed())?;
        while pair.turn() {}
        while let Some(event) = pair.dialer.event() {
            if let Event::Closed(reason) = event {
                return Err(reason.into());
            }
        }
        while pair.listener.event().is_some() {}
        (pair.sender, pair.receiver) = (Duration::ZERO, Duration::ZERO);
        Ok((pair, stream))
    }

    /// What the dialer has to say goes over, and then what the listener has; false where neither has anything.
    fn turn(&mut self) -> bool {
        self.out.clear();
        timed(&mut self.sender, || self.dialer.transmit(&mut self.out, CHUNK_BYTES));
        let mut is_more = !self.out.is_empty();
        let now = self.begun.elapsed();
        timed(&mut self.receiver, || {
            self.listener.receive(&self.out, now);
            self.out.clear();
            self.listener.transmit(&mut self.out, CHUNK_BYTES);
        });
        is_more |= !self.out.is_empty();
        timed(&mut self.sender, || self.dialer.receive(&self.out, now));
        is_more
    }
}

/// One stream, as fast as it goes.
fn stream(security: Security, bytes: usize) -> Outcome<(Duration, Duration)> {
    let (mut pair, stream) = Pair::open(security)?;
    let data = Shared::new(painted(CHUNK_BYTES));
    let (mut written, mut read, mut found) = (0, 0, Vec::with_capacity(CHUNK_BYTES));
    while read < bytes {
        let now = pair.begun.elapsed();
        let from = CHUNK_BYTES.saturating_sub(bytes - written);
        written += timed(&mut pair.sender, || pair.dialer.write_shared(stream, &data, from)).unwrap_or(0);
        pair.turn();
        read += timed(&mut pair.receiver, || {
            found.clear();
            pair.listener.read(stream, CHUNK_BYTES, &mut found, now).bytes
        });
        while pair.dialer.event().is_some() || pair.listener.event().is_some() {}
    }
    Ok((pair.sender, pair.receiver))
}

/// Blocks as bitswap carries them, each in a message: encoded, sent; received, decoded, hashed, and owned.
fn blocks(security: Security, bytes: usize) -> Outcome<(Duration, Duration)> {
    let (mut pair, stream) = Pair::open(security)?;
    let block = painted(BLOCK_BYTES);
    let prefix = Prefix::of(&cid_v1(Hash::Blake3, codec::RAW, &block).map_err(|e| e.to_string())?);
    let mut gathered = Delimited::new(BITSWAP_BYTES_MAX);
    for _ in 0..bytes / BLOCK_BYTES {
        let message = timed(&mut pair.sender, || {
            let message = Message { payloads: vec![Payload { prefix, data: &block }], ..Message::default() };
            let mut framed = Vec::new();
            message.encode_delimited(&mut framed);
            Shared::new(framed)
        });
        let (mut written, mut found) = (0, None);
        while found.is_none() {
            written += timed(&mut pair.sender, || pair.dialer.write_shared(stream, &message, written)).unwrap_or(0);
            pair.turn();
            let now = pair.begun.elapsed();
            found = timed(&mut pair.receiver, || {
                pair.listener.read_with(stream, BITSWAP_BYTES_MAX, &mut |piece| gathered.receive(piece), now);
                let message = gathered.message().map_err(|e| e.to_string())?;
                let Some(message) = message else { return Ok(None) };
                let message = Message::decode(message).map_err(|e| e.to_string())?;
                let owned: Vec<_> = message.hash_blocks().into_iter().map(|(cid, data)| (cid, Arc::<[u8]>::from(data))).collect();
                Ok::<_, String>(Some(owned))
            })?;
            while pair.dialer.event().is_some() || pair.listener.event().is_some() {}
        }
    }
    Ok((pair.sender, pair.receiver))
}

fn hashing(bytes: usize) -> Outcome<Duration> {
    let block = painted(BLOCK_BYTES);
    let mut took = Duration::ZERO;
    for _ in 0..bytes / BLOCK_BYTES {
        std::hint::black_box(timed(&mut took, || cid_v1(Hash::Blake3, codec::RAW, std::hint::black_box(&block)))?);
    }
    Ok(took)
}

// What is printed.

/// A row: what it is, and for each round its seconds and what it is measured by.
struct Row {
    name: &'static str,
    rounds: Vec<(f64, f64)>,
}

fn print(rows: &[Row], bytes: usize) {
    for Row { name, rounds } in rows {
        let best = rounds.iter().map(|(took, _)| *took).fold(f64::INFINITY, f64::min);
        let mut ratios: Vec<f64> = rounds.iter().map(|(took, yardstick)| took / yardstick).collect();
        ratios.sort_by(f64::total_cmp);
        let median = ratios.get(ratios.len() / 2).copied().unwrap_or(0.0);
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = bytes as f64 / best / 1e9;
        println!("{name:<46} {best:>7.3} s {rate:>7.2} GB/s {median:>6.2} x");
    }
}

fn main() -> Outcome<()> {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let bytes = numbers.next().transpose()?.unwrap_or(1024) << 20;
    let rounds = numbers.next().transpose()?.unwrap_or(5);
    let mut rows: Vec<Row> = Vec::new();
    let mut add = |name: &'static str, took: Duration, yardstick: Duration| {
        let entry = (took.as_secs_f64(), yardstick.as_secs_f64());
        match rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.rounds.push(entry),
            None => rows.push(Row { name, rounds: vec![entry] }),
        }
    };
    for _ in 0..rounds {
        let copy = copying(bytes);
        add("memcpy", copy, copy);
        let (aes_seals, aes_opens) = cipher(&AES_128_GCM, bytes)?;
        add("AES-128-GCM seals", aes_seals, aes_seals);
        add("AES-128-GCM opens", aes_opens, aes_opens);
        let (sender, receiver) = stream(Security::Tls, bytes)?;
        add("TLS, one stream: sender (by sealing)", sender, aes_seals);
        add("TLS, one stream: receiver (by opening)", receiver, aes_opens);
        let hash = hashing(bytes)?;
        add("BLAKE3 of 1 MiB blocks", hash, hash);
        let (sender, receiver) = blocks(Security::Tls, bytes)?;
        add("TLS, blocks: sender (by sealing)", sender, aes_seals);
        add("TLS, blocks: receiver (by opening and hashing)", receiver, aes_opens + hash);
        let (seals, opens) = cipher(&CHACHA20_POLY1305, bytes)?;
        add("ChaCha20-Poly1305 seals", seals, seals);
        add("ChaCha20-Poly1305 opens", opens, opens);
        let (sender, receiver) = stream(Security::Noise, bytes)?;
        add("Noise, one stream: sender (by sealing)", sender, seals);
        add("Noise, one stream: receiver (by opening)", receiver, opens);
        let (sender, receiver) = blocks(Security::Noise, bytes)?;
        add("Noise, blocks: sender (by sealing)", sender, seals);
        add("Noise, blocks: receiver (by opening and hashing)", receiver, opens + hash);
        let (seals, opens) = cipher(&AES_256_GCM, bytes)?;
        add("AES-256-GCM seals", seals, seals);
        add("AES-256-GCM opens", opens, opens);
    }
    println!("{} MiB a round, {rounds} rounds: best time and rate, median ratio", bytes >> 20);
    print(&rows, bytes);
    Ok(())
}
