//! Dials a libp2p peer over TCP, says who it is, pings it, and asks it for one block by bitswap 1.2. Or is dialed by one.
//!
//!     cargo run -p shoal-wire --example dial -- 127.0.0.1:4001 noise|tls [CID]
//!     cargo run -p shoal-wire --example dial -- listen:127.0.0.1:4002 noise|tls
//!
//! For people who work on this room: the proof against a Kubo node. It is a pump, as a program of the network will be one.
#![expect(clippy::disallowed_types, clippy::print_stdout, reason = "an example does what the room does not")]

use shoal_core::cid::Cid;
use shoal_wire::SecretKey;
use shoal_wire::bitswap;
use shoal_wire::connection::{Config, Connection, Event, Security, Start};
use shoal_wire::identify::{self, Identify};
use shoal_wire::noise::NoiseSecrets;
use shoal_wire::tls::Credentials;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

const BITSWAP: &str = bitswap::PROTOCOLS[0];

fn draw() -> Result<[u8; 32], Box<dyn Error>> {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The machine, its socket and its clock.
struct Pump {
    connection: Connection,
    socket: TcpStream,
    begun: Instant,
}

impl Pump {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Sends what there is, reads for up to 50 ms, and returns the next event if there is one.
    fn event(&mut self) -> Result<Option<Event>, Box<dyn Error>> {
        let now = self.now();
        if self.connection.deadline().is_some_and(|deadline| deadline <= now) {
            self.connection.on_time(now);
        }
        let mut out = Vec::new();
        self.connection.transmit(&mut out, 1 << 18);
        self.socket.write_all(&out)?;
        if let Some(event) = self.connection.event() {
            return Ok(Some(event));
        }
        let mut bytes = vec![0; 1 << 18];
        match self.socket.read(&mut bytes) {
            Ok(0) => self.connection.receive_end(),
            Ok(read) => self.connection.receive(bytes.get(..read).unwrap_or_default(), self.begun.elapsed()),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(self.connection.event())
    }
}

fn config(security: Security) -> Result<Arc<Config>, Box<dyn Error>> {
    let key = SecretKey::from_seed(draw()?)?;
    let credentials = Credentials::new(&key, &draw()?)?;
    let protocols = vec![BITSWAP.to_owned()];
    let said = protocols.iter().cloned().chain([identify::PROTOCOL.to_owned()]).collect();
    let identify = Identify { key: Some(key.public().clone()), protocols: said, agent: Some("shoal-dial".into()), ..Identify::default() };
    Ok(Arc::new(Config { key, credentials, security: vec![security], protocols, identify }))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: dial [listen:]ADDRESS tls|noise [CID]")?;
    let security = match arguments.next().as_deref() {
        Some("noise") => Security::Noise,
        _ => Security::Tls,
    };
    let wanted: Option<Cid> = arguments.next().map(|text| text.parse()).transpose()?;
    let config = config(security)?;
    let (socket, is_dialer) = match address.strip_prefix("listen:") {
        None => (TcpStream::connect(address)?, true),
        Some(address) => {
            println!("listening as {}", config.key.public().peer_id());
            (TcpListener::bind(address)?.accept()?.0, false)
        }
    };
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let start = Start {
        now: Duration::ZERO,
        unix_time: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?,
        secrets: NoiseSecrets { fixed: draw()?, ephemeral: draw()? },
        observed: None,
    };
    let connection = if is_dialer { Connection::dialer(config, None, start) } else { Connection::listener(config, start) };
    let mut pump = Pump { connection, socket, begun: Instant::now() };
    let mut stream = None;
    let mut answer = shoal_wire::delimited::Delimited::new(shoal_wire::limits::BITSWAP_BYTES_MAX);
    while pump.now() < Duration::from_secs(30) {
        let now = pump.now();
        match pump.event()? {
            None => {}
            Some(Event::Open { peer, security }) => println!("open by {security:?}: {}", peer.peer_id()),
            Some(Event::Identified(said)) => {
                println!("identified: {:?}, {} protocols, sees us at {:?}", said.agent, said.protocols.len(), said.observed);
                pump.connection.ping(draw()?, now)?;
            }
            Some(Event::Pinged(took)) => {
                println!("pinged: {took:?}");
                match &wanted {
                    Some(_) => stream = Some(pump.connection.open(vec![BITSWAP.to_owned()], now)?),
                    None => pump.connection.close(now),
                }
            }
            Some(Event::Opened { stream, protocol }) => {
                println!("opened {protocol}");
                let entries = wanted.iter().map(|cid| bitswap::Entry {
                    cid: cid.clone(),
                    want: bitswap::Want::Block,
                    priority: 1,
                    wants_dont_have: true,
                });
                let mut message = Vec::new();
                bitswap::Message { entries: entries.collect(), ..bitswap::Message::default() }.encode(&mut message);
                let mut framed = Vec::new();
                shoal_wire::delimited::write(&message, &mut framed);
                pump.connection.write(stream, &framed).ok_or("the stream is gone")?;
            }
            Some(Event::Readable(id)) if Some(id) != stream => {
                let mut bytes = Vec::new();
                pump.connection.read(id, usize::MAX, &mut bytes, now);
                answer.receive(&bytes);
                while let Some(message) = answer.message()? {
                    let message = bitswap::Message::decode(message)?;
                    for (cid, data) in message.hash_blocks() {
                        println!(
                            "block {cid}: {} bytes, {}",
                            data.len(),
                            if Some(&cid) == wanted.as_ref() { "as asked" } else { "not asked for" }
                        );
                        pump.connection.close(now);
                    }
                    for (cid, has) in message.presences {
                        println!("presence of {cid}: {has}");
                    }
                }
            }
            Some(Event::Closed(reason)) => {
                println!("closed: {reason}");
                return Ok(());
            }
            Some(event) => println!("{event:?}"),
        }
    }
    Err("nothing happened in 30 s".into())
}
