//! One stream of a session: what was received and not read, what was written and not sent, and the credit of both sides.
//!
//! Credit is given when bytes are read, not when they come, so that a reader that stops stops its peer. The window grows
//! when half of it was read within two round trips: then it, and not the reader, was what the peer waited for.

use super::queue::Queue;
use crate::limits::{UNSENT_BYTES_MAX, WINDOW_BYTES_FIRST, WINDOW_BYTES_MAX};
use std::time::Duration;

/// How far one direction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Open,
    /// Its end was announced, and not sent yet (only of what we send).
    Ending,
    Ended,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) is_inbound: bool,
    pub(super) is_acknowledged: bool,
    /// Received and not read.
    pub(super) unread: Queue,
    pub(super) receiving: Direction,
    /// Bytes the peer may still send.
    receive_credit: u32,
    /// What [`Stream::receive_credit`] is brought back to.
    window: u32,
    credited_at: Duration,
    /// Written and not sent.
    pub(super) unsent: Queue,
    pub(super) sending: Direction,
    /// Bytes we may still send.
    pub(super) send_credit: u32,
    /// Stands in the queue of those that have something to send.
    pub(super) is_queued: bool,
    /// `write` took less than all, and the caller waits to hear when it takes more.
    pub(super) is_blocked: bool,
}

impl Stream {
    pub(super) fn new(is_inbound: bool, now: Duration) -> Self {
        Self {
            is_inbound,
            is_acknowledged: is_inbound,
            unread: Queue::default(),
            receiving: Direction::Open,
            receive_credit: WINDOW_BYTES_FIRST,
            window: WINDOW_BYTES_FIRST,
            credited_at: now,
            unsent: Queue::default(),
            sending: Direction::Open,
            send_credit: WINDOW_BYTES_FIRST,
            is_queued: false,
            is_blocked: false,
        }
    }

    /// Takes the credit for a frame of `len` bytes; false where the peer has not so much.
    pub(super) fn spend(&mut self, len: u32) -> bool {
        match self.receive_credit.checked_sub(len) {
            Some(left) => {
                self.receive_credit = left;
                true
            }
            None => false,
        }
    }

    /// How much of what was written has credit and may go now.
    pub(super) fn sendable(&self) -> usize {
        self.unsent.len().min(usize::try_from(self.send_credit).unwrap_or(usize::MAX))
    }

    /// Something is to be sent: bytes that have credit, or the end behind the last of them.
    pub(super) fn has_output(&self) -> bool {
        self.sendable() > 0 || (self.sending == Direction::Ending && self.unsent.is_empty())
    }

    pub(super) fn room(&self) -> usize {
        UNSENT_BYTES_MAX.saturating_sub(self.unsent.len())
    }

    /// How far the window has grown beyond the first.
    pub(super) fn growth(&self) -> u32 {
        self.window.saturating_sub(WINDOW_BYTES_FIRST)
    }

    /// After a read: the credit to give, once it is half a window. `room` is what the session lets windows grow by.
    pub(super) fn credit(&mut self, now: Duration, round_trip: Option<Duration>, room: &mut u32) -> Option<u32> {
        let unread = u32::try_from(self.unread.len()).unwrap_or(u32::MAX);
        let owed = self.window.saturating_sub(self.receive_credit).saturating_sub(unread);
        if self.receiving != Direction::Open || owed < self.window / 2 {
            return None;
        }
        let was_quick = round_trip.is_some_and(|trip| now.saturating_sub(self.credited_at) < trip.saturating_mul(2));
        let growth = if was_quick { self.window.min(WINDOW_BYTES_MAX.saturating_sub(self.window)).min(*room) } else { 0 };
        *room = room.saturating_sub(growth);
        self.window = self.window.saturating_add(growth);
        let owed = owed.saturating_add(growth);
        self.receive_credit = self.receive_credit.saturating_add(owed);
        self.credited_at = now;
        Some(owed)
    }

    /// Nothing is left to do for either side.
    pub(super) fn is_over(&self) -> bool {
        self.receiving == Direction::Ended && self.unread.is_empty() && self.sending == Direction::Ended
    }
}
