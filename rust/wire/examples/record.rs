//! Records a golden trace: what a peer says to us by Noise, byte for byte, and what we answer, for `tests/traces.rs` to replay.
//!
//!     cargo run -p shoal-wire --example record -- 127.0.0.1:4001|listen:127.0.0.1:4002 FILE
//!
//! It prints the CID to `ipfs block get` at the peer once the ping has come back; the peer needs a block of 1,000 `t`.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, clippy::print_stdout, reason = "an example does what the room does not")]

#[path = "../tests/support/script.rs"]
mod script;

use script::{OURS, Outcome, Script};
use shoal_wire::Connection;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

struct Recorder {
    connection: Connection,
    socket: TcpStream,
    script: Script,
    trace: String,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Recorder {
    fn drain(&mut self, now: Duration) -> Outcome<()> {
        loop {
            let mut out = Vec::new();
            self.connection.transmit(&mut out, 1 << 18);
            if !out.is_empty() {
                writeln!(self.trace, "ours {}", hex(&out))?;
                // The peer may have closed by now.
                let _ = self.socket.write_all(&out);
            }
            let events: Vec<_> = std::iter::from_fn(|| self.connection.event()).collect();
            if out.is_empty() && events.is_empty() {
                return Ok(());
            }
            for event in events {
                self.script.act(&mut self.connection, event, now)?;
            }
            for line in self.script.said.drain(..) {
                println!("{line}");
                writeln!(self.trace, "event {line}")?;
            }
        }
    }
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: record ADDRESS|listen:ADDRESS FILE";
    let (address, file) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    println!("as {} with {}", shoal_wire::SecretKey::from_seed([7; 32])?.public().peer_id(), script::cid(&OURS)?);
    let (socket, is_dialer) = match address.strip_prefix("listen:") {
        None => (TcpStream::connect(&address)?, true),
        Some(address) => (TcpListener::bind(address)?.accept()?.0, false),
    };
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let observed = "/ip4/192.0.2.1/tcp/4001";
    let connection = script::connection(is_dialer, observed)?;
    let trace =
        format!("# One connection by Noise; see rust/wire/tests/traces.rs.\nrole {}\n", if is_dialer { "dialer" } else { "listener" });
    let mut recorder = Recorder { connection, socket, script: Script::default(), trace };
    let begun = Instant::now();
    recorder.drain(Duration::ZERO)?;
    let mut bytes = vec![0; 1 << 18];
    while !recorder.script.is_done && begun.elapsed() < Duration::from_secs(60) {
        let read = match recorder.socket.read(&mut bytes) {
            Ok(read) => Some(read),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(_) => Some(0),
        };
        let now = Duration::from_micros(u64::try_from(begun.elapsed().as_micros())?);
        match read {
            Some(0) => {
                writeln!(recorder.trace, "end {}", now.as_micros())?;
                recorder.connection.receive_end();
            }
            Some(read) => {
                let came = bytes.get(..read).unwrap_or_default();
                writeln!(recorder.trace, "theirs {} {}", now.as_micros(), hex(came))?;
                recorder.connection.receive(came, now);
            }
            None if recorder.connection.deadline().is_some_and(|deadline| deadline <= now) => {
                writeln!(recorder.trace, "time {}", now.as_micros())?;
                recorder.connection.on_time(now);
            }
            None => continue,
        }
        recorder.drain(now)?;
    }
    std::fs::write(file, recorder.trace)?;
    Ok(())
}
