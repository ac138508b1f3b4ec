//! Outcomes on their way from a worker's thread to an event loop's.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::{lock, runtime};
use crate::lookup::Outcome;

/// Outcomes by number, and how the loop hears of the first of them.
pub(super) struct CompletionQueue {
    outcomes: Mutex<Vec<(u64, Outcome)>>,
    ring: UnixStream,
    calls_loop: AtomicBool,
    /// Loop and bridge, where that is so.
    call: PyOnceLock<(Py<PyAny>, Py<PyAny>)>,
}

impl CompletionQueue {
    /// The first rings: one byte, for a loop that watches the other end.
    pub(super) fn new(ring: UnixStream) -> Self {
        Self { outcomes: Mutex::default(), ring, calls_loop: AtomicBool::new(false), call: PyOnceLock::new() }
    }

    /// The first calls the loop, which cannot watch a socket, to call the bridge.
    pub(super) fn call(&self, py: Python<'_>, event_loop: Py<PyAny>, bridge: Py<PyAny>) {
        self.call.get_or_init(py, || (event_loop, bridge));
        self.calls_loop.store(true, Ordering::Relaxed);
    }

    /// All that came.
    pub(super) fn take(&self) -> Vec<(u64, Outcome)> {
        std::mem::take(&mut *lock(&self.outcomes))
    }

    /// Hands an outcome over. Only the first of a queue wakes the loop.
    pub(super) fn push(&self, id: u64, outcome: Outcome) {
        if runtime::is_ending() {
            return;
        }
        let mut outcomes = lock(&self.outcomes);
        outcomes.push((id, outcome));
        let is_first = outcomes.len() == 1;
        drop(outcomes);
        if !is_first {
            return;
        }
        if self.calls_loop.load(Ordering::Relaxed) {
            self.call_loop();
        } else {
            // A full socket has rung already; a closed one belongs to a loop that is gone.
            let _rung = (&self.ring).write(&[1]);
        }
    }

    fn call_loop(&self) {
        Python::try_attach(|py| {
            let Some((event_loop, bridge)) = self.call.get(py) else { return };
            // Let go of in here: outside, the handle would hold the loop until somebody else attaches.
            let _handle = event_loop.call_method1(py, pyo3::intern!(py, "call_soon_threadsafe"), (bridge,));
        });
    }
}
