//! From the workers' threads back to the event loop that waits.
//!
//! A tokio thread never takes the GIL on this path: if it needed the GIL while Python is busy, it would wait up to the
//! 5 ms switch interval. It queues the result and writes one byte to a socket that the event loop watches; the loop's
//! thread then resolves everything that is queued. Tasks that are woken together usually make their next lookups
//! together too: those of one turn of the loop are gathered until its end, so that they share statements. There is one
//! bridge for each event loop, and it ends with the loop.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pyo3::exceptions::{PyNotImplementedError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyWeakrefReference;

use super::convert::OwnFields;
use super::errors::{NoAsyncioLoop, exception};
use super::promise::Promise;
use super::verdict::look_up_result;
use super::{lock, runtime};
use crate::completion_queue::CompletionQueue;
use crate::engine::Decision;
use crate::error::Error;
use crate::guards::{self, Ending};
use crate::lookup::Lookup;
use crate::process;

const ASYNCIO_ONLY: &str = "auth_middleware runs on asyncio only, and no event loop of asyncio is running here. Run the \
                            server on asyncio or uvloop (hypercorn --worker-class asyncio); in tests with anyio, let \
                            the fixture anyio_backend return \"asyncio\"";

/// The bridge of one event loop. Calling it sends the lookups that were gathered and resolves those that are done.
#[pyclass(frozen, weakref, module = "auth_middleware._core")]
pub(super) struct Bridge {
    process: u32,
    event_loop: Py<PyWeakrefReference>,
    completions: Arc<Completions>,
    socket: UnixStream,
    next: AtomicU64,
    expected: Mutex<HashMap<u64, Expected>>,
    /// The guards of open connections, held weakly: their tasks hold them.
    guarding: Mutex<HashMap<u64, Py<PyWeakrefReference>>>,
    /// Lookups of this turn of the loop, which are sent at its end.
    gathering: Mutex<Vec<Arc<Lookup>>>,
}

/// What the loop's thread resolves when the decision is there.
struct Expected {
    own_fields: Arc<OwnFields>,
    promise: Arc<Promise>,
}

/// What a thread of ours has for the loop's thread.
enum Completion {
    /// The result of a lookup.
    Decided(Decision),
    /// A guarded connection has to be closed.
    Ended(Ending),
}

/// Completions by number, and how the loop is woken.
struct Completions {
    queue: CompletionQueue<(u64, Completion), UnixStream>,
    /// Loop and bridge, if the loop has to be called because it cannot watch a socket.
    call: PyOnceLock<(Py<PyAny>, Py<PyAny>)>,
    calls_loop: AtomicBool,
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
            |error| exception(&Error::unavailable_because("no socket to wake the event loop by", error));
        let (worker_end, socket) = UnixStream::pair().map_err(no_socket)?;
        worker_end.set_nonblocking(true)?;
        socket.set_nonblocking(true)?;
        let watched = socket.as_raw_fd();
        let bridge = Self {
            process: process::id(),
            event_loop: PyWeakrefReference::new(event_loop)?.unbind(),
            completions: Arc::new(Completions::new(worker_end)),
            socket,
            next: AtomicU64::new(0),
            expected: Mutex::default(),
            guarding: Mutex::default(),
            gathering: Mutex::default(),
        };
        let bridge = Bound::new(py, bridge)?;
        match event_loop.call_method1(pyo3::intern!(py, "add_reader"), (watched, &bridge)) {
            Ok(_) => Ok(bridge),
            // Windows' proactor: the loop is called instead, once for everything that is queued.
            Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => {
                // The loop holds its bridge; if the bridge held the loop, neither would ever be freed.
                let weakly =
                    |object: &Bound<'py, PyAny>| py.import("weakref")?.call_method1("proxy", (object,));
                let (to_loop, to_bridge) = (weakly(event_loop)?.unbind(), weakly(bridge.as_any())?.unbind());
                bridge.get().completions.call(py, to_loop, to_bridge);
                Ok(bridge)
            }
            Err(error) => Err(error),
        }
    }

    /// A promise of a decision under a number, and what a worker calls with the decision.
    pub(super) fn expect(
        &self,
        own_fields: &Arc<OwnFields>,
    ) -> (u64, Arc<Promise>, impl FnOnce(Decision) + Send + use<>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let promise = Arc::new(Promise::default());
        let expected = Expected { own_fields: Arc::clone(own_fields), promise: Arc::clone(&promise) };
        lock(&self.expected).insert(id, expected);
        let completions = Arc::clone(&self.completions);
        (id, promise, move |decision| completions.push(id, Completion::Decided(decision)))
    }

    /// Calls this guard's `end` when its connection has to be closed by what is returned.
    pub(super) fn guard(&self, guard: &Bound<'_, PyAny>) -> PyResult<(u64, guards::End)> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.guarding).insert(id, PyWeakrefReference::new(guard)?.unbind());
        let completions: Arc<dyn guards::Closer> = self.completions.clone();
        Ok((id, guards::End::new(completions, id)))
    }

    pub(super) fn stop_guarding(&self, id: u64) {
        let released = lock(&self.guarding).remove(&id);
        drop(released);
    }

    /// A new future of its loop, resolved with the promise.
    pub(super) fn future<'py>(&self, py: Python<'py>, promise: &Promise) -> PyResult<Bound<'py, PyAny>> {
        match self.event_loop.bind(py).upgrade() {
            Some(event_loop) => promise.future(&event_loop),
            None => Err(exception(&Error::unavailable("the event loop of this lookup is gone"))),
        }
    }

    /// Sends what is gathered for this lookup at the end of the loop's turn.
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

    /// Nobody waits for this decision any more.
    pub(super) fn discard(&self, id: u64) {
        lock(&self.expected).remove(&id);
    }

    /// The loop was closed. Its futures hold the tasks that wait, those hold what they wait for, and that holds this
    /// bridge: a cycle that Python's collector cannot see.
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
        // In a forked child that still uses its parent's loop, queue and socket are the parent's.
        if self.process != process::id() {
            return Ok(());
        }
        let gathered = std::mem::take(&mut *lock(&self.gathering));
        for lookup in gathered {
            lookup.send();
        }
        let mut first_failure = Ok(());
        for (id, completion) in self.completions.queue.drain(&self.socket) {
            let completed = match completion {
                Completion::Decided(decision) => self.resolve(py, id, decision),
                Completion::Ended(ending) => self.end(py, id, &ending),
            };
            // A failure for one waiter must not leave the others without a result.
            first_failure = first_failure.and(completed);
        }
        first_failure
    }
}

