//! Which tables and columns are Better Auth's? camelCase, `snake_case`, renamed and plural tables
//! are found by themselves.
//!
//! What is missing, ambiguous or hidden from us is an [`Error::Schema`] that lists what was looked
//! for, what was found, and the mend: without it every session would just look unknown.

use super::catalog::{Catalog, CatalogTable, Kind};
use super::table::{FoundColumn, FoundTable, quote};
use crate::error::Error;
use crate::settings::{Table, Tables, spellings};

const SESSION_TABLES: [&str; 2] = ["session", "sessions"];
const USER_TABLES: [&str; 2] = ["user", "users"];
const JWKS_TABLES: [&str; 2] = ["jwks", "jwkss"];
const JWKS_FIELDS: [(&str, Kind); 2] = [("id", Kind::Text), ("public_key", Kind::Text)];
const JWKS_OPTIONAL: [(&str, Kind); 2] = [("alg", Kind::Text), ("expires_at", Kind::Time)];
const STANDBY: &str =
    "DATABASE_URL leads to a standby, which may not know of a sign-out yet: name the primary";

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

/// The admin plugin's fields of `user`, read where the table has them.
pub(super) const BAN_FIELDS: [(&str, Kind); 2] = [("banned", Kind::Bool), ("ban_expires", Kind::Time)];

/// Better Auth's two tables as they were found.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) session: FoundTable,
    pub(super) user: FoundTable,
    /// A cast for `session.user_id` where its type is not that of `user.id`, else empty.
    pub(super) user_id_cast: String,
    /// What an operator should know of them.
    pub(super) warnings: Vec<String>,
}

impl Schema {
    /// The names that the tables may have.
    pub(super) fn table_names(tables: &Tables) -> Vec<String> {
        [names(&tables.session, SESSION_TABLES), names(&tables.user, USER_TABLES)].concat()
    }

    /// The names that the table of public keys may have.
    pub(super) fn key_table_names() -> Vec<String> {
        JWKS_TABLES.map(String::from).to_vec()
    }

    /// Finds the two tables and their columns.
    ///
    /// # Errors
    /// [`Error::Schema`] with everything that is wrong, in one message.
    pub(super) fn resolve(tables: &Tables, catalog: &Catalog) -> Result<Self, Error> {
        let search = Search { schema: tables.schema.as_deref(), candidates: &catalog.tables };
        let session = search.find("session", &tables.session, SESSION_TABLES, &SESSION_FIELDS, &[]);
        let user = search.find("user", &tables.user, USER_TABLES, &USER_FIELDS, &BAN_FIELDS);
        let (session, user) = match (session, user) {
            (Ok(session), Ok(user)) => (session, user),
            (session, user) => {
                let problems = [session.err(), user.err()].into_iter().flatten().flatten();
                let problems = problems.collect::<Vec<_>>().join("; ");
                return Err(Error::Schema(format!("Better Auth's tables cannot be read: {problems}")));
            }
        };
        let (id, user_id) = (user.type_of("id"), session.type_of("user_id"));
        let user_id_cast = if id == user_id { String::new() } else { format!("::{id}") };
        let warnings = catalog.is_standby.then(|| STANDBY.to_owned()).into_iter().collect();
        Ok(Self { session, user, user_id_cast, warnings })
    }
}

/// Better Auth's `jwks` table, as far as a reader may know it.
#[derive(Debug)]
pub(super) struct PublicKeyTable(FoundTable);

impl PublicKeyTable {
    /// Finds the table and the columns that are no secret.
    pub(super) fn resolve(tables: &Tables, catalog: &Catalog) -> Result<Self, Error> {
        let search = Search { schema: tables.schema.as_deref(), candidates: &catalog.tables };
        let found = search.find("jwks", &Table::default(), JWKS_TABLES, &JWKS_FIELDS, &JWKS_OPTIONAL);
        found.map(Self).map_err(|problems| {
            Error::Schema(format!("the jwks table cannot be read: {}", problems.join("; ")))
        })
    }

    /// Selects id, public key, algorithm and end (NULL where the table has no such column).
    pub(super) fn select(&self) -> String {
        let mut columns: Vec<String> = self.0.select("k").collect();
        if !self.0.has("alg") {
            columns.insert(JWKS_FIELDS.len(), "NULL::pg_catalog.text".to_owned());
        }
        if !self.0.has("expires_at") {
            columns.push("NULL::pg_catalog.timestamptz".to_owned());
        }
        format!("SELECT {} FROM {} AS k", columns.join(", "), self.0.quoted_name())
    }
}

struct Search<'a> {
    schema: Option<&'a str>,
    candidates: &'a [CatalogTable],
}

