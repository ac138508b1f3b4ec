//! What keeps us from reading the tables, and how to fix it: without these errors every session would look
//! unknown.

use std::fmt;

use super::catalog::CatalogTable;
use super::table::{FoundTable, quote};
use crate::error::Error;

/// One of Better Auth's tables, as settings name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Model {
    Session,
    User,
    Jwks,
}

/// Everything that is wrong with the tables that were found.
#[derive(Debug)]
pub(super) struct Problems {
    pub(super) problems: Vec<Problem>,
    /// Tables of other names that would fit.
    pub(super) hints: Vec<Hint>,
}

/// A table whose columns fit, by another name than those that we look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hint {
    pub(super) model: Model,
    pub(super) table: TableName,
    /// It is found without the schema's setting.
    pub(super) is_reachable: bool,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    NoTable {
        model: Model,
        names: Vec<String>,
        schema: Option<String>,
        /// Tables of that name in other schemas: those with all the columns, or all of them if none has.
        elsewhere: Vec<TableName>,
        /// Those elsewhere have all the columns.
        fits: bool,
    },
    /// Several tables of one owner fit equally well.
    Ambiguous {
        model: Model,
        tables: Vec<TableName>,
    },
    /// A table of another owner has one of the names: neither the search path nor the columns decide which is meant.
    SeveralOwners {
        model: Model,
        tables: Vec<TableName>,
    },
    /// No schema has both.
    TwoSchemas {
        session: Box<TableName>,
        user: Box<TableName>,
    },
    /// The two tables belong to two roles.
    TwoOwners {
        one: Box<TableName>,
        other: Box<TableName>,
    },
    /// A further table has another owner than the `user` table.
    OtherOwner {
        model: Model,
        table: Box<TableName>,
        user: Box<TableName>,
    },
    SchemaClosed {
        schema: String,
        role: String,
    },
    /// All columns that are needed, or these.
    NotReadable {
        table: String,
        columns: Vec<String>,
        role: String,
    },
    RowsHidden {
        table: String,
        role: String,
    },
    NoColumn {
        model: Model,
        table: String,
        field: String,
        spellings: Vec<String>,
        found: Vec<String>,
    },
    TwoSpellings {
        model: Model,
        table: String,
        field: String,
        spellings: Vec<String>,
    },
    WrongType {
        model: Model,
        table: String,
        field: String,
        column: String,
        type_name: String,
    },
    /// The two id columns cannot be compared without loss.
    IdTypes {
        session: Box<TypedColumn>,
        user: Box<TypedColumn>,
    },
}

/// A table with its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableName {
    /// With its schema, quoted.
    pub(super) name: String,
    bare_name: String,
    schema: String,
    owner: String,
    /// The schema is closed to this role of ours.
    closed_to: Option<String>,
}

/// A column with its table and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TypedColumn {
    pub(super) table: String,
    pub(super) column: String,
    pub(super) type_name: String,
}

impl Model {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::User => "user",
            Self::Jwks => "jwks",
        }
    }

    fn table_setting(self) -> String {
        format!("AUTH_MIDDLEWARE_{}_TABLE", self.as_str().to_uppercase())
    }

    pub(super) fn columns_setting(self, field: &str) -> String {
        format!("AUTH_MIDDLEWARE_{}_COLUMNS={{\"{field}\": \"…\"}}", self.as_str().to_uppercase())
    }
}

impl Problems {
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { problems, hints: Vec::new() }
    }

    /// Whether tables do not exist yet, and that is all. If tables of another name fit, a setting is wrong instead; so
    /// it is if they are in another schema, unless a setting says which schema is meant.
    fn are_missing_tables(&self) -> bool {
        let is_schema_set = self.problems.iter().any(|problem| match problem {
            Problem::NoTable { schema, .. } => schema.is_some(),
            _ => false,
        });
        self.problems.iter().all(Problem::is_missing_table)
            && self.hints.iter().all(|hint| is_schema_set && !hint.is_reachable)
    }

    /// The error, with what could not be done.
    pub(super) fn into_error(self, what: &str) -> Error {
        let message = format!("{what}: {self}");
        if self.are_missing_tables() { Error::MissingTables(message) } else { Error::Schema(message) }
    }

    /// Whether something is wrong with this table.
    pub(super) fn concern(&self, model: Model) -> bool {
        self.problems.iter().any(|problem| match problem {
            Problem::NoTable { model: of, .. }
            | Problem::NoColumn { model: of, .. }
            | Problem::WrongType { model: of, .. } => *of == model,
            _ => false,
        })
    }
}

