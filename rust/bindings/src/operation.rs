//! Long calls: the work on a thread of its own, Python's thread watching it.
//!
//! While the work runs, the calling thread waits without the interpreter, in slices; between them it lets signal handlers run
//! (so Ctrl-C works), calls the caller's callbacks, and hands on what Python has to give. If any of that raises, the work is
//! cancelled and waited for, and then the exception goes on. Threads end with the call: nothing lives on to break a `fork`.

use crate::error::{self, store_error};
use pyo3::prelude::*;
use shoal_store::operation::Operation as Counters;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long Python's thread waits before it looks at signals and progress: short for a person, long for a processor.
const SLICE: Duration = Duration::from_millis(50);
/// Notices that may wait for Python's thread. The work waits when there are more.
const NOTICES_MAX: usize = 512;

/// A handle on a long call: made before it, given to it, asked and cancelled from any thread.
#[pyclass(frozen, module = "shoal._core")]
#[derive(Default)]
pub struct Operation {
    pub counters: Arc<Counters>,
}

/// (bytes, bytes in all, files, files in all, what is at hand).
pub type Reading = (u64, Option<u64>, u64, Option<u64>, Option<String>);

fn reading(counters: &Counters) -> Reading {
    let progress = counters.progress();
    (progress.bytes, progress.bytes_total, progress.files, progress.files_total, Some(progress.current).filter(|name| !name.is_empty()))
}

#[pymethods]
impl Operation {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn cancel(&self) {
        self.counters.cancel();
    }

    /// Raises `Cancelled` once somebody cancelled.
    fn check(&self, py: Python<'_>) -> PyResult<()> {
        self.counters.check().map_err(|e| store_error(py, &e))
    }

    fn progress(&self) -> Reading {
        reading(&self.counters)
    }
}

/// How the caller of a long call wants to hear of it.
#[derive(FromPyObject, Default)]
#[pyo3(from_item_all)]
pub struct Watch {
    pub operation: Option<Py<Operation>>,
    /// Called with a [`Reading`]'s parts at once, every now and then, and at the end.
    on_progress: Option<Py<PyAny>>,
}

/// What the work tells Python's thread: notices in order, and that it is over.
struct Channel<N> {
    state: Mutex<ChannelState<N>>,
    /// Something for Python's thread.
    told: Condvar,
    /// Room for more notices.
    room: Condvar,
}

struct ChannelState<N> {
    notices: VecDeque<N>,
    is_over: bool,
}

impl<N> Channel<N> {
    fn lock(&self) -> MutexGuard<'_, ChannelState<N>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(condition: &Condvar, guard: MutexGuard<'a, ChannelState<N>>) -> MutexGuard<'a, ChannelState<N>> {
        condition.wait_timeout(guard, SLICE).unwrap_or_else(PoisonError::into_inner).0
    }

    /// From the work: a notice for Python. Waits while there are too many.
    fn tell(&self, notice: N, counters: &Counters) -> shoal_store::Result<()> {
        let mut state = self.lock();
        while state.notices.len() >= NOTICES_MAX {
            counters.check()?;
            state = Self::wait(&self.room, state);
        }
        state.notices.push_back(notice);
        if state.notices.len() * 2 >= NOTICES_MAX {
            self.told.notify_one();
        }
        Ok(())
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.told.notify_one();
    }

    /// For Python's thread, without the interpreter: what came in up to one slice, and whether that was all.
    fn listen(&self, patience: Duration) -> (VecDeque<N>, bool) {
        let state = self.lock();
        let is_quiet = |state: &mut ChannelState<N>| !state.is_over && state.notices.len() * 2 < NOTICES_MAX;
        let mut state = self.told.wait_timeout_while(state, patience, is_quiet).unwrap_or_else(PoisonError::into_inner).0;
        let notices = std::mem::take(&mut state.notices);
        self.room.notify_one();
        (notices, state.is_over)
    }
}

/// The work's side of a long call.
pub struct Work<'a, N> {
    pub operation: &'a Counters,
    channel: &'a Channel<N>,
}

impl<N> Work<'_, N> {
    /// Something for the callback.
    pub fn tell(&self, notice: N) -> shoal_store::Result<()> {
        self.channel.tell(notice, self.operation)
    }
}

/// What Python's thread does between slices, besides watching. Returns whether it did something, and should be asked again at once.
pub type Chore<'a> = dyn FnMut(Python<'_>) -> PyResult<bool> + 'a;

/// A call without callbacks of its own.
pub fn run<T: Send>(py: Python<'_>, watch: &Watch, work: impl FnOnce(&Counters) -> shoal_store::Result<T> + Send) -> PyResult<T> {
    run_with::<T, ()>(py, watch, |work_| work(work_.operation), |_, ()| Ok(()), &mut |_| Ok(false))
}

/// Runs `work` on a thread of its own; meanwhile `on_notice` gets what it tells, and `chore` is done, with the interpreter.
pub fn run_with<T: Send, N: Send>(
    py: Python<'_>,
    watch: &Watch,
    work: impl FnOnce(&Work<'_, N>) -> shoal_store::Result<T> + Send,
    mut on_notice: impl FnMut(Python<'_>, N) -> PyResult<()>,
    chore: &mut Chore<'_>,
) -> PyResult<T> {
    let counters = watch.operation.as_ref().map_or_else(Arc::default, |operation| Arc::clone(&operation.get().counters));
    let channel = Channel {
        state: Mutex::new(ChannelState { notices: VecDeque::new(), is_over: false }),
        told: Condvar::new(),
        room: Condvar::new(),
    };
    let outcome = std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().name("shoal".to_owned()).spawn_scoped(scope, || {
            let outcome = catch_unwind(AssertUnwindSafe(|| work(&Work { operation: &counters, channel: &channel })));
            channel.end();
            outcome
        });
        let worker = match worker {
            Ok(worker) => worker,
            Err(e) => return Err(error::no_thread(py, &e)),
        };
        let mut raised = None;
        // At once, then every slice: what Python is asked for next may keep it waiting.
        let mut told_at: Option<Instant> = None;
        // What Python has to give is asked for at once: a small stream shall not cost a slice.
        let mut is_busy = true;
        loop {
            let (notices, is_over) = py.detach(|| channel.listen(if is_busy { Duration::ZERO } else { SLICE }));
            let turn = || -> PyResult<bool> {
                for notice in notices {
                    on_notice(py, notice)?;
                }
                py.check_signals()?;
                if let Some(on_progress) = &watch.on_progress
                    && (is_over || told_at.is_none_or(|at| at.elapsed() >= SLICE))
                {
                    told_at = Some(Instant::now());
                    on_progress.call1(py, reading(&counters))?;
                }
                if is_over { Ok(false) } else { chore(py) }
            };
            // After the first exception nothing is called any more: the work is only waited for.
            if raised.is_none() {
                match turn() {
                    Ok(did) => is_busy = did,
                    Err(exception) => {
                        counters.cancel();
                        raised = Some(exception);
                        is_busy = false;
                    }
                }
            }
            if is_over {
                break;
            }
        }
        let outcome = py.detach(|| worker.join());
        match raised {
            Some(exception) => Err(exception),
            None => Ok(outcome.unwrap_or_else(Err)),
        }
    })?;
    match outcome {
        Ok(result) => result.map_err(|e| store_error(py, &e)),
        Err(_) => Err(error::bug(py)),
    }
}