impl Bridge {
    fn resolve(&self, py: Python<'_>, id: u64, decision: Decision) -> PyResult<()> {
        let expected = lock(&self.expected).remove(&id);
        let Some(Expected { own_fields, promise }) = expected else { return Ok(()) };
        promise.resolve(py, look_up_result(py, decision, &own_fields))
    }

    fn end(&self, py: Python<'_>, id: u64, ending: &Ending) -> PyResult<()> {
        let guard = lock(&self.guarding).remove(&id);
        let Some(guard) = guard.and_then(|guard| guard.bind(py).upgrade()) else { return Ok(()) };
        let arguments = (ending.code(), ending.reason(), ending.cause());
        guard.call_method1(pyo3::intern!(py, "end"), arguments).map(drop)
    }
}

impl guards::Closer for Completions {
    fn close(&self, id: u64, ending: Ending) {
        self.push(id, Completion::Ended(ending));
    }
}

impl Completions {
    fn new(worker_end: UnixStream) -> Self {
        let queue = CompletionQueue::new(worker_end);
        Self { queue, call: PyOnceLock::new(), calls_loop: AtomicBool::new(false) }
    }

    /// From now on calls the loop, to call the bridge.
    fn call(&self, py: Python<'_>, event_loop: Py<PyAny>, bridge: Py<PyAny>) {
        self.call.get_or_init(py, || (event_loop, bridge));
        self.calls_loop.store(true, Ordering::Relaxed);
    }

    fn push(&self, id: u64, completion: Completion) {
        if runtime::is_ending() {
            return;
        }
        if self.calls_loop.load(Ordering::Relaxed) {
            self.queue.push_and_call((id, completion), || self.call_loop());
        } else {
            self.queue.push((id, completion));
        }
    }

    fn call_loop(&self) -> bool {
        let call = |py: Python<'_>| {
            let (event_loop, bridge) = self.call.get(py)?;
            // Dropped in here: outside, the handle would hold the loop until another thread attaches.
            let handle = event_loop.call_method1(py, pyo3::intern!(py, "call_soon_threadsafe"), (bridge,));
            handle.ok().map(drop)
        };
        Python::try_attach(call).flatten().is_some()
    }
}

thread_local! {
    /// The bridge that was used last on this thread, held weakly: nearly always it is the one that is needed.
    static LATEST: RefCell<Option<Py<PyWeakrefReference>>> = const { RefCell::new(None) };
}

fn latest<'py>(event_loop: &Bound<'py, PyAny>) -> Option<Bound<'py, Bridge>> {
    let py = event_loop.py();
    let bridge =
        LATEST.with_borrow(|latest| latest.as_ref()?.bind(py).upgrade())?.cast_into::<Bridge>().ok()?;
    let its_own = bridge.get().event_loop.bind(py).upgrade()?;
    (its_own.is(event_loop) && bridge.get().process == process::id()).then_some(bridge)
}

/// A loop that was closed with lookups under way is held by their futures, and those by its bridge. In a child, the
/// loops of its parent are left alone: their sockets are the parent's.
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

/// The running event loop of asyncio.
pub(super) fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let function = RUNNING_LOOP
        .get_or_try_init(py, || py.import("asyncio")?.getattr("get_running_loop").map(Bound::unbind))?;
    function.bind(py).call0().map_err(|error| {
        let is_missing = error.is_instance_of::<PyRuntimeError>(py);
        if is_missing { NoAsyncioLoop::new_err(ASYNCIO_ONLY) } else { error }
    })
}
