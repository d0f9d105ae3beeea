//! An allocator that counts what the calling thread holds, and the bound that each check puts on it.
//!
//! The rule: no claim in a header costs memory, only bytes that came. Counted per thread, so that tests may run side by side.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting.
pub struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends has no counters any more, and nobody who reads them.
    let _ = NOW.try_with(|now| {
        now.set(now.get().wrapping_add(bytes));
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now.get())));
    });
}

#[expect(unsafe_code, reason = "an allocator cannot be written without; it only counts")]
// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as promised by our caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as promised by our caller. Not by way of `alloc`: the system's zeroed pages cost nothing until they are touched.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as promised by our caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What small things a decoder may allocate whatever came: tables, messages of errors.
pub const FIXED_BYTES: usize = 64 * 1024;
/// The rule: so many times the bytes that came.
pub const TIMES: usize = 4;

/// Runs `job` and fails where it held more than `times` the input's bytes and [`FIXED_BYTES`] at once.
pub fn bounded<T>(times: usize, input: &[u8], job: impl FnOnce() -> T) -> T {
    let before = NOW.get();
    PEAK.set(before);
    let result = job();
    let peak = PEAK.get().wrapping_sub(before);
    let bound = (times * input.len() + FIXED_BYTES).cast_signed();
    assert!(peak <= bound, "{peak} bytes at once for {} of input; {bound} are allowed", input.len());
    result
}
