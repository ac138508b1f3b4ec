//! What time is it? Read once, at the edge, and passed inwards.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::time::{ClockId, clock_gettime};

/// Now, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// What calendars say: sessions end by it. It can be set, forwards and backwards.
    pub wall: DateTime<Utc>,
    /// What has passed since the machine started.
    pub uptime: Uptime,
}

/// Time since the machine started, with the time for which it was suspended: what we believe for a
/// while must not outlive a closed lid, a paused process or a clock that was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(Duration);

/// Linux's monotonic clock stands still while the machine is suspended, this one does not. Elsewhere
/// the monotonic one goes on.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

impl Moment {
    /// Now.
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
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let time = clock_gettime(CLOCK);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
        Self(Duration::new(seconds, nanoseconds))
    }

    /// So long after this.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_time_for_which_the_machine_slept_counts() {
        // No test can send its machine to sleep.
        assert_eq!(CLOCK, ClockId::Boottime);
    }
}
