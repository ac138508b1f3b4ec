//! Keeps a [`Follower`] coherent: hears what the triggers notify, and proves every few seconds that it would.
//!
//! `LISTEN` has a connection of its own. A notification can get lost without a word: the connection dies
//! silently, it leads through a transaction pooler or to another server, a trigger is gone. So each heartbeat
//! sends a number by `pg_notify` *on a look-up's connection*, with a look at the triggers, and only when the
//! listener has heard the number is what it keeps believed, for a while from the time when it was sent. PostgreSQL
//! delivers in the order of commits: who has heard the number has heard every change before it.
//!
//! While nobody asks, nothing beats: a database that goes to sleep when it is not used may do so.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Notification};
use tokio_util::task::AbortOnDropHandle;

use super::connection::Connector;
use super::statement::Statement;
use super::table::quote;
use super::{Failure, PostgresStore, nonce};
use crate::clock::Uptime;
use crate::error::Error;
use crate::settings::{FeedSettings, PreparedStatements};
use crate::store::{Change, Feed, Follower};

/// Beats within the time for which one is believed: one that is lost does no harm.
const BEATS: u32 = 3;
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
        loop {
            follower.wanted().await;
            match self.follow(&follower, &settings, &mut pause).await {
                Ok(()) => pause = PAUSE,
                Err(trouble) => {
                    follower.tell(&format!(
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
        pause: &mut Duration,
    ) -> Result<(), Error> {
        let channel = self.in_time(self.known()).await?.channel.clone();
        let mut listener = timeout(settings.heartbeat, Listener::connect(settings, follower, &channel))
            .await
            .map_err(|late| Error::unavailable_because("the listener found no connection in time", late))??;
        let mut unasked = 0;
        while unasked < IDLE_BEATS {
            let sent_at = Uptime::now();
            let next = Instant::now() + settings.heartbeat / BEATS;
            match self.beat(&mut listener, settings.heartbeat).await? {
                Pulse::Alive { fingerprint } => {
                    listener.renew(sent_at.after(settings.heartbeat), &fingerprint);
                    *pause = PAUSE;
                }
                Pulse::Doubtful { why } => listener.doubt(&why),
                Pulse::Elsewhere => return Ok(()),
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
        let statement = self.statement(&mut borrowed).await.map_err(Failure::into_error)?;
        borrowed.keep();
        Ok(statement)
    }

    /// One heartbeat, there and back.
    async fn beat(&self, listener: &mut Listener<impl Follower>, patience: Duration) -> Result<Pulse, Error> {
        let number = listener.next_number();
        let late =
            |_elapsed| Err(Failure::Lasting(Error::unavailable("a heartbeat was not answered in time")));
        match timeout(patience, self.send(listener, number)).await.unwrap_or_else(late) {
            Err(Failure::Tables(error)) => {
                self.forget_statement().await;
                Err(error)
            }
            Err(Failure::Connection(error)) => {
                self.pool.retain(|_, _| false);
                Err(error)
            }
            Err(failure) => Err(failure.into_error()),
            Ok(Pulse::Alive { fingerprint }) => {
                let heard = timeout(patience, listener.hear(number)).await;
                heard.unwrap_or_else(|_elapsed| Err(Error::unavailable(DEAF)))?;
                Ok(Pulse::Alive { fingerprint })
            }
            Ok(other) => Ok(other),
        }
    }

    async fn send(&self, listener: &Listener<impl Follower>, number: u64) -> Result<Pulse, Failure> {
        let mut borrowed = self.borrow().await.map_err(Failure::Connection)?;
        let statement = self.statement(&mut borrowed).await?;
        if statement.channel != listener.channel {
            borrowed.keep();
            return Ok(Pulse::Elsewhere);
        }
        let sql = format!(
            "SELECT found.problem, found.fingerprint, pg_catalog.pg_notification_queue_usage(), \
             pg_catalog.pg_notify($1, $2)::text FROM ({}) AS found",
            statement.check
        );
        let number = number.to_string();
        let client = borrowed.client().map_err(Failure::Lasting)?;
        let unanswered = |error: tokio_postgres::Error| match error.code() {
            Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Failure::Lasting(Error::unavailable(STANDBY)),
            _ => Failure::of("a heartbeat failed", error),
        };
        let rows = client
            .query_typed(&sql, &[(&listener.own_channel, Type::TEXT), (&number, Type::TEXT)])
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

/// A connection that listens. When it goes, its follower believes nothing.
struct Listener<F: Follower> {
    follower: Arc<F>,
    feed: Feed,
    channel: String,
    /// Heartbeats have a channel of each listener's own, so that no other process hears them.
    own_channel: String,
    sent: u64,
    heard: watch::Receiver<u64>,
    _client: Client,
    _connection: AbortOnDropHandle<()>,
}

impl<F: Follower> Listener<F> {
    async fn connect(settings: &FeedSettings, follower: &Arc<F>, channel: &str) -> Result<Self, Error> {
        let connector = Connector::new(&settings.database, PreparedStatements::Off)?;
        let own_channel = format!("auth_middleware_beat_{:016x}", nonce());
        let (numbers, heard) = watch::channel(0);
        let ear = Ear {
            follower: Arc::clone(follower),
            feed: Arc::default(),
            channel: channel.to_owned(),
            own_channel: own_channel.clone(),
            numbers,
        };
        let feed = Arc::clone(&ear.feed);
        let no_connection = |error| Error::unavailable_because("the listener has no connection", error);
        let (client, connection) =
            connector.listen(move |notification| ear.hear(notification)).await.map_err(no_connection)?;
        let connection = AbortOnDropHandle::new(connection);
        let listen = format!("LISTEN {}; LISTEN {}", quote(channel), quote(&own_channel));
        client.batch_execute(&listen).await.map_err(no_connection)?;
        // What was heard before this is not in the follower: it is empty now, and what was sent is not kept.
        let feed = *feed.get_or_init(|| follower.begin());
        let (follower, channel) = (Arc::clone(follower), channel.to_owned());
        Ok(Self {
            follower,
            feed,
            channel,
            own_channel,
            sent: 0,
            heard,
            _client: client,
            _connection: connection,
        })
    }

    fn next_number(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// Waits until a number has come back.
    async fn hear(&mut self, number: u64) -> Result<(), Error> {
        let heard = self.heard.wait_for(|heard| *heard >= number).await;
        heard.map(drop).map_err(|gone| Error::unavailable_because("the listener's connection ended", gone))
    }

    /// Until its connection ends.
    async fn end(&mut self) {
        while self.heard.changed().await.is_ok() {}
    }

    fn renew(&self, until: Uptime, fingerprint: &str) {
        self.follower.renew(self.feed, until, fingerprint);
        self.follower.tell_end_of_trouble(WORKS_AGAIN);
    }

    fn doubt(&self, why: &str) {
        self.follower.doubt(self.feed);
        self.follower.tell(&format!("freshness \"live\": every request asks the store: {why}"));
    }
}

impl<F: Follower> Drop for Listener<F> {
    fn drop(&mut self) {
        self.follower.lose(self.feed);
    }
}

/// Hears for a listener, on the connection's own task, in the order in which the server tells.
struct Ear<F: Follower> {
    follower: Arc<F>,
    feed: Arc<OnceLock<Feed>>,
    channel: String,
    own_channel: String,
    numbers: watch::Sender<u64>,
}

impl<F: Follower> Ear<F> {
    fn hear(&self, notification: &Notification) {
        let Some(feed) = self.feed.get() else { return };
        if notification.channel() == self.channel {
            self.follower.hear(*feed, &Change::read(notification.payload()));
        } else if notification.channel() == self.own_channel
            && let Ok(number) = notification.payload().parse()
        {
            self.numbers.send_replace(number);
        }
    }
}

/// A connection that ends is noticed at once, not by the next heartbeat.
impl<F: Follower> Drop for Ear<F> {
    fn drop(&mut self) {
        if let Some(feed) = self.feed.get() {
            self.follower.lose(*feed);
        }
    }
}
