//! From the workers' threads back to the event loop that asked.
//!
//! A tokio thread never takes the GIL on this path: one that wants it while Python is busy waits
//! up to the 5 ms switch interval. It puts the outcome into a queue, and the first of a queue
//! writes one byte to a socket that the event loop watches; the loop's own thread then resolves
//! all that is ready. Those who are woken together ask again together: what one turn of the loop asks
//! for gathers until its end, and shares statements. One bridge per event loop; it goes with the loop.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyWeakrefReference;

use super::completion_queue::CompletionQueue;
use super::errors::exception;
use super::promise::Promise;
use super::{lock, process};
use crate::error::Error;
use crate::lookup::{Lookup, Outcome};

/// What becomes of an outcome, on the loop's thread.
pub(super) type Convert = Box<dyn FnOnce(Python<'_>, Outcome) -> PyResult<Py<PyAny>> + Send + Sync>;

/// The bridge of one event loop. Calling it sends what has gathered and resolves what is ready.
#[pyclass(frozen, weakref, module = "auth_middleware._core")]
pub(super) struct Bridge {
    process: u32,
    event_loop: Py<PyWeakrefReference>,
    completions: Arc<CompletionQueue>,
    bell: UnixStream,
    next: AtomicU64,
    expected: Mutex<HashMap<u64, Expected>>,
    /// What this turn of the loop asks for, and goes to the store at its end.
    gathering: Mutex<Vec<Arc<Lookup>>>,
}

/// What the loop's thread resolves when the outcome is there.
struct Expected {
    convert: Convert,
    promise: Arc<Promise>,
}

impl Bridge {
    /// The bridge of the running event loop, made at its first use.
    pub(super) fn of_running_loop(py: Python<'_>) -> PyResult<Bound<'_, Self>> {
        let event_loop = running_loop(py)?;
        if let Some(bridge) = latest(&event_loop) {
            return Ok(bridge);
        }
        let bridge = Self::of(&event_loop)?;
        LATEST.replace(Some(PyWeakrefReference::new(&bridge)?.unbind()));
        Ok(bridge)
    }

    fn of<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        static BRIDGES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = event_loop.py();
        let bridges = BRIDGES
            .get_or_try_init(py, || {
                py.import("weakref")?.getattr("WeakKeyDictionary")?.call0().map(Bound::unbind)
            })?
            .bind(py);
        let known = bridges.call_method1("get", (event_loop,))?;
        if let Ok(bridge) = known.cast_into::<Self>()
            && bridge.get().process == process::id()
        {
            return Ok(bridge);
        }
        forget_closed_loops(bridges)?;
        let bridge = Self::build(py, event_loop)?;
        bridges.set_item(event_loop, &bridge)?;
        Ok(bridge)
    }

    fn build<'py>(py: Python<'py>, event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let no_socket =
            |error| exception(&Error::unavailable_because("no socket to hear of answers by", error));
        let (ring, bell) = UnixStream::pair().map_err(no_socket)?;
        ring.set_nonblocking(true)?;
        bell.set_nonblocking(true)?;
        let watched = bell.as_raw_fd();
        let bridge = Self {
            process: process::id(),
            event_loop: PyWeakrefReference::new(event_loop)?.unbind(),
            completions: Arc::new(CompletionQueue::new(ring)),
            bell,
            next: AtomicU64::new(0),
            expected: Mutex::default(),
            gathering: Mutex::default(),
        };
        let bridge = Bound::new(py, bridge)?;
        match event_loop.call_method1(pyo3::intern!(py, "add_reader"), (watched, &bridge)) {
            Ok(_) => Ok(bridge),
            // Windows' proactor: the loop is called instead, once for all that is ready.
            Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => {
                // The loop holds its bridge; the bridge must not hold the loop, or neither would go.
                let weakly =
                    |object: &Bound<'py, PyAny>| py.import("weakref")?.call_method1("proxy", (object,));
                let (to_loop, to_bridge) = (weakly(event_loop)?.unbind(), weakly(bridge.as_any())?.unbind());
                bridge.get().completions.call(py, to_loop, to_bridge);
                Ok(bridge)
            }
            Err(error) => Err(error),
        }
    }

    /// A promise of an outcome under a number, and what a worker calls with it.
    pub(super) fn expect(
        &self,
        convert: Convert,
    ) -> (u64, Arc<Promise>, impl FnOnce(Outcome) + Send + use<>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let promise = Arc::new(Promise::default());
        lock(&self.expected).insert(id, Expected { convert, promise: Arc::clone(&promise) });
        let completions = Arc::clone(&self.completions);
        (id, promise, move |outcome| completions.push(id, outcome))
    }

    /// A new future of its loop's, resolved with the promise.
    pub(super) fn future<'py>(&self, py: Python<'py>, promise: &Promise) -> PyResult<Bound<'py, PyAny>> {
        match self.event_loop.bind(py).upgrade() {
            Some(event_loop) => promise.future(&event_loop),
            None => Err(exception(&Error::unavailable("the event loop that asked is gone"))),
        }
    }

    /// Has what gathers for this look-up sent at the end of the loop's turn.
    pub(super) fn send_soon(slf: &Bound<'_, Self>, lookup: &Arc<Lookup>) -> PyResult<()> {
        let mut gathering = lock(&slf.get().gathering);
        if gathering.iter().any(|known| Arc::ptr_eq(known, lookup)) {
            return Ok(());
        }
        gathering.push(Arc::clone(lookup));
        drop(gathering);
        let py = slf.py();
        let Some(event_loop) = slf.get().event_loop.bind(py).upgrade() else { return Ok(()) };
        event_loop.call_method1(pyo3::intern!(py, "call_soon"), (slf,)).map(drop)
    }

    /// Nobody expects this outcome any more.
    pub(super) fn forget(&self, id: u64) {
        lock(&self.expected).remove(&id);
    }

    /// Nobody expects anything: the loop was closed. Its futures hold the tasks that wait, and those
    /// hold what they wait for and so us: a ring that Python's collector cannot see.
    fn forget_all(&self) {
        let expected = std::mem::take(&mut *lock(&self.expected));
        for Expected { promise, .. } in expected.into_values() {
            promise.abandon();
        }
    }
}

