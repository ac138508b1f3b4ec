//! Who follows a store's changes: a cache that keeps entries only as long as they are known to be current.
//!
//! Three concerns, each with its own trait: what changed ([`Follower`] and its [`Feed`]), what to log for the operator
//! ([`OperatorLog`]), and whether the feed is needed at all ([`Demand`]).

use super::Change;
use crate::clock::Uptime;

/// Follows changes, one connection after the other. There is one for each cache, so no two feeds write to it.
pub trait Follower: Send + 'static {
    /// What one connection writes to.
    type Feed: Feed;

    /// Starts the feed of a new connection, and ends that of the one before. Changes before its first renewal were not
    /// received.
    fn begin(&mut self) -> Self::Feed;
}

/// The feed of one connection. It is shared by the task that receives and the one that sends heartbeats; once another
/// feed has begun, it does nothing.
pub trait Feed: Clone + Send + Sync + 'static {
    /// A change was received.
    fn apply(&self, change: &Change);

    /// Every change up to some moment was received, and so entries are current until then. A fingerprint that differs
    /// from the last one means that changes in between may not have been notified.
    fn renew(&self, until: Uptime, fingerprint: &str);

    /// The connection works, but some changes would not be notified.
    fn suspend(&self);

    /// The connection is lost.
    fn end(&self);
}

/// Logs for an operator.
pub trait OperatorLog: Send + Sync + 'static {
    /// A problem with the feed. The same problem is logged once until it is over.
    fn log(&self, problem: &str);

    /// The end of a problem that was logged.
    fn log_recovery(&self, message: &str);
}

/// Whether requests use what the feed keeps current. A database that nobody uses may go to sleep.
pub trait Demand: Send + Sync + 'static {
    /// Waits for a request.
    fn wanted(&self) -> impl Future<Output = ()> + Send;

    /// Whether there was a request since the last call.
    fn was_wanted(&self) -> bool;
}
