//! A mutex whose next owner shuttle chooses, if it was made in a model.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{LockResult, PoisonError};
use std::thread;

use shuttle::sync::atomic::AtomicBool;

/// Used like the standard library's, which holds the value.
#[derive(Debug)]
pub(crate) struct Mutex<T> {
    /// None outside of a model, where shuttle's mutex would panic.
    turn: Option<Turn>,
    value: std::sync::Mutex<T>,
}

#[derive(Debug, Default)]
struct Turn {
    /// Locked for as long as the value is.
    mutex: shuttle::sync::Mutex<()>,
    /// Read after each unlock, because shuttle chooses the next thread before it reads an atomic, but not after it has
    /// unlocked a mutex.
    is_unlocked: AtomicBool,
}

/// The fields are dropped in this order.
pub(crate) struct MutexGuard<'a, T> {
    value: std::sync::MutexGuard<'a, T>,
    _turn: Option<(shuttle::sync::MutexGuard<'a, ()>, AfterUnlock<'a>)>,
}

/// Lets another thread continue.
struct AfterUnlock<'a>(&'a AtomicBool);

impl Drop for AfterUnlock<'_> {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.0.load(Ordering::SeqCst);
        }
    }
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { turn: is_in_model().then(Turn::default), value: std::sync::Mutex::new(value) }
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        // What a failed model leaves behind is dropped outside of it.
        let turn = self.turn.as_ref().filter(|_| is_in_model()).map(Turn::wait);
        match self.value.lock() {
            Ok(value) => Ok(MutexGuard { value, _turn: turn }),
            Err(poisoned) => Err(PoisonError::new(MutexGuard { value: poisoned.into_inner(), _turn: turn })),
        }
    }
}

impl Turn {
    fn wait(&self) -> (shuttle::sync::MutexGuard<'_, ()>, AfterUnlock<'_>) {
        let guard = self.mutex.lock().unwrap_or_else(PoisonError::into_inner);
        (guard, AfterUnlock(&self.is_unlocked))
    }
}

fn is_in_model() -> bool {
    shuttle::current::try_get_current_task().is_some()
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
