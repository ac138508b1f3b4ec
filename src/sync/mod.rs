//! The mutex of the modules that have models: the standard library's.
//!
//! In unit tests it is one that behaves the same. Only in a model, shuttle chooses at each lock and unlock which thread
//! continues (`explore`). So the models run the code that ships, and an ordinary `cargo test` runs the models.

#[cfg(not(test))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(test)]
pub(crate) use self::scheduled::{Mutex, MutexGuard};

#[cfg(test)]
pub(crate) mod explore;
#[cfg(test)]
mod scheduled;
