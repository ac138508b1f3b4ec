//! Python objects of answers that are kept, made once for as long as the answer is the same.

use std::sync::{Arc, Mutex};

use pyo3::prelude::*;

use super::convert::OwnFields;
use super::lock;
use super::outcome::Found;
use crate::bounded_cache::{BoundedCache, Eviction};
use crate::identity::Identity;
use crate::settings::{Freshness, Settings, Strategy};

/// For one session in so many of those that may be kept, for those that were made last: the objects take three times
/// the room of what is kept in Rust.
const ONE_IN: usize = 10;
/// Where the cookie cache answers.
const COOKIES: usize = 10_000;
/// A larger one, with a picture in it perhaps, is made anew each time: their number is all that bounds them.
const MAX_BYTES: usize = 4096;

/// Touched only by threads that hold the GIL, as a thread that forks does: no child is born with it locked.
///
/// Each is known by where its identity lies in memory. It holds that, so the place is nobody else's.
pub(super) struct ObjectCache {
    max: usize,
    found: Mutex<BoundedCache<usize, Py<Found>>>,
}

impl ObjectCache {
    pub(super) fn new(settings: &Settings) -> Self {
        let max = match &settings.freshness {
            Freshness::Always => 0,
            // These are read anew each time, so no answer is the same as the last.
            Freshness::CookieCache(cache) if cache.strategy == Strategy::Jwks => 0,
            Freshness::CookieCache(_) => COOKIES,
            Freshness::LiveCache(cache) => cache.max_sessions.div_ceil(ONE_IN),
        };
        Self { max, found: Mutex::new(BoundedCache::new(max, Eviction::OldestInserted)) }
    }

    /// The same object as last time, where the answer is the same.
    pub(super) fn found(
        &self,
        py: Python<'_>,
        identity: Arc<Identity>,
        own_fields: &Arc<OwnFields>,
    ) -> PyResult<Py<Found>> {
        if self.max == 0 || identity.bytes() > MAX_BYTES {
            return Py::new(py, Found::new(identity, own_fields));
        }
        let place = Arc::as_ptr(&identity).addr();
        if let Some(ready) = lock(&self.found).get(&place) {
            return Ok(ready.clone_ref(py));
        }
        let made = Py::new(py, Found::new(identity, own_fields))?;
        let evicted = lock(&self.found).insert(place, made.clone_ref(py));
        // Outside of the lock: what an application's model does at its end is not ours to know.
        drop(evicted);
        Ok(made)
    }

    /// Forgets them all: nothing of a closed instance is answered again.
    pub(super) fn clear(&self) {
        let found =
            std::mem::replace(&mut *lock(&self.found), BoundedCache::new(self.max, Eviction::OldestInserted));
        drop(found);
    }
}
