//! Selects the tables: which of those with a fitting name are Better Auth's?
//!
//! `user` and `session` are in one schema and have one owner, as Better Auth makes them. Another role that may
//! create tables could plant a `sessions` with rows of its own choice beside the real `session`, and so sign
//! strangers in. So where candidates have different owners, only a setting decides: not the search path, and not
//! how well the columns fit.

use super::catalog::{Catalog, CatalogTable, Kind};
use super::problem::{Hint, Model, Problem, TableName};
use super::schema::present;
use super::table::FoundTable;
use crate::settings::Table;

/// Where to look for one table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) model: Model,
    pub(super) settings: &'a Table,
    /// The names that Better Auth gives it.
    pub(super) usual: &'a [&'a str],
    /// The fields that distinguish Better Auth's table from an application's own table of the same owner.
    pub(super) fields: &'a [(&'a str, Kind)],
}

/// The two tables, and what an operator should know of the others.
#[derive(Debug)]
pub(super) struct Selected<'a> {
    pub(super) session: &'a CatalogTable,
    pub(super) user: &'a CatalogTable,
    pub(super) warnings: Vec<String>,
}

/// Selects the two tables.
///
/// # Errors
/// Why none, or which of several, can be meant.
pub(super) fn select<'a>(
    catalog: &'a Catalog,
    schema: Option<&str>,
    session: Wanted<'_>,
    user: Wanted<'_>,
) -> Result<Selected<'a>, Vec<Problem>> {
    let name = |table: &CatalogTable| TableName::of(table, &catalog.role);
    let mut warnings = Vec::new();
    let sessions = candidates(catalog, schema, session, &mut warnings);
    let users = candidates(catalog, schema, user, &mut warnings);
    let (sessions, users) = both(sessions, users)?;

    let mut shared: Vec<Option<i32>> = sessions.iter().map(|table| table.rank).collect();
    shared.retain(|rank| users.iter().any(|table| table.rank == *rank));
    let in_schema = |rank: Option<i32>| {
        let (sessions, fewest_of_session) = session.best(&sessions, rank);
        let (users, fewest_of_user) = user.best(&users, rank);
        (fewest_of_session + fewest_of_user, rank, sessions, users)
    };
    let first = shared.into_iter().map(in_schema).min_by_key(|(missing, rank, ..)| (*missing, *rank));
    let Some((_, _, sessions, users)) = first else {
        return Err(vec![Problem::TwoSchemas {
            session: Box::new(name(sessions[0])),
            user: Box::new(name(users[0])),
        }]);
    };
    let one = |model, tables: &[&'a CatalogTable]| match tables {
        [one] => Ok(*one),
        several => {
            Err(Problem::Ambiguous { model, tables: several.iter().map(|table| name(table)).collect() })
        }
    };
    let (session_table, user_table) = both(one(Model::Session, &sessions), one(Model::User, &users))?;
    let is_named = schema.is_some() && session.settings.name.is_some() && user.settings.name.is_some();
    if session_table.owner != user_table.owner && !is_named {
        return Err(vec![Problem::TwoOwners {
            one: Box::new(name(session_table)),
            other: Box::new(name(user_table)),
        }]);
    }
    Ok(Selected { session: session_table, user: user_table, warnings })
}

/// Selects a table beside one that was found: in its schema, and of its owner.
///
/// # Errors
/// Why there is none.
pub(super) fn select_beside<'a>(
    catalog: &'a Catalog,
    found: &FoundTable,
    wanted: Wanted<'_>,
) -> Result<&'a CatalogTable, Problem> {
    let name = |table: &CatalogTable| TableName::of(table, &catalog.role);
    let tables = candidates(catalog, Some(&found.schema), wanted, &mut Vec::new())?;
    let (tables, _) = wanted.best(&tables, tables[0].rank);
    match tables.as_slice() {
        [table] if table.owner == found.owner => Ok(table),
        [table] => Err(Problem::OtherOwner {
            model: wanted.model,
            table: Box::new(name(table)),
            user: Box::new(TableName::of_found(found)),
        }),
        several => {
            let tables = several.iter().map(|table| name(table)).collect();
            Err(Problem::Ambiguous { model: wanted.model, tables })
        }
    }
}

