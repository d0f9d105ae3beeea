//! A connection to one peer: the wire machine, driven by Python, which has the socket and the clock.
//!
//! Nothing in here waits for the interpreter while it holds the machine, so a short call may wait for the machine attached.

use crate::buffer::Bytes;
use crate::error::{Class, invalid, raise};
use crate::identity::{WireConfig, multiaddr, peer_id};
use crate::wire_event::WireEvent;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use shoal_wire::connection::{Connection as Machine, Event, Start};
use shoal_wire::noise::NoiseSecrets;
use shoal_wire::yamux::{Read, Shared, StreamId};
use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// From so many bytes on the interpreter is released: some ten microseconds of decryption.
const LONG_BYTES: usize = 16 * 1024;

/// Described in `_core.pyi`.
#[pyclass(frozen, module = "shoal._core")]
pub struct Connection(Mutex<Machine>);

/// The most room that a thread keeps from call to call.
const ROOM_BYTES_MAX: usize = 1024 * 1024;

thread_local! {
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls with an empty buffer that has room from calls before: it is the thread's, so that connections at rest hold none.
fn in_room<T>(call: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut room = ROOM.take();
    let result = call(&mut room);
    room.clear();
    if room.capacity() <= ROOM_BYTES_MAX {
        ROOM.set(room);
    }
    result
}

pub fn time(py: Python<'_>, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| invalid(py, "a time is a number of seconds, and not negative"))
}

/// What a connection needs of the outside at its start.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Begin {
    now: f64,
    unix_time: f64,
    secrets: [u8; 64],
    observed: Option<String>,
}

impl Begin {
    fn start(self, py: Python<'_>) -> PyResult<Start> {
        let (mut fixed, mut ephemeral) = ([0; 32], [0; 32]);
        fixed.copy_from_slice(self.secrets.first_chunk::<32>().unwrap_or(&[0; 32]));
        ephemeral.copy_from_slice(self.secrets.last_chunk::<32>().unwrap_or(&[0; 32]));
        Ok(Start {
            now: time(py, self.now)?,
            unix_time: time(py, self.unix_time)?,
            secrets: NoiseSecrets { fixed, ephemeral },
            observed: self.observed.map(|text| multiaddr(py, &text)).transpose()?,
        })
    }
}

impl Connection {
    pub fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Connection {
    #[staticmethod]
    #[pyo3(signature = (config, expected, start))]
    fn dial(py: Python<'_>, config: &Bound<'_, WireConfig>, expected: Option<&str>, start: Begin) -> PyResult<Self> {
        let expected = expected.map(|text| peer_id(py, text)).transpose()?;
        Ok(Self(Mutex::new(Machine::dialer(Arc::clone(&config.get().0), expected, start.start(py)?))))
    }

    #[staticmethod]
    fn listen(py: Python<'_>, config: &Bound<'_, WireConfig>, start: Begin) -> PyResult<Self> {
        Ok(Self(Mutex::new(Machine::listener(Arc::clone(&config.get().0), start.start(py)?))))
    }

    fn receive(&self, py: Python<'_>, data: Bytes, now: f64) -> PyResult<()> {
        let now = time(py, now)?;
        if data.len() >= LONG_BYTES {
            py.detach(|| self.machine().receive(&data, now));
        } else {
            self.machine().receive(&data, now);
        }
        Ok(())
    }

    fn receive_end(&self) {
        self.machine().receive_end();
    }

    fn transmit<'py>(&self, py: Python<'py>, bytes_max: usize) -> Bound<'py, PyBytes> {
        in_room(|out| {
            py.detach(|| self.machine().transmit(out, bytes_max));
            PyBytes::new(py, out)
        })
    }

    fn events(&self, py: Python<'_>) -> PyResult<Vec<WireEvent>> {
        let events: Vec<Event> = {
            let mut machine = self.machine();
            std::iter::from_fn(|| machine.event()).collect()
        };
        events.into_iter().map(|event| WireEvent::new(py, event)).collect()
    }

    fn deadline(&self) -> Option<f64> {
        self.machine().deadline().map(|deadline| deadline.as_secs_f64())
    }

    fn wants_input(&self) -> bool {
        self.machine().wants_input()
    }

    fn on_time(&self, py: Python<'_>, now: f64) -> PyResult<()> {
        self.machine().on_time(time(py, now)?);
        Ok(())
    }

    fn open(&self, py: Python<'_>, protocols: Vec<String>, now: f64) -> PyResult<u32> {
        let opened = self.machine().open(protocols, time(py, now)?);
        opened.map(|stream| stream.0).map_err(|e| raise(py, Class::ConnectionLost, &format!("no stream can be opened: {e}")))
    }

    /// How many bytes from `offset` on were taken. Long ones are not copied: the machine holds the object until they are sent.
    fn write(&self, stream: u32, data: Bytes, offset: usize) -> Option<usize> {
        let rest = data.get(offset..).unwrap_or_default();
        if rest.len() >= LONG_BYTES {
            self.machine().write_shared(StreamId(stream), &Shared::new(data), offset)
        } else {
            self.machine().write(StreamId(stream), rest)
        }
    }

    fn read<'py>(&self, py: Python<'py>, stream: u32, bytes_max: usize, now: f64) -> PyResult<(Bound<'py, PyBytes>, bool)> {
        let now = time(py, now)?;
        Ok(in_room(|out| {
            let Read { is_end, .. } = py.detach(|| self.machine().read(StreamId(stream), bytes_max, out, now));
            (PyBytes::new(py, out), is_end)
        }))
    }

    fn finish(&self, stream: u32) {
        self.machine().finish(StreamId(stream));
    }

    fn reset(&self, stream: u32) {
        self.machine().reset(StreamId(stream));
    }

    fn ping(&self, py: Python<'_>, data: [u8; 32], now: f64) -> PyResult<()> {
        let begun = self.machine().ping(data, time(py, now)?);
        begun.map_err(|e| raise(py, Class::ConnectionLost, &format!("the peer cannot be pinged: {e}")))
    }

    /// Tells the peer where we listen now.
    fn push_addresses(&self, py: Python<'_>, addresses: Vec<String>, now: f64) -> PyResult<()> {
        let addresses = addresses.iter().map(|text| multiaddr(py, text)).collect::<PyResult<_>>()?;
        let changed = shoal_wire::identify::Identify { addresses, ..Default::default() };
        let begun = self.machine().push(changed, time(py, now)?);
        begun.map_err(|e| raise(py, Class::ConnectionLost, &format!("the peer cannot be told: {e}")))
    }

    fn close(&self, py: Python<'_>, now: f64) -> PyResult<()> {
        self.machine().close(time(py, now)?);
        Ok(())
    }

    fn round_trip(&self) -> Option<f64> {
        self.machine().round_trip().map(|took| took.as_secs_f64())
    }
}
