//! How many requests had which outcome, for metrics and `auth.counters`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::credentials::Credential;
use crate::refusal::Reason;

/// One slot for requests without a credential, and one for each kind.
const SLOTS: usize = 1 + Credential::ALL.len();
const NONE_AND_ALL: [Option<Credential>; SLOTS] =
    [None, Some(Credential::Cookie), Some(Credential::Bearer), Some(Credential::Jwt)];

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It has a user.
    Authenticated,
    /// It was refused. Without a credential, it is called anonymous.
    Refused(Reason),
    /// It could not be identified.
    Unavailable(Fault),
}

/// Why a request could not be identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The store did not respond in time.
    Store,
    /// The keys that verify JWTs could not be read.
    Keys,
    /// The tables, or the claims of JWTs, are not what the settings and models expect.
    Schema,
    /// The rows of one session could not be read. Other sessions are not affected.
    Row,
    /// The application does not do what this package needs.
    Configuration,
}

impl Outcome {
    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::Refused(reason) if reason.is_anonymous() => "anonymous",
            Self::Refused(_) => "refused",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// Why the request has no user: the value of `error.type`.
    #[must_use]
    pub const fn error_type(self) -> Option<&'static str> {
        match self {
            Self::Authenticated => None,
            Self::Refused(reason) => Some(reason.as_str()),
            Self::Unavailable(fault) => Some(fault.as_str()),
        }
    }
}

impl Fault {
    /// Every fault, in the order of the enum.
    pub const ALL: [Self; 5] = [Self::Store, Self::Keys, Self::Schema, Self::Row, Self::Configuration];

    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store_unavailable",
            Self::Keys => "keys_unavailable",
            Self::Schema => "schema_error",
            Self::Row => "row_misfit",
            Self::Configuration => "configuration_error",
        }
    }
}

/// Counts by the kind of credential.
type ByCredential = [AtomicU64; SLOTS];

/// Counts from the creation of an engine. Atomic, so that no request waits for another one to count.
#[derive(Debug, Default)]
pub struct Counters {
    by_store: ByCredential,
    by_cache: ByCredential,
    refused: [ByCredential; Reason::ALL.len()],
    unavailable: [ByCredential; Fault::ALL.len()],
    batches: AtomicU64,
    keys: AtomicU64,
    invalidations: AtomicU64,
    lookups: [[Durations; SLOTS]; 3],
}

impl Counters {
    /// A request has a user, and the store was queried.
    pub fn identified(&self, credential: Option<Credential>) {
        add(&self.by_store[slot(credential)], 1);
    }

    /// A request has a user, and the store was not queried.
    pub fn identified_by_cache(&self, credential: Option<Credential>) {
        add(&self.by_cache[slot(credential)], 1);
    }

    /// A request was refused.
    pub fn refused(&self, reason: Reason, credential: Option<Credential>) {
        add(&self.refused[reason as usize][slot(credential)], 1);
    }

    /// A request could not be identified, or the store did not respond at start.
    pub fn unavailable(&self, fault: Fault, credential: Option<Credential>) {
        add(&self.unavailable[fault as usize][slot(credential)], 1);
    }

    /// A statement is sent for this many keys.
    pub fn batch(&self, keys: usize) {
        add(&self.batches, 1);
        add(&self.keys, u64::try_from(keys).unwrap_or(u64::MAX));
    }

    /// A live cache is closed from which notifications evicted this many results.
    pub fn invalidated(&self, results: u64) {
        add(&self.invalidations, results);
    }

    /// A request waited this long for its lookup.
    pub fn looked_up(&self, outcome: Outcome, credential: Option<Credential>, took: Duration) {
        self.lookups[lookup_slot(outcome)][slot(credential)].record(took);
    }

    /// Every count by its name. `cache` is the name of the cache in use; the other one's count is 0.
    #[must_use]
    pub fn by_name(&self, cache: Option<&str>) -> Vec<(&'static str, u64)> {
        let by_cache = self.cache_hits();
        let of_cache = |name| if cache == Some(name) { by_cache } else { 0 };
        let refused =
            Reason::ALL.iter().zip(&self.refused).map(|(reason, each)| (reason.as_str(), sum(each)));
        refused
            .chain([
                ("identified", sum(&self.by_store) + by_cache),
                ("cookie_cache", of_cache("cookie_cache")),
                ("live_cache", of_cache("live_cache")),
                ("store_unavailable", self.unavailable.iter().map(sum).sum()),
            ])
            .collect()
    }

    /// The requests that have a user for whom the store was not queried.
    #[must_use]
    pub fn cache_hits(&self) -> u64 {
        sum(&self.by_cache)
    }

