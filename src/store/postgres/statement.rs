//! The statements of a look-up, and how they are sent.

use std::fmt;

use bytes::BytesMut;
use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::catalog::Kind;
use super::failure::Failure;
use super::id::IdJoin;
use super::nonce;
use super::row::{self, Reading};
use super::schema::Schema;
use super::table::FoundTable;
use super::triggers;
use crate::error::Error;
use crate::store::{LookupKey, LookupResult};

/// The statements for the tables that the catalog shows: sessions by their tokens, users by their ids.
#[derive(Debug)]
pub(super) struct Statement {
    sessions: Query,
    users: Query,
    /// Where changes of these tables are notified.
    pub(super) channel: String,
    /// The SELECT that tells whether they would be.
    pub(super) check: String,
    /// What an operator should know of these tables.
    pub(super) warnings: Vec<String>,
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
    pub(super) fn write(found: &Schema) -> Self {
        let (session, user) = (&found.session, &found.user);
        // Rows that a policy hides look like rows that are gone: only then is it worth a check.
        let hidden_user = format!("WHEN u.{} IS NULL THEN {} END", user.renamed("id"), user.newly_guarded());
        let hidden = format!(
            "CASE WHEN s.{} IS NULL THEN {} {hidden_user}",
            session.renamed("token"),
            session.newly_guarded()
        );
        let reading = |ids, session: Vec<Kind>| Reading {
            marker: format!("auth_middleware {:016x}", nonce()),
            ids,
            session,
            user: user.kinds(),
            has_banned: user.has("banned"),
            has_ban_expires: user.has("ban_expires"),
        };
        let columns = || session.select("s").chain(user.select("u"));
        let join = join(session, user, found.id_join);
        let sessions = Query::write(reading(found.id_join, session.kinds()), &hidden, columns(), &join);
        let casts = (found.user_id.user_cast, found.user_id.session_cast);
        let join =
            format!("LEFT JOIN {} ON {}", user.source("u"), user.equals("u", "id", "requested.key", casts));
        let hidden = format!("CASE {hidden_user}");
        let users = Query::write(reading(found.user_id, Vec::new()), &hidden, user.select("u"), &join);
        Self {
            sessions,
            users,
            channel: triggers::channel(found),
            check: triggers::check(found),
            warnings: found.warnings.clone(),
        }
    }

    /// Looks these keys up on one connection, by named statements where that is safe.
    pub(super) async fn query(
        &self,
        client: &Object,
        keys: &[LookupKey],
        is_named: bool,
    ) -> Result<Vec<LookupResult>, Failure> {
        let is_session = |key: &&LookupKey| matches!(key, LookupKey::Session(_));
        let (sessions, users): (Vec<_>, Vec<_>) = keys.iter().partition(is_session);
        let mut of_sessions = self.sessions.query(client, &sessions, is_named).await?.into_iter();
        let mut of_users = self.users.query(client, &users, is_named).await?.into_iter();
        let next = |key| if is_session(&key) { of_sessions.next() } else { of_users.next() };
        Ok(keys.iter().filter_map(next).collect())
    }
}

impl Query {
    fn write(reading: Reading, hidden: &str, columns: impl Iterator<Item = String>, join: &str) -> Self {
        // Tells our rows from those of another client's statement, which an old pooler can run under the same name.
        let first = format!("'{}'::pg_catalog.text, requested.key, {hidden}", reading.marker);
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
        is_named: bool,
    ) -> Result<Vec<LookupResult>, Failure> {
        let rows = match keys {
            [] => return Ok(Vec::new()),
            [key] => run(client, &self.single, &Text(key), Type::TEXT, is_named).await,
            _ => run(client, &self.batch, &TextArray(keys), Type::TEXT_ARRAY, is_named).await,
        };
        let rows = rows.map_err(|error| Failure::of("the look-up failed", error))?;
        if !self.reading.fits(&rows) {
            return Err(Failure::Tables(Error::unavailable("the tables have changed")));
        }
        row::results(&self.reading, keys, &rows)
            .map_err(|wrong| Failure::Connection(Error::unavailable(wrong)))
    }
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
        user.equals("u", "id", &format!("s.{}", session.renamed("user_id")), casts),
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
        let texts: Vec<&str> = self.0.iter().map(|key| key.as_str()).collect();
        texts.to_sql(ty, out)
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
