//! How lookups are batched, with a store that the test controls.
//!
//! The tests use tokio's paused clock, which advances to the next timer only when every task is waiting. The results
//! do not depend on the speed of the machine, and an unnecessary timer shows as elapsed time.

mod batches;
mod capacity;
mod deadlines;
mod harness;
mod outages;
