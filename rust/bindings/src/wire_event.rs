//! What happened on a connection, as Python sees it.

use pyo3::prelude::*;
use shoal_wire::connection::{Event, Security};
use shoal_wire::identify::Identify;

/// One event. Described in `_core.pyi`.
#[pyclass(frozen, get_all, module = "shoal._core")]
#[derive(Default)]
pub struct WireEvent {
    kind: &'static str,
    stream: Option<u32>,
    protocol: Option<String>,
    peer: Option<String>,
    security: Option<&'static str>,
    seconds: Option<f64>,
    reason: Option<String>,
    identified: Option<Py<Identified>>,
}

/// What a peer says of itself. Described in `_core.pyi`.
#[pyclass(frozen, get_all, module = "shoal._core")]
pub struct Identified {
    agent: Option<String>,
    protocol_version: Option<String>,
    protocols: Vec<String>,
    addresses: Vec<String>,
    observed: Option<String>,
}

impl From<&Identify> for Identified {
    fn from(said: &Identify) -> Self {
        Self {
            agent: said.agent.clone(),
            protocol_version: said.protocol_version.clone(),
            protocols: said.protocols.clone(),
            addresses: said.addresses.iter().map(ToString::to_string).collect(),
            observed: said.observed.as_ref().map(ToString::to_string),
        }
    }
}

pub fn name_of(security: Security) -> &'static str {
    match security {
        Security::Tls => "tls",
        Security::Noise => "noise",
    }
}

impl WireEvent {
    fn of_stream(kind: &'static str, stream: shoal_wire::yamux::StreamId) -> Self {
        Self { kind, stream: Some(stream.0), ..Self::default() }
    }

    pub fn new(py: Python<'_>, event: Event) -> PyResult<Self> {
        Ok(match event {
            Event::Open { peer, security } => {
                Self { kind: "open", peer: Some(peer.peer_id().to_string()), security: Some(name_of(security)), ..Self::default() }
            }
            Event::Identified(said) => {
                Self { kind: "identified", identified: Some(Py::new(py, Identified::from(&*said))?), ..Self::default() }
            }
            Event::Opened { stream, protocol } => Self { protocol: Some(protocol), ..Self::of_stream("opened", stream) },
            Event::Refused { stream, error } => Self { reason: Some(error.to_string()), ..Self::of_stream("refused", stream) },
            Event::Inbound { stream, protocol } => Self { protocol: Some(protocol), ..Self::of_stream("inbound", stream) },
            Event::Readable(stream) => Self::of_stream("readable", stream),
            Event::Writable(stream) => Self::of_stream("writable", stream),
            Event::Reset(stream) => Self::of_stream("reset", stream),
            Event::Pinged(took) => Self { kind: "pinged", seconds: took.map(|took| took.as_secs_f64()), ..Self::default() },
            Event::GoneAway(_) => Self { kind: "gone-away", ..Self::default() },
            Event::Closed(reason) => Self { kind: "closed", reason: Some(reason.to_string()), ..Self::default() },
        })
    }
}

#[pymethods]
impl WireEvent {
    fn __repr__(&self) -> String {
        let stream = self.stream.map_or_else(String::new, |stream| format!(" {stream}"));
        format!("<WireEvent {}{stream}>", self.kind)
    }
}