impl Search<'_> {
    /// The table of one model with all its columns, or everything that is wrong with it.
    fn find(
        &self,
        model: &str,
        settings: &Table,
        usual: [&str; 2],
        fields: &[(&str, Kind)],
        optional: &[(&str, Kind)],
    ) -> Result<FoundTable, Vec<String>> {
        let candidate = self.table(model, settings, usual, fields).map_err(|problem| vec![problem])?;
        let place = place(candidate);
        let mut problems = Vec::new();
        if !candidate.may_use_schema {
            problems.push(closed(candidate));
        }
        if candidate.hides_rows {
            problems.push(format!(
                "row-level security hides rows of {place} from our role: CREATE POLICY auth_middleware ON {place} \
                 FOR SELECT TO the role of DATABASE_URL USING (true), or ALTER ROLE … BYPASSRLS"
            ));
        }
        let is_there = |field: &str| {
            spellings_of(settings, field).iter().any(|name| candidate.columns.contains_key(name))
        };
        let optional = optional.iter().filter(|(field, _)| is_there(field));
        let own = settings.own_fields.iter().map(|field| (field.name.as_str(), None));
        let wanted = fields.iter().chain(optional).map(|(field, kind)| (*field, Some(*kind))).chain(own);
        let mut columns = Vec::new();
        for (field, kind) in wanted {
            match column(candidate, settings, field, kind) {
                Ok(found) => columns.push(found),
                Err(problem) => {
                    let setting = format!("AUTH_MIDDLEWARE_{}_COLUMNS", model.to_uppercase());
                    problems.push(format!(
                        "{place} {problem} (a renamed column: {setting}={{\"{field}\": \"…\"}})"
                    ));
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let (schema, name) = (candidate.schema.clone(), candidate.name.clone());
        Ok(FoundTable { schema, name, is_guarded: candidate.is_guarded, columns })
    }

    /// The one table that can be meant, as PostgreSQL would find it: first on the search path.
    fn table(
        &self,
        model: &str,
        settings: &Table,
        usual: [&str; 2],
        fields: &[(&str, Kind)],
    ) -> Result<&CatalogTable, String> {
        let names = names(settings, usual);
        let by_name: Vec<&CatalogTable> =
            self.candidates.iter().filter(|candidate| names.contains(&candidate.name)).collect();
        let is_reachable = |candidate: &&&CatalogTable| match self.schema {
            Some(schema) => candidate.schema == schema,
            None => candidate.rank.is_some(),
        };
        let mut meant: Vec<&CatalogTable> = by_name.iter().filter(is_reachable).copied().collect();
        if meant.len() > 1 {
            // An application may have a table "users" of its own beside Better Auth's "user". What we
            // may read does not tell them apart: a right that is missing must not lead to the other.
            let missing = |candidate: &CatalogTable| {
                fields.iter().filter(|(field, _)| present(candidate, settings, field).is_empty()).count()
            };
            let fewest = meant.iter().map(|candidate| missing(candidate)).min();
            meant.retain(|candidate| Some(missing(candidate)) == fewest);
            let first = meant.iter().map(|candidate| candidate.rank).min();
            meant.retain(|candidate| Some(candidate.rank) == first);
        }
        let setting = format!("AUTH_MIDDLEWARE_{}_TABLE", model.to_uppercase());
        match meant.as_slice() {
            [one] => Ok(one),
            [] => {
                let looked = self
                    .schema
                    .map_or("the search path".to_owned(), |schema| format!("schema {}", quote(schema)));
                // A schema that we may not use is not on our search path, whatever that says.
                let found = |candidate: &&CatalogTable| {
                    let place = place(candidate);
                    if candidate.may_use_schema { place } else { format!("{place} ({})", closed(candidate)) }
                };
                let mend = match by_name.iter().map(found).collect::<Vec<_>>() {
                    none if none.is_empty() => format!(
                        "has Better Auth's migration run on this database? A renamed table: {setting}"
                    ),
                    elsewhere => format!("found {}: set AUTH_MIDDLEWARE_SCHEMA", elsewhere.join(", ")),
                };
                Err(format!("no table {} in {looked}; {mend}", names.join(" or ")))
            }
            several => {
                let places: Vec<String> = several.iter().map(|candidate| place(candidate)).collect();
                Err(format!("{} can each be the {model} table: set {setting}", places.join(" and ")))
            }
        }
    }
}

/// The column of one field: the renamed one, else its camelCase or `snake_case` spelling.
fn column(
    candidate: &CatalogTable,
    settings: &Table,
    field: &str,
    wanted: Option<Kind>,
) -> Result<FoundColumn, String> {
    let spellings = spellings_of(settings, field);
    let name = match present(candidate, settings, field).as_slice() {
        [name] => name.clone(),
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
            place(candidate)
        ));
    }
    let fits = match wanted {
        Some(Kind::Time) => matches!(found.kind, Kind::Time | Kind::LocalTime),
        Some(Kind::Bool) => found.kind == Kind::Bool,
        // It is searched for by its value; all other text is only shown.
        Some(Kind::Text) if field == "token" => found.is_text,
        _ => true,
    };
    if !fits {
        return Err(format!(
            "has a column {name:?} of type {}, which Better Auth does not write",
            found.type_name
        ));
    }
    // Better Auth's own text fields are text whatever their type: an id may be a number.
    let kind = if wanted == Some(Kind::Text) { Kind::Text } else { found.kind };
    Ok(FoundColumn { field: field.to_owned(), name, kind, type_name: found.type_name.clone() })
}

fn names(table: &Table, usual: [&str; 2]) -> Vec<String> {
    table.name.as_ref().map_or_else(|| usual.map(String::from).to_vec(), |name| vec![name.clone()])
}

/// Those of a field's columns that the table has.
fn present(candidate: &CatalogTable, settings: &Table, field: &str) -> Vec<String> {
    spellings_of(settings, field).into_iter().filter(|name| candidate.columns.contains_key(name)).collect()
}

/// The renamed column, else what Better Auth may call it.
fn spellings_of(settings: &Table, field: &str) -> Vec<String> {
    settings.columns.get(field).map_or_else(|| spellings(field), |renamed| vec![renamed.clone()])
}

fn closed(candidate: &CatalogTable) -> String {
    let schema = quote(&candidate.schema);
    format!(
        "our role may not use schema {schema}: GRANT USAGE ON SCHEMA {schema} TO the role of DATABASE_URL"
    )
}

fn place(candidate: &CatalogTable) -> String {
    format!("{}.{}", quote(&candidate.schema), quote(&candidate.name))
}
