//! What a connection at rest holds: both ends opened over memory, identified and drained, then counted by the allocator.
//!
//! Counted when it has just opened, after it carried 16 MiB in pieces that cut every record, and when it has been at rest since:
//! `cargo test -p shoal-wire --test memory -- --nocapture` prints the figures.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests fail by panics, and print a figure")]

#[path = "support/memory.rs"]
mod memory;

use memory::held;
use shoal_wire::SecretKey;
use shoal_wire::connection::{Config, Connection, Security, Start};
use shoal_wire::identify::{self, Identify};
use shoal_wire::noise::NoiseSecrets;
use shoal_wire::tls::Credentials;
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

const PROTOCOL: &str = "/painted/1.0.0";

fn config(seed: u8, security: Security) -> Arc<Config> {
    let key = SecretKey::from_seed([seed; 32]).unwrap();
    let credentials = Credentials::new(&key, &[seed + 50; 32]).unwrap();
    let protocols = [identify::PROTOCOL, identify::PROTOCOL_PUSH, PROTOCOL].map(str::to_owned).to_vec();
    let addresses = (1..4).filter_map(|last| format!("/ip4/192.0.2.{last}/tcp/4001").parse().ok()).collect();
    let identify =
        Identify { key: Some(key.public().clone()), protocols, addresses, agent: Some("painted/1".into()), ..Identify::default() };
    Arc::new(Config { key, credentials, security: vec![security], protocols: vec![PROTOCOL.into()], identify })
}

fn start(seed: u8) -> Start {
    let secrets = NoiseSecrets { fixed: [seed; 32], ephemeral: [seed + 100; 32] };
    Start { now: Duration::ZERO, unix_time: Duration::from_secs(1_795_478_400), secrets, observed: "/ip4/192.0.2.1/tcp/4001".parse().ok() }
}

/// Carries bytes both ways until there are none, and drops what happened.
fn quiet(sides: &mut [Connection; 2], now: Duration) {
    loop {
        let mut is_more = false;
        for from in 0..2 {
            let [first, second] = sides;
            let (side, other) = if from == 0 { (first, second) } else { (second, first) };
            let mut bytes = Vec::new();
            side.transmit(&mut bytes, 1 << 18);
            is_more |= !bytes.is_empty();
            bytes.chunks(10_007).for_each(|piece| other.receive(piece, now));
            while other.event().is_some() || side.event().is_some() {}
        }
        if !is_more {
            return;
        }
    }
}

#[test]
fn a_connection_at_rest_holds_six_kibibytes_even_if_it_was_busy() {
    for security in [Security::Tls, Security::Noise] {
        let configs = [config(1, security), config(2, security)];
        // Once to fill what a thread keeps, once to count.
        for _ in 0..2 {
            let before = held();
            let mut sides =
                [Connection::dialer(Arc::clone(&configs[0]), None, start(1)), Connection::listener(Arc::clone(&configs[1]), start(2))];
            quiet(&mut sides, Duration::ZERO);
            let opened = held() - before;
            let streams: Vec<_> = (0..200).map(|_| sides[0].open(vec![PROTOCOL.into()], Duration::ZERO).unwrap()).collect();
            quiet(&mut sides, Duration::ZERO);
            let piece = vec![7; 1 << 18];
            let (mut carried, mut found) = (0, Vec::new());
            while carried < 16 << 20 {
                sides[0].write(streams[0], &piece);
                quiet(&mut sides, Duration::ZERO);
                found.clear();
                carried += sides[1].read(streams[0], 1 << 20, &mut found, Duration::ZERO).bytes;
            }
            streams.iter().for_each(|stream| sides[0].reset(*stream));
            quiet(&mut sides, Duration::ZERO);
            drop((piece, found, streams));
            let busy = held() - before;
            for seconds in 1..=90 {
                let now = Duration::from_secs(seconds);
                sides.iter_mut().for_each(|side| side.on_time(now));
                quiet(&mut sides, now);
            }
            let rested = held() - before;
            let [dialer, listener] = sides;
            drop(dialer);
            let listeners = held() - before;
            drop(listener);
            println!("{security:?}: both ends hold {opened} bytes just opened, {busy} after traffic, {rested} at rest");
            println!("{security:?}: at rest the dialer holds {} bytes, the listener {listeners}", rested - listeners);
            assert!(listeners <= 6 * 1024 && rested - listeners <= 6 * 1024);
        }
    }
}
