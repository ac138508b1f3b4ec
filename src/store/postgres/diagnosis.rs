//! Facts for the doctor about the server, the tables and what is in them. It reads by the same code as lookups do.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::PostgresStore;
use super::catalog::{Catalog, Kind};
use super::failure::Failure;
use super::schema::Schema;
use super::table::{FoundTable, literal, quote};
use crate::error::Error;

/// The server of `DATABASE_URL`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "described in the .pyi file")]
pub struct ServerReport {
    pub version: String,
    pub role: String,
    pub is_superuser: bool,
    pub bypasses_row_security: bool,
    pub is_standby: bool,
    /// How far the server's clock is ahead of ours.
    pub clock_ahead_seconds: f64,
    /// How long the query took, by which the difference may be off.
    pub round_trip_seconds: f64,
    /// The protocol of the connection to the server, or a pooler's; None without TLS, or where it is not known.
    pub tls: Option<String>,
    pub max_connections: Option<i64>,
    /// Whether lookups use named statements, and why.
    pub statement_names: Option<String>,
    /// What the connection led to warnings about.
    pub warnings: Vec<String>,
}

/// Better Auth's tables as lookups read them.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "described in the .pyi file")]
pub struct TablesReport {
    pub session: TableReport,
    pub user: TableReport,
    pub reads_bans: bool,
    /// Tables with a name of Better Auth's that are not read, with their owners.
    pub others: Vec<String>,
    pub warnings: Vec<String>,
}

/// One of the tables.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "described in the .pyi file")]
pub struct TableReport {
    pub name: String,
    pub owner: String,
    /// Field, column and type.
    pub columns: Vec<(String, String, String)>,
    /// Row-level security applies to our role, and shows it every row.
    pub has_row_security: bool,
    pub may_write: bool,
}

/// What is in the tables.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "described in the .pyi file")]
pub struct ActivityReport {
    pub sessions: i64,
    pub live_sessions: i64,
    pub users: i64,
    /// In ISO 8601, as all times here.
    pub newest_session: Option<String>,
    pub newest_user: Option<String>,
}

const SERVER: &str = "SELECT pg_catalog.current_setting('server_version'), CURRENT_USER::pg_catalog.text, \
     COALESCE((SELECT r.rolsuper FROM pg_catalog.pg_roles AS r \
               WHERE r.rolname OPERATOR(pg_catalog.=) CURRENT_USER), false), \
     COALESCE((SELECT r.rolbypassrls FROM pg_catalog.pg_roles AS r \
               WHERE r.rolname OPERATOR(pg_catalog.=) CURRENT_USER), false), \
     pg_catalog.pg_is_in_recovery()";

const CLOCK: &str =
    "SELECT pg_catalog.date_part('epoch'::pg_catalog.text, pg_catalog.clock_timestamp())::pg_catalog.float8";

/// Not every server that speaks PostgreSQL's protocol has these.
const TLS: &str = "SELECT s.version::pg_catalog.text FROM pg_catalog.pg_stat_ssl AS s \
                   WHERE s.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND s.ssl";
const MAX_CONNECTIONS: &str = "SELECT pg_catalog.current_setting('max_connections')::pg_catalog.int8";

impl PostgresStore {
    /// Connects and queries what the server is.
    ///
    /// # Errors
    /// As [`Self::open`], the tables aside.
    pub async fn inspect_server(&self) -> Result<ServerReport, Error> {
        self.in_time(async {
            let mut borrowed = self.borrow().await?;
            let client = borrowed.client()?;
            let row = one_row(client, SERVER).await?;
            let started = Utc::now();
            let epoch: f64 = read(&one_row(client, CLOCK).await?, 0)?;
            let round_trip = seconds_between(started, Utc::now());
            let report = ServerReport {
                version: read(&row, 0)?,
                role: read(&row, 1)?,
                is_superuser: read(&row, 2)?,
                bypasses_row_security: read(&row, 3)?,
                is_standby: read(&row, 4)?,
                clock_ahead_seconds: epoch
                    - seconds_between(DateTime::UNIX_EPOCH, started)
                    - round_trip / 2.0,
                round_trip_seconds: round_trip,
                tls: optional(client, TLS).await,
                max_connections: optional(client, MAX_CONNECTIONS).await,
                statement_names: self.connector.statement_names().last_note(),
                warnings: self.take_warnings(),
            };
            borrowed.keep();
            Ok(report)
        })
        .await
    }

