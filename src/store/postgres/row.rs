//! Reads the rows of a look-up, each as one session and its user.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Datelike as _, NaiveDateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use super::catalog::Kind;
use super::id::IdJoin;
use super::schema::{SESSION_FIELDS, USER_FIELDS};
use crate::identity::{Ban, Identity, Session, User, Value};
use crate::signature::SessionToken;
use crate::store::{LookupKey, LookupResult};

/// How to read the rows of one statement.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) marker: String,
    pub(super) ids: IdJoin,
    pub(super) session: Vec<Kind>,
    pub(super) user: Vec<Kind>,
    pub(super) has_banned: bool,
    pub(super) has_ban_expires: bool,
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
            |row: &Row| row.try_get::<_, Option<bool>>(2).is_ok_and(|is_hidden| is_hidden == Some(true));
        kinds.zip(columns).all(|(kind, column)| kind.is_sent_as(column.type_()))
            && !rows.iter().any(is_hidden)
    }

    /// The application's own fields of `user` come last, after the ban's where the table has them.
    fn user_own(&self) -> &[Kind] {
        &self.user[USER_FIELDS.len() + usize::from(self.has_banned) + usize::from(self.has_ban_expires)..]
    }

    /// Whether a row is of the statement that carries our marker.
    fn wrote(&self, row: &Row) -> bool {
        row.try_get::<_, &str>(0).is_ok_and(|marker| marker == self.marker)
    }
}

/// Before it are the marker, the requested token, and whether a row may be hidden.
const FIRST_COLUMN: usize = 3;

/// One result for each key, in their order.
///
/// # Errors
/// What is wrong with the rows as a whole: not our statement's, or a key of ours is missing.
pub(super) fn results(
    reading: &Reading,
    keys: &[&LookupKey],
    rows: &[Row],
) -> Result<Vec<LookupResult>, &'static str> {
    let mut by_key: HashMap<&str, Vec<LookupResult>> = HashMap::with_capacity(rows.len());
    for row in rows {
        let requested = row.try_get::<_, &str>(1).ok().filter(|_| reading.wrote(row));
        let requested = requested
            .ok_or("the response is another statement's: is a pooler between? (prepared_statements=off)")?;
        let key = keys
            .iter()
            .find(|key| key.as_str() == requested)
            .ok_or("the response is for a key that was not requested")?;
        let result = read(reading, key, row).unwrap_or(LookupResult::Unreadable);
        by_key.entry(requested).or_default().push(result);
    }
    let missing = "the response lacks a key that was requested";
    keys.iter().map(|key| by_key.get(key.as_str()).map(|rows| one(key, rows)).ok_or(missing)).collect()
}

/// What several rows of one key say together: two sessions with one token, or two users with one id, do not tell who
/// sent it.
fn one(key: &LookupKey, rows: &[LookupResult]) -> LookupResult {
    let none = match key {
        LookupKey::Session(_) => LookupResult::NoSession,
        LookupKey::User(_) => LookupResult::NoUser,
    };
    let mut something = rows.iter().filter(|result| **result != none);
    match (something.next(), something.next()) {
        (None, _) => none,
        (Some(only), None) => only.clone(),
        (Some(_), Some(_)) => LookupResult::Unreadable,
    }
}

/// None where a column cannot be read: a time at infinity, text that is not UTF-8, NULL where
/// Better Auth never writes it.
fn read(reading: &Reading, key: &LookupKey, row: &Row) -> Option<LookupResult> {
    let mut columns = Columns { row, next: FIRST_COLUMN };
    let session = match key {
        LookupKey::User(_) => None,
        LookupKey::Session(token) => match session(reading, token, &mut columns)? {
            None => return Some(LookupResult::NoSession),
            session => session,
        },
    };
    let user_id = session.as_ref().map_or(key.as_str(), |session| session.user_id.as_str());
    let Some(id) = columns.read::<Option<String>>()? else { return Some(LookupResult::NoUser) };
    // The database may compare ids without regard to case or trailing spaces, and a cast may have lost what tells two
    // of them apart.
    if !reading.ids.is_same(user_id, &id) {
        return Some(LookupResult::NoUser);
    }
    let user = User {
        id,
        name: columns.read()?,
        email: columns.read()?,
        email_verified: columns.read::<Option<bool>>()?.unwrap_or(false),
        image: columns.read()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
        ban: columns.ban(reading)?,
        own: columns.own(reading.user_own())?,
    };
    debug_assert_eq!(columns.next, FIRST_COLUMN + reading.session.len() + reading.user.len());
    Some(LookupResult::Found(Arc::new(Identity { session, user })))
}

