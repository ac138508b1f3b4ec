//! Keeps a [`Follower`] current: receives what the triggers notify, and proves every few seconds that it does.
//!
//! `LISTEN` has a connection of its own. A notification can be lost silently: the connection dies, or it leads through a
//! transaction pooler or to another server, or a trigger is gone. So each heartbeat sends a nonce by `pg_notify` *on a
//! lookup's connection*, together with a check of the triggers. When the listener has received the nonce, its feed is
//! renewed for a while, counted from the time when the nonce was sent. PostgreSQL delivers in the order of commits: who
//! has received the nonce has received every change before it. A change whose notification a trigger had to suppress has
//! left a trace, which the heartbeat reads.
//!
//! Without requests there are no heartbeats: a database that goes to sleep when it is not used may do so.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::PostgresStore;
use super::failure::Failure;
use super::listener::{Heartbeats, Listener, secret_nonce};
use super::statement::Statement;
use crate::clock::Uptime;
use crate::error::Error;
use crate::settings::FeedSettings;
use crate::store::{Change, Demand, Feed, Follower, OperatorLog};

/// Heartbeats within the time for which one renews the feed: one that is lost does no harm.
const BEATS: u32 = 3;
/// A feed that comes and goes is one problem: it is over after so many heartbeats on one connection.
const STEADY_BEATS: u32 = 12;
/// The feed is given up after so many heartbeats without a request: a minute, where `heartbeat_seconds` is 5.
const IDLE_BEATS: u32 = 36;
/// The pause before a new connection: at first, and at most.
const PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// Beyond this part of the queue, triggers may soon have to suppress notifications, or a writer's commit could fail.
const FULL_QUEUE: f64 = 0.5;

const NOT_RECEIVED: &str = "a heartbeat was sent and not received. Is the listener's connection a transaction pooler's, \
                            or to another server or database? Set AUTH_MIDDLEWARE_LISTEN_DATABASE_URL to a direct one";
const STANDBY: &str = "DATABASE_URL leads to a standby, which cannot notify: set it to the primary";
const QUEUE_HALF_FULL: &str =
    "the server's queue of notifications is half full: some listener sits in a transaction";
const UNUSED: &str = "freshness \"live\": every request queries the store";
const WORKS_AGAIN: &str = "freshness \"live\": the feed of changes works again";

