//! Not faster than asked.

use crate::error::Result;
use crate::inner::locked;
use crate::operation::Operation;
use std::num::NonZeroU64;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Longest sleep before somebody who wants the operation to stop is heard.
const NAP: Duration = Duration::from_millis(50);

/// A rate that all threads of an operation share.
pub(super) struct Pace {
    bytes_per_second: Option<NonZeroU64>,
    /// When what was taken so far will have been worth its time.
    paid_until: Mutex<Instant>,
}

impl Pace {
    pub fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        Self { bytes_per_second, paid_until: Mutex::new(Instant::now()) }
    }

    /// Waits until the bytes taken before are worth their time, and takes these. Fails when the operation is cancelled.
    pub fn take(&self, bytes: u64, operation: &Operation) -> Result<()> {
        let Some(rate) = self.bytes_per_second else { return Ok(()) };
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
        let from = {
            let mut paid_until = locked(&self.paid_until);
            // Time in which nobody read is not saved up.
            let from = (*paid_until).max(Instant::now());
            *paid_until = from + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX).min(1 << 50));
            from
        };
        loop {
            operation.check()?;
            let left = from.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}
