//! Which tables and columns are Better Auth's? camelCase, `snake_case`, renamed and plural tables are found by
//! themselves.

use tokio_postgres::Client;

use super::catalog::{Catalog, CatalogColumn, CatalogTable, Kind};
use super::failure::Failure;
use super::id::IdJoin;
use super::problem::{Hint, Model, Problem, Problems, TypedColumn};
use super::selection::{Wanted, both, select, select_beside};
use super::table::{FoundColumn, FoundTable, quote};
use crate::error::Error;
use crate::settings::{Table, Tables, spellings};

// Those with capitals are Prisma's, without `@@map`.
const SESSION_TABLES: [&str; 4] = ["session", "sessions", "Session", "Sessions"];
const USER_TABLES: [&str; 4] = ["user", "users", "User", "Users"];
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
#[derive(Debug, PartialEq)]
pub(super) struct Schema {
    pub(super) session: FoundTable,
    pub(super) user: FoundTable,
    /// How `session.user_id` is compared with `user.id`.
    pub(super) id_join: IdJoin,
    /// How a JWT's `sub` finds its user.
    pub(super) user_id: IdJoin,
    /// What an operator should know of them.
    pub(super) warnings: Vec<String>,
}

/// How to read one table: its settings, and the fields that it must have or may have.
#[derive(Clone, Copy)]
struct Fields<'a> {
    model: Model,
    settings: &'a Table,
    required: &'a [(&'static str, Kind)],
    optional: &'a [(&'static str, Kind)],
}

impl Schema {
    /// The names that the tables may have.
    pub(super) fn table_names(tables: &Tables) -> Vec<String> {
        [session_table(tables).names(), user_table(tables).names()].concat()
    }

    /// Finds the two tables and their columns.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub(super) fn resolve(tables: &Tables, catalog: &Catalog) -> Result<Self, Problems> {
        Self::find(tables, catalog).map_err(Problems::new)
    }

    /// Tables of other names that fit better than what was found.
    pub(super) async fn hints(
        tables: &Tables,
        problems: &Problems,
        client: &Client,
    ) -> Result<Vec<Hint>, Failure> {
        let wanted = [session_table(tables), user_table(tables)];
        let wanted: Vec<Wanted<'_>> =
            wanted.into_iter().filter(|wanted| problems.concern(wanted.model)).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let catalog = Catalog::read_similar(client).await?;
        Ok(wanted.iter().flat_map(|wanted| wanted.hints(&catalog, tables.schema.as_deref())).collect())
    }

    fn find(tables: &Tables, catalog: &Catalog) -> Result<Self, Vec<Problem>> {
        let selected = select(catalog, tables.schema.as_deref(), session_table(tables), user_table(tables))?;
        let mut warnings = selected.warnings;
        if catalog.is_standby {
            warnings.push(STANDBY.to_owned());
        }
        let session = Fields {
            model: Model::Session,
            settings: &tables.session,
            required: &SESSION_FIELDS,
            optional: &[],
        };
        let user = Fields {
            model: Model::User,
            settings: &tables.user,
            required: &USER_FIELDS,
            optional: &BAN_FIELDS,
        };
        let found = both(
            session.read(selected.session, &catalog.role, &mut Vec::new()),
            user.read(selected.user, &catalog.role, &mut warnings),
        );
        let (session_table, user_table) = found.map_err(|problems| problems.concat())?;
        let id_join = id_join((selected.session, &session_table), (selected.user, &user_table))?;
        let user_id = IdJoin::with_text(&selected.user.columns[user_table.column_name("id")]);
        Ok(Self { session: session_table, user: user_table, id_join, user_id, warnings })
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        problems.into_error("Better Auth's tables cannot be read")
    }
}

fn session_table(tables: &Tables) -> Wanted<'_> {
    Wanted {
        model: Model::Session,
        settings: &tables.session,
        usual: &SESSION_TABLES,
        fields: &SESSION_FIELDS,
    }
}

fn user_table(tables: &Tables) -> Wanted<'_> {
    Wanted { model: Model::User, settings: &tables.user, usual: &USER_TABLES, fields: &USER_FIELDS }
}

