//! Whether statements may have names on the server.
//!
//! tokio-postgres names its statements s0, s1, … in every process. Behind a transaction pooler a name can be another
//! client's statement. So names are used on a direct connection, and through a pooler that gives each client's
//! statements names of its own. Where they are not used, the server parses and plans each lookup anew.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error as PgError, SimpleQueryMessage};

use super::nonce;
use super::process_id::process_id;
use crate::clock::Moment;
use crate::settings::{DatabaseUrl, Host, PreparedStatements};

/// A batch of few tokens looks so cheap to PostgreSQL that it plans each anew, which takes longer than the lookup; the
/// plan that serves any number is as good. Older servers do not know the setting.
const PLAN_ONCE: &str = "SELECT pg_catalog.set_config(name, 'force_generic_plan'::pg_catalog.text, false) \
                         FROM pg_catalog.pg_settings \
                         WHERE name OPERATOR(pg_catalog.=) 'plan_cache_mode'::pg_catalog.text";
/// The process that answers, and its age in seconds by the server's own clock; then the time by that clock.
const ANSWERING_PROCESS: &str = "SELECT pid, pg_catalog.date_part('epoch'::pg_catalog.text, \
                               pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) backend_start) \
                           FROM pg_catalog.pg_stat_activity \
                           WHERE pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid(); \
                           SELECT pg_catalog.date_part('epoch'::pg_catalog.text, pg_catalog.clock_timestamp())";
const DIRECT: &str = "lookups use named statements, since connections are direct: the process id given at connect is \
                      that of the server's process";
const RENAMING: &str = "lookups use named statements: the pooler in between renames them";
/// The clocks are not compared by a slower query, such as one of a server that is just starting.
const LONGEST_ROUND_TRIP: Duration = Duration::from_secs(1);
/// A clock that is adjusted gradually moves by less; one that was set does not.
const SAME_CLOCK: TimeDelta = TimeDelta::seconds(1);
const SETTING: &str = "AUTH_MIDDLEWARE_PREPARED_STATEMENTS";

/// The rule for one pool of connections, and what is known of their path to the server.
#[derive(Debug)]
pub(super) struct StatementNames {
    rule: PreparedStatements,
    /// With `auto`: every connection so far allows names. Once false it stays false.
    is_safe: AtomicBool,
    /// With `auto`: every connection so far was direct, so that each lookup runs in the connection's own process.
    is_direct: AtomicBool,
    clock: Mutex<Option<ServerClock>>,
    messages: Mutex<Messages>,
}

#[derive(Debug, Default)]
struct Messages {
    /// The last line about names, and whether it was taken.
    note: Option<String>,
    is_note_taken: bool,
    warnings: Vec<String>,
}

impl StatementNames {
    pub(super) fn new(rule: PreparedStatements) -> Self {
        let (is_safe, is_direct) = (AtomicBool::new(true), AtomicBool::new(true));
        Self { rule, is_safe, is_direct, clock: Mutex::default(), messages: Mutex::default() }
    }

    /// Whether a lookup may name its statement, as far as the connections so far show.
    pub(super) fn are_allowed(&self) -> bool {
        match self.rule {
            PreparedStatements::On => true,
            PreparedStatements::Off => false,
            PreparedStatements::Auto => self.is_safe.load(Ordering::Relaxed),
        }
    }

    /// Finds out what a new connection leads through, and whether it is still usable: a pooler may have closed it. Then
    /// another one, which is not examined any more, can be used. `started` is before its socket was opened.
    pub(super) async fn examine(
        &self,
        client: &Client,
        database: &DatabaseUrl,
        started: Instant,
    ) -> Result<bool, PgError> {
        match self.rule {
            PreparedStatements::On => self.note(format!("lookups use named statements, by {SETTING}=on")),
            PreparedStatements::Off => self.note(off_by_setting(database)),
            PreparedStatements::Auto if !self.are_allowed() => {}
            PreparedStatements::Auto => return self.examine_path(client, database, started).await,
        }
        Ok(true)
    }

