//! Which tables and columns are Better Auth's? Read from PostgreSQL's catalog, so that camelCase,
//! `snake_case`, renamed and plural tables are found by themselves.
//!
//! What is missing, ambiguous or hidden from us is an [`Error::Schema`] that lists what was looked
//! for, what was found, and the mend: without it every session would just look unknown.

use std::collections::BTreeMap;

use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::Failure;
use crate::error::Error;
use crate::settings::{Table, Tables};

/// What Better Auth itself writes to `session`, and what we read, in this order.
pub(super) const SESSION_FIELDS: [(&str, Kind); 8] = [
    ("id", Kind::Text),
    ("user_id", Kind::Text),
    ("token", Kind::Text),
    ("expires_at", Kind::Time),
    ("ip_address", Kind::Text),
    ("user_agent", Kind::Text),
    ("created_at", Kind::Time),
    ("updated_at", Kind::Time),
];

/// What Better Auth itself writes to `user`, and what we read, in this order.
pub(super) const USER_FIELDS: [(&str, Kind); 7] = [
    ("id", Kind::Text),
    ("name", Kind::Text),
    ("email", Kind::Text),
    ("email_verified", Kind::Bool),
    ("image", Kind::Text),
    ("created_at", Kind::Time),
    ("updated_at", Kind::Time),
];

/// How a column is read: each kind is one built-in type on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bool,
    Int,
    Float,
    /// A timestamp with time zone.
    Time,
    /// A timestamp without one, read as UTC whatever the connection's zone: so Better Auth wrote it.
    LocalTime,
    Json,
    Array,
}

impl Kind {
    fn of(type_name: &str, category: &str) -> Self {
        match (type_name, category) {
            ("bool", _) => Self::Bool,
            ("int2" | "int4" | "int8", _) => Self::Int,
            ("float4" | "float8", _) => Self::Float,
            ("timestamptz", _) => Self::Time,
            ("timestamp", _) => Self::LocalTime,
            ("json" | "jsonb", _) => Self::Json,
            (_, "A") => Self::Array,
            // Enums, uuids, citext, exact numbers, dates: their text loses nothing.
            _ => Self::Text,
        }
    }

    fn cast(self, column: &str) -> String {
        match self {
            Self::Text | Self::Json => format!("{column}::text"),
            Self::Bool => format!("{column}::bool"),
            Self::Int => format!("{column}::int8"),
            Self::Float => format!("{column}::float8"),
            Self::Time => format!("{column}::timestamptz"),
            Self::LocalTime => format!("{column} AT TIME ZONE 'UTC'"),
            Self::Array => format!("to_jsonb({column})::text"),
        }
    }
}

/// Better Auth's two tables as they were found.
#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) session: FoundTable,
    pub(super) user: FoundTable,
    /// A cast for `session.user_id` where its type is not that of `user.id`, else empty.
    pub(super) user_id_type: String,
    pub(super) warnings: Vec<String>,
}

/// A table and the columns that are read of it, Better Auth's fields first.
#[derive(Debug)]
pub(super) struct FoundTable {
    schema: String,
    name: String,
    columns: Vec<FoundColumn>,
    own_from: usize,
}

#[derive(Debug)]
struct FoundColumn {
    field: String,
    name: String,
    kind: Kind,
    type_name: String,
}

impl FoundTable {
    pub(super) fn quoted_name(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }

    pub(super) fn quoted(&self, field: &str) -> String {
        quote(self.column(field).map_or(field, |column| column.name.as_str()))
    }

    pub(super) fn select(&self, alias: &str) -> impl Iterator<Item = String> {
        self.columns.iter().map(move |column| column.kind.cast(&format!("{alias}.{}", quote(&column.name))))
    }

    pub(super) fn own_kinds(&self) -> Vec<Kind> {
        self.columns[self.own_from..].iter().map(|column| column.kind).collect()
    }

    fn column(&self, field: &str) -> Option<&FoundColumn> {
        self.columns.iter().find(|column| column.field == field)
    }
}

/// Reads the catalog and finds the tables.
pub(super) async fn read(client: &Object, tables: &Tables) -> Result<Catalog, Failure> {
    let names = |table: &Table, usual: [&str; 2]| match &table.name {
        Some(name) => vec![name.clone()],
        None => usual.map(String::from).to_vec(),
    };
    let user_names = names(&tables.user, ["user", "users"]);
    let session_names = names(&tables.session, ["session", "sessions"]);
    let wanted: Vec<&String> = user_names.iter().chain(&session_names).collect();
    let rows = client
        .query_typed(include_str!("catalog.sql"), &[(&wanted, Type::TEXT_ARRAY)])
        .await
        .map_err(|error| Failure::of("the catalog could not be read", error))?;
    let candidates =
        candidates(&rows).map_err(|error| Failure::of("the catalog could not be read", error))?;
    let is_standby = rows.first().is_some_and(|row| row.try_get("is_standby").unwrap_or(false));
    resolve(tables, &candidates, &user_names, &session_names, is_standby).map_err(Failure::Lasting)
}

