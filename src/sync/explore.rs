//! Runs models: tests of several threads, repeated with many schedules.
//!
//! shuttle runs the threads of a model one at a time, and chooses at each lock and unlock which one continues. A model
//! fails if a thread panics or if all threads are blocked, and shuttle prints the schedule. A call of tokio's `Notify`
//! or of one of its channels is a single step: tokio tests their implementation with loom. Memory is sequentially
//! consistent, so a model cannot find an atomic whose ordering is too weak.
//!
//! Environment variables, for one test:
//! - `MODEL_SCHEDULES=1000000` is the number of schedules;
//! - `MODEL_REPLAY=…` repeats a schedule that a failed test printed.

use std::env;

use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, Runner};

/// How often a schedule of the second kind preempts a thread. Most known errors need one or two preemptions.
const PREEMPTIONS: usize = 3;

/// Runs a model with this many random schedules. Half of them choose among all threads at each step; the other half
/// run one thread for as long as it can, and preempt it in a few places.
pub(crate) fn explore(schedules: usize, model: impl Fn() + Copy + Send + Sync + 'static) {
    if is_replayed(model) {
        return;
    }
    let half = number_of_schedules().unwrap_or(schedules).div_ceil(2);
    run(RandomScheduler::new(half), model);
    run(PctScheduler::new(PREEMPTIONS, half), model);
}

/// Runs a small model with every schedule that there is.
pub(crate) fn explore_all(model: impl Fn() + Copy + Send + Sync + 'static) {
    if !is_replayed(model) {
        run(DfsScheduler::new(number_of_schedules(), false), model);
    }
}

fn number_of_schedules() -> Option<usize> {
    env::var("MODEL_SCHEDULES").ok().map(|number| number.parse().expect("MODEL_SCHEDULES is a number"))
}

fn is_replayed(model: impl Fn() + Send + Sync + 'static) -> bool {
    let schedule = env::var("MODEL_REPLAY");
    if let Ok(schedule) = &schedule {
        run(ReplayScheduler::new_from_encoded(schedule), model);
    }
    schedule.is_ok()
}

fn run(scheduler: impl Scheduler + 'static, model: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    // The default of 60 KiB is too small for a debug build.
    config.stack_size = 256 * 1024;
    let number = Runner::new(scheduler, config).run(model);
    println!("{number} schedules");
}
