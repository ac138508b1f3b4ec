//! Reads the rows of a lookup, each as one session and its user.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use tokio_postgres::Row;

use super::catalog::Kind;
use super::column::{BanExpiry, Columns, Misfit};
use super::id::IdJoin;
use super::schema::{SESSION_FIELDS, USER_FIELDS};
use crate::identity::{Identity, Session, User};
use crate::signature::SessionToken;
use crate::store::{LookupKey, LookupResult};

/// How to read the rows of one statement.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) marker: String,
    pub(super) ids: IdJoin,
    pub(super) session: Vec<Kind>,
    pub(super) user: Vec<Kind>,
    /// The columns of both, with their tables, for messages.
    pub(super) names: Vec<String>,
    pub(super) has_banned: bool,
    pub(super) ban_expires: Option<BanExpiry>,
    /// The zone of times that have none.
    pub(super) zone: Tz,
}

impl Reading {
    /// Whether the tables still are as the catalog showed them: columns of the same types, and no
    /// row-level security that was not there.
    pub(super) fn fits(&self, rows: &[Row]) -> bool {
        // Another statement's rows, which an old pooler can give, say nothing of our tables.
        let Some(first) = rows.first().filter(|row| self.wrote(row)) else { return true };
        let kinds = self.session.iter().chain(&self.user);
        let columns = first.columns().iter().skip(FIRST_COLUMN);
        let is_hidden =
            |row: &Row| row.try_get::<_, Option<bool>>(3).is_ok_and(|is_hidden| is_hidden == Some(true));
        kinds.zip(columns).all(|(kind, column)| kind.is_sent_as(column.type_()))
            && !rows.iter().any(is_hidden)
    }

    /// A column without a zone whose time is in the future, although a row cannot be created then: the zone is not the
    /// one in which the times were written.
    pub(super) fn column_in_another_zone(
        &self,
        results: &[LookupResult],
        now: DateTime<Utc>,
    ) -> Option<&str> {
        let created_at =
            |fields: &[(&str, Kind)]| fields.iter().position(|(field, _)| *field == "created_at");
        let (in_session, in_user) = (created_at(&SESSION_FIELDS)?, created_at(&USER_FIELDS)?);
        let is_local = |kinds: &[Kind], index: usize| kinds.get(index) == Some(&Kind::LocalTime);
        let is_late = |time: Option<DateTime<Utc>>| time.is_some_and(|time| time > now + CLOCKS_DIFFER);
        let identities = || {
            results.iter().filter_map(|result| match result {
                LookupResult::Found(identity) => Some(identity),
                _ => None,
            })
        };
        if is_local(&self.session, in_session)
            && identities().any(|each| is_late(each.session.as_ref().and_then(|session| session.created_at)))
        {
            return self.names.get(in_session).map(String::as_str);
        }
        if is_local(&self.user, in_user) && identities().any(|each| is_late(each.user.created_at)) {
            return self.names.get(self.session.len() + in_user).map(String::as_str);
        }
        None
    }

    /// The application's own fields of `user` come last, after the ban's where the table has them.
    fn user_own(&self) -> &[Kind] {
        let bans = usize::from(self.has_banned) + usize::from(self.ban_expires.is_some());
        &self.user[USER_FIELDS.len() + bans..]
    }

    /// Whether a row is of the statement that carries our marker.
    fn wrote(&self, row: &Row) -> bool {
        row.try_get::<_, &str>(0).is_ok_and(|marker| marker == self.marker)
    }

    fn problem(&self, misfit: &Misfit) -> String {
        let column = misfit.column.checked_sub(FIRST_COLUMN).and_then(|column| self.names.get(column));
        format!("a row cannot be read: {} {}", column.map_or("a column", String::as_str), misfit.why)
    }
}

/// The server's process that ran the statement.
pub(super) fn process(rows: &[Row]) -> Option<i32> {
    rows.first().and_then(|row| row.try_get(1).ok())
}

/// Before it are the marker, the server's process, the requested token, and whether a row may be hidden.
pub(super) const FIRST_COLUMN: usize = 4;

