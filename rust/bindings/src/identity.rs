//! Who a node is, and how peers and addresses are written: text in its one canonical form.

use crate::error::{invalid, shown};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use shoal_wire::connection::{Config, Security};
use shoal_wire::identify::{self, Identify};
use shoal_wire::limits::IDENTIFY_SEND_BYTES_MAX;
use shoal_wire::tls::Credentials;
use shoal_wire::{Multiaddr, PeerId, SecretKey, ping};
use std::sync::Arc;

/// The name of a network that all of libp2p's file sharing says it is of.
const NETWORK: &str = "ipfs/0.1.0";

/// A peer id in one of its text forms.
pub fn peer_id(py: Python<'_>, text: &str) -> PyResult<PeerId> {
    text.parse().map_err(|e| invalid(py, &format!("{} is no peer id: {e}", shown(text))))
}

pub fn multiaddr(py: Python<'_>, text: &str) -> PyResult<Multiaddr> {
    text.parse().map_err(|e| invalid(py, &format!("{} is no address of a peer: {e}; one is /ip4/192.0.2.1/tcp/4001", shown(text))))
}

/// An Ed25519 key. Described in `_core.pyi`.
#[pyclass(frozen, module = "shoal._core")]
pub struct Identity(SecretKey);

#[pymethods]
impl Identity {
    #[new]
    fn new(py: Python<'_>, protobuf: &[u8]) -> PyResult<Self> {
        SecretKey::from_protobuf(protobuf).map(Self).map_err(|e| invalid(py, &format!("this is no Ed25519 key of libp2p: {e}")))
    }

    #[staticmethod]
    fn from_seed(py: Python<'_>, seed: [u8; 32]) -> PyResult<Self> {
        SecretKey::from_seed(seed).map(Self).map_err(|e| invalid(py, &e.to_string()))
    }

    #[getter]
    fn peer_id(&self) -> String {
        self.0.public().peer_id().to_string()
    }

    fn to_protobuf<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.to_protobuf())
    }

    fn sign<'py>(&self, py: Python<'py>, message: &[u8]) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.sign(message))
    }

    fn __repr__(&self) -> String {
        format!("<Identity {}>", self.peer_id())
    }
}

/// What the connections of a node share. Described in `_core.pyi`.
#[pyclass(frozen, module = "shoal._core")]
pub struct WireConfig(pub Arc<Config>);

fn security_named(py: Python<'_>, name: &str) -> PyResult<Security> {
    match name {
        "tls" => Ok(Security::Tls),
        "noise" => Ok(Security::Noise),
        _ => Err(invalid(py, &format!("no secure channel {}; there are tls and noise", shown(name)))),
    }
}

#[pymethods]
impl WireConfig {
    #[new]
    #[pyo3(signature = (identity, tls_secret, *, protocols, agent, addresses, security))]
    fn new(
        py: Python<'_>,
        identity: &Bound<'_, Identity>,
        tls_secret: [u8; 32],
        protocols: Vec<String>,
        agent: String,
        addresses: Vec<String>,
        security: Vec<String>,
    ) -> PyResult<Self> {
        // A key is never copied but by those who hold it: this is its second home.
        let key = SecretKey::from_protobuf(&identity.get().0.to_protobuf()).map_err(|e| invalid(py, &e.to_string()))?;
        let credentials = Credentials::new(&key, &tls_secret).map_err(|e| invalid(py, &format!("{e}; draw another secret")))?;
        let security: Vec<Security> = security.iter().map(|name| security_named(py, name)).collect::<PyResult<_>>()?;
        let inside = [identify::PROTOCOL, identify::PROTOCOL_PUSH, ping::PROTOCOL].map(str::to_owned);
        let said = Identify {
            key: Some(key.public().clone()),
            addresses: addresses.iter().map(|text| multiaddr(py, text)).collect::<PyResult<_>>()?,
            protocols: protocols.iter().cloned().chain(inside).collect(),
            agent: Some(agent),
            protocol_version: Some(NETWORK.to_owned()),
            ..Identify::default()
        };
        let mut message = Vec::new();
        said.encode(&mut message);
        if security.is_empty() || message.len() > IDENTIFY_SEND_BYTES_MAX {
            return Err(invalid(py, "a node needs a secure channel, and its protocols and addresses fit into 4 KiB"));
        }
        Ok(Self(Arc::new(Config { key, credentials, security, protocols, identify: said })))
    }
}

/// A peer id in its canonical text.
#[pyfunction]
pub fn canonical_peer_id(py: Python<'_>, text: &str) -> PyResult<String> {
    peer_id(py, text).map(|peer| peer.to_string())
}

/// An address without its peer, that peer, and IP address and port.
type Address = (String, Option<String>, Option<(String, u16)>);

/// An address in its canonical text without the peer at its end, that peer, and IP address and port where it is one of TCP.
#[pyfunction]
pub fn parse_multiaddr(py: Python<'_>, text: &str) -> PyResult<Address> {
    let address = multiaddr(py, text)?;
    let tcp = address.tcp().map(|(ip, port)| (ip.to_string(), port));
    let peer = address.peer().map(|peer| peer.to_string());
    let mut place = address.to_string();
    if peer.is_some() {
        let parts: Vec<&str> = place.rsplitn(3, '/').collect();
        place = parts.get(2).map_or_else(String::new, |place| (*place).to_owned());
    }
    Ok((place, peer, tcp))
}

/// The address of an IP address and TCP port.
#[pyfunction]
pub fn tcp_multiaddr(py: Python<'_>, ip: &str, port: u16) -> PyResult<String> {
    let ip = ip.parse().map_err(|_| invalid(py, &format!("{} is no IP address", shown(ip))))?;
    Ok(Multiaddr::of_tcp(ip, port).to_string())
}
