//! The id of this process. Every request needs it and `getpid` is a system call, so it is cached until a fork.

use std::sync::atomic::{AtomicU32, Ordering};

/// No process has this id.
const UNKNOWN: u32 = 0;

static ID: AtomicU32 = AtomicU32::new(UNKNOWN);

/// This process's id.
#[must_use]
pub fn id() -> u32 {
    match ID.load(Ordering::Relaxed) {
        UNKNOWN => {
            let id = std::process::id();
            ID.store(id, Ordering::Relaxed);
            id
        }
        known => known,
    }
}

/// Drops the cached id. Call it in the child after each fork.
pub fn forget_id() {
    ID.store(UNKNOWN, Ordering::Relaxed);
}
