//! A bounded queue of jobs for scoped worker threads.
//!
//! A job may turn out to be large: the worker that finds out offers it as [`Shared`], and its segments are handed out
//! to all workers before any new job is started. Nobody waits once somebody said stop.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Work that several workers do together.
pub(crate) trait Shared: Send + Sync {
    /// A part of it.
    type Segment: Send;

    /// The next part nobody has yet. None once all are given out.
    fn claim(&self) -> Option<Self::Segment>;
}

/// What a worker is given.
pub(crate) enum Work<J, S: Shared> {
    /// A job of its own.
    Job(J),
    /// A part of shared work.
    Segment(Arc<S>, S::Segment),
}

struct State<J, S> {
    shared: VecDeque<Arc<S>>,
    jobs: VecDeque<J>,
    /// Jobs in hand, each of which may still offer shared work.
    in_hand: usize,
    closed: bool,
    stopped: bool,
    /// How far the consumer of results is; see [`Queue::admit`].
    consumed: u64,
}

/// The queue. Shared by reference in a thread scope.
pub(crate) struct Queue<J, S: Shared> {
    state: Mutex<State<J, S>>,
    changed: Condvar,
    jobs_max: usize,
}

impl<J, S: Shared> Queue<J, S> {
    /// A queue that holds up to `jobs_max` jobs that nobody has begun.
    pub fn new(jobs_max: usize) -> Self {
        let state = State { shared: VecDeque::new(), jobs: VecDeque::new(), in_hand: 0, closed: false, stopped: false, consumed: 0 };
        Self { state: Mutex::new(state), changed: Condvar::new(), jobs_max }
    }

    fn lock(&self) -> MutexGuard<'_, State<J, S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<J, S>>) -> MutexGuard<'a, State<J, S>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a job to the workers, waiting for room. False: everybody is to stop.
    pub fn push(&self, job: J) -> bool {
        let mut state = self.lock();
        while state.jobs.len() >= self.jobs_max && !state.stopped {
            state = self.wait(state);
        }
        if state.stopped {
            return false;
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Waits until `sequence` is less than `ahead_max` beyond what was consumed. False: everybody is to stop.
    pub fn admit(&self, sequence: u64, ahead_max: u64) -> bool {
        let mut state = self.lock();
        while sequence >= state.consumed.saturating_add(ahead_max) && !state.stopped {
            state = self.wait(state);
        }
        !state.stopped
    }

    /// Everything before `sequence` was consumed.
    pub fn consumed(&self, sequence: u64) {
        self.lock().consumed = sequence;
        self.changed.notify_all();
    }

    /// Offers shared work to all workers.
    pub fn offer(&self, shared: S) {
        self.lock().shared.push_back(Arc::new(shared));
        self.changed.notify_all();
    }

    /// The next work. None: there will be none.
    pub fn next(&self) -> Option<Work<J, S>> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(shared) = state.shared.front() {
                match shared.claim() {
                    Some(segment) => return Some(Work::Segment(Arc::clone(shared), segment)),
                    None => {
                        state.shared.pop_front();
                        continue;
                    }
                }
            }
            if let Some(job) = state.jobs.pop_front() {
                state.in_hand += 1;
                drop(state);
                self.changed.notify_all();
                return Some(Work::Job(job));
            }
            if state.closed && state.in_hand == 0 {
                return None;
            }
            state = self.wait(state);
        }
    }

    /// Marks the end of a [`Work::Job`] when dropped.
    pub fn done_on_drop(&self) -> impl Drop + '_ {
        OnDrop(move || {
            self.lock().in_hand -= 1;
            self.changed.notify_all();
        })
    }

    /// Says "no more jobs" when dropped.
    pub fn close_on_drop(&self) -> impl Drop + '_ {
        OnDrop(move || {
            self.lock().closed = true;
            self.changed.notify_all();
        })
    }

    /// Says "stop" when dropped.
    pub fn stop_on_drop(&self) -> impl Drop + '_ {
        OnDrop(move || self.stop())
    }

    /// Everybody stops at the next call.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
