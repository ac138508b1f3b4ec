//! The task that does what the roster says has to be done.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::feed::LONGEST_SLEEP;
use super::roster::{Batch, Step};
use super::{End, Ending, Guards, Wake};
use crate::clock::Moment;
use crate::lookup::Lookup;

impl Guards {
    /// Closes connections when their sessions end, for as long as it is polled. Without a store only JWTs end.
    pub async fn watch(self, lookup: Option<Arc<Lookup>>) {
        let mut under_way = JoinSet::new();
        let mut clock = self.0.clock.clone();
        loop {
            let now = clock.now();
            let (step, is_idle) = {
                let mut roster = self.lock();
                (roster.poll(now), roster.len() == 0)
            };
            let Step { batches, endings, wake } = step;
            close(endings);
            for batch in batches {
                if let Some(lookup) = lookup.clone() {
                    under_way.spawn(self.clone().check(batch, lookup));
                }
            }
            select! {
                () = self.0.to_do.notified() => {}
                Some(_) = under_way.join_next() => {}
                () = clock.moved() => {}
                () = sleep(wake.delay(now)), if !is_idle => {}
            }
        }
    }

    async fn check(self, batch: Batch, lookup: Arc<Lookup>) {
        let outcomes = lookup.find_all(&batch.keys).await;
        let endings = self.lock().settle(batch, outcomes, self.now());
        close(endings);
    }
}

/// Outside of the lock.
fn close(endings: Vec<(End, Ending)>) {
    for (end, ending) in endings {
        end.close(ending);
    }
}

impl Wake {
    /// How long to sleep. Timers of tokio have a resolution of a millisecond, and round up.
    fn delay(self, now: Moment) -> Duration {
        // An instant that is still valid is waited for, and the next one: `expires_at` is the last valid instant.
        let until_expiry = |at: chrono::DateTime<chrono::Utc>| {
            (at - now.wall).to_std().unwrap_or_default() + Duration::from_millis(1)
        };
        let wall = self.wall.map(until_expiry);
        let uptime = self.uptime.map(|at| at.since(now.uptime));
        wall.into_iter().chain(uptime).min().unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }
}
