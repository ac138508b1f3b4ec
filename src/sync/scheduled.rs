//! A mutex whose owner is chosen by shuttle, if it was made in a model.

use std::ops::{Deref, DerefMut};
use std::sync::{LockResult, PoisonError};

/// Used like the standard library's, which holds the value.
#[derive(Debug)]
pub(crate) struct Mutex<T> {
    /// Locked around the value. None outside of a model, where shuttle's mutex would panic.
    turn: Option<shuttle::sync::Mutex<()>>,
    value: std::sync::Mutex<T>,
}

/// The fields are dropped in this order: the value is unlocked before another thread gets its turn.
pub(crate) struct MutexGuard<'a, T> {
    value: std::sync::MutexGuard<'a, T>,
    _turn: Option<shuttle::sync::MutexGuard<'a, ()>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        let is_in_model = shuttle::current::try_get_current_task().is_some();
        Self { turn: is_in_model.then(shuttle::sync::Mutex::default), value: std::sync::Mutex::new(value) }
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let turn = self.turn.as_ref().map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner));
        match self.value.lock() {
            Ok(value) => Ok(MutexGuard { value, _turn: turn }),
            Err(poisoned) => Err(PoisonError::new(MutexGuard { value: poisoned.into_inner(), _turn: turn })),
        }
    }
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
