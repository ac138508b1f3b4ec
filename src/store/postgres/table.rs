//! A table that was found, in the words of SQL.

use super::catalog::Kind;
use super::column::BanExpiry;

/// A table and the columns that are read of it, Better Auth's fields first.
#[derive(Debug, PartialEq)]
pub(super) struct FoundTable {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) owner: String,
    /// Row-level security applies to our role.
    pub(super) is_guarded: bool,
    pub(super) columns: Vec<FoundColumn>,
}

/// A column, by the field that it holds.
#[derive(Debug, PartialEq)]
pub(super) struct FoundColumn {
    pub(super) field: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) qualified_type: String,
    pub(super) base_type: String,
    pub(super) is_builtin: bool,
    pub(super) equality: Option<String>,
}

impl FoundTable {
    pub(super) fn quoted_name(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }

    /// An expression that is true if row-level security applies to us that did not before.
    pub(super) fn newly_guarded(&self) -> String {
        if self.is_guarded {
            return "false".to_owned();
        }
        format!("pg_catalog.row_security_active({}::pg_catalog.text)", literal(&self.quoted_name()))
    }

    pub(super) fn quoted(&self, field: &str) -> String {
        quote(self.column_name(field))
    }

    pub(super) fn column_name<'a>(&'a self, field: &'a str) -> &'a str {
        self.column(field).map_or(field, |column| column.name.as_str())
    }

    /// The table in a FROM clause, with its columns renamed to `c0`, `c1`, …
    ///
    /// In here the columns stand without the table's name: `s.image` would be the function `image(s)` of
    /// anybody's, found by the search path, once the column is gone.
    pub(super) fn source(&self, alias: &str) -> String {
        let renamed = |(index, column): (usize, &FoundColumn)| format!("{} AS c{index}", quote(&column.name));
        let columns: Vec<String> = self.columns.iter().enumerate().map(renamed).collect();
        format!("(SELECT {} FROM {}) AS {alias}", columns.join(", "), self.quoted_name())
    }

    /// The name of a field's column in [`Self::source`].
    pub(super) fn renamed(&self, field: &str) -> String {
        let index =
            self.columns.iter().position(|column| column.field == field).unwrap_or(self.columns.len());
        format!("c{index}")
    }

    /// The field's column, in [`Self::source`], as a value to which a cast runs no code of the type's owner.
    pub(super) fn without_casts(&self, alias: &str, field: &str) -> String {
        let value = format!("{alias}.{}", self.renamed(field));
        match self.column(field) {
            Some(column) if !column.is_builtin => format!("({})", text_of(&value)),
            _ => value,
        }
    }

    pub(super) fn select(&self, alias: &str) -> impl Iterator<Item = String> {
        let expression = move |(index, column): (usize, &FoundColumn)| {
            column.kind.expression(format!("{alias}.c{index}"), column.is_builtin)
        };
        self.columns.iter().enumerate().map(expression)
    }

    /// The columns with the table's name, for messages.
    pub(super) fn column_names(&self) -> impl Iterator<Item = String> {
        self.columns.iter().map(|column| format!("{}.{}", self.quoted_name(), quote(&column.name)))
    }

    /// How the ban's expiry is read, where the table has it.
    pub(super) fn ban_expiry(&self) -> Option<BanExpiry> {
        let column = self.column("ban_expires")?;
        Some(match (column.kind, column.base_type.as_str()) {
            (Kind::Time | Kind::LocalTime, _) => BanExpiry::Time,
            (kind @ (Kind::Int | Kind::Float), _) | (kind, "numeric") => BanExpiry::Milliseconds(kind),
            _ => BanExpiry::Text,
        })
    }

    pub(super) fn kinds(&self) -> Vec<Kind> {
        self.columns.iter().map(|column| column.kind).collect()
    }

    pub(super) fn type_of(&self, field: &str) -> &str {
        self.column(field).map_or("pg_catalog.text", |column| column.qualified_type.as_str())
    }

    /// Whether the table has a column for this field: only optional ones may be missing.
    pub(super) fn has(&self, field: &str) -> bool {
        self.column(field).is_some()
    }

    /// A condition: the field's column, in [`Self::source`], equals an expression. The casts, of column and
    /// expression, are for a built-in column.
    pub(super) fn equals(
        &self,
        alias: &str,
        field: &str,
        expression: &str,
        (own_cast, cast): (&str, &str),
    ) -> String {
        let left = format!("{alias}.{}", self.renamed(field));
        let column = self.column(field);
        match column.map(|column| (column.is_builtin, &column.equality, &column.base_type)) {
            // Both sides have the base type: for a domain and its base type, another role can create an operator that
            // fits better.
            Some((false, Some(own), base_type)) => {
                format!("{left}::{base_type} {own} {expression}::{base_type}")
            }
            // Without an equality that its index knows, its text is compared.
            Some((false, None, _)) => {
                format!("{} OPERATOR(pg_catalog.=) {expression}::pg_catalog.text", text_of(&left))
            }
            _ => format!("{left}{own_cast} OPERATOR(pg_catalog.=) {expression}{cast}"),
        }
    }

    fn column(&self, field: &str) -> Option<&FoundColumn> {
        self.columns.iter().find(|column| column.field == field)
    }
}

/// The text of a value whose type is not PostgreSQL's own, by the type's output function: a cast to text could run code
/// of the type's owner.
pub(super) fn text_of(value: &str) -> String {
    format!("CASE WHEN {value} IS NULL THEN NULL ELSE pg_catalog.format('%s'::pg_catalog.text, {value}) END")
}

/// An SQL identifier: only a double quote needs care.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An SQL string that means the same whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
