//! The current time. It is read once per request, at the edge, and passed inwards.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::time::{ClockId, clock_gettime};

/// A reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The calendar time, by which sessions expire. It can be set, forwards and backwards.
    pub wall: DateTime<Utc>,
    /// The time since the machine started.
    pub uptime: Uptime,
}

/// The time since the machine started, including the time for which it was suspended: cached state
/// must expire on time even if the machine was suspended, the process was paused or the clock was set
/// back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(Duration);

/// Linux's monotonic clock stops while the machine is suspended, and `Boottime` does not. On other
/// systems the monotonic clock continues.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

impl Moment {
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Self {
        Self { wall: Utc::now(), uptime: Uptime::now() }
    }
}

/// That time of day, now: for callers that have no other clock.
impl From<DateTime<Utc>> for Moment {
    fn from(wall: DateTime<Utc>) -> Self {
        Self { wall, uptime: Uptime::now() }
    }
}

impl Uptime {
    /// Reads the clock.
    #[must_use]
    pub fn now() -> Self {
        let time = clock_gettime(CLOCK);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
        Self(Duration::new(seconds, nanoseconds))
    }

    /// This time plus a duration.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// The time since an earlier one; zero since a later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn time_in_suspend_counts() {
        // A test cannot suspend the machine, so this checks the choice of the clock.
        assert_eq!(CLOCK, ClockId::Boottime);
    }
}