/// None outside where a column cannot be read, inside where the row is no session of this token.
#[expect(clippy::option_option, reason = "unreadable, or none, or a session")]
fn session(reading: &Reading, token: &SessionToken, columns: &mut Columns<'_>) -> Option<Option<Session>> {
    let Some(id) = columns.read::<Option<String>>()? else { return Some(None) };
    let user_id = columns.read()?;
    // The database may compare without regard to case or trailing spaces; we do not.
    if columns.read::<&str>()? != token.as_str() {
        return Some(None);
    }
    Some(Some(Session {
        id,
        user_id,
        token: token.clone(),
        expires_at: columns.time()??,
        ip_address: columns.read()?,
        user_agent: columns.read()?,
        created_at: columns.time()?,
        updated_at: columns.time()?,
        own: columns.own(&reading.session[SESSION_FIELDS.len()..])?,
    }))
}

/// Reads a row's columns from left to right, in the order in which the statement names them.
struct Columns<'a> {
    row: &'a Row,
    next: usize,
}

impl<'a> Columns<'a> {
    fn read<T: FromSql<'a>>(&mut self) -> Option<T> {
        let at = self.next;
        self.next += 1;
        self.row.try_get(at).ok()
    }

    /// A time that every reader can hold: Python's end with the year 9999.
    #[expect(clippy::option_option, reason = "unreadable, or NULL, or a time")]
    fn time(&mut self) -> Option<Option<DateTime<Utc>>> {
        let time: Option<DateTime<Utc>> = match *self.next_type()? {
            Type::TIMESTAMP => self.read::<Option<NaiveDateTime>>()?.map(|time| time.and_utc()),
            _ => self.read()?,
        };
        time.is_none_or(|time| (1..=9999).contains(&time.year())).then_some(time)
    }

    /// The admin plugin's two columns, where the table has them.
    #[expect(clippy::option_option, reason = "unreadable, or no ban, or a ban")]
    fn ban(&mut self, reading: &Reading) -> Option<Option<Ban>> {
        let is_banned = reading.has_banned && self.read::<Option<bool>>()?.unwrap_or(false);
        let expires_at = if reading.has_ban_expires { self.time()? } else { None };
        Some(is_banned.then_some(Ban { expires_at }))
    }

    #[expect(clippy::option_option, reason = "unreadable, or NULL, or a number")]
    fn int(&mut self) -> Option<Option<i64>> {
        Some(match *self.next_type()? {
            Type::INT2 => self.read::<Option<i16>>()?.map(i64::from),
            Type::INT4 => self.read::<Option<i32>>()?.map(i64::from),
            _ => self.read()?,
        })
    }

    #[expect(clippy::option_option, reason = "unreadable, or NULL, or a number")]
    fn float(&mut self) -> Option<Option<f64>> {
        Some(match *self.next_type()? {
            Type::FLOAT4 => self.read::<Option<f32>>()?.map(f64::from),
            _ => self.read()?,
        })
    }

    fn next_type(&self) -> Option<&Type> {
        self.row.columns().get(self.next).map(tokio_postgres::Column::type_)
    }

    fn own(&mut self, kinds: &[Kind]) -> Option<Vec<Value>> {
        kinds.iter().map(|kind| self.value(*kind)).collect()
    }

    fn value(&mut self, kind: Kind) -> Option<Value> {
        let value = match kind {
            Kind::Text => self.read::<Option<String>>()?.map(Value::Text),
            Kind::Bool => self.read::<Option<bool>>()?.map(Value::Bool),
            Kind::Int => self.int()?.map(Value::Int),
            Kind::Float => self.float()?.map(Value::Float),
            Kind::Time | Kind::LocalTime => self.time()?.map(Value::Time),
            Kind::Json | Kind::Array => match self.read::<Option<String>>()? {
                Some(text) => Some(Value::Json(serde_json::from_str(&text).ok()?)),
                None => None,
            },
        };
        Some(value.unwrap_or(Value::Null))
    }
}
