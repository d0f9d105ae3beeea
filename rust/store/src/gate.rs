//! Who may write: one process at a time, and in it any number of sessions, or one alone.

use crate::disk::Lock;
use crate::error::{Error, Result};
use crate::inner::{Inner, locked};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// Who may write: the sessions of this process, and its lock against others.
#[derive(Default)]
pub(crate) struct Gate {
    pub sessions: usize,
    /// Sessions opened so far.
    pub opened: u64,
    /// The sessions that live, each by how many were opened up to it.
    pub alive: BTreeSet<u64>,
    pub is_exclusive: bool,
    lock: Option<Box<dyn Send>>,
    pid: u32,
    pub has_taken_over: bool,
}

/// How a session came in.
pub(crate) struct Entered {
    pub pid: u32,
    /// Which session of the process it is.
    pub number: u64,
    /// Whether there was no other then.
    pub is_alone: bool,
}

/// How often the lock is tried while another process has it.
const LOCK_RETRY: Duration = Duration::from_millis(15);

impl Inner {
    pub fn enter(self: &Arc<Self>, is_exclusive: bool) -> Result<Entered> {
        if self.options.read_only {
            return Err(Error::ReadOnly);
        }
        self.check_poison()?;
        let pid = std::process::id();
        let deadline = Instant::now() + self.options.lock_wait;
        let mut gate = locked(&self.gate);
        loop {
            let mut holder = Some(pid);
            if gate.sessions > 0 {
                if gate.pid != pid {
                    return Err(Error::Forked);
                }
                if !is_exclusive && !gate.is_exclusive {
                    break;
                }
            } else {
                let path = self.root.join("lock");
                match self.disk.lock(&path).map_err(|e| Error::io("locking", &path, e))? {
                    Lock::Taken(lock) => {
                        match crate::recover::take_over(self, !gate.has_taken_over) {
                            Err(Error::Full { .. }) if self.give_up_reserve() => crate::recover::take_over(self, !gate.has_taken_over)?,
                            other => other?,
                        }
                        self.keep_reserve();
                        gate.has_taken_over = true;
                        gate.lock = Some(lock);
                        gate.pid = pid;
                        self.is_writing.store(true, Ordering::Release);
                        break;
                    }
                    Lock::Held(pid) => holder = pid,
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Locked { pid: holder });
            }
            let waited = self.gate_changed.wait_timeout(gate, left.min(LOCK_RETRY));
            gate = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        gate.sessions += 1;
        gate.opened += 1;
        let number = gate.opened;
        gate.alive.insert(number);
        gate.is_exclusive = is_exclusive;
        Ok(Entered { pid, number, is_alone: gate.sessions == 1 })
    }

    /// Whether more than one session lives.
    pub fn is_shared(&self) -> bool {
        locked(&self.gate).sessions > 1
    }

    pub fn leave(&self, pid: u32, number: u64) {
        if std::process::id() != pid {
            // A forked child drops its copy of the parent's session: the pack and the lock are the parent's.
            return;
        }
        let mut gate = locked(&self.gate);
        if gate.sessions == 1 {
            self.roll_back();
            self.save_open_tree();
            self.is_writing.store(false, Ordering::Release);
            gate.lock = None;
        }
        gate.sessions = gate.sessions.saturating_sub(1);
        gate.alive.remove(&number);
        gate.is_exclusive = false;
        drop(gate);
        self.gate_changed.notify_all();
    }

    /// Forgets what was appended and not committed.
    pub fn roll_back(&self) {
        let _turn = locked(&self.turn);
        let _append = locked(&self.append);
        let mut state = self.state_mut();
        if let Some(active) = &mut state.active
            && active.written > active.committed
        {
            // After a failed sync the journal on the disk may name what is cut here: then the next writer decides.
            // It also does if the cut fails.
            if !self.is_poisoned.load(Ordering::Acquire) {
                let _ = active.file.set_len(active.committed);
            }
            active.roll_back();
            state.version += 1;
        }
    }
}
