//! Multiaddrs: addresses that say how they are to be used, part by part (`/ip4/192.0.2.1/tcp/4001/p2p/12D3Koo…`).
//!
//! A [`Multiaddr`] is its own bytes, valid by construction. A protocol that is not in [`PROTOCOLS`] makes the whole address
//! unreadable, since nobody else knows its length: whoever reads a list of a peer's addresses skips those.
//! Spec: <https://github.com/multiformats/multiaddr>, codes in its `protocols.csv`.

use crate::limits::{MULTIADDR_BYTES_MAX, MULTIADDR_PARTS_MAX};
use crate::peer_id::PeerId;
use shoal_core::varint;
use std::fmt;
// The types of addresses; sockets are in `std` only.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// How a protocol's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// There is none.
    Nothing,
    /// Four bytes, dotted.
    Ip4,
    /// Sixteen bytes, with colons.
    Ip6,
    /// Two bytes, big-endian.
    Port,
    /// UTF-8 without a slash.
    Name,
    /// A peer id.
    Peer,
    /// Bytes; multibase base64url in text.
    Base64Url,
    /// UTF-8, with slashes; takes the rest of the text.
    Path,
}

/// One protocol of an address.
#[derive(Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its multicodec.
    pub code: u64,
    /// Its name in text.
    pub name: &'static str,
    /// How its value is written.
    pub form: Form,
}

const fn protocol(code: u64, name: &'static str, form: Form) -> Protocol {
    Protocol { code, name, form }
}

/// The protocols that Shoal reads: those in the addresses of IPFS peers.
pub static PROTOCOLS: [Protocol; 26] = [
    protocol(4, "ip4", Form::Ip4),
    protocol(6, "tcp", Form::Port),
    protocol(41, "ip6", Form::Ip6),
    protocol(42, "ip6zone", Form::Name),
    protocol(53, "dns", Form::Name),
    protocol(54, "dns4", Form::Name),
    protocol(55, "dns6", Form::Name),
    protocol(56, "dnsaddr", Form::Name),
    protocol(273, "udp", Form::Port),
    protocol(280, "webrtc-direct", Form::Nothing),
    protocol(281, "webrtc", Form::Nothing),
    protocol(290, "p2p-circuit", Form::Nothing),
    protocol(400, "unix", Form::Path),
    protocol(421, "p2p", Form::Peer),
    protocol(443, "https", Form::Nothing),
    protocol(448, "tls", Form::Nothing),
    protocol(449, "sni", Form::Name),
    protocol(454, "noise", Form::Nothing),
    protocol(460, "quic", Form::Nothing),
    protocol(461, "quic-v1", Form::Nothing),
    protocol(465, "webtransport", Form::Nothing),
    protocol(466, "certhash", Form::Base64Url),
    protocol(477, "ws", Form::Nothing),
    protocol(478, "wss", Form::Nothing),
    protocol(480, "http", Form::Nothing),
    protocol(481, "http-path", Form::Name),
];

/// Why bytes or text are no address. Never repeats the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MultiaddrError {
    /// More bytes, or more parts, than an address has.
    TooLong,
    /// No part at all.
    Empty,
    /// The bytes end inside a part, or the text ends before a value.
    Truncated,
    /// A protocol that is not in the table.
    Protocol,
    /// A value that its protocol does not allow (the protocol's name).
    Value(&'static str),
    /// Text that does not begin with a slash, or ends with one.
    Slash,
}

impl fmt::Display for MultiaddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "address has more than {MULTIADDR_BYTES_MAX} bytes or {MULTIADDR_PARTS_MAX} parts"),
            Self::Empty => f.write_str("address is empty"),
            Self::Truncated => f.write_str("address is cut short"),
            Self::Protocol => f.write_str("address has a protocol that is not known"),
            Self::Value(name) => write!(f, "address has a bad value behind /{name}"),
            Self::Slash => f.write_str("address must begin with a slash and not end with one (/ip4/127.0.0.1/tcp/4001)"),
        }
    }
}
impl std::error::Error for MultiaddrError {}

/// One protocol and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    /// Which.
    pub protocol: &'static Protocol,
    /// The value in binary; empty where there is none.
    pub value: &'a [u8],
}

fn is_name(value: &[u8], with_slash: bool) -> bool {
    !value.is_empty() && std::str::from_utf8(value).is_ok_and(|s| !s.contains('\0') && (with_slash || !s.contains('/')))
}