/// A table with one of the names that we look for.
#[derive(Debug)]
struct Candidate {
    schema: String,
    name: String,
    /// Its schema's place in the search path; None when it is not on it.
    rank: Option<i32>,
    may_use_schema: bool,
    hides_rows: bool,
    columns: BTreeMap<String, CandidateColumn>,
}

#[derive(Debug)]
struct CandidateColumn {
    kind: Kind,
    type_name: String,
    may_select: bool,
}

fn candidates(rows: &[Row]) -> Result<Vec<Candidate>, tokio_postgres::Error> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for row in rows {
        let (schema, name): (String, String) = (row.try_get("schema_name")?, row.try_get("table_name")?);
        let column = CandidateColumn {
            kind: Kind::of(row.try_get("base_type")?, row.try_get("category")?),
            type_name: row.try_get("type_name")?,
            may_select: row.try_get("may_select")?,
        };
        let column_name: String = row.try_get("column_name")?;
        match candidates.last_mut().filter(|last| last.schema == schema && last.name == name) {
            Some(last) => drop(last.columns.insert(column_name, column)),
            None => candidates.push(Candidate {
                schema,
                name,
                rank: row.try_get("rank")?,
                may_use_schema: row.try_get("may_use_schema")?,
                hides_rows: row.try_get("hides_rows")?,
                columns: BTreeMap::from([(column_name, column)]),
            }),
        }
    }
    Ok(candidates)
}

fn resolve(
    tables: &Tables,
    candidates: &[Candidate],
    user_names: &[String],
    session_names: &[String],
    is_standby: bool,
) -> Result<Catalog, Error> {
    let search = Search { schema: tables.schema.as_deref(), candidates };
    let mut problems = Vec::new();
    let session = search.find("session", &tables.session, session_names, &SESSION_FIELDS, &mut problems);
    let user = search.find("user", &tables.user, user_names, &USER_FIELDS, &mut problems);
    let (Some(session), Some(user)) = (session, user) else {
        return Err(Error::Schema(format!("Better Auth's tables cannot be read: {}", problems.join("; "))));
    };
    let type_of =
        |table: &FoundTable, field: &str| table.column(field).map(|column| column.type_name.clone());
    let (id, user_id) = (type_of(&user, "id").unwrap_or_default(), type_of(&session, "user_id"));
    let user_id_type = if Some(&id) == user_id.as_ref() { String::new() } else { format!("::{id}") };
    let warnings = is_standby.then(|| {
        "DATABASE_URL leads to a standby, which may not know of a sign-out yet: name the primary".to_owned()
    });
    Ok(Catalog { session, user, user_id_type, warnings: warnings.into_iter().collect() })
}

struct Search<'a> {
    schema: Option<&'a str>,
    candidates: &'a [Candidate],
}

