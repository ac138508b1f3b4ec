//! The mutex of the modules whose threads race with each other: the standard library's.
//!
//! In unit tests it behaves the same, except in a model: there, shuttle decides at each lock and unlock which thread
//! continues (`explore`). So the models run the code that ships.

#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(test)]
pub(crate) use self::scheduled::{Mutex, MutexGuard};

#[cfg(test)]
pub(crate) mod explore;
#[cfg(test)]
mod scheduled;
