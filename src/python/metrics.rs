//! The metrics of this process, as Python reads them when they are collected.
//!
//! A metric is of the process, not of an instance: the numbers of all engines are added, and those of an engine that is
//! gone stay in the sum, because a counter never decreases.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, Weak};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::lock;
use crate::counters::{Counters, Durations, Outcome};
use crate::credentials::Credential;
use crate::engine::{Engine, Usage};
use crate::live_cache::FeedState;

const OUTCOME: &str = "auth_middleware.outcome";
const CREDENTIAL: &str = "auth_middleware.credential";
const ERROR_TYPE: &str = "error.type";
const CACHE: &str = "auth_middleware.cache";
const STATE: &str = "auth_middleware.state";

/// Locked only by threads that hold the GIL, as a thread that forks does, so no child is born with it locked.
static ENGINES: LazyLock<Mutex<Engines>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Engines {
    known: Vec<Known>,
    /// The counts of engines that are gone, by the cache that they had.
    gone: HashMap<CacheName, Counters>,
}

struct Known {
    engine: Weak<Engine>,
    counters: Arc<Counters>,
    cache: CacheName,
}

type CacheName = Option<&'static str>;

impl Known {
    fn is_used(&self) -> bool {
        self.engine.strong_count() > 0 || Arc::strong_count(&self.counters) > 1
    }
}

impl Engines {
    /// Keeps the counts of engines that are gone, and nothing else of them.
    fn forget_dropped(&mut self) {
        let Self { known, gone } = self;
        for dropped in known.extract_if(.., |known| !known.is_used()) {
            gone.entry(dropped.cache).or_default().add(&dropped.counters);
        }
    }

    fn all(&self) -> impl Iterator<Item = (CacheName, &Counters)> {
        let gone = self.gone.iter().map(|(cache, counters)| (*cache, counters));
        gone.chain(self.known.iter().map(|known| (known.cache, &*known.counters)))
    }
}

/// Includes an engine in the metrics, for as long as it exists.
pub(super) fn include(engine: &Arc<Engine>) {
    let mut engines = lock(&ENGINES);
    engines.forget_dropped();
    engines.known.push(Known {
        engine: Arc::downgrade(engine),
        counters: Arc::clone(engine.counters()),
        cache: engine.settings().freshness.cache_name(),
    });
}

/// A forked child counts what it does itself.
pub(super) fn begin_in_child() {
    let engines = lock(&ENGINES);
    engines.all().for_each(|(_, counters)| counters.reset());
}

/// The name, attributes and value of each metric, except for histograms.
#[pyfunction]
pub(super) fn metric_points(py: Python<'_>) -> PyResult<Vec<(&'static str, Bound<'_, PyDict>, u64)>> {
    let Reading { total, cache_hits, engines } = read();
    let mut points = Points { py, points: Vec::new() };
    let is_accepted = |credential| engines.iter().any(|engine| accepts(engine, credential));
    for (outcome, credential, count) in total.requests() {
        if count > 0 || credential.is_none_or(is_accepted) {
            points.add_with("auth_middleware.requests", attributes(py, outcome, credential)?, count);
        }
    }
    for (cache, hits) in cache_hits {
        points.add("auth_middleware.cache.hits", &[(CACHE, cache)], hits)?;
    }
    let (batches, keys) = total.batches();
    points.add("auth_middleware.lookup.batches", &[], batches)?;
    points.add("auth_middleware.lookup.keys", &[], keys)?;
    let usages: Vec<Usage> = engines.iter().map(|engine| engine.usage()).collect();
    let sum = |count: fn(&Usage) -> usize| usages.iter().map(count).sum::<usize>() as u64;
    points.add("auth_middleware.lookup.waiting", &[], sum(|usage| usage.waiting))?;
    points.add(
        "auth_middleware.pool.connections",
        &[(STATE, "used")],
        sum(|usage| usage.connections.used),
    )?;
    points.add(
        "auth_middleware.pool.connections",
        &[(STATE, "idle")],
        sum(|usage| usage.connections.idle),
    )?;
    points.add("auth_middleware.pool.limit", &[], sum(|usage| usage.pool_size))?;
    points.add("auth_middleware.cache.sessions", &[], sum(|usage| usage.cached.0))?;
    points.add("auth_middleware.cache.size", &[], sum(|usage| usage.cached.1))?;
    let evicted = total.invalidations() + usages.iter().map(|usage| usage.invalidated).sum::<u64>();
    points.add("auth_middleware.cache.invalidations", &[], evicted)?;
    for state in FeedState::ALL {
        let count = usages.iter().filter(|usage| usage.feed == Some(state)).count();
        points.add("auth_middleware.feeds", &[(STATE, state.as_str())], count as u64)?;
    }
    points.add("auth_middleware.guarded_connections", &[], sum(|usage| usage.guarded))?;
    Ok(points.points)
}

