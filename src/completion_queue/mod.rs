//! Completions on their way from a worker's thread to an event loop's thread.

use std::io::{ErrorKind, Read, Write};
use std::sync::PoisonError;

use crate::sync::{Mutex, MutexGuard};

/// Completions that the event loop has not taken yet, and the socket that wakes the loop.
///
/// Invariant: `is_woken` is set only while the loop is certain to call [`CompletionQueue::drain`]: a byte was written
/// since it last took the completions, or the socket was full of bytes that the loop has not read. So one byte is
/// enough for everything that is queued, and if a write fails, the next completion writes again.
pub(crate) struct CompletionQueue<T, S> {
    state: Mutex<State<T>>,
    socket: S,
}

struct State<T> {
    completions: Vec<T>,
    is_woken: bool,
}

impl<T, S> CompletionQueue<T, S>
where
    for<'a> &'a S: Write,
{
    /// A queue that wakes its loop by this non-blocking socket.
    pub(crate) fn new(socket: S) -> Self {
        Self { state: Mutex::new(State { completions: Vec::new(), is_woken: false }), socket }
    }

    /// Queues a completion and wakes the loop, unless a wake-up is already on its way.
    pub(crate) fn push(&self, completion: T) {
        let mut state = self.lock();
        state.completions.push(completion);
        // Under the lock, so that nobody relies on a write that fails afterwards.
        state.is_woken = state.is_woken || wake(&self.socket);
    }

    /// The same for a loop that cannot watch a socket: `call` calls it, and returns whether it could.
    pub(crate) fn push_and_call(&self, completion: T, call: impl FnOnce() -> bool) {
        let mut state = self.lock();
        state.completions.push(completion);
        let was_woken = std::mem::replace(&mut state.is_woken, true);
        // Calling the loop needs the GIL, whose holder may wait for our lock.
        drop(state);
        if !was_woken && !call() {
            // The next completion calls it again.
            self.lock().is_woken = false;
        }
    }

    /// Takes everything that is queued. `socket` is the loop's end of the socket.
    pub(crate) fn drain(&self, socket: impl Read) -> Vec<T> {
        // In this order: a byte read after the take could be the wake-up of a later completion.
        read_empty(socket);
        self.take()
    }

    fn take(&self) -> Vec<T> {
        let mut state = self.lock();
        state.is_woken = false;
        std::mem::take(&mut state.completions)
    }

    /// Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the loop is certain to wake up.
fn wake(mut socket: impl Write) -> bool {
    loop {
        match socket.write(&[1]) {
            Ok(written) => return written > 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

fn read_empty(mut socket: impl Read) {
    let mut bytes = [0; 64];
    while let Ok(read) = socket.read(&mut bytes) {
        if read < bytes.len() {
            return;
        }
    }
}

#[cfg(test)]
mod models;
#[cfg(test)]
mod tests;
