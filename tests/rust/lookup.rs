//! 6 — What the gathering of look-ups promises, whatever the store.
//!
//! The clock is tokio's, paused: it moves only when everything waits, straight to the next
//! deadline. So nothing here depends on how fast a machine is, and a timer that nobody needs shows.

#[path = "lookup/batches.rs"]
mod batches;
#[path = "lookup/capacity.rs"]
mod capacity;
#[path = "lookup/deadlines.rs"]
mod deadlines;
#[path = "lookup/harness.rs"]
mod harness;