impl Problem {
    /// Whether the table does not exist yet.
    fn is_missing_table(&self) -> bool {
        let is_elsewhere = matches!(self, Self::NoTable { fits: true, schema: None, .. });
        matches!(self, Self::NoTable { .. }) && !is_elsewhere
    }

    /// Whether another role's table may be all that is wrong: then what was found before is still right.
    pub(super) fn may_be_anothers_doing(&self) -> bool {
        matches!(
            self,
            Self::Ambiguous { .. }
                | Self::SeveralOwners { .. }
                | Self::TwoSchemas { .. }
                | Self::TwoOwners { .. }
                | Self::OtherOwner { .. }
        )
    }
}

impl TableName {
    pub(super) fn of(table: &CatalogTable, role: &str) -> Self {
        Self {
            name: table.quoted_name(),
            bare_name: table.name.clone(),
            schema: table.schema.clone(),
            owner: table.owner.clone(),
            closed_to: (!table.may_use_schema).then(|| role.to_owned()),
        }
    }

    pub(super) fn of_found(table: &FoundTable) -> Self {
        Self {
            name: table.quoted_name(),
            bare_name: table.name.clone(),
            schema: table.schema.clone(),
            owner: table.owner.clone(),
            closed_to: None,
        }
    }

    pub(super) fn with_owner(&self) -> String {
        format!("{} (owner {})", self.name, quote(&self.owner))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sentences: Vec<String> = Vec::new();
        let whole_tables = |problem: &Problem| match problem {
            Problem::NotReadable { table, columns, role } if columns.is_empty() => {
                Some((table.clone(), role.clone()))
            }
            _ => None,
        };
        let unreadable: Vec<(String, String)> = self.problems.iter().filter_map(whole_tables).collect();
        // One statement grants all of them.
        if let [(_, role), ..] = unreadable.as_slice() {
            let tables: Vec<&str> = unreadable.iter().map(|(table, _)| table.as_str()).collect();
            sentences.push(format!(
                "{} may not be read: GRANT SELECT ON {} TO {}",
                tables.join(" and "),
                tables.join(", "),
                quote(role)
            ));
        }
        sentences.extend(
            self.problems.iter().filter(|problem| whole_tables(problem).is_none()).map(ToString::to_string),
        );
        sentences.extend(self.hints.iter().map(ToString::to_string));
        sentences.dedup();
        f.write_str(&sentences.join("; "))
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, table, is_reachable } = self;
        let setting = model.table_setting();
        write!(f, "{} fits the {} table: set {setting} to {}", table.name, model.as_str(), table.bare_name)?;
        if !is_reachable {
            write!(f, " and AUTH_MIDDLEWARE_SCHEMA to {}", table.schema)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable { model, names, schema, elsewhere, fits } => {
                no_table(f, *model, names, schema.as_deref(), elsewhere, *fits)
            }
            Self::Ambiguous { model, tables } => {
                let tables: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
                let setting = model.table_setting();
                write!(f, "{} can each be the {} table: set {setting}", tables.join(" and "), model.as_str())
            }
            Self::SeveralOwners { model, tables } => {
                let is_one_schema = tables.windows(2).all(|pair| pair[0].schema == pair[1].schema);
                let setting =
                    if is_one_schema { model.table_setting() } else { "AUTH_MIDDLEWARE_SCHEMA".to_owned() };
                let tables: Vec<String> = tables.iter().map(TableName::with_owner).collect();
                write!(
                    f,
                    "{} have the name of the {} table and different owners, and only you know which is Better \
                     Auth's: set {setting}",
                    tables.join(" and "),
                    model.as_str()
                )
            }
            Self::TwoSchemas { session, user } => write!(
                f,
                "{} and {} are in different schemas, where Better Auth writes to one: set AUTH_MIDDLEWARE_SCHEMA",
                session.with_owner(),
                user.with_owner()
            ),
            Self::TwoOwners { one, other } => write!(
                f,
                "{} and {} have different owners, where Better Auth's tables have one: ALTER TABLE … OWNER TO, or, if \
                 both are Better Auth's, set AUTH_MIDDLEWARE_SCHEMA, AUTH_MIDDLEWARE_SESSION_TABLE and \
                 AUTH_MIDDLEWARE_USER_TABLE",
                one.with_owner(),
                other.with_owner()
            ),
            Self::OtherOwner { model, table, user } => write!(
                f,
                "{} and {} have different owners, where Better Auth's tables have one: ALTER TABLE {} OWNER TO {}, or, \
                 if another table is Better Auth's, set {}",
                table.with_owner(),
                user.with_owner(),
                table.name,
                quote(&user.owner),
                model.table_setting()
            ),
            Self::SchemaClosed { schema, role } => f.write_str(&closed(schema, role)),
            Self::NotReadable { table, columns, role } => {
                let quoted: Vec<String> = columns.iter().map(|column| quote(column)).collect();
                let columns =
                    if quoted.is_empty() { String::new() } else { format!(" ({})", quoted.join(", ")) };
                write!(f, "{table} may not be read: GRANT SELECT{columns} ON {table} TO {}", quote(role))
            }
            Self::RowsHidden { table, role } => write!(
                f,
                "row-level security hides rows of {table} from our role: CREATE POLICY auth_middleware ON {table} FOR \
                 SELECT TO {} USING (true), or ALTER ROLE … BYPASSRLS",
                quote(role)
            ),
            Self::NoColumn { model, table, field, spellings, found } => write!(
                f,
                "{table} has no column {}; it has {} (a renamed column: {})",
                spellings.join(" or "),
                found.join(", "),
                model.columns_setting(field)
            ),
            Self::TwoSpellings { model, table, field, spellings } => write!(
                f,
                "{table} has both {}, so the column is ambiguous (a renamed column: {})",
                spellings.join(" and "),
                model.columns_setting(field)
            ),
            Self::WrongType { model, table, field, column, type_name } => write!(
                f,
                "{table} has a column {column:?} of type {type_name}, which Better Auth does not write (a renamed \
                 column: {})",
                model.columns_setting(field)
            ),
            Self::IdTypes { session, user } => write!(
                f,
                "{session} and {user} cannot be compared without loss, so a session could be joined to another user: \
                 ALTER TABLE {} ALTER COLUMN {} TYPE {}",
                session.table,
                quote(&session.column),
                user.type_name
            ),
        }
    }
}