impl Search<'_> {
    /// The table of one model with all its columns; None adds at least one problem.
    fn find(
        &self,
        model: &str,
        settings: &Table,
        names: &[String],
        fields: &[(&str, Kind)],
        problems: &mut Vec<String>,
    ) -> Option<FoundTable> {
        let candidate = self.table(model, settings, names, fields, problems)?;
        let known = problems.len();
        let place = format!("{}.{}", candidate.schema, candidate.name);
        let setting = format!("AUTH_MIDDLEWARE_{}_COLUMNS", model.to_uppercase());
        if !candidate.may_use_schema {
            problems.push(format!(
                "our role may not use schema {0:?}: GRANT USAGE ON SCHEMA {0:?} TO the role of DATABASE_URL",
                candidate.schema
            ));
        }
        if candidate.hides_rows {
            problems.push(format!(
                "row-level security hides rows of {place} from our role: CREATE POLICY auth_middleware ON {} FOR \
                 SELECT TO the role of DATABASE_URL USING (true), or ALTER ROLE … BYPASSRLS",
                quoted_place(candidate)
            ));
        }
        let own = settings.own_fields.iter().map(|field| (field.as_str(), None));
        let wanted = fields.iter().map(|(field, kind)| (*field, Some(*kind))).chain(own);
        let mut columns = Vec::new();
        for (field, kind) in wanted {
            match column(candidate, settings, field, kind) {
                Ok(found) => columns.push(found),
                Err(problem) => problems
                    .push(format!("{place} {problem} (a renamed column: {setting}={{\"{field}\": \"…\"}})")),
            }
        }
        let is_whole = problems.len() == known;
        is_whole.then(|| FoundTable {
            schema: candidate.schema.clone(),
            name: candidate.name.clone(),
            columns,
            own_from: fields.len(),
        })
    }

    /// The one table that can be meant, as PostgreSQL would find it: first on the search path.
    fn table(
        &self,
        model: &str,
        settings: &Table,
        names: &[String],
        fields: &[(&str, Kind)],
        problems: &mut Vec<String>,
    ) -> Option<&Candidate> {
        let named: Vec<&Candidate> =
            self.candidates.iter().filter(|candidate| names.contains(&candidate.name)).collect();
        let is_reachable = |candidate: &&&Candidate| match self.schema {
            Some(schema) => candidate.schema == schema,
            None => candidate.rank.is_some(),
        };
        let mut meant: Vec<&Candidate> = named.iter().filter(is_reachable).copied().collect();
        if meant.len() > 1 {
            // An application may have a table "users" of its own beside Better Auth's "user".
            let is_whole = |candidate: &&Candidate| {
                fields.iter().all(|(field, _)| column(candidate, settings, field, None).is_ok())
            };
            let whole: Vec<&Candidate> = meant.iter().copied().filter(is_whole).collect();
            if !whole.is_empty() {
                meant = whole;
            }
            let first = meant.iter().map(|candidate| candidate.rank).min();
            meant.retain(|candidate| Some(candidate.rank) == first);
        }
        match meant.as_slice() {
            [one] => return Some(one),
            [] => {
                let elsewhere: Vec<String> = named.iter().map(|candidate| quoted_place(candidate)).collect();
                let looked = match self.schema {
                    Some(schema) => format!("schema {schema:?}"),
                    None => "the search path".to_owned(),
                };
                let mend = match (elsewhere.is_empty(), model) {
                    (false, _) => format!("found {}: set AUTH_MIDDLEWARE_SCHEMA", elsewhere.join(", ")),
                    (true, model) => format!(
                        "has Better Auth's migration run on this database? A renamed table: AUTH_MIDDLEWARE_{}_TABLE",
                        model.to_uppercase()
                    ),
                };
                problems.push(format!("no table {} in {looked}; {mend}", names.join(" or ")));
            }
            several => {
                let places: Vec<String> = several.iter().map(|candidate| quoted_place(candidate)).collect();
                problems.push(format!(
                    "{} can each be the {model} table: set AUTH_MIDDLEWARE_{}_TABLE",
                    places.join(" and "),
                    model.to_uppercase()
                ));
            }
        }
        None
    }
}

/// The column of one field: the renamed one, else its camelCase or `snake_case` spelling.
fn column(
    candidate: &Candidate,
    settings: &Table,
    field: &str,
    wanted: Option<Kind>,
) -> Result<FoundColumn, String> {
    let spellings = match settings.columns.get(field) {
        Some(renamed) => vec![renamed.clone()],
        None => spellings(field),
    };
    let present: Vec<&String> =
        spellings.iter().filter(|name| candidate.columns.contains_key(*name)).collect();
    let name = match present.as_slice() {
        [name] => (*name).clone(),
        [] => {
            let found: Vec<&str> = candidate.columns.keys().map(String::as_str).collect();
            return Err(format!("has no column {}; it has {}", spellings.join(" or "), found.join(", ")));
        }
        _ => return Err(format!("has both {} and cannot tell which is meant", spellings.join(" and "))),
    };
    let found = &candidate.columns[&name];
    if !found.may_select {
        return Err(format!(
            "may not be read: GRANT SELECT ON {} TO the role of DATABASE_URL (column {name:?})",
            quoted_place(candidate)
        ));
    }
    let fits = match wanted {
        Some(Kind::Time) => matches!(found.kind, Kind::Time | Kind::LocalTime),
        Some(Kind::Bool) => found.kind == Kind::Bool,
        _ => true,
    };
    if !fits {
        return Err(format!(
            "has a column {name:?} of type {}, which Better Auth does not write",
            found.type_name
        ));
    }
    Ok(FoundColumn {
        field: field.to_owned(),
        name,
        kind: found.kind_for(wanted),
        type_name: found.type_name.clone(),
    })
}

impl CandidateColumn {
    /// Better Auth's own text fields are text whatever their type: an id may be a number.
    fn kind_for(&self, wanted: Option<Kind>) -> Kind {
        if wanted == Some(Kind::Text) { Kind::Text } else { self.kind }
    }
}

fn spellings(field: &str) -> Vec<String> {
    let mut words = field.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.extend(letters);
    }
    if camel == field { vec![camel] } else { vec![camel, field.to_owned()] }
}

fn quoted_place(candidate: &Candidate) -> String {
    format!("{}.{}", quote(&candidate.schema), quote(&candidate.name))
}

/// An SQL identifier: only a double quote needs care.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