#[pymethods]
impl Bridge {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        // In a forked child that goes on with its parent's loop, queue and socket are the parent's.
        if self.process != process::id() {
            return Ok(());
        }
        let gathered = std::mem::take(&mut *lock(&self.gathering));
        for lookup in gathered {
            lookup.send();
        }
        self.silence();
        let mut first_failure = Ok(());
        for (id, outcome) in self.completions.take() {
            let expected = lock(&self.expected).remove(&id);
            if let Some(Expected { convert, promise }) = expected {
                // One that fails, for a loop that is gone, must not cost the others their answer.
                first_failure = first_failure.and(promise.keep(py, convert(py, outcome)));
            }
        }
        first_failure
    }
}

impl Bridge {
    fn silence(&self) {
        let mut bytes = [0; 64];
        while let Ok(read) = (&self.bell).read(&mut bytes) {
            if read < bytes.len() {
                return;
            }
        }
    }
}

thread_local! {
    /// The bridge that was asked for last on this thread, held weakly: nearly always it is the one.
    static LATEST: RefCell<Option<Py<PyWeakrefReference>>> = const { RefCell::new(None) };
}

fn latest<'py>(event_loop: &Bound<'py, PyAny>) -> Option<Bound<'py, Bridge>> {
    let py = event_loop.py();
    let bridge =
        LATEST.with_borrow(|latest| latest.as_ref()?.bind(py).upgrade())?.cast_into::<Bridge>().ok()?;
    let its_own = bridge.get().event_loop.bind(py).upgrade()?;
    (its_own.is(event_loop) && bridge.get().process == process::id()).then_some(bridge)
}

/// A loop that was closed with look-ups under way is held by their futures, and those by its bridge.
/// A parent's loop is left as it is in a child: its sockets are the parent's.
fn forget_closed_loops(bridges: &Bound<'_, PyAny>) -> PyResult<()> {
    let known: Vec<Bound<'_, PyAny>> = bridges.call_method0("keys")?.try_iter()?.collect::<PyResult<_>>()?;
    for event_loop in known {
        if event_loop.call_method0("is_closed")?.is_truthy()? {
            let bridge = bridges.call_method1("pop", (event_loop, bridges.py().None()))?;
            if let Ok(bridge) = bridge.cast_into::<Bridge>() {
                bridge.get().forget_all();
            }
        }
    }
    Ok(())
}

fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let function = RUNNING_LOOP
        .get_or_try_init(py, || py.import("asyncio")?.getattr("get_running_loop").map(Bound::unbind))?;
    function.bind(py).call0()
}