/// The clocks of two servers may differ by so much.
const CLOCKS_DIFFER: chrono::TimeDelta = chrono::TimeDelta::minutes(5);

/// One result for each key, in their order.
///
/// # Errors
/// What is wrong with the rows as a whole: not our statement's, or a key of ours is missing.
pub(super) fn results(
    reading: &Reading,
    keys: &[&LookupKey],
    rows: &[Row],
) -> Result<Vec<LookupResult>, &'static str> {
    let mut by_key: HashMap<&str, LookupResult> = HashMap::with_capacity(rows.len());
    for row in rows {
        let requested = row.try_get::<_, &str>(2).ok().filter(|_| reading.wrote(row));
        let requested = requested
            .ok_or("the response is another statement's: is a pooler between? (prepared_statements=off)")?;
        let key = keys
            .iter()
            .find(|key| key.as_str() == requested)
            .ok_or("the response is for a key that was not requested")?;
        let result = read(reading, key, row);
        let result = result.unwrap_or_else(|misfit| LookupResult::Misfit(reading.problem(&misfit)));
        let known = by_key.entry(requested).or_insert_with(|| nothing(key));
        *known = match (std::mem::replace(known, LookupResult::Unreadable), result) {
            (known, only) if known == nothing(key) => only,
            (only, other) if other == nothing(key) => only,
            // Two sessions with one token, or two users with one id, do not identify who sent it.
            _ => LookupResult::Unreadable,
        };
    }
    let missing = "the response lacks a key that was requested";
    keys.iter().map(|key| by_key.get(key.as_str()).cloned().ok_or(missing)).collect()
}

/// The result where there is no row.
fn nothing(key: &LookupKey) -> LookupResult {
    match key {
        LookupKey::Session(_) => LookupResult::NoSession,
        LookupKey::User(_) => LookupResult::NoUser,
    }
}

fn read(reading: &Reading, key: &LookupKey, row: &Row) -> Result<LookupResult, Misfit> {
    let mut columns = Columns::new(row, FIRST_COLUMN, reading.zone);
    let session = match key {
        LookupKey::User(_) => None,
        LookupKey::Session(token) => match session(reading, token, &mut columns)? {
            Ok(session) => Some(session),
            Err(without) => return Ok(without),
        },
    };
    let user_id = session.as_ref().map_or(key.as_str(), |session| session.user_id.as_str());
    let Some(id) = columns.read::<Option<String>>()? else { return Ok(LookupResult::NoUser) };
    // The database may compare ids without regard to case or trailing spaces, and a cast may have lost what distinguishes two
    // of them apart.
    if !reading.ids.is_same(user_id, &id) {
        return Ok(LookupResult::NoUser);
    }
    let user = User {
        id,
        name: columns.read()?,
        email: columns.read()?,
        email_verified: columns.read::<Option<bool>>()?.unwrap_or(false),
        image: columns.read()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
        ban: columns.ban(reading.has_banned, reading.ban_expires)?,
        own: columns.own(reading.user_own())?,
    };
    Ok(LookupResult::Found(Arc::new(Identity { session, user })))
}

/// The session in a row, or what its absence means.
fn session(
    reading: &Reading,
    token: &SessionToken,
    columns: &mut Columns<'_>,
) -> Result<Result<Session, LookupResult>, Misfit> {
    let id: Option<String> = columns.read()?;
    let user_id: Option<String> = columns.read()?;
    // The database may compare without regard to case or trailing spaces; we do not.
    if columns.read::<Option<&str>>()? != Some(token.as_str()) {
        return Ok(Err(LookupResult::NoSession));
    }
    let Some(user_id) = user_id else { return Ok(Err(LookupResult::NoUser)) };
    Ok(Ok(Session {
        id: id.ok_or(Misfit { column: FIRST_COLUMN, why: "is NULL" })?,
        user_id,
        token: token.clone(),
        expires_at: columns.expiry()?,
        ip_address: columns.read()?,
        user_agent: columns.read()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
        own: columns.own(&reading.session[SESSION_FIELDS.len()..])?,
    }))
}
