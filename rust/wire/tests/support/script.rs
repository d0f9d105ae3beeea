//! What our side of a golden trace does: a function of what happens, so that whoever replays the peer's bytes does the same.
//!
//! It hears what the peer is, pings it, asks for a block and for one that is not there, tries a protocol that nobody has, gives
//! the block that the peer asks for, resets its stream and closes.

use shoal_core::cid::{Cid, codec};
use shoal_core::hash::{Hash, cid_v1};
use shoal_wire::SecretKey;
use shoal_wire::bitswap::{self, Entry, Message, Payload, Prefix, Want};
use shoal_wire::connection::{Config, Connection, Event, Security, Start};
use shoal_wire::delimited::Delimited;
use shoal_wire::identify::{self, Identify};
use shoal_wire::limits::BITSWAP_BYTES_MAX;
use shoal_wire::noise::NoiseSecrets;
use shoal_wire::tls::Credentials;
use shoal_wire::yamux::StreamId;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

pub type Outcome<T> = Result<T, Box<dyn Error>>;

const PROTOCOL: &str = bitswap::PROTOCOLS[0];
/// The block that the peer has.
pub const THEIRS: [u8; 1000] = [b't'; 1000];
/// The block that we have.
pub const OURS: [u8; 700] = [b'o'; 700];
const NOBODYS: &[u8] = b"nobody has this";

pub fn cid(data: &[u8]) -> Outcome<Cid> {
    cid_v1(Hash::Sha256, codec::RAW, data).map_err(|e| e.to_string().into())
}

/// A connection whose secrets are no secrets: the same bytes of the peer make the same bytes of ours.
pub fn connection(is_dialer: bool, observed: &str) -> Outcome<Connection> {
    let key = SecretKey::from_seed([7; 32])?;
    let credentials = Credentials::new(&key, &[57; 32])?;
    let said = [PROTOCOL, identify::PROTOCOL, identify::PROTOCOL_PUSH].map(str::to_owned).to_vec();
    let identify = Identify { key: Some(key.public().clone()), protocols: said, agent: Some("shoal-trace".into()), ..Identify::default() };
    let config = Arc::new(Config { key, credentials, security: vec![Security::Noise], protocols: vec![PROTOCOL.to_owned()], identify });
    let start = Start {
        now: Duration::ZERO,
        unix_time: Duration::from_secs(1_795_478_400),
        secrets: NoiseSecrets { fixed: [8; 32], ephemeral: [9; 32] },
        observed: observed.parse().ok(),
    };
    Ok(if is_dialer { Connection::dialer(config, None, start) } else { Connection::listener(config, start) })
}

#[derive(Default)]
pub struct Script {
    stream: Option<StreamId>,
    inbound: BTreeMap<StreamId, Delimited>,
    /// Lines that say what happened.
    pub said: Vec<String>,
    has_given: bool,
    is_refused: bool,
    pub is_done: bool,
}

impl Script {
    fn write(&self, connection: &mut Connection, message: &Message<'_>) {
        let mut framed = Vec::new();
        message.encode_delimited(&mut framed);
        if let Some(stream) = self.stream {
            connection.write(stream, &framed);
        }
    }

    pub fn act(&mut self, connection: &mut Connection, event: Event, now: Duration) -> Outcome<()> {
        match event {
            Event::Open { peer, security } => self.said.push(format!("open {security:?} {}", peer.peer_id())),
            Event::Identified(said) => {
                let agent = said.agent.unwrap_or_default();
                self.said.push(format!("identified {agent} {} {}", said.protocols.len(), said.addresses.len()));
                connection.ping([3; 32], now)?;
            }
            Event::Pinged(took) => {
                self.said.push(format!("pinged {took:?}"));
                if self.stream.is_none() {
                    self.stream = Some(connection.open(vec![PROTOCOL.to_owned()], now)?);
                    connection.open(vec!["/nobody/1".to_owned()], now)?;
                }
            }
            Event::Opened { protocol, .. } => {
                self.said.push(format!("opened {protocol}"));
                let entry = |cid, want| Entry { cid, want, priority: 1, wants_dont_have: true };
                let entries = vec![entry(cid(&THEIRS)?, Want::Block), entry(cid(&THEIRS)?, Want::Have), entry(cid(NOBODYS)?, Want::Block)];
                self.write(connection, &Message { entries, ..Message::default() });
            }
            Event::Refused { error, .. } => {
                self.said.push(format!("refused {error}"));
                self.is_refused = true;
            }
            Event::Inbound { stream, protocol } => {
                self.said.push(format!("inbound {} {protocol}", stream.0));
                self.inbound.insert(stream, Delimited::new(BITSWAP_BYTES_MAX));
            }
            Event::Readable(stream) => self.read(connection, stream, now)?,
            Event::Closed(reason) => {
                self.said.push(format!("closed {reason}"));
                self.is_done = true;
            }
            event => self.said.push(format!("{event:?}")),
        }
        Ok(())
    }

    fn read(&mut self, connection: &mut Connection, stream: StreamId, now: Duration) -> Outcome<()> {
        let Some(mut gathered) = self.inbound.remove(&stream) else {
            self.said.push(format!("readable {}", stream.0));
            return Ok(());
        };
        let read = connection.read_with(stream, BITSWAP_BYTES_MAX, &mut |piece| gathered.receive(piece), now);
        while let Some(message) = gathered.message()? {
            let message = Message::decode(message)?;
            self.said.push(format!("message {} entries {} blocks {:?}", message.entries.len(), message.payloads.len(), message.presences));
            for (cid, data) in message.hash_blocks() {
                self.said.push(format!("block {cid} {}", data.len()));
            }
            let ours = cid(&OURS)?;
            for entry in message.entries.iter().filter(|entry| entry.cid == ours) {
                self.said.push(format!("asked {:?}", entry.want));
                match entry.want {
                    Want::Have => self.write(connection, &Message { presences: vec![(ours.clone(), true)], ..Message::default() }),
                    Want::Block => {
                        let payloads = vec![Payload { prefix: Prefix::of(&ours), data: &OURS }];
                        self.write(connection, &Message { payloads, ..Message::default() });
                        self.has_given = true;
                    }
                    Want::Cancel if self.has_given && self.is_refused => {
                        if let Some(stream) = self.stream {
                            connection.reset(stream);
                        }
                        connection.close(now);
                    }
                    Want::Cancel => {}
                }
            }
        }
        if read.is_end {
            self.said.push(format!("end {}", stream.0));
            connection.finish(stream);
        } else {
            self.inbound.insert(stream, gathered);
        }
        Ok(())
    }
}