fn id_join(
    (session_catalog, session): (&CatalogTable, &FoundTable),
    (user_catalog, user): (&CatalogTable, &FoundTable),
) -> Result<IdJoin, Vec<Problem>> {
    let (user_id, id) = (session.column_name("user_id"), user.column_name("id"));
    let (named, own) = (&session_catalog.columns[user_id], &user_catalog.columns[id]);
    IdJoin::between(named, own).ok_or_else(|| {
        let typed = |table: &FoundTable, column: &str, type_name: &str| {
            Box::new(TypedColumn {
                table: table.quoted_name(),
                column: column.to_owned(),
                type_name: type_name.to_owned(),
            })
        };
        vec![Problem::IdTypes {
            session: typed(session, user_id, &named.type_name),
            user: typed(user, id, &own.type_name),
        }]
    })
}

/// Better Auth's `jwks` table, as far as a reader may know it.
#[derive(Debug)]
pub(super) struct PublicKeyTable(FoundTable);

impl PublicKeyTable {
    /// The names that the table may have beside this `user` table: those of Better Auth, and with its prefix.
    pub(super) fn names(settings: &Table, user: &FoundTable) -> Vec<String> {
        if let Some(name) = &settings.name {
            return vec![name.clone()];
        }
        let lower = user.name.to_lowercase();
        let prefix = lower.strip_suffix("users").or_else(|| lower.strip_suffix("user")).unwrap_or_default();
        let prefix = user.name.get(..prefix.len()).unwrap_or_default();
        let mut names = JWKS_TABLES.map(String::from).to_vec();
        if !prefix.is_empty() {
            names.extend(JWKS_TABLES.map(|name| format!("{prefix}{name}")));
        }
        if user.name[prefix.len()..].starts_with('U') {
            names.push(format!("{prefix}Jwks"));
        }
        names
    }

    /// Finds the table, in the schema of the `user` table and of the same owner, and the columns that are no
    /// secret.
    pub(super) fn resolve(settings: &Table, user: &FoundTable, catalog: &Catalog) -> Result<Self, Error> {
        let names = Self::names(settings, user);
        let usual: Vec<&str> = names.iter().map(String::as_str).collect();
        let wanted = Wanted { model: Model::Jwks, settings, usual: &usual, fields: &JWKS_FIELDS };
        let fields =
            Fields { model: Model::Jwks, settings, required: &JWKS_FIELDS, optional: &JWKS_OPTIONAL };
        let table = select_beside(catalog, user, wanted).map_err(|problem| vec![problem]);
        let found = table.and_then(|table| fields.read(table, &catalog.role, &mut Vec::new()));
        found
            .map(Self)
            .map_err(|problems| Problems::new(problems).into_error("the jwks table cannot be read"))
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
        format!("SELECT {} FROM {}", columns.join(", "), self.0.source("k"))
    }
}

