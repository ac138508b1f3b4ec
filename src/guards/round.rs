//! Which connections are re-checked, and when: each once in an interval, as many as fit in one statement at a time, and
//! the statements spread evenly.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::clock::Uptime;

/// Within this time after the feed has returned, all are queried once more, unless the interval is shorter.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The connections that no feed keeps current, in the order in which they were last queried.
#[derive(Debug)]
pub(super) struct Round {
    interval: Duration,
    /// How many fit in one statement.
    batch: usize,
    order: BTreeSet<(Uptime, u64)>,
    /// When the last statement was sent, or the first connection came.
    last: Option<Uptime>,
    /// When the feed returned, and how far apart the statements are for those that were not queried since.
    catch_up: Option<(Uptime, Duration)>,
}

impl Round {
    pub(super) fn new(interval: Duration, batch: usize) -> Self {
        Self { interval, batch, order: BTreeSet::new(), last: None, catch_up: None }
    }

    /// Adds a connection that was last queried, or known to be current, at this time.
    pub(super) fn insert(&mut self, queried: Uptime, number: u64, now: Uptime) {
        if self.order.is_empty() {
            self.last = Some(now);
        }
        self.order.insert((queried, number));
    }

    pub(super) fn remove(&mut self, queried: Uptime, number: u64) {
        self.order.remove(&(queried, number));
    }

    /// A feed keeps them current once they were queried again: soon, but spread out.
    pub(super) fn begin_catch_up(&mut self, now: Uptime) {
        let pace = self.interval.min(CATCH_UP) / self.statements().max(1);
        self.catch_up = Some((now, pace));
    }

    pub(super) fn end_catch_up(&mut self) {
        self.catch_up = None;
    }

    fn statements(&self) -> u32 {
        u32::try_from(self.order.len().div_ceil(self.batch)).unwrap_or(u32::MAX)
    }

    /// When the next statement is due. Statements are as far apart as the number of connections allows, and none waits
    /// for longer than the interval, even if most of the others are gone meanwhile.
    pub(super) fn due(&self) -> Option<Uptime> {
        let (oldest, _) = self.order.first()?;
        if let Some((since, pace)) = self.catch_up
            && *oldest < since
        {
            return Some(self.last?.after(pace));
        }
        let spread = self.last?.after(self.interval / self.statements());
        Some(spread.min(oldest.after(self.interval)))
    }

    /// Takes those that were not queried for longest, and puts them at the end.
    pub(super) fn take(&mut self, now: Uptime) -> Vec<(Uptime, u64)> {
        let taken: Vec<_> = self.order.iter().take(self.batch).copied().collect();
        for each in &taken {
            self.order.remove(each);
            self.order.insert((now, each.1));
        }
        self.last = Some(now);
        taken
    }
}
