//! Our own tokio runtime, in a holder tagged with the process id.
//!
//! A forked child has the parent's memory without its threads, and shares the parent's sockets and epoll set. So it
//! leaks the parent's runtime, without a drop or a close, and makes its own.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};

use super::lock;
use crate::error::Error;
use crate::process;

/// One is enough: lookups wait for sockets more than they compute.
const THREADS: usize = 1;

struct Holder {
    process: u32,
    runtime: Runtime,
}

/// Locked only by threads that hold the GIL, as a thread that forks does: no child is born with it locked.
static HOLDER: Mutex<Option<Holder>> = Mutex::new(None);

/// The process whose interpreter is ending. A daemon thread, which runs until the very end, must not start threads that
/// would need the GIL afterwards.
static ENDING: AtomicU32 = AtomicU32::new(0);

/// Whether this process's interpreter is ending: no result is needed any more.
pub(super) fn is_ending() -> bool {
    ENDING.load(Ordering::Relaxed) == process::id()
}

/// The runtime of this process, made at first use.
pub(super) fn handle() -> Result<Handle, Error> {
    let mut holder = lock(&HOLDER);
    let process = process::id();
    if let Some(held) = holder.as_ref().filter(|held| held.process == process) {
        return Ok(held.runtime.handle().clone());
    }
    if is_ending() {
        return Err(Error::unavailable("the interpreter is ending"));
    }
    std::mem::forget(holder.take());
    let runtime = Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("auth_middleware")
        .enable_all()
        .build()
        .map_err(|error| Error::unavailable_because("its threads cannot be started", error))?;
    let handle = runtime.handle().clone();
    *holder = Some(Holder { process, runtime });
    Ok(handle)
}

/// Ends our threads before the interpreter ends: one that needed the GIL afterwards would hang or abort the process.
pub(super) fn stop_at_exit(py: Python<'_>) -> PyResult<()> {
    let stop = pyo3::wrap_pyfunction!(stop, py)?;
    py.import("atexit")?.call_method1("register", (stop,))?;
    Ok(())
}

#[pyfunction]
fn stop(py: Python<'_>) {
    ENDING.store(process::id(), Ordering::Relaxed);
    let held = lock(&HOLDER).take();
    match held {
        Some(held) if held.process == process::id() => {
            py.detach(|| held.runtime.shutdown_timeout(Duration::from_secs(1)));
        }
        parents => std::mem::forget(parents),
    }
}
