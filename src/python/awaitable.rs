//! Awaits off the hot path, such as opening: from a tokio future to an asyncio one, by pyo3-async-runtimes.

use std::future::Future;
use std::pin::Pin;

use pyo3::prelude::*;
use pyo3_async_runtimes::TaskLocals;
use pyo3_async_runtimes::generic::{ContextExt, JoinError, Runtime, future_into_py};
use tokio::task::{JoinError as TokioJoinError, JoinHandle};

use super::bridge::running_loop;
use super::errors::exception;
use super::runtime;

/// Runs a future on our runtime and returns the asyncio future of its result. Cancelling the asyncio future drops ours.
pub(super) fn awaitable<'py, F, T>(py: Python<'py>, future: F) -> PyResult<Bound<'py, PyAny>>
where
    F: Future<Output = PyResult<T>> + Send + 'static,
    T: for<'any> IntoPyObject<'any> + Send + 'static,
{
    running_loop(py)?;
    runtime::handle().map_err(|error| exception(&error))?;
    future_into_py::<OurRuntime, _, _>(py, future)
}

/// The adapter of [`runtime`] for pyo3-async-runtimes, whose own runtime is a static that a forked child cannot replace.
struct OurRuntime;

tokio::task_local! {
    static LOCALS: TaskLocals;
}

struct Panicked(TokioJoinError);

impl JoinError for Panicked {
    fn is_panic(&self) -> bool {
        self.0.is_panic()
    }

    fn into_panic(self) -> Box<dyn std::any::Any + Send + 'static> {
        self.0.into_panic()
    }
}

/// A task of ours; a runtime that could not be made ends it at once.
struct Task(Option<JoinHandle<()>>);

impl Future for Task {
    type Output = Result<(), Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        match &mut self.0 {
            Some(task) => Pin::new(task).poll(cx).map_err(Panicked),
            None => std::task::Poll::Ready(Ok(())),
        }
    }
}

impl Runtime for OurRuntime {
    type JoinError = Panicked;
    type JoinHandle = Task;

    fn spawn<F: Future<Output = ()> + Send + 'static>(future: F) -> Task {
        // Inside our runtime this is it; outside, `awaitable` has just made sure that it exists.
        Task(
            tokio::runtime::Handle::try_current()
                .ok()
                .or_else(|| runtime::handle().ok())
                .map(|handle| handle.spawn(future)),
        )
    }

    fn spawn_blocking<F: FnOnce() + Send + 'static>(f: F) -> Task {
        Task(runtime::handle().ok().map(|handle| handle.spawn_blocking(f)))
    }
}

impl ContextExt for OurRuntime {
    fn scope<F, R>(locals: TaskLocals, future: F) -> Pin<Box<dyn Future<Output = R> + Send>>
    where
        F: Future<Output = R> + Send + 'static,
    {
        Box::pin(LOCALS.scope(locals, future))
    }

    fn get_task_locals() -> Option<TaskLocals> {
        LOCALS.try_with(Clone::clone).ok()
    }
}
