//! Python objects of cached identities, made once for as long as the cached identity is the same.

use std::sync::{Arc, Mutex};

use pyo3::prelude::*;

use super::convert::OwnFields;
use super::lock;
use super::verdict::Found;
use crate::bounded_cache::{BoundedCache, Eviction};
use crate::identity::Identity;
use crate::settings::{Freshness, JwtFreshness, JwtSettings, Settings, Strategy};

/// Python objects take three times the memory of a cached identity: the cache has room for the objects of one session in
/// this many. Evicts the one that was made first.
const ONE_IN: usize = 10;
/// The size where the cookie cache or the claims of a JWT identify requests.
const COOKIES: usize = 10_000;
/// A larger identity, perhaps with a picture in it, is converted each time: the cache is bounded by number only.
const MAX_BYTES: usize = 4096;

/// Locked only by threads that hold the GIL, as a thread that forks does: no child is born with it locked.
///
/// The key is the address of the identity. The entry holds the identity, so no other one can have that address.
pub(super) struct ObjectCache {
    max: usize,
    found: Mutex<BoundedCache<usize, Py<Found>>>,
}

impl ObjectCache {
    pub(super) fn new(settings: &Settings) -> Self {
        let trusts_claims = |jwt: &JwtSettings| jwt.freshness == JwtFreshness::Claims;
        let max = match &settings.freshness {
            // A token that was verified before has the same identity.
            Freshness::Always if settings.jwt.as_ref().is_some_and(trusts_claims) => COOKIES,
            Freshness::Always => 0,
            // These cookies are read anew each time, so no identity is the same as the last one.
            Freshness::CookieCache(cache) if cache.strategy == Strategy::Jwks => 0,
            Freshness::CookieCache(_) => COOKIES,
            Freshness::LiveCache(cache) => cache.max_sessions.div_ceil(ONE_IN),
        };
        Self { max, found: Mutex::new(BoundedCache::new(max, Eviction::OldestInserted)) }
    }

    /// The same object as last time, if the identity is the same.
    pub(super) fn found(
        &self,
        py: Python<'_>,
        identity: Arc<Identity>,
        own_fields: &Arc<OwnFields>,
    ) -> PyResult<Py<Found>> {
        let address = Arc::as_ptr(&identity).addr();
        if let Some(known) = lock(&self.found).get(&address) {
            return Ok(known.clone_ref(py));
        }
        if self.max == 0 || identity.bytes() > MAX_BYTES {
            return Py::new(py, Found::new(identity, own_fields));
        }
        let made = Py::new(py, Found::new(identity, own_fields))?;
        let evicted = lock(&self.found).insert(address, made.clone_ref(py));
        // Outside of the lock: dropping an application's object may run its code.
        drop(evicted);
        Ok(made)
    }

    /// Drops every object.
    pub(super) fn clear(&self) {
        let found =
            std::mem::replace(&mut *lock(&self.found), BoundedCache::new(self.max, Eviction::OldestInserted));
        drop(found);
    }
}
