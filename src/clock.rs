//! The current time. It is read once per request, at the edge, and passed inwards.

use std::future::pending;
use std::num::NonZeroU64;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

/// Where an engine reads the time. The default is the system's clocks, which nothing can shift; the clock of a store in
/// memory is ahead of them by as much as a test says ([`ClockShift`]).
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<watch::Receiver<Duration>>);

/// Moves the clocks that were made from it ahead, for tests that must not wait.
#[derive(Debug, Default)]
pub struct ClockShift(watch::Sender<Duration>);

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
///
/// In nanoseconds plus one: an `Option` of it takes no more room, and there is one for each guarded connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(NonZeroU64);

/// Linux's monotonic clock stops while the machine is suspended, and `Boottime` does not. On other
/// systems the monotonic clock continues.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

impl Clock {
    /// The current moment.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment { wall: self.wall(), uptime: self.uptime() }
    }

    /// The current calendar time.
    #[must_use]
    pub fn wall(&self) -> DateTime<Utc> {
        match &self.0 {
            None => Utc::now(),
            Some(ahead) => later(Utc::now(), *ahead.borrow()),
        }
    }

    /// The current time since the machine started.
    #[must_use]
    pub fn uptime(&self) -> Uptime {
        match &self.0 {
            None => Uptime::now(),
            Some(ahead) => Uptime::now().after(*ahead.borrow()),
        }
    }

    /// Waits until a test moves this clock, so that a timer can be set again. The system's clocks are never moved.
    pub async fn moved(&mut self) {
        let is_moved = match &mut self.0 {
            Some(ahead) => ahead.changed().await.is_ok(),
            None => false,
        };
        if !is_moved {
            pending::<()>().await;
        }
    }
}

impl ClockShift {
    /// A clock that this moves.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock(Some(self.0.subscribe()))
    }

    /// Moves the clocks ahead, in addition to what they were moved before.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|ahead| *ahead = ahead.saturating_add(by));
    }
}

fn later(time: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    let later = TimeDelta::from_std(by).ok().and_then(|by| time.checked_add_signed(by));
    later.unwrap_or(DateTime::<Utc>::MAX_UTC)
}

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
        let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or_default();
        Self(
            NonZeroU64::MIN.saturating_add(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)),
        )
    }

    /// This time plus a duration.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time since an earlier one; zero since a later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_shift_moves_its_own_clocks_only() {
        let shift = ClockShift::default();
        let (clock, system) = (shift.clock(), Clock::default());
        let before = (system.now(), clock.now());
        shift.advance(HOUR);
        shift.advance(HOUR);
        assert!(clock.now().wall - before.1.wall >= TimeDelta::hours(2));
        assert!(clock.uptime() >= before.1.uptime.after(2 * HOUR));
        assert!(shift.clock().wall() - before.1.wall >= TimeDelta::hours(2));
        assert!(system.now().wall - before.0.wall < TimeDelta::hours(1));
        assert!(system.uptime() < before.0.uptime.after(HOUR));
    }

    #[test]
    fn a_shift_beyond_the_calendar_is_its_end() {
        let shift = ClockShift::default();
        shift.advance(Duration::MAX);
        shift.advance(HOUR);
        assert_eq!(shift.clock().wall(), DateTime::<Utc>::MAX_UTC);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_moved_clock_is_woken() {
        let shift = ClockShift::default();
        let (mut clock, mut system) = (shift.clock(), Clock::default());
        shift.advance(HOUR);
        clock.moved().await;
        let is_moved_again = tokio::select! {
            biased;
            () = clock.moved() => true,
            () = system.moved() => true,
            () = std::future::ready(()) => false,
        };
        assert!(!is_moved_again);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn time_in_suspend_counts() {
        // A test cannot suspend the machine, so this checks the choice of the clock.
        assert_eq!(CLOCK, ClockId::Boottime);
    }
}
