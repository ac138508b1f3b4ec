//! Who follows a store's changes, and keeps answers only for as long as they are known to hold.

use super::Change;
use crate::clock::Uptime;

/// One connection's feed of changes, from its beginning on. What an earlier one still says is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedId(pub u64);

/// Follows a feed of changes.
pub trait Follower: Send + Sync + 'static {
    /// A connection is made that will hear; from when on, its first renewal tells. What changed before was
    /// not heard.
    fn begin(&self) -> FeedId;

    /// A change was heard.
    fn apply(&self, feed: FeedId, change: &Change);

    /// Every change up to some time was heard, for which the feed may be believed until then. Another
    /// fingerprint than last time means that changes in between may not have been told.
    fn renew(&self, feed: FeedId, until: Uptime, fingerprint: &str);

    /// The feed goes on, but some changes would not be told.
    fn suspend(&self, feed: FeedId);

    /// The feed is lost.
    fn end(&self, feed: FeedId);

    /// Something that an operator should know of the feed; told once, until there is something else.
    fn log(&self, sentence: &str);

    /// The end of a trouble that was told.
    fn log_recovery(&self, sentence: &str);

    /// Until somebody asks.
    fn wanted(&self) -> impl Future<Output = ()> + Send;

    /// Whether somebody asked since this was called last.
    fn was_wanted(&self) -> bool;
}