/// Those that can be meant, never none: they all have one owner.
fn candidates<'a>(
    catalog: &'a Catalog,
    schema: Option<&str>,
    wanted: Wanted<'_>,
    warnings: &mut Vec<String>,
) -> Result<Vec<&'a CatalogTable>, Problem> {
    let names = wanted.names();
    let name = |table: &&CatalogTable| TableName::of(table, &catalog.role);
    let by_name: Vec<&CatalogTable> =
        catalog.tables.iter().filter(|table| names.contains(&table.name)).collect();
    let is_reachable = |table: &&CatalogTable| match schema {
        Some(schema) => table.schema == schema,
        None => table.rank.is_some(),
    };
    let (mut meant, elsewhere): (Vec<_>, Vec<_>) = by_name.into_iter().partition(is_reachable);
    if meant.is_empty() {
        let fitting: Vec<_> = elsewhere.iter().copied().filter(|table| wanted.missing(table) == 0).collect();
        let fits = !fitting.is_empty();
        return Err(Problem::NoTable {
            model: wanted.model,
            names: wanted.shown_names(),
            schema: schema.map(str::to_owned),
            elsewhere: if fits { fitting } else { elsewhere }.iter().map(name).collect(),
            fits,
        });
    }
    // A table that we may not read holds no sessions for us. If it is the only one, the error says which right is missing.
    if meant.iter().any(|table| table.is_readable()) {
        for ignored in meant.extract_if(.., |table| !table.is_readable()) {
            warnings.push(format!(
                "{} is not taken for the {} table: our role may not read it",
                TableName::of(ignored, &catalog.role).with_owner(),
                wanted.model.as_str()
            ));
        }
    }
    if meant.windows(2).any(|pair| pair[0].owner != pair[1].owner) {
        let tables = meant.iter().map(name).collect();
        return Err(Problem::SeveralOwners { model: wanted.model, tables });
    }
    Ok(meant)
}

impl Wanted<'_> {
    /// The names that the table may have.
    pub(super) fn names(&self) -> Vec<String> {
        match &self.settings.name {
            Some(name) => vec![name.clone()],
            None => self.usual.iter().copied().map(str::to_owned).collect(),
        }
    }

    /// Tables of other names that have all fields.
    pub(super) fn hints(&self, catalog: &Catalog, schema: Option<&str>) -> Vec<Hint> {
        let names = self.names();
        let fits = |table: &&CatalogTable| {
            !names.contains(&table.name) && table.is_readable() && self.missing(table) == 0
        };
        let hint = |table: &CatalogTable| Hint {
            model: self.model,
            table: TableName::of(table, &catalog.role),
            is_reachable: schema.map_or(table.rank.is_some(), |schema| table.schema == schema),
        };
        catalog.tables.iter().filter(fits).map(hint).collect()
    }

    /// How many fields a table lacks.
    fn missing(&self, table: &CatalogTable) -> usize {
        self.fields.iter().filter(|(field, _)| present(table, self.settings, field).is_empty()).count()
    }

    /// The same for a message.
    fn shown_names(&self) -> Vec<String> {
        self.names().into_iter().take(2).collect()
    }

    /// Those of one schema that lack the fewest fields, and how many those are. An application may have a table
    /// "users" of its own beside Better Auth's "user". What we may read does not distinguish them: a right that is
    /// missing must not lead to the other.
    fn best<'a>(&self, tables: &[&'a CatalogTable], rank: Option<i32>) -> (Vec<&'a CatalogTable>, usize) {
        let in_schema = || tables.iter().copied().filter(|table| table.rank == rank);
        let fewest = in_schema().map(|table| self.missing(table)).min().unwrap_or_default();
        (in_schema().filter(|table| self.missing(table) == fewest).collect(), fewest)
    }
}

/// Two results, or everything that is wrong.
pub(super) fn both<T, U, P>(one: Result<T, P>, other: Result<U, P>) -> Result<(T, U), Vec<P>> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (one, other) => Err([one.err(), other.err()].into_iter().flatten().collect()),
    }
}