impl fmt::Display for TypedColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} (of type {})", self.table, quote(&self.column), self.type_name)
    }
}

fn no_table(
    f: &mut fmt::Formatter<'_>,
    model: Model,
    names: &[String],
    schema: Option<&str>,
    elsewhere: &[TableName],
    fits: bool,
) -> fmt::Result {
    let searched = schema.map_or("the search path".to_owned(), |schema| format!("schema {}", quote(schema)));
    write!(f, "no table {} in {searched}; ", names.join(" or "))?;
    if elsewhere.is_empty() {
        return write!(
            f,
            "has Better Auth's migration run on this database? A renamed table: {}",
            model.table_setting()
        );
    }
    // A schema that we may not use is not on our search path, whatever that says.
    let found = |table: &TableName| match &table.closed_to {
        Some(role) => format!("{} ({})", table.name, closed(&table.schema, role)),
        None => table.name.clone(),
    };
    let found: Vec<String> = elsewhere.iter().map(found).collect();
    let found = found.join(", ");
    if fits {
        return write!(f, "found {found}: set AUTH_MIDDLEWARE_SCHEMA");
    }
    write!(
        f,
        "found {found}, without the columns of Better Auth's table: has its migration run on this database? If the \
         table is in another schema, set AUTH_MIDDLEWARE_SCHEMA; if it was renamed, set {}",
        model.table_setting()
    )
}

fn closed(schema: &str, role: &str) -> String {
    let schema = quote(schema);
    format!("our role may not use schema {schema}: GRANT USAGE ON SCHEMA {schema} TO {}", quote(role))
}