impl PostgresStore {
    /// Follows changes for as long as it is polled.
    pub async fn feed(
        self: Arc<Self>,
        mut follower: impl Follower,
        log: impl OperatorLog,
        demand: impl Demand,
        settings: FeedSettings,
    ) {
        let mut pause = PAUSE;
        let heartbeats = Heartbeats::default();
        let connection = Connection { settings: &settings, log: &log, demand: &demand };
        loop {
            demand.wanted().await;
            match self.follow(&mut follower, &connection, &heartbeats, &mut pause).await {
                Ok(()) => pause = PAUSE,
                Err(problem) => {
                    // Tables that do not exist yet are reported by the requests, which need them too.
                    if !matches!(problem, Error::MissingTables(_)) {
                        log.log(&format!("{UNUSED}: {}", problem.chain()));
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Follows one connection's feed until there are no more requests.
    async fn follow(
        &self,
        follower: &mut impl Follower,
        Connection { settings, log, demand }: &Connection<'_, impl OperatorLog, impl Demand>,
        heartbeats: &Heartbeats,
        pause: &mut Duration,
    ) -> Result<(), Error> {
        let channel = self.in_time(self.known()).await?.channel.clone();
        let mut listener = timeout(self.timeout, Listener::connect(settings, follower, &channel, heartbeats))
            .await
            .map_err(|late| Error::unavailable_because("the listener found no connection in time", late))??;
        let (mut idle, mut steady) = (0, 0);
        while idle < IDLE_BEATS {
            let sent_at = Uptime::now();
            let next = Instant::now() + settings.heartbeat / BEATS;
            match self.beat(&mut listener, heartbeats, settings.heartbeat).await? {
                Pulse::Alive { fingerprint } => {
                    listener.feed().renew(sent_at.after(settings.heartbeat), &fingerprint);
                    steady += 1;
                }
                Pulse::Suspended { why } => {
                    listener.feed().suspend();
                    log.log(&format!("{UNUSED}: {why}"));
                    steady = 0;
                }
                Pulse::OtherTables => return Ok(()),
            }
            if steady == STEADY_BEATS {
                log.log_recovery(WORKS_AGAIN);
                *pause = PAUSE;
            }
            if timeout_at(next, listener.end()).await.is_ok() {
                return Err(Error::unavailable("the listener's connection ended"));
            }
            idle = if demand.was_wanted() { 0 } else { idle + 1 };
        }
        Ok(())
    }

    /// Sends one heartbeat as the feed does, and waits until it has come back: None if it did, else why some changes
    /// would not be notified.
    ///
    /// # Errors
    /// What keeps the feed from working.
    pub async fn prove_feed(&self, settings: &FeedSettings) -> Result<Option<String>, Error> {
        let heartbeats = Heartbeats::default();
        let channel = self.in_time(self.known()).await?.channel.clone();
        let mut follower = Unfollowed;
        let connecting = Listener::connect(settings, &mut follower, &channel, &heartbeats);
        let mut listener = self.in_time(connecting).await?;
        match self.beat(&mut listener, &heartbeats, self.timeout).await? {
            Pulse::Alive { .. } => Ok(None),
            Pulse::Suspended { why } => Ok(Some(why)),
            Pulse::OtherTables => Ok(Some("the tables were changed during the check: try again".to_owned())),
        }
    }

    /// The current statement, read from the catalog if it was not yet.
    async fn known(&self) -> Result<Arc<Statement>, Error> {
        let mut borrowed = self.borrow().await?;
        let statement = self.current.get(&mut borrowed).await.map_err(Failure::into_error)?;
        borrowed.keep();
        Ok(statement)
    }

    /// Sends one heartbeat and waits until it has come back.
    async fn beat(
        &self,
        listener: &mut Listener<impl Feed>,
        heartbeats: &Heartbeats,
        deadline: Duration,
    ) -> Result<Pulse, Error> {
        let nonce = secret_nonce()?;
        listener.expect(&nonce);
        let late =
            |_elapsed| Err(Failure::Lasting(Error::unavailable("a heartbeat did not come back in time")));
        let sent = timeout(deadline, self.send(&listener.channel, heartbeats, &nonce));
        match sent.await.unwrap_or_else(late) {
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
                let received = timeout(deadline, listener.wait_for(&nonce)).await;
                received.unwrap_or_else(|_elapsed| Err(Error::unavailable(NOT_RECEIVED)))?;
                // Before the cache is renewed: what it is filled with from then on has the new columns.
                self.current.expire_unless(&fingerprint);
                Ok(Pulse::Alive { fingerprint })
            }
            Ok(other) => Ok(other),
        }
    }

    async fn send(&self, channel: &str, heartbeats: &Heartbeats, nonce: &str) -> Result<Pulse, Failure> {
        let mut borrowed = self.borrow().await.map_err(Failure::Connection)?;
        let statement = self.current.get(&mut borrowed).await?;
        if statement.channel != channel {
            borrowed.keep();
            return Ok(Pulse::OtherTables);
        }
        let sql = format!(
            "SELECT found.*, pg_catalog.pg_notification_queue_usage() AS queue, \
             pg_catalog.pg_notify($1, $2)::pg_catalog.text FROM ({}) AS found",
            statement.check.sql
        );
        let client = borrowed.client().map_err(Failure::Lasting)?;
        let failed = |error: tokio_postgres::Error| match error.code() {
            Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Failure::Lasting(Error::unavailable(STANDBY)),
            _ => Failure::of("a heartbeat failed", error),
        };
        let other_statement =
            || Failure::Lasting(Error::unavailable("a heartbeat had another statement's result"));
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&heartbeats.channel, Type::TEXT), (&nonce, Type::TEXT)];
        let rows = client.query_typed(&sql, &parameters).await.map_err(failed)?;
        let [row] = &rows[..] else { return Err(other_statement()) };
        let finding = statement.check.read(row).map_err(failed)?;
        let queue: f64 = row.try_get("queue").map_err(failed)?;
        self.note_ignored_columns(&finding);
        if let Some(why) = finding.problem {
            borrowed.keep();
            return Ok(Pulse::Suspended { why });
        }
        // Only now: the check has found that the table is its owner's, and no view of anybody's.
        let rows = client.query_typed(&statement.trace, &[]).await.map_err(failed)?;
        let [row] = &rows[..] else { return Err(other_statement()) };
        let trace: String = row.try_get(0).map_err(failed)?;
        borrowed.keep();
        if queue > FULL_QUEUE {
            return Ok(Pulse::Suspended { why: QUEUE_HALF_FULL.to_owned() });
        }
        Ok(Pulse::Alive { fingerprint: format!("{} {trace}", finding.fingerprint) })
    }
}

/// What one connection's feed is followed with.
struct Connection<'a, L: OperatorLog, D: Demand> {
    settings: &'a FeedSettings,
    log: &'a L,
    demand: &'a D,
}

/// Follows nothing: for a heartbeat alone.
#[derive(Clone)]
struct Unfollowed;

impl Follower for Unfollowed {
    type Feed = Self;

    fn begin(&mut self) -> Self {
        Self
    }
}

impl Feed for Unfollowed {
    fn apply(&self, _: &Change) {}

    fn renew(&self, _: Uptime, _: &str) {}

    fn suspend(&self) {}

    fn end(&self) {}
}

/// What a heartbeat found.
enum Pulse {
    /// Every change up to its time was received, or has left a trace.
    Alive { fingerprint: String },
    /// Some changes would not be notified.
    Suspended { why: String },
    /// The tables are not those whose channel is listened to.
    OtherTables,
}
