//! The names of the tables and of their columns.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::name;
use crate::error::Error;

const SESSION_FIELDS: [&str; 8] =
    ["id", "user_id", "token", "expires_at", "ip_address", "user_agent", "created_at", "updated_at"];
const USER_FIELDS: [&str; 9] =
    ["id", "name", "email", "email_verified", "image", "created_at", "updated_at", "banned", "ban_expires"];
const JWKS_FIELDS: [&str; 4] = ["id", "public_key", "alg", "expires_at"];

/// The names of the tables. Tables and columns without a setting are found in the catalog.
#[derive(Clone, Debug)]
pub struct Tables {
    /// The PostgreSQL schema; None means the connection's search path.
    pub schema: Option<String>,
    /// The `user` table.
    pub user: Table,
    /// The `session` table.
    pub session: Table,
    /// The `jwks` table.
    pub jwks: Table,
    /// The time zone of columns without one.
    pub zone: Tz,
}

/// One table's names, and the fields that are read in addition to Better Auth's own.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The table's name, if it was renamed.
    pub name: Option<String>,
    /// Renamed columns: field name (`snake_case`) to column name.
    pub columns: BTreeMap<String, String>,
    /// Other names for the columns of Better Auth's own fields: the aliases of the application's model.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// The application's own fields.
    pub own_fields: Vec<OwnField>,
}

/// A field that the application declared on its model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnField {
    /// Its name, in `snake_case`.
    pub name: String,
    /// Other possible names of its column.
    pub aliases: Vec<String>,
}

impl Default for Tables {
    fn default() -> Self {
        let [user, session, jwks] = [Table::default(), Table::default(), Table::default()];
        Self { schema: None, user, session, jwks, zone: Tz::UTC }
    }
}

impl From<String> for OwnField {
    fn from(name: String) -> Self {
        Self { name, aliases: Vec::new() }
    }
}

impl OwnField {
    /// The names that Better Auth may use for it.
    #[must_use]
    pub fn spellings(&self) -> Vec<String> {
        spellings(&self.name)
    }
}

impl Table {
    /// The table of a model, whose columns may be keyed by a field's name in either spelling. `fields` are those of
    /// the application's model, with or without Better Auth's own.
    pub(super) fn check(
        model: &str,
        table_name: Option<String>,
        columns: &BTreeMap<String, String>,
        fields: Vec<OwnField>,
    ) -> Result<Self, Error> {
        let (base, own_fields): (Vec<_>, Vec<_>) =
            fields.into_iter().partition(|field| is_base_field(model, &field.name));
        let mut table = Self {
            name: name(&format!("{model}_table"), table_name)?,
            aliases: base.into_iter().map(|field| (field.name, field.aliases)).collect(),
            own_fields,
            ..Self::default()
        };
        let setting = format!("{model}_columns");
        for (key, column) in columns {
            name(&setting, Some(column.clone()))?;
            let field = table.field_of(model, key).ok_or_else(|| unknown_field(model, &setting, key))?;
            if table.columns.insert(field.clone(), column.clone()).is_some() {
                return Err(Error::configuration(format!("{setting} contains the field {field} twice")));
            }
        }
        Ok(table)
    }

    /// Like `Table::check`, but for callers that do not know the application's own fields: unknown keys are unchanged.
    #[must_use]
    pub fn of_columns(model: &str, name: Option<String>, columns: &BTreeMap<String, String>) -> Self {
        let table = Self { name, ..Self::default() };
        let field = |key: &String| table.field_of(model, key).unwrap_or_else(|| key.clone());
        let columns = columns.iter().map(|(key, column)| (field(key), column.clone())).collect();
        Self { columns, ..table }
    }

    /// Other names of a field's column.
    #[must_use]
    pub fn aliases_of(&self, field: &str) -> &[String] {
        let own = || self.own_fields.iter().find(|own| own.name == field).map(|own| &own.aliases);
        self.aliases.get(field).or_else(own).map_or(&[], Vec::as_slice)
    }

    /// The field that a key stands for, in our spelling or in Better Auth's.
    fn field_of(&self, model: &str, key: &str) -> Option<String> {
        let own = self.own_fields.iter().map(|field| field.name.as_str());
        let mut fields = base_fields(model).iter().copied().chain(own);
        fields.find(|field| spellings(field).iter().any(|name| name == key)).map(str::to_owned)
    }
}

fn base_fields(model: &str) -> &'static [&'static str] {
    match model {
        "session" => &SESSION_FIELDS,
        "jwks" => &JWKS_FIELDS,
        _ => &USER_FIELDS,
    }
}

/// Whether a field is one of Better Auth's own. The fields of the ban are not: they are read whether or not the
/// application declares them.
fn is_base_field(model: &str, field: &str) -> bool {
    base_fields(model).contains(&field) && !matches!(field, "banned" | "ban_expires")
}

fn unknown_field(model: &str, setting: &str, key: &str) -> Error {
    let variable = format!("AUTH_MIDDLEWARE_{}", setting.to_uppercase());
    let fields = base_fields(model).join(", ");
    let own = if model == "jwks" { "" } else { ", or declare it on your model" };
    Error::configuration(format!(
        "{setting} ({variable}) renames {key:?}, which is no field of the {model} table: use one of {fields}{own}"
    ))
}

/// Parses an IANA name.
pub(super) fn check_time_zone(zone: &str) -> Result<Tz, Error> {
    zone.trim().parse().map_err(|_| {
        Error::configuration(format!(
            "database_time_zone (AUTH_MIDDLEWARE_DATABASE_TIME_ZONE) is {zone:?}: use an IANA name such as \
             \"Europe/Berlin\""
        ))
    })
}

/// A field's names in Better Auth: in camelCase, and unchanged.
#[must_use]
pub fn spellings(field: &str) -> Vec<String> {
    let mut words = field.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.extend(letters);
    }
    if camel == field { vec![camel] } else { vec![camel, field.to_owned()] }
}