    async fn examine_path(
        &self,
        client: &Client,
        database: &DatabaseUrl,
        started: Instant,
    ) -> Result<bool, PgError> {
        let answer = answer(client).await?;
        *self.clock() = answer.as_ref().and_then(|answer| answer.clock);
        let Some(indirect) = indirection(client, answer.as_ref(), started).await else {
            client.simple_query(PLAN_ONCE).await?;
            if self.is_direct.load(Ordering::Relaxed) {
                self.note(DIRECT.to_owned());
            }
            return Ok(true);
        };
        self.is_direct.store(false, Ordering::Relaxed);
        let renames = renames_statements(client).await;
        if matches!(renames, Ok(true)) {
            self.note(RENAMING.to_owned());
            return Ok(true);
        }
        self.is_safe.store(false, Ordering::Relaxed);
        self.note(pooler(&indirect, database));
        Ok(renames.is_ok())
    }

    /// Whether the process that ran a named statement is the connection's own, where that has to be so. Some poolers
    /// hand out small process ids, which a server in a container can have too.
    pub(super) async fn is_of_connection(&self, client: &Client, process: Option<i32>) -> bool {
        if self.rule != PreparedStatements::Auto || !self.is_direct.load(Ordering::Relaxed) {
            return true;
        }
        process.is_some() && process == process_id(&client.cancel_token()).await
    }

    /// Uses no names from now on, where the setting leaves that open: there is a pooler after all.
    pub(super) fn forbid(&self, why: &str) {
        if self.rule == PreparedStatements::Auto && self.is_safe.swap(false, Ordering::Relaxed) {
            self.is_direct.store(false, Ordering::Relaxed);
            self.messages().warnings.push(format!(
                "lookups do not use named statements any more, since there is a pooler: {why}"
            ));
        }
    }

    /// By how much the server's clock was ahead of ours at the last connection that was examined. None if ours was set
    /// since.
    pub(super) fn clock_ahead(&self) -> Option<TimeDelta> {
        self.clock().as_ref()?.ahead_at(Moment::now())
    }

    /// Whether names are used and why, once after the first connection, and again if it changes.
    pub(super) fn take_note(&self) -> Option<String> {
        let mut messages = self.messages();
        let is_taken = std::mem::replace(&mut messages.is_note_taken, true);
        messages.note.clone().filter(|_| !is_taken)
    }

    /// The same, whether or not it was taken.
    pub(super) fn last_note(&self) -> Option<String> {
        self.messages().note.clone()
    }

    /// What an operator should know, once.
    pub(super) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.messages().warnings)
    }

    pub(super) fn warn(&self, warning: String) {
        self.messages().warnings.push(warning);
    }

    fn note(&self, note: String) {
        let mut messages = self.messages();
        if messages.note.as_ref() != Some(&note) {
            (messages.note, messages.is_note_taken) = (Some(note), false);
        }
    }

    fn clock(&self) -> MutexGuard<'_, Option<ServerClock>> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn messages(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the server's process says of itself.
struct Answer {
    process: i32,
    /// In seconds.
    age: f64,
    clock: Option<ServerClock>,
}

/// The server's clock, beside ours.
#[derive(Clone, Copy, Debug)]
struct ServerClock {
    /// By how much it was ahead of ours. It is off by at most half of the query's round trip.
    ahead: TimeDelta,
    /// When that was.
    at: Moment,
}

impl ServerClock {
    /// By how much it is ahead now; None if our clock was set since.
    fn ahead_at(&self, now: Moment) -> Option<TimeDelta> {
        let passed = TimeDelta::from_std(now.uptime.since(self.at.uptime)).ok()?;
        let shift = now.wall - self.at.wall - passed;
        (shift.abs() < SAME_CLOCK).then_some(self.ahead)
    }
}

/// How it shows that a connection is not direct; None where it is. `started` is before its socket was opened.
async fn indirection(client: &Client, answer: Option<&Answer>, started: Instant) -> Option<String> {
    let promised = process_id(&client.cancel_token()).await;
    match (promised, answer) {
        (Some(promised), Some(Answer { process, age, .. })) if promised == *process => {
            // Both are durations, so the two clocks need not agree.
            let is_older = *age > started.elapsed().as_secs_f64();
            is_older.then(|| "the server's process is older than the connection".to_owned())
        }
        (Some(promised), Some(Answer { process, .. })) => {
            Some(format!("the connection's process id is {promised}, and the server's process is {process}"))
        }
        _ => Some("the server does not report which of its processes responded".to_owned()),
    }
}

