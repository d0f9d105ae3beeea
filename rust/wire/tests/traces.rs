//! Golden traces: what Kubo 0.42.0 said to this machine by Noise, replayed byte for byte, in both roles.
//!
//! The law: on the same bytes at the same times the machine says the same bytes and tells the same events as on the day of the
//! recording. The secrets of our side are fixed, so that the handshake is replayed as well. Recorded by `examples/record.rs`
//! on 2026-11-24 from the real binary. Where the machine rightly says something else from now on, record again.
#![expect(clippy::unwrap_used, reason = "tests fail by panics")]

#[path = "support/script.rs"]
mod script;

use script::Script;
use std::time::Duration;

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn replay(trace: &str) -> Vec<String> {
    let mut connection = script::connection(trace.contains("\nrole dialer\n"), "/ip4/192.0.2.1/tcp/4001").unwrap();
    let (mut script, mut now) = (Script::default(), Duration::ZERO);
    let (mut ours, mut said, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for line in trace.lines().chain(["flush"]) {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        match what {
            "ours" => ours.extend(unhex(rest)),
            "event" => told.push(rest.to_owned()),
            "theirs" | "time" | "end" | "flush" => {
                // All that the last input led to.
                loop {
                    let mut out = Vec::new();
                    connection.transmit(&mut out, 1 << 18);
                    let is_quiet = out.is_empty();
                    said.extend(out);
                    let events: Vec<_> = std::iter::from_fn(|| connection.event()).collect();
                    if is_quiet && events.is_empty() {
                        break;
                    }
                    events.into_iter().for_each(|event| script.act(&mut connection, event, now).unwrap());
                }
                assert_eq!(script.said, told, "before {what} at {now:?}");
                assert!(said == ours, "other bytes before {what} at {now:?}");
                if let Some((at, _)) = rest.split_once(' ').or((!rest.is_empty()).then_some((rest, ""))) {
                    now = Duration::from_micros(at.parse().unwrap());
                }
                match what {
                    "theirs" => connection.receive(&unhex(rest.split_once(' ').unwrap().1), now),
                    "time" => connection.on_time(now),
                    "end" => connection.receive_end(),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    assert!(script.is_done, "the trace does not end");
    told
}

#[test]
fn kubo_that_was_dialed_by_noise() {
    let told = replay(include_str!("traces/kubo-0.42.0-dialed-noise.txt"));
    for what in
        ["open Noise", "identified kubo/0.42.0", "pinged Some", "opened /ipfs/bitswap/1.2.0", "refused", "block", "asked Block", "closed"]
    {
        assert!(told.iter().any(|line| line.starts_with(what)), "no {what}");
    }
}

#[test]
fn kubo_that_dials_by_noise() {
    let told = replay(include_str!("traces/kubo-0.42.0-dials-noise.txt"));
    for what in
        ["open Noise", "identified kubo/0.42.0", "pinged Some", "opened /ipfs/bitswap/1.2.0", "refused", "block", "asked Block", "closed"]
    {
        assert!(told.iter().any(|line| line.starts_with(what)), "no {what}");
    }
}