    /// The statements that were sent, and the keys in them.
    #[must_use]
    pub fn batches(&self) -> (u64, u64) {
        (read(&self.batches), read(&self.keys))
    }

    /// The results that notifications evicted from live caches that are closed.
    #[must_use]
    pub fn invalidations(&self) -> u64 {
        read(&self.invalidations)
    }

    /// How many requests ended in each way, with each kind of credential. Outcomes that cannot occur with a kind of
    /// credential are left out.
    pub fn requests(&self) -> impl Iterator<Item = (Outcome, Option<Credential>, u64)> + '_ {
        let authenticated =
            self.by_store.iter().zip(&self.by_cache).map(|(store, cache)| read(store) + read(cache));
        let authenticated = NONE_AND_ALL.into_iter().zip(authenticated);
        let of = |outcome: Outcome, counts: &'_ ByCredential| {
            let counts: Vec<u64> = counts.iter().map(read).collect();
            NONE_AND_ALL.into_iter().zip(counts).map(move |(credential, count)| (outcome, credential, count))
        };
        let refused = Reason::ALL.into_iter().zip(&self.refused);
        let unavailable = Fault::ALL.into_iter().zip(&self.unavailable);
        authenticated
            .map(|(credential, count)| (Outcome::Authenticated, credential, count))
            .chain(refused.flat_map(move |(reason, counts)| of(Outcome::Refused(reason), counts)))
            .chain(unavailable.flat_map(move |(fault, counts)| of(Outcome::Unavailable(fault), counts)))
            .filter(|(outcome, credential, count)| *count > 0 || can_occur(*outcome, *credential))
    }

    /// How long requests waited for their lookups, by the name of the outcome and the kind of credential.
    pub fn lookups(&self) -> impl Iterator<Item = (&'static str, Option<Credential>, &Durations)> {
        ["authenticated", "refused", "unavailable"].into_iter().zip(&self.lookups).flat_map(
            |(outcome, each)| {
                NONE_AND_ALL
                    .into_iter()
                    .zip(each)
                    .map(move |(credential, durations)| (outcome, credential, durations))
            },
        )
    }

    /// Adds every count of another engine.
    pub fn add(&self, other: &Self) {
        for (mine, others) in self.cells().zip(other.cells()) {
            add(mine, read(others));
        }
    }

    /// Starts at 0: a forked child has not handled any requests yet.
    pub fn reset(&self) {
        self.cells().for_each(|cell| cell.store(0, Ordering::Relaxed));
    }

    fn cells(&self) -> impl Iterator<Item = &AtomicU64> {
        let Self { by_store, by_cache, refused, unavailable, batches, keys, invalidations, lookups } = self;
        let requests = [by_store, by_cache].into_iter().chain(refused).chain(unavailable).flatten();
        requests
            .chain([batches, keys, invalidations])
            .chain(lookups.iter().flatten().flat_map(Durations::cells))
    }
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Durations {
    counts: [AtomicU64; Self::BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Durations {
    /// The upper bounds of the buckets. A lookup takes about a millisecond, and no longer than
    /// `lookup_timeout_seconds`; a Neon database that wakes up takes up to a few seconds.
    pub const BOUNDS: [Duration; 14] = [
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_micros(2_500),
        Duration::from_millis(5),
        Duration::from_millis(10),
        Duration::from_millis(25),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(250),
        Duration::from_millis(500),
        Duration::from_secs(1),
        Duration::from_millis(2_500),
        Duration::from_secs(5),
        Duration::from_secs(10),
    ];

    fn record(&self, took: Duration) {
        let bucket = Self::BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(Self::BOUNDS.len());
        add(&self.counts[bucket], 1);
        add(&self.nanoseconds, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The count of each bucket, with a last one for what is longer, and the sum.
    #[must_use]
    pub fn read(&self) -> ([u64; Self::BOUNDS.len() + 1], Duration) {
        (self.counts.each_ref().map(read), Duration::from_nanos(read(&self.nanoseconds)))
    }

    fn cells(&self) -> impl Iterator<Item = &AtomicU64> {
        self.counts.iter().chain([&self.nanoseconds])
    }
}

fn slot(credential: Option<Credential>) -> usize {
    credential.map_or(0, |credential| credential as usize + 1)
}

fn lookup_slot(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Authenticated => 0,
        Outcome::Refused(_) => 1,
        Outcome::Unavailable(_) => 2,
    }
}

/// Whether a request can end so: a reason without a credential, or another end with one.
fn can_occur(outcome: Outcome, credential: Option<Credential>) -> bool {
    let is_anonymous = matches!(outcome, Outcome::Refused(reason) if reason.is_anonymous());
    is_anonymous == credential.is_none()
}

fn add(cell: &AtomicU64, count: u64) {
    cell.fetch_add(count, Ordering::Relaxed);
}

fn read(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Relaxed)
}

fn sum(counts: &ByCredential) -> u64 {
    counts.iter().map(read).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: Option<Credential> = Some(Credential::Cookie);
    const JWT: Option<Credential> = Some(Credential::Jwt);

    #[test]
    fn every_end_is_counted_by_its_own_name() {
        let counters = Counters::default();
        for (times, reason) in (1..).zip(Reason::ALL) {
            (0..times).for_each(|_| counters.refused(reason, COOKIE));
        }
        counters.identified(COOKIE);
        counters.identified_by_cache(JWT);
        counters.unavailable(Fault::Store, COOKIE);
        counters.unavailable(Fault::Row, JWT);
        let expected: Vec<(&str, u64)> = Reason::ALL
            .map(Reason::as_str)
            .into_iter()
            .zip(1..)
            .chain([("identified", 2), ("cookie_cache", 0), ("live_cache", 1), ("store_unavailable", 2)])
            .collect();
        assert_eq!(counters.by_name(Some("live_cache")), expected);
    }

    #[test]
    fn metrics_and_named_counts_are_the_same_numbers() {
        let counters = Counters::default();
        let mut times = 0;
        for credential in NONE_AND_ALL {
            for reason in Reason::ALL {
                times += 1;
                (0..times).for_each(|_| counters.refused(reason, credential));
            }
            for fault in Fault::ALL {
                counters.unavailable(fault, credential);
            }
            counters.identified(credential);
            counters.identified_by_cache(credential);
        }
        let total = |belongs: &dyn Fn(Outcome) -> bool| -> u64 {
            counters.requests().filter(|(outcome, ..)| belongs(*outcome)).map(|(_, _, count)| count).sum()
        };
        for (name, count) in counters.by_name(Some("live_cache")) {
            let measured = match name {
                "identified" => total(&|outcome| outcome == Outcome::Authenticated),
                "live_cache" => counters.cache_hits(),
                "cookie_cache" => 0,
                "store_unavailable" => total(&|outcome| matches!(outcome, Outcome::Unavailable(_))),
                reason => total(&|outcome| outcome.error_type() == Some(reason)),
            };
            assert_eq!(measured, count, "{name}");
        }
    }

    #[test]
    fn ends_that_cannot_occur_are_left_out_until_they_are_counted() {
        let counters = Counters::default();
        let is_there = |wanted: (Outcome, Option<Credential>)| {
            counters.requests().any(|(outcome, credential, _)| (outcome, credential) == wanted)
        };
        let impossible = [
            (Outcome::Refused(Reason::NoCookie), COOKIE),
            (Outcome::Refused(Reason::Expired), None),
            (Outcome::Authenticated, None),
        ];
        assert!(impossible.into_iter().all(|each| !is_there(each)));
        assert!(is_there((Outcome::Refused(Reason::NoCookie), None)));
        assert!(is_there((Outcome::Authenticated, COOKIE)));
        counters.unavailable(Fault::Store, None);
        assert!(is_there((Outcome::Unavailable(Fault::Store), None)));
    }

    #[test]
    fn counts_of_several_engines_are_added_and_a_child_begins_at_zero() {
        let (total, one, other) = (Counters::default(), Counters::default(), Counters::default());
        one.identified(COOKIE);
        other.identified(COOKIE);
        other.batch(3);
        other.looked_up(Outcome::Authenticated, COOKIE, Duration::from_millis(2));
        total.add(&one);
        total.add(&other);
        let authenticated = |counters: &Counters| counters.requests().map(|(_, _, count)| count).sum::<u64>();
        let waited = |counters: &Counters| -> Duration {
            counters.lookups().map(|(_, _, durations)| durations.read().1).sum()
        };
        assert_eq!((authenticated(&total), total.batches()), (2, (1, 3)));
        assert_eq!(waited(&total), Duration::from_millis(2));
        total.reset();
        assert_eq!((authenticated(&total), total.batches()), (0, (0, 0)));
        assert_eq!(waited(&total), Duration::ZERO);
        assert_eq!(authenticated(&other), 1);
    }

    #[test]
    fn a_duration_on_a_bound_is_in_its_bucket() {
        let durations = Durations::default();
        for took in
            [Duration::ZERO, Duration::from_micros(500), Duration::from_micros(501), Duration::from_secs(11)]
        {
            durations.record(took);
        }
        let (counts, sum) = durations.read();
        assert_eq!((counts[0], counts[1], counts[14]), (2, 1, 1));
        assert_eq!(sum, Duration::from_micros(11_001_001));
    }
}
