//! Keeps a [`Follower`] coherent: hears what the triggers notify, and proves every few seconds that it would.
//!
//! `LISTEN` has a connection of its own. A notification can get lost without a word: the connection dies
//! silently, it leads through a transaction pooler or to another server, a trigger is gone. So each heartbeat
//! sends a number by `pg_notify` *on a look-up's connection*, with a look at the triggers, and only when the
//! listener has heard the number is what it keeps believed, for a while from the time when it was sent. PostgreSQL
//! delivers in the order of commits: who has heard the number has heard every change before it.
//!
//! While nobody asks, nothing beats: a database that goes to sleep when it is not used may do so.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::PostgresStore;
use super::failure::Failure;
use super::listener::{Beats, Listener};
use super::statement::Statement;
use crate::clock::Uptime;
use crate::error::Error;
use crate::settings::FeedSettings;
use crate::store::Follower;

/// Beats within the time for which one is believed: one that is lost does no harm.
const BEATS: u32 = 3;
/// A feed that comes and goes is one trouble: it ends after so many beats on one connection.
const STEADY_BEATS: u32 = 12;
/// The feed is given up when nobody asked during so many beats: a minute, where a heartbeat is 5 seconds.
const IDLE_BEATS: u32 = 36;
/// The pause before a new connection: at first, and at most.
const PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// Beyond this the triggers could have to keep silent lest the writer's commit fail.
const FULL_QUEUE: f64 = 0.5;

const DEAF: &str = "a heartbeat was sent and not heard. Is the listener's connection a transaction pooler's, or to another \
                    server or database? Set AUTH_MIDDLEWARE_LISTEN_DATABASE_URL to a direct one";
const STANDBY: &str = "DATABASE_URL leads to a standby, which cannot notify: name the primary";
const WORKS_AGAIN: &str = "freshness \"live\": the feed of changes works again";

impl PostgresStore {
    /// Tells the follower of every change, for as long as it is polled.
    pub async fn feed(self: Arc<Self>, follower: Arc<impl Follower>, settings: FeedSettings) {
        let mut pause = PAUSE;
        let mut beats = Beats::default();
        loop {
            follower.wanted().await;
            match self.follow(&follower, &settings, &mut beats, &mut pause).await {
                Ok(()) => pause = PAUSE,
                Err(trouble) => {
                    follower.log(&format!(
                        "freshness \"live\": every request asks the store: {}",
                        trouble.chain()
                    ));
                    sleep(pause).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Follows one connection's feed until nobody asks any more.
    async fn follow<F: Follower>(
        &self,
        follower: &Arc<F>,
        settings: &FeedSettings,
        beats: &mut Beats,
        pause: &mut Duration,
    ) -> Result<(), Error> {
        let channel = self.in_time(self.known()).await?.channel.clone();
        let mut listener = timeout(self.timeout, Listener::connect(settings, follower, &channel, beats))
            .await
            .map_err(|late| Error::unavailable_because("the listener found no connection in time", late))??;
        let (mut unasked, mut steady) = (0, 0);
        while unasked < IDLE_BEATS {
            let sent_at = Uptime::now();
            let next = Instant::now() + settings.heartbeat / BEATS;
            match self.beat(&mut listener, beats, settings.heartbeat).await? {
                Pulse::Alive { fingerprint } => {
                    listener.renew(sent_at.after(settings.heartbeat), &fingerprint);
                    steady += 1;
                }
                Pulse::Doubtful { why } => {
                    listener.suspend(&why);
                    steady = 0;
                }
                Pulse::Elsewhere => return Ok(()),
            }
            if steady == STEADY_BEATS {
                follower.log_recovery(WORKS_AGAIN);
                *pause = PAUSE;
            }
            if timeout_at(next, listener.end()).await.is_ok() {
                return Err(Error::unavailable("the listener's connection ended"));
            }
            unasked = if follower.was_wanted() { 0 } else { unasked + 1 };
        }
        Ok(())
    }

    /// What the catalog says, read when nobody has read it yet.
    async fn known(&self) -> Result<Arc<Statement>, Error> {
        let mut borrowed = self.borrow().await?;
        let statement = self.current.get(&mut borrowed).await.map_err(Failure::into_error)?;
        borrowed.keep();
        Ok(statement)
    }

    /// One heartbeat, there and back.
    async fn beat(
        &self,
        listener: &mut Listener<impl Follower>,
        beats: &mut Beats,
        deadline: Duration,
    ) -> Result<Pulse, Error> {
        beats.sent += 1;
        let number = beats.sent;
        let late =
            |_elapsed| Err(Failure::Lasting(Error::unavailable("a heartbeat was not answered in time")));
        match timeout(deadline, self.send(&listener.channel, beats)).await.unwrap_or_else(late) {
            Err(Failure::Tables(error)) => {
                self.discard_statement().await;
                Err(error)
            }
            Err(Failure::Connection(error)) => {
                self.close_idle_connections();
                Err(error)
            }
            Err(failure) => Err(failure.into_error()),
            Ok(Pulse::Alive { fingerprint }) => {
                let heard = timeout(deadline, listener.wait_for(number)).await;
                heard.unwrap_or_else(|_elapsed| Err(Error::unavailable(DEAF)))?;
                // Before the cache is renewed: what it is filled with from then on has the new columns.
                self.current.expire_unless(&fingerprint);
                Ok(Pulse::Alive { fingerprint })
            }
            Ok(other) => Ok(other),
        }
    }

    async fn send(&self, listened_to: &str, beats: &Beats) -> Result<Pulse, Failure> {
        let mut borrowed = self.borrow().await.map_err(Failure::Connection)?;
        let statement = self.current.get(&mut borrowed).await?;
        if statement.channel != listened_to {
            borrowed.keep();
            return Ok(Pulse::Elsewhere);
        }
        let sql = format!(
            "SELECT found.problem, found.fingerprint, pg_catalog.pg_notification_queue_usage(), \
             pg_catalog.pg_notify($1, $2)::pg_catalog.text FROM ({}) AS found",
            statement.check
        );
        let number = beats.sent.to_string();
        let client = borrowed.client().map_err(Failure::Lasting)?;
        let unanswered = |error: tokio_postgres::Error| match error.code() {
            Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Failure::Lasting(Error::unavailable(STANDBY)),
            _ => Failure::of("a heartbeat failed", error),
        };
        let rows = client
            .query_typed(&sql, &[(&beats.channel, Type::TEXT), (&number, Type::TEXT)])
            .await
            .map_err(unanswered)?;
        borrowed.keep();
        let [row] = &rows[..] else {
            return Err(Failure::Lasting(Error::unavailable("a heartbeat had another statement's answer")));
        };
        let problem: Option<String> = row.try_get(0).map_err(unanswered)?;
        let fingerprint: Option<String> = row.try_get(1).map_err(unanswered)?;
        let queue: f64 = row.try_get(2).map_err(unanswered)?;
        Ok(match (problem, fingerprint) {
            (Some(why), _) => Pulse::Doubtful { why },
            (None, _) if queue > FULL_QUEUE => Pulse::Doubtful {
                why: "the server's queue of notifications is half full: some listener sits in a transaction"
                    .to_owned(),
            },
            (None, fingerprint) => Pulse::Alive { fingerprint: fingerprint.unwrap_or_default() },
        })
    }
}

/// What a heartbeat tells.
enum Pulse {
    /// Every change up to its time was heard.
    Alive { fingerprint: String },
    /// Some changes would not be notified.
    Doubtful { why: String },
    /// The tables are others than those that the listener hears of.
    Elsewhere,
}
