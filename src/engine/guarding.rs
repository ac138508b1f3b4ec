//! Connections that stay open after their request was identified.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Engine;
use crate::clock::Uptime;
use crate::error::Error;
use crate::guards::{End, Subject, Watch, Whose};
use crate::identity::Identity;
use crate::settings::JwtFreshness;

impl Engine {
    /// Whose a connection of this identity is; `token_expires_at` is for a JWT.
    #[must_use]
    pub fn subject(&self, identity: &Identity, token_expires_at: Option<DateTime<Utc>>) -> Subject {
        Subject::of_session(identity).unwrap_or_else(|| {
            let trusts_claims =
                self.settings.jwt.as_ref().is_some_and(|jwt| jwt.freshness == JwtFreshness::Claims);
            // A token that is not known to be valid any more has just expired.
            let expires_at = token_expires_at.unwrap_or(DateTime::<Utc>::MIN_UTC);
            Subject::of_token(&identity.user.id, expires_at, !trusts_claims)
        })
    }

    /// Guards a connection until the result is dropped, and closes it through `end`, once and from another thread, if its
    /// session ends first. `since` is when the identification began.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if nothing can be opened.
    pub fn guard(&self, subject: Arc<Subject>, since: Uptime, end: End) -> Result<Watch, Error> {
        let open = self.open_now()?;
        let key = subject.key().cloned();
        let watch = open.guards.add(subject, since, end);
        // A change since it was identified may have been notified before it was guarded. What the live cache has now
        // was not changed until now, and from now on the feed reaches this connection.
        let feed = open.live_cache.as_ref().filter(|cache| cache.needs_feed());
        if let (Some(cache), Some(key)) = (feed, key)
            && cache.get(&key, self.now()).is_none()
        {
            watch.check_soon();
        }
        Ok(watch)
    }

    /// Closes the guarded connections of a user or a session in this process, and returns how many.
    #[must_use]
    pub fn disconnect(&self, whose: Whose<'_>) -> usize {
        let guards = {
            let state = self.lock();
            let open = state.as_ref().filter(|state| state.is_ours()).and_then(|state| state.open.as_ref());
            open.map(|open| open.guards.clone())
        };
        guards.map_or(0, |guards| guards.disconnect(whose))
    }

    /// How many connections are guarded in this process.
    #[must_use]
    pub fn guarded_connections(&self) -> usize {
        let state = self.lock();
        let open = state.as_ref().filter(|state| state.is_ours()).and_then(|state| state.open.as_ref());
        open.map_or(0, |open| open.guards.count())
    }
}