/// Takes a part from the front of `rest`.
fn take<'a>(rest: &mut &'a [u8]) -> Result<Part<'a>, MultiaddrError> {
    let mut number = || {
        let (value, n) = varint::read(rest).map_err(|_| MultiaddrError::Truncated)?;
        *rest = rest.get(n..).unwrap_or_default();
        Ok(value)
    };
    let code = number()?;
    let protocol = PROTOCOLS.iter().find(|p| p.code == code).ok_or(MultiaddrError::Protocol)?;
    let len = match protocol.form {
        Form::Nothing => 0,
        Form::Ip4 => 4,
        Form::Ip6 => 16,
        Form::Port => 2,
        Form::Name | Form::Peer | Form::Base64Url | Form::Path => usize::try_from(number()?).map_err(|_| MultiaddrError::Truncated)?,
    };
    let (value, behind) = rest.split_at_checked(len).ok_or(MultiaddrError::Truncated)?;
    let is_allowed = match protocol.form {
        Form::Nothing | Form::Ip4 | Form::Ip6 | Form::Port => true,
        Form::Name => is_name(value, false),
        Form::Path => is_name(value, true),
        Form::Peer => PeerId::from_bytes(value).is_ok(),
        Form::Base64Url => !value.is_empty(),
    };
    *rest = behind;
    if is_allowed { Ok(Part { protocol, value }) } else { Err(MultiaddrError::Value(protocol.name)) }
}

/// An address of a peer.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Multiaddr(Vec<u8>);

impl Multiaddr {
    /// Reads the binary form, all of it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MultiaddrError> {
        if bytes.len() > MULTIADDR_BYTES_MAX {
            return Err(MultiaddrError::TooLong);
        }
        let (mut rest, mut parts) = (bytes, 0usize);
        while !rest.is_empty() {
            take(&mut rest)?;
            parts += 1;
        }
        match parts {
            0 => Err(MultiaddrError::Empty),
            1..=MULTIADDR_PARTS_MAX => Ok(Self(bytes.to_vec())),
            _ => Err(MultiaddrError::TooLong),
        }
    }

    /// The binary form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its protocols and their values, in order.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let mut rest = self.as_bytes();
        std::iter::from_fn(move || take(&mut rest).ok())
    }

    /// The peer that the address leads to: that of its last part, if it names one.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        self.parts().last().filter(|part| part.protocol.form == Form::Peer).and_then(|part| PeerId::from_bytes(part.value).ok())
    }

    /// The IP address and TCP port, for an address that is these two, and perhaps a peer.
    #[must_use]
    pub fn tcp(&self) -> Option<(IpAddr, u16)> {
        let mut parts = self.parts();
        let ip = ip(&parts.next()?)?;
        let port = parts.next().filter(|part| part.protocol.name == "tcp").and_then(|part| port(&part))?;
        parts.all(|part| part.protocol.form == Form::Peer).then_some((ip, port))
    }

    /// The address of an IP address and TCP port.
    #[must_use]
    pub fn of_tcp(ip: IpAddr, port: u16) -> Self {
        let mut bytes = Vec::with_capacity(20);
        match ip {
            IpAddr::V4(ip) => {
                varint::write(4, &mut bytes);
                bytes.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                varint::write(41, &mut bytes);
                bytes.extend_from_slice(&ip.octets());
            }
        }
        varint::write(6, &mut bytes);
        bytes.extend_from_slice(&port.to_be_bytes());
        Self(bytes)
    }
}

fn ip(part: &Part<'_>) -> Option<IpAddr> {
    match part.protocol.form {
        Form::Ip4 => <[u8; 4]>::try_from(part.value).ok().map(|octets| Ipv4Addr::from(octets).into()),
        Form::Ip6 => <[u8; 16]>::try_from(part.value).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

fn port(part: &Part<'_>) -> Option<u16> {
    <[u8; 2]>::try_from(part.value).ok().map(u16::from_be_bytes)
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.protocol.name)?;
        let text = || std::str::from_utf8(self.value).unwrap_or_default();
        match self.protocol.form {
            Form::Nothing => Ok(()),
            Form::Ip4 | Form::Ip6 => ip(self).map_or(Ok(()), |ip| write!(f, "/{ip}")),
            Form::Port => port(self).map_or(Ok(()), |port| write!(f, "/{port}")),
            Form::Name => write!(f, "/{}", text()),
            Form::Path => write!(f, "/{}", text().strip_prefix('/').unwrap_or(text())),
            Form::Peer => PeerId::from_bytes(self.value).map_or(Ok(()), |id| write!(f, "/{id}")),
            Form::Base64Url => write!(f, "/{}", multibase::encode(multibase::Base::Base64Url, self.value)),
        }
    }
}

