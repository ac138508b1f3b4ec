//! A table that was found, in the words of SQL.

use super::catalog::Kind;

/// A table and the columns that are read of it, Better Auth's fields first.
#[derive(Debug)]
pub(super) struct FoundTable {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) is_guarded: bool,
    pub(super) columns: Vec<FoundColumn>,
}

/// A column, by the field that it holds.
#[derive(Debug)]
pub(super) struct FoundColumn {
    pub(super) field: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) type_name: String,
}

impl FoundTable {
    pub(super) fn quoted_name(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }

    /// An expression that tells whether row-level security applies to us that did not before.
    pub(super) fn newly_guarded(&self) -> String {
        if self.is_guarded {
            return "false".to_owned();
        }
        format!("pg_catalog.row_security_active({})", literal(&self.quoted_name()))
    }

    pub(super) fn quoted(&self, field: &str) -> String {
        quote(self.column(field).map_or(field, |column| column.name.as_str()))
    }

    pub(super) fn select(&self, alias: &str) -> impl Iterator<Item = String> {
        self.columns
            .iter()
            .map(move |column| column.kind.expression(format!("{alias}.{}", quote(&column.name))))
    }

    pub(super) fn kinds(&self) -> Vec<Kind> {
        self.columns.iter().map(|column| column.kind).collect()
    }

    pub(super) fn type_of(&self, field: &str) -> &str {
        self.column(field).map_or("text", |column| column.type_name.as_str())
    }

    /// Whether the table has a column for this field: only optional ones may be missing.
    pub(super) fn has(&self, field: &str) -> bool {
        self.column(field).is_some()
    }

    fn column(&self, field: &str) -> Option<&FoundColumn> {
        self.columns.iter().find(|column| column.field == field)
    }
}

/// An SQL identifier: only a double quote needs care.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An SQL string that means the same whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