impl Fields<'_> {
    /// The table with all its columns.
    fn read(
        self,
        table: &CatalogTable,
        role: &str,
        warnings: &mut Vec<String>,
    ) -> Result<FoundTable, Vec<Problem>> {
        let mut problems = Vec::new();
        if !table.may_use_schema {
            problems.push(Problem::SchemaClosed { schema: table.schema.clone(), role: role.to_owned() });
        }
        if table.hides_rows {
            problems.push(Problem::RowsHidden { table: table.quoted_name(), role: role.to_owned() });
        }
        let (columns, unreadable) = self.columns(table, &mut problems, warnings);
        if !unreadable.is_empty() {
            // The private keys stay secret.
            let is_whole_table = columns.is_empty() && self.model != Model::Jwks;
            let columns = if is_whole_table { Vec::new() } else { unreadable };
            problems.push(Problem::NotReadable {
                table: table.quoted_name(),
                columns,
                role: role.to_owned(),
            });
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(FoundTable {
            schema: table.schema.clone(),
            name: table.name.clone(),
            owner: table.owner.clone(),
            is_guarded: table.is_guarded,
            columns,
        })
    }

    /// The columns that are read, and the names of those that may not be.
    fn columns(
        self,
        table: &CatalogTable,
        problems: &mut Vec<Problem>,
        warnings: &mut Vec<String>,
    ) -> (Vec<FoundColumn>, Vec<String>) {
        let required = self.required.iter().map(|(field, kind)| (*field, Some(*kind)));
        let optional =
            self.optional.iter().filter(|(field, _)| self.has_plugin_column(table, field, warnings));
        let optional = optional.map(|(field, _)| (*field, None)).collect::<Vec<_>>();
        let own = self.settings.own_fields.iter().map(|field| (field.name.as_str(), None));
        let (mut columns, mut unreadable) = (Vec::new(), Vec::new());
        for (field, kind) in required.chain(optional).chain(own) {
            match self.column(table, field, kind) {
                Ok(column) if table.columns[&column.name].may_select => columns.push(column),
                Ok(column) => unreadable.push(column.name),
                Err(problem) => problems.push(problem),
            }
        }
        (columns, unreadable)
    }

    /// Whether a plugin's column is there, and of a type that the plugin writes: an application may have a column of
    /// that name for itself.
    fn has_plugin_column(self, table: &CatalogTable, field: &str, warnings: &mut Vec<String>) -> bool {
        let present = present(table, self.settings, field);
        let Some(name) = present.first() else { return false };
        let column = &table.columns[name];
        if present.iter().any(|name| is_plugins(field, &table.columns[name])) {
            return true;
        }
        warnings.push(format!(
            "{}.{} is not read, since a column of type {} is not Better Auth's: {}. If it has another name, set {}",
            table.quoted_name(),
            quote(name),
            column.type_name,
            if field == "banned" { "bans are not enforced" } else { "bans do not expire" },
            self.model.columns_setting(field)
        ));
        false
    }

    /// The column of one field: the renamed one, else its camelCase or `snake_case` spelling.
    fn column(self, table: &CatalogTable, field: &str, wanted: Option<Kind>) -> Result<FoundColumn, Problem> {
        let (model, quoted_name, field) = (self.model, table.quoted_name(), field.to_owned());
        let mut spellings = spellings_of(self.settings, &field);
        if !self.settings.columns.contains_key(&field) {
            spellings.extend_from_slice(self.settings.aliases_of(&field));
            spellings.dedup();
        }
        let mut present = present(table, self.settings, &field);
        if field == "ban_expires" && present.len() > 1 {
            present.retain(|name| is_plugins(&field, &table.columns[name]));
        }
        let name = match present.len() {
            1 => present.remove(0),
            0 => {
                let found = table.columns.keys().cloned().collect();
                return Err(Problem::NoColumn { model, table: quoted_name, field, spellings, found });
            }
            _ => return Err(Problem::TwoSpellings { model, table: quoted_name, field, spellings }),
        };
        let found = &table.columns[&name];
        let fits = match wanted {
            Some(Kind::Time) => matches!(found.kind, Kind::Time | Kind::LocalTime),
            Some(Kind::Bool) => found.kind == Kind::Bool,
            // It is searched for by its value; all other text is only shown.
            Some(Kind::Text) if field == "token" => found.is_text(),
            _ => true,
        };
        if !fits {
            let type_name = found.type_name.clone();
            return Err(Problem::WrongType { model, table: quoted_name, field, column: name, type_name });
        }
        // Better Auth's own text fields are text whatever their type: an id may be a number.
        let kind = if wanted == Some(Kind::Text) { Kind::Text } else { found.kind };
        Ok(FoundColumn {
            field,
            name,
            kind,
            qualified_type: found.qualified_type.clone(),
            base_type: found.base_type.clone(),
            is_builtin: found.is_builtin(),
            equality: found.equality.clone(),
        })
    }
}

/// Whether a plugin writes such a column.
fn is_plugins(field: &str, column: &CatalogColumn) -> bool {
    match field {
        "banned" => column.kind == Kind::Bool,
        "ban_expires" => match column.kind {
            Kind::Time | Kind::LocalTime | Kind::Int | Kind::Float => true,
            Kind::Text => column.is_text() || matches!(column.base_type.as_str(), "numeric" | "date"),
            Kind::Bool | Kind::Json | Kind::Array => false,
        },
        _ => true,
    }
}

/// Those of a field's columns that the table has; under an alias only where there is none of the plain name.
pub(super) fn present(table: &CatalogTable, settings: &Table, field: &str) -> Vec<String> {
    let existing =
        |names: Vec<String>| names.into_iter().filter(|name| table.columns.contains_key(name)).collect();
    let plain: Vec<String> = existing(spellings_of(settings, field));
    if !plain.is_empty() || settings.columns.contains_key(field) {
        return plain;
    }
    let mut aliases: Vec<String> = existing(settings.aliases_of(field).to_vec());
    aliases.truncate(1);
    aliases
}

/// The renamed column, else what Better Auth may call it.
fn spellings_of(settings: &Table, field: &str) -> Vec<String> {
    settings.columns.get(field).map_or_else(|| spellings(field), |renamed| vec![renamed.clone()])
}