impl fmt::Display for Multiaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().try_for_each(|part| part.fmt(f))
    }
}

impl fmt::Debug for Multiaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Multiaddr({self})")
    }
}

/// The binary value of a text behind `protocol`; None where it is not one.
fn value_of(protocol: &Protocol, text: &str) -> Option<Vec<u8>> {
    Some(match protocol.form {
        Form::Nothing => return None,
        Form::Ip4 => text.parse::<Ipv4Addr>().ok()?.octets().to_vec(),
        Form::Ip6 => text.parse::<Ipv6Addr>().ok()?.octets().to_vec(),
        // `u16` takes a plus sign; a port has none.
        Form::Port => text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.parse::<u16>().ok())??.to_be_bytes().to_vec(),
        Form::Name => text.as_bytes().to_vec(),
        Form::Path => format!("/{text}").into_bytes(),
        Form::Peer => text.parse::<PeerId>().ok()?.as_bytes().to_vec(),
        Form::Base64Url => multibase::decode(text).ok()?.1,
    })
}

impl FromStr for Multiaddr {
    type Err = MultiaddrError;

    /// Reads the text form; `/ipfs/` is an old name of `/p2p/`.
    fn from_str(text: &str) -> Result<Self, MultiaddrError> {
        // The longest text of a value is that of a peer id or of bytes, under twice as long.
        if text.len() > 2 * MULTIADDR_BYTES_MAX {
            return Err(MultiaddrError::TooLong);
        }
        let mut rest = text.strip_prefix('/').ok_or(MultiaddrError::Slash)?;
        let mut bytes = Vec::new();
        loop {
            let (name, behind) = rest.split_once('/').map_or((rest, None), |(name, behind)| (name, Some(behind)));
            let name = if name == "ipfs" { "p2p" } else { name };
            let protocol = match PROTOCOLS.iter().find(|p| p.name == name) {
                None if name.is_empty() => return Err(MultiaddrError::Slash),
                found => found.ok_or(MultiaddrError::Protocol)?,
            };
            varint::write(protocol.code, &mut bytes);
            let mut left = behind;
            if protocol.form != Form::Nothing {
                let behind = behind.ok_or(MultiaddrError::Truncated)?;
                let (value, after) = match behind.split_once('/') {
                    Some((value, after)) if protocol.form != Form::Path => (value, Some(after)),
                    _ => (behind, None),
                };
                let value = value_of(protocol, value).ok_or(MultiaddrError::Value(protocol.name))?;
                if !matches!(protocol.form, Form::Ip4 | Form::Ip6 | Form::Port) {
                    varint::write(value.len() as u64, &mut bytes);
                }
                bytes.extend_from_slice(&value);
                left = after;
            }
            match left {
                None => return Self::from_bytes(&bytes),
                Some(behind) => rest = behind,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PEER: &str = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq";

    #[test]
    fn the_addresses_of_ipfs_are_read_and_written_alike() {
        for text in [
            "/ip4/127.0.0.1/tcp/4001".to_owned(),
            format!("/ip6/2001:db8::1/udp/4001/quic-v1/p2p/{PEER}"),
            "/dnsaddr/bootstrap.libp2p.io/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN".to_owned(),
            format!("/ip4/192.0.2.1/tcp/4001/p2p/{PEER}/p2p-circuit/p2p/{PEER}"),
            "/ip4/192.0.2.1/udp/1/quic-v1/webtransport/certhash/uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g".to_owned(),
            "/dns4/example.org/tcp/443/tls/sni/example.org/ws".to_owned(),
            "/ip6zone/eth0/ip6/fe80::1/tcp/1".to_owned(),
            "/unix/tmp/p2p.sock".to_owned(),
        ] {
            let address: Multiaddr = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(Multiaddr::from_bytes(address.as_bytes()), Ok(address));
        }
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/4001".parse().unwrap();
        assert_eq!(address.as_bytes(), b"\x04\x7f\x00\x00\x01\x06\x0f\xa1");
    }

    #[test]
    fn an_address_says_where_to_dial_and_whom_to_expect() {
        let address: Multiaddr = format!("/ip4/192.0.2.1/tcp/4001/ipfs/{PEER}").parse().unwrap();
        assert_eq!(address.tcp(), Some((Ipv4Addr::new(192, 0, 2, 1).into(), 4001)));
        assert_eq!(address.peer(), PEER.parse().ok());
        for other in ["/ip4/192.0.2.1/udp/4001/quic-v1", "/ip4/192.0.2.1/tcp/1/ws", "/dns4/a/tcp/1", "/ip4/192.0.2.1"] {
            let address: Multiaddr = other.parse().unwrap();
            assert_eq!((address.tcp(), address.peer()), (None, None), "{other}");
        }
        for ip in [IpAddr::from([127, 0, 0, 1]), Ipv6Addr::LOCALHOST.into()] {
            assert_eq!(Multiaddr::of_tcp(ip, 65_535).tcp(), Some((ip, 65_535)));
            assert_eq!(Multiaddr::from_bytes(Multiaddr::of_tcp(ip, 1).as_bytes()), Ok(Multiaddr::of_tcp(ip, 1)));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        for (text, error) in [
            ("", MultiaddrError::Slash),
            ("/", MultiaddrError::Slash),
            ("ip4/127.0.0.1", MultiaddrError::Slash),
            ("/ip4/127.0.0.1/", MultiaddrError::Slash),
            ("/ip4", MultiaddrError::Truncated),
            ("/ip4/1.2.3", MultiaddrError::Value("ip4")),
            ("/ip4/1.2.3.4/tcp/65536", MultiaddrError::Value("tcp")),
            ("/ip4/1.2.3.4/tcp/+1", MultiaddrError::Value("tcp")),
            ("/dns4//tcp/1", MultiaddrError::Value("dns4")),
            ("/p2p/Qm", MultiaddrError::Value("p2p")),
            ("/smell/1", MultiaddrError::Protocol),
        ] {
            assert_eq!(text.parse::<Multiaddr>(), Err(error), "{text}");
        }
        for (bytes, error) in [
            (&b""[..], MultiaddrError::Empty),
            (b"\x04\x7f\x00\x00", MultiaddrError::Truncated),
            (b"\x36\x05ab", MultiaddrError::Truncated),
            (b"\x36\x03a/b", MultiaddrError::Value("dns4")),
            (b"\x36\x02a\xff", MultiaddrError::Value("dns4")),
            (b"\x36\xff\xff\xff\xff\xff\xff\xff\xff\x7f", MultiaddrError::Truncated),
            (b"\xa5\x03\x02\x08\x01", MultiaddrError::Value("p2p")),
            (b"\x05", MultiaddrError::Protocol),
        ] {
            assert_eq!(Multiaddr::from_bytes(bytes), Err(error), "{bytes:02x?}");
        }
    }

    #[test]
    fn an_address_is_bounded_in_bytes_and_parts() {
        let circuit = "/p2p-circuit";
        assert!(circuit.repeat(MULTIADDR_PARTS_MAX).parse::<Multiaddr>().is_ok());
        assert_eq!(circuit.repeat(MULTIADDR_PARTS_MAX + 1).parse::<Multiaddr>(), Err(MultiaddrError::TooLong));
        let long = |bytes| format!("/dns4/{}", "a".repeat(bytes));
        assert!(long(MULTIADDR_BYTES_MAX - 3).parse::<Multiaddr>().is_ok());
        assert_eq!(long(MULTIADDR_BYTES_MAX - 2).parse::<Multiaddr>(), Err(MultiaddrError::TooLong));
        assert_eq!(long(9 * MULTIADDR_BYTES_MAX).parse::<Multiaddr>(), Err(MultiaddrError::TooLong));
    }

    proptest! {
        /// What is read from bytes has a text, and this text is read as the same bytes (but for paths, whose slashes are tidied).
        #[test]
        fn text_and_bytes_are_one_address(
            parts in proptest::collection::vec((0..PROTOCOLS.len(), proptest::collection::vec(any::<u8>(), 0..20)), 1..6), cut: usize,
        ) {
            let mut bytes = Vec::new();
            for (i, value) in parts {
                varint::write(PROTOCOLS[i].code, &mut bytes);
                bytes.extend_from_slice(&value);
            }
            bytes.truncate(cut % 100);
            if let Ok(address) = Multiaddr::from_bytes(&bytes)
                && address.parts().all(|part| part.protocol.form != Form::Path)
            {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }

        #[test]
        fn no_input_panics(bytes: Vec<u8>, text in "(/[a-z0-9.:]*)*") {
            let _ = Multiaddr::from_bytes(&bytes).map(|address| address.to_string());
            let _ = text.parse::<Multiaddr>();
        }
    }
}
