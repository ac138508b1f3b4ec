//! The statements of a lookup, and how they are sent.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use bytes::BytesMut;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::catalog::Kind;
use super::failure::Failure;
use super::id::IdJoin;
use super::nonce;
use super::problem::Model;
use super::row::{self, Reading};
use super::schema::Schema;
use super::statement_names::StatementNames;
use super::table::FoundTable;
use super::triggers;
use crate::error::Error;
use crate::store::{LookupKey, LookupResult};

/// The statements for the tables that the catalog shows: sessions by their tokens, users by their ids.
#[derive(Debug)]
pub(super) struct Statement {
    sessions: Query,
    users: Query,
    /// Names of columns by field, for messages.
    columns: HashMap<(Model, String), String>,
    /// Where changes of these tables are notified.
    pub(super) channel: String,
    /// Whether they would be.
    pub(super) check: triggers::Check,
    /// The SELECT that differs after a change whose notification was suppressed.
    pub(super) trace: String,
}

/// One statement for a single key, which PostgreSQL answers fastest by `= $1`, one for a batch.
#[derive(Debug)]
struct Query {
    single: String,
    batch: String,
    reading: Reading,
}

impl Statement {
    /// Writes the statements. Every column is of a built-in type: one of another type (an enum,
    /// citext) would make the driver look it up with named statements.
    pub(super) fn write(found: &Schema, zone: Tz) -> Self {
        let (session, user) = (&found.session, &found.user);
        let reading = |ids, session: Vec<Kind>, names: Vec<String>| Reading {
            marker: format!("auth_middleware {:016x}", nonce()),
            ids,
            session,
            user: user.kinds(),
            names,
            has_banned: user.has("banned"),
            ban_expires: user.ban_expiry(),
            zone,
        };
        // Rows that a policy hides look like rows that are gone: only then is it worth a check.
        let hidden_user =
            format!("CASE WHEN u.{} IS NULL THEN {} END", user.renamed("id"), user.newly_guarded());
        let hidden = format!(
            "CASE WHEN s.{} IS NULL THEN {} ELSE {hidden_user} END",
            session.renamed("token"),
            session.newly_guarded()
        );
        let names = session.column_names().chain(user.column_names()).collect();
        let sessions = Query::write(
            reading(found.id_join, session.kinds(), names),
            &hidden,
            session.select("s").chain(user.select("u")),
            &join(session, user, found.id_join),
        );
        let casts = (found.user_id.user_cast, found.user_id.session_cast);
        let users = Query::write(
            reading(found.user_id, Vec::new(), user.column_names().collect()),
            &hidden_user,
            user.select("u"),
            &format!("LEFT JOIN {} ON {}", user.source("u"), user.equals("u", "id", "requested.key", casts)),
        );
        Self {
            sessions,
            users,
            columns: column_names(found),
            channel: triggers::channel(found),
            check: triggers::Check::new(found),
            trace: triggers::trace(found),
        }
    }

    /// A message where a row contradicts the zone of times that have none.
    pub(super) fn zone_warning(&self, results: &[LookupResult], now: DateTime<Utc>) -> Option<String> {
        let column = self.sessions.reading.column_in_another_zone(results, now)?;
        let (table, name) = column.rsplit_once('.').unwrap_or(("", column));
        Some(format!(
            "{column} has no time zone and says that a row was created in the future, read in the zone {}: set \
             AUTH_MIDDLEWARE_DATABASE_TIME_ZONE to the zone of the Better Auth server, such as Europe/Berlin; or give \
             the columns a zone: ALTER TABLE {table} ALTER COLUMN {name} TYPE timestamptz USING {name} AT TIME ZONE \
             'Europe/Berlin'",
            self.sessions.reading.zone
        ))
    }

    /// The column of a field, with its table, for messages.
    pub(super) fn column(&self, model: Model, field: &str) -> Option<String> {
        self.columns.get(&(model, field.to_owned())).cloned()
    }

    /// Looks these keys up on one connection, by named statements where that is safe.
    pub(super) async fn query(
        &self,
        client: &Object,
        keys: &[LookupKey],
        names: &StatementNames,
    ) -> Result<Vec<LookupResult>, Failure> {
        let is_session = |key: &LookupKey| matches!(key, LookupKey::Session(_));
        let (sessions, users): (Vec<_>, Vec<_>) = keys.iter().partition(|key| is_session(key));
        let mut of_sessions = self.sessions.query(client, &sessions, names).await?.into_iter();
        let mut of_users = self.users.query(client, &users, names).await?.into_iter();
        let next = |key: &LookupKey| if is_session(key) { of_sessions.next() } else { of_users.next() };
        Ok(keys.iter().filter_map(next).collect())
    }
}

