//! The one statement of a look-up, and how it is sent.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use bytes::BytesMut;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

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
use crate::signature::SessionToken;
use crate::store::LookupResult;

/// The statement for the tables that the catalog shows: one for a single token, which PostgreSQL
/// answers fastest by `= $1`, one for a batch.
#[derive(Debug)]
pub(super) struct Statement {
    single: String,
    batch: String,
    reading: Reading,
    /// Names of columns by field, for messages.
    columns: HashMap<(Model, String), String>,
    /// Where changes of these tables are notified.
    pub(super) channel: String,
    /// The SELECT that tells whether they would be.
    pub(super) check: String,
    /// The SELECT that differs after a change whose notification was suppressed.
    pub(super) trace: String,
    /// What an operator should know of these tables.
    pub(super) warnings: Vec<String>,
}

impl Statement {
    /// Writes the statement. Every column is of a built-in type: one of another type (an enum,
    /// citext) would make the driver look it up with named statements.
    pub(super) fn write(found: &Schema, zone: Tz) -> Self {
        // Tells our rows from those of another client's statement, which an old pooler can run under the same name.
        let marker = format!("auth_middleware {:016x}", nonce());
        // Rows that a policy hides look like rows that are gone: only then is it worth a check.
        let hidden = format!(
            "CASE WHEN s.{} IS NULL THEN {} WHEN u.{} IS NULL THEN {} END",
            found.session.renamed("token"),
            found.session.newly_guarded(),
            found.user.renamed("id"),
            found.user.newly_guarded()
        );
        let columns: Vec<String> = std::iter::once(format!(
            "'{marker}'::pg_catalog.text, pg_catalog.pg_backend_pid(), requested.token, {hidden}"
        ))
        .chain(found.session.select("s"))
        .chain(found.user.select("u"))
        .collect();
        let join = join(&found.session, &found.user, found.id_join);
        let write = |requested: &str| format!("SELECT {} FROM {requested} {join}", columns.join(", "));
        Self {
            single: write("(SELECT $1::pg_catalog.text AS token) AS requested"),
            batch: write("pg_catalog.unnest($1::pg_catalog.text[]) AS requested(token)"),
            reading: Reading {
                marker,
                ids: found.id_join,
                session: found.session.kinds(),
                user: found.user.kinds(),
                names: found.session.column_names().chain(found.user.column_names()).collect(),
                has_banned: found.user.has("banned"),
                ban_expires: found.user.ban_expiry(),
                zone,
            },
            columns: column_names(found),
            channel: triggers::channel(found),
            check: triggers::check(found),
            trace: triggers::trace(found),
            warnings: found.warnings.clone(),
        }
    }

    /// A message where a row contradicts the zone of times that have none.
    pub(super) fn zone_warning(&self, results: &[LookupResult], now: DateTime<Utc>) -> Option<String> {
        let column = self.reading.column_in_another_zone(results, now)?;
        let (table, name) = column.rsplit_once('.').unwrap_or(("", column));
        Some(format!(
            "{column} has no time zone and says that a row was created in the future, read in the zone {}: set \
             AUTH_MIDDLEWARE_DATABASE_TIME_ZONE to the zone of the Better Auth server, such as Europe/Berlin; or give \
             the columns a zone: ALTER TABLE {table} ALTER COLUMN {name} TYPE timestamptz USING {name} AT TIME ZONE \
             'Europe/Berlin'",
            self.reading.zone
        ))
    }

    /// The column of a field, with its table, for messages.
    pub(super) fn column(&self, model: Model, field: &str) -> Option<String> {
        self.columns.get(&(model, field.to_owned())).cloned()
    }

    /// Looks these tokens up on one connection, by a named statement where that is safe.
    pub(super) async fn query(
        &self,
        client: &Object,
        tokens: &[SessionToken],
        names: &StatementNames,
    ) -> Result<Vec<LookupResult>, Failure> {
        let is_named = names.are_allowed();
        let rows = match tokens {
            [token] => run(client, &self.single, &Text(token), Type::TEXT, is_named).await,
            _ => run(client, &self.batch, &TextArray(tokens), Type::TEXT_ARRAY, is_named).await,
        };
        let rows = rows.map_err(|error| {
            if is_named && is_of_name(&error) {
                names.forbid("the name of a statement is taken, or unknown, where it should be ours");
            }
            Failure::of("the look-up failed", error)
        })?;
        if !self.reading.fits(&rows) {
            return Err(Failure::Tables(Error::unavailable("the tables have changed")));
        }
        if is_named && !names.is_of_connection(client, row::process(&rows)).await {
            names.forbid("a look-up ran in a server process other than the connection's own");
        }
        row::results(&self.reading, tokens, &rows).map_err(|wrong| {
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
        session.equals("s", "token", "requested.token", ("", "")),
        user.source("u"),
        user.equals("u", "id", &format!("s.{}", session.renamed("user_id")), casts),
    )
}

/// A token as a parameter. The driver logs parameters by their `Debug`, which says nothing here.
struct Text<'a>(&'a SessionToken);

/// Tokens as one array parameter.
struct TextArray<'a>(&'a [SessionToken]);

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
        let texts: BTreeSet<&str> = self.0.iter().map(SessionToken::as_str).collect();
        texts.into_iter().collect::<Vec<_>>().to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TEXT_ARRAY
    }

    to_sql_checked!();
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token")
    }
}

impl fmt::Debug for TextArray<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}