type Histogram<'py> = (Bound<'py, PyDict>, Vec<u64>, f64);

/// How long lookups took: the attributes, the count of each bucket (one more than there are bounds), and the sum.
#[pyfunction]
pub(super) fn lookup_durations(py: Python<'_>) -> PyResult<Vec<Histogram<'_>>> {
    let Reading { total, engines, .. } = read();
    let is_shown = |credential: Option<Credential>, counts: &[u64]| {
        let is_accepted = |credential| engines.iter().any(|engine| accepts(engine, credential));
        counts.iter().any(|count| *count > 0) || credential.is_some_and(is_accepted)
    };
    let mut histograms = Vec::new();
    for (outcome, credential, durations) in total.lookups() {
        let (counts, sum) = durations.read();
        if is_shown(credential, &counts) {
            let attributes = PyDict::new(py);
            attributes.set_item(OUTCOME, outcome)?;
            if let Some(credential) = credential {
                attributes.set_item(CREDENTIAL, credential.as_str())?;
            }
            histograms.push((attributes, counts.to_vec(), sum.as_secs_f64()));
        }
    }
    Ok(histograms)
}

/// The upper bounds of the buckets of lookup durations, in seconds.
#[pyfunction]
pub(super) fn lookup_duration_bounds() -> Vec<f64> {
    Durations::BOUNDS.iter().map(std::time::Duration::as_secs_f64).collect()
}

/// The attributes of a request that ended so.
pub(super) fn attributes(
    py: Python<'_>,
    outcome: Outcome,
    credential: Option<Credential>,
) -> PyResult<Bound<'_, PyDict>> {
    let attributes = PyDict::new(py);
    attributes.set_item(OUTCOME, outcome.as_str())?;
    if let Some(credential) = credential {
        attributes.set_item(CREDENTIAL, credential.as_str())?;
    }
    if let Some(error_type) = outcome.error_type() {
        attributes.set_item(ERROR_TYPE, error_type)?;
    }
    Ok(attributes)
}

/// What was counted in this process, and its engines: to be used, and perhaps dropped, without the lock.
struct Reading {
    total: Counters,
    cache_hits: BTreeMap<&'static str, u64>,
    engines: Vec<Arc<Engine>>,
}

fn read() -> Reading {
    let mut engines = lock(&ENGINES);
    engines.forget_dropped();
    let (total, mut cache_hits) = (Counters::default(), BTreeMap::new());
    for (cache, counters) in engines.all() {
        total.add(counters);
        if let Some(cache) = cache {
            *cache_hits.entry(cache).or_default() += counters.cache_hits();
        }
    }
    Reading {
        total,
        cache_hits,
        engines: engines.known.iter().filter_map(|known| known.engine.upgrade()).collect(),
    }
}

fn accepts(engine: &Engine, credential: Credential) -> bool {
    let accepted = engine.settings().accepted;
    match credential {
        Credential::Cookie => accepted.cookie,
        Credential::Bearer => accepted.bearer.is_some(),
        Credential::Jwt => accepted.jwt,
    }
}

struct Points<'py> {
    py: Python<'py>,
    points: Vec<(&'static str, Bound<'py, PyDict>, u64)>,
}

impl<'py> Points<'py> {
    fn add(&mut self, metric: &'static str, attributes: &[(&str, &str)], value: u64) -> PyResult<()> {
        let given = PyDict::new(self.py);
        for (name, value) in attributes {
            given.set_item(name, value)?;
        }
        self.add_with(metric, given, value);
        Ok(())
    }

    fn add_with(&mut self, metric: &'static str, attributes: Bound<'py, PyDict>, value: u64) {
        self.points.push((metric, attributes, value));
    }
}