impl Query {
    fn write(reading: Reading, hidden: &str, columns: impl Iterator<Item = String>, join: &str) -> Self {
        // The marker distinguishes our rows from those of another client's statement, which an old pooler can run under the
        // same name.
        let first = format!(
            "'{}'::pg_catalog.text, pg_catalog.pg_backend_pid(), requested.key, {hidden}",
            reading.marker
        );
        let columns: Vec<String> = std::iter::once(first).chain(columns).collect();
        let write = |requested: &str| format!("SELECT {} FROM {requested} {join}", columns.join(", "));
        Self {
            single: write("(SELECT $1::pg_catalog.text AS key) AS requested"),
            batch: write("pg_catalog.unnest($1::pg_catalog.text[]) AS requested(key)"),
            reading,
        }
    }

    async fn query(
        &self,
        client: &Object,
        keys: &[&LookupKey],
        names: &StatementNames,
    ) -> Result<Vec<LookupResult>, Failure> {
        let is_named = names.are_allowed();
        let rows = match keys {
            [] => return Ok(Vec::new()),
            [key] => run(client, &self.single, &Text(key), Type::TEXT, is_named).await,
            _ => run(client, &self.batch, &TextArray(keys), Type::TEXT_ARRAY, is_named).await,
        };
        let rows = rows.map_err(|error| {
            if is_named && is_of_name(&error) {
                names.forbid("the name of a statement is taken, or unknown, where it should be ours");
            }
            Failure::of("the lookup failed", error)
        })?;
        if !self.reading.fits(&rows) {
            return Err(Failure::Tables(Error::unavailable("the tables have changed")));
        }
        if is_named && !names.is_of_connection(client, row::process(&rows)).await {
            names.forbid("a lookup ran in a server process other than the connection's own");
        }
        row::results(&self.reading, keys, &rows).map_err(|wrong| {
            if is_named {
                names.forbid("another client's statement has a name that should be ours");
            }
            Failure::Connection(Error::unavailable(wrong))
        })
    }
}

fn column_names(found: &Schema) -> HashMap<(Model, String), String> {
    let of = |model, table: &FoundTable| {
        let fields = table.columns.iter().map(|column| column.field.clone());
        fields.zip(table.column_names()).map(|(field, name)| ((model, field), name)).collect::<Vec<_>>()
    };
    of(Model::Session, &found.session).into_iter().chain(of(Model::User, &found.user)).collect()
}

/// Whether a statement of this name is there already, or is not there.
fn is_of_name(error: &tokio_postgres::Error) -> bool {
    let code = error.code();
    code == Some(&SqlState::DUPLICATE_PSTATEMENT) || code == Some(&SqlState::INVALID_SQL_STATEMENT_NAME)
}

async fn run(
    client: &Object,
    sql: &str,
    parameter: &(dyn ToSql + Sync),
    parameter_type: Type,
    is_named: bool,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    if !is_named {
        return client.query_typed(sql, &[(parameter, parameter_type)]).await;
    }
    let statement = client.prepare_typed_cached(sql, &[parameter_type]).await?;
    client.query(&statement, &[parameter]).await
}

fn join(session: &FoundTable, user: &FoundTable, ids: IdJoin) -> String {
    let casts = (ids.user_cast, ids.session_cast);
    format!(
        "LEFT JOIN {} ON {} LEFT JOIN {} ON {}",
        session.source("s"),
        session.equals("s", "token", "requested.key", ("", "")),
        user.source("u"),
        user.equals("u", "id", &session.without_casts("s", "user_id"), casts),
    )
}

/// A token or an id as a parameter. The driver logs parameters by their `Debug`, which says nothing here.
struct Text<'a>(&'a LookupKey);

/// Tokens or ids as one array parameter.
struct TextArray<'a>(&'a [&'a LookupKey]);

impl ToSql for Text<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.0.as_str().to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TEXT
    }

    to_sql_checked!();
}

impl ToSql for TextArray<'_> {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        // Two rows with one token are taken for two sessions.
        let texts: BTreeSet<&str> = self.0.iter().map(|key| key.as_str()).collect();
        texts.into_iter().collect::<Vec<_>>().to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TEXT_ARRAY
    }

    to_sql_checked!();
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }
}

impl fmt::Debug for TextArray<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}