    /// Finds the tables.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn inspect_tables(&self) -> Result<TablesReport, Error> {
        self.in_time(async {
            let mut borrowed = self.borrow().await?;
            let (found, catalog) = self.find_tables(borrowed.client()?).await?;
            let client = borrowed.client()?;
            let is_read =
                |name: &str| [&found.session, &found.user].iter().any(|table| table.quoted_name() == name);
            let others = catalog.tables.iter().filter(|table| !is_read(&table.quoted_name()));
            let report = TablesReport {
                session: table(client, &found.session).await?,
                user: table(client, &found.user).await?,
                reads_bans: found.user.has("banned"),
                others: others
                    .map(|table| format!("{} (owner {})", table.quoted_name(), quote(&table.owner)))
                    .collect(),
                warnings: found.warnings.clone(),
            };
            borrowed.keep();
            Ok(report)
        })
        .await
    }

    /// Counts sessions and users. Reads both tables whole.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn inspect_activity(&self) -> Result<ActivityReport, Error> {
        self.in_time(async {
            let mut borrowed = self.borrow().await?;
            let client = borrowed.client()?;
            let (found, _) = self.find_tables(client).await?;
            let zone = self.current.tables().zone.name();
            let (expires_at, session_created) =
                (time(&found.session, "s", "expires_at", zone), time(&found.session, "s", "created_at", zone));
            let sessions = format!(
                "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE {expires_at} OPERATOR(pg_catalog.>=) \
                 pg_catalog.now()), pg_catalog.max({session_created}) FROM {}",
                found.session.source("s")
            );
            let users = format!(
                "SELECT pg_catalog.count(*), pg_catalog.max({}) FROM {}",
                time(&found.user, "u", "created_at", zone),
                found.user.source("u")
            );
            let (sessions, users) = (one_row(client, &sessions).await?, one_row(client, &users).await?);
            let report = ActivityReport {
                sessions: read(&sessions, 0)?,
                live_sessions: read(&sessions, 1)?,
                newest_session: shown(read(&sessions, 2)?),
                users: read(&users, 0)?,
                newest_user: shown(read(&users, 1)?),
            };
            borrowed.keep();
            Ok(report)
        })
        .await
    }

    async fn find_tables(&self, client: &Client) -> Result<(Schema, Catalog), Error> {
        let tables = self.current.tables();
        let catalog =
            Catalog::read(client, &Schema::table_names(tables)).await.map_err(Failure::into_error)?;
        match Schema::resolve(tables, &catalog) {
            Ok(found) => Ok((found, catalog)),
            Err(mut problems) => {
                problems.hints = Schema::hints(tables, &problems, client).await.unwrap_or_default();
                Err(problems.into())
            }
        }
    }
}

async fn table(client: &Client, found: &FoundTable) -> Result<TableReport, Error> {
    let name = found.quoted_name();
    let sql = format!(
        "SELECT pg_catalog.has_table_privilege({}::pg_catalog.text, 'INSERT, UPDATE, DELETE')",
        literal(&name)
    );
    let columns = found.columns.iter().map(|column| {
        let shown = column.qualified_type.trim_start_matches("pg_catalog.").replace('"', "");
        (column.field.clone(), column.name.clone(), shown)
    });
    Ok(TableReport {
        owner: found.owner.clone(),
        columns: columns.collect(),
        has_row_security: found.is_guarded,
        may_write: read(&one_row(client, &sql).await?, 0)?,
        name,
    })
}

/// A time of the table, with a zone.
fn time(table: &FoundTable, alias: &str, field: &str, zone: &str) -> String {
    let column = format!("{alias}.{}", table.renamed(field));
    let is_local = table.columns.iter().any(|column| column.field == field && column.kind == Kind::LocalTime);
    if is_local {
        return format!(
            "pg_catalog.timezone({}::pg_catalog.text, {column}::pg_catalog.\"timestamp\")",
            literal(zone)
        );
    }
    format!("{column}::pg_catalog.timestamptz")
}

const NO_PARAMETERS: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 0] = [];

async fn one_row(client: &Client, sql: &str) -> Result<Row, Error> {
    let rows = client.query_typed(sql, &NO_PARAMETERS).await.map_err(failed)?;
    rows.into_iter().next().ok_or_else(|| Error::unavailable("the server sent no row"))
}

/// A query that some servers do not support.
async fn optional<T: for<'a> tokio_postgres::types::FromSql<'a>>(client: &Client, sql: &str) -> Option<T> {
    let rows = client.query_typed(sql, &NO_PARAMETERS).await.ok()?;
    rows.first()?.try_get(0).ok()
}

fn read<T: for<'a> tokio_postgres::types::FromSql<'a>>(row: &Row, index: usize) -> Result<T, Error> {
    row.try_get(index).map_err(failed)
}

fn failed(error: tokio_postgres::Error) -> Error {
    Failure::of("the server could not be examined", error).into_error()
}

fn shown(at: Option<DateTime<Utc>>) -> Option<String> {
    at.map(|at| at.to_rfc3339())
}

#[expect(clippy::cast_precision_loss, reason = "exact to a microsecond for centuries")]
fn seconds_between(start: DateTime<Utc>, end: DateTime<Utc>) -> f64 {
    (end - start).num_microseconds().unwrap_or_default() as f64 / 1e6
}