/// What the process that answers says of itself. None where it cannot say: not every server that speaks PostgreSQL's
/// protocol has that view, or lets everybody read it.
async fn answer(client: &Client) -> Result<Option<Answer>, PgError> {
    let sent = Moment::now();
    let messages = match client.simple_query(ANSWERING_PROCESS).await {
        Err(error) if error.as_db_error().is_some() => return Ok(None),
        messages => messages?,
    };
    let took = Moment::now().uptime.since(sent.uptime);
    let midway = sent.wall + took / 2;
    // A server may list no process: then only the second row is there.
    let row_of = |columns: usize| {
        messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) if row.len() == columns => Some(row),
            _ => None,
        })
    };
    let process = row_of(2).and_then(|row| Some((row.get(0)?.parse().ok()?, row.get(1)?.parse().ok()?)));
    let epoch: Option<f64> = row_of(1).and_then(|row| row.get(0)?.parse().ok());
    #[expect(clippy::cast_possible_truncation, reason = "it saturates")]
    let ahead = |epoch: f64| ((epoch * 1000.0) as i64).saturating_sub(midway.timestamp_millis());
    let ahead =
        epoch.filter(|_| took < LONGEST_ROUND_TRIP).and_then(|it| TimeDelta::try_milliseconds(ahead(it)));
    let clock = ahead.map(|ahead| ServerClock { ahead, at: sent });
    Ok(process.map(|(process, age)| Answer { process, age, clock }))
}

/// Whether a statement of ours has another name on the server than we gave it. In one transaction, so that a pooler
/// uses one server process for all of it; the statement is closed before another client can get that process.
async fn renames_statements(client: &Client) -> Result<bool, PgError> {
    client.batch_execute("BEGIN READ ONLY").await?;
    let result = is_renamed(client).await;
    client.batch_execute(if result.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    match result {
        // Another client's statement has that name, so our name arrived there as it is.
        Err(error) if error.code() == Some(&SqlState::DUPLICATE_PSTATEMENT) => Ok(false),
        result => result,
    }
}

async fn is_renamed(client: &Client) -> Result<bool, PgError> {
    let marker = format!("auth_middleware probe {:016x}", nonce());
    let statement = client.prepare(&format!("SELECT '{marker}'::pg_catalog.text")).await?;
    let query = format!(
        "SELECT name FROM pg_catalog.pg_prepared_statements \
         WHERE pg_catalog.strpos(statement, '{marker}'::pg_catalog.text) OPERATOR(pg_catalog.>) 0"
    );
    let seen = client.simple_query(&query).await;
    // Closes it on the server, before what the caller sends next.
    drop(statement);
    let names: Vec<String> = seen?
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .collect();
    Ok(!names.is_empty() && !names.iter().any(|name| is_of_driver(name)))
}

/// Whether a name is as tokio-postgres makes them: s0, s1, …
fn is_of_driver(name: &str) -> bool {
    name.strip_prefix('s')
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn off_by_setting(database: &DatabaseUrl) -> String {
    if database.behind_pooler {
        return "lookups do not use named statements, since the database's URL indicates a pooler (pgbouncer=true, or \
                a statement cache of 0)"
            .to_owned();
    }
    format!("lookups do not use named statements, by {SETTING}=off")
}

fn pooler(shows: &str, database: &DatabaseUrl) -> String {
    let advice = match &database.host {
        Host::Tcp(name) if name.ends_with(".neon.tech") => format!(
            "Neon's proxy shows this on direct connections too: if the host name has no \"-pooler\", set {SETTING}=on"
        ),
        _ => format!("If each connection keeps its server process, set {SETTING}=on"),
    };
    format!(
        "lookups do not use named statements, so that a single one takes longer, since there seems to be a pooler: \
         {shows}. {advice}"
    )
}

#[cfg(test)]
mod tests {
    use chrono::Utc;

    use super::*;

    #[test]
    fn a_comparison_of_clocks_is_void_once_ours_was_set() {
        let at = Moment::from(Utc::now());
        let clock = ServerClock { ahead: TimeDelta::seconds(-90), at };
        let later = |uptime: u64, wall: i64| Moment {
            wall: at.wall + TimeDelta::milliseconds(wall),
            uptime: at.uptime.after(Duration::from_millis(uptime)),
        };
        for wall in [3_600_000, 3_600_999, 3_599_001] {
            assert_eq!(clock.ahead_at(later(3_600_000, wall)), Some(TimeDelta::seconds(-90)), "{wall}");
        }
        for wall in [3_601_000, 3_599_000, 0, -3_600_000] {
            assert_eq!(clock.ahead_at(later(3_600_000, wall)), None, "{wall}");
        }
    }
}
