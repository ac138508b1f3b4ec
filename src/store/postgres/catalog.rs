//! What PostgreSQL's catalog says of the tables that may be Better Auth's.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error as PgError, Row};

use super::failure::Failure;
use super::table::{quote, text_of};

/// The tables with one of the names that we look for, in every schema.
#[derive(Debug)]
pub(super) struct Catalog {
    pub(super) tables: Vec<CatalogTable>,
    /// The server is a standby: it may lag behind the primary.
    pub(super) is_standby: bool,
    /// Our role.
    pub(super) role: String,
}

/// One of those tables, and what keeps us from reading it.
#[derive(Debug)]
pub(super) struct CatalogTable {
    pub(super) schema: String,
    pub(super) name: String,
    /// Whose it is: a role.
    pub(super) owner: String,
    /// Its schema's position in the search path; None when it is not on it.
    pub(super) rank: Option<i32>,
    pub(super) may_use_schema: bool,
    pub(super) hides_rows: bool,
    /// Row-level security applies to our role, be it that it hides nothing.
    pub(super) is_guarded: bool,
    pub(super) columns: BTreeMap<String, CatalogColumn>,
}

/// One of its columns.
#[derive(Debug)]
pub(super) struct CatalogColumn {
    pub(super) kind: Kind,
    pub(super) type_name: String,
    /// The same for SQL: with its schema, without a length.
    pub(super) qualified_type: String,
    /// It is a domain that has a length, such as one over `varchar(3)`.
    pub(super) has_domain_length: bool,
    /// `pg_type.typcategory` of what a domain stands for.
    category: char,
    /// What its domain stands for, or its type: with a schema where it is not PostgreSQL's own.
    pub(super) base_type: String,
    /// The equality of an extension's type, in SQL, where its values can be indexed.
    pub(super) equality: Option<String>,
    pub(super) may_select: bool,
}

impl Catalog {
    /// Reads what the catalog says of tables with these names.
    pub(super) async fn read(client: &Client, names: &[String]) -> Result<Self, Failure> {
        let unreadable = |error| Failure::of("the catalog could not be read", error);
        let sql = include_str!("catalog.sql");
        let rows = client.query_typed(sql, &[(&names, Type::TEXT_ARRAY)]).await.map_err(unreadable)?;
        Self::collect(&rows).map_err(unreadable)
    }

    /// The same of tables that have columns as Better Auth's, whatever their names.
    pub(super) async fn read_similar(client: &Client) -> Result<Self, Failure> {
        let unreadable = |error| Failure::of("the catalog could not be read", error);
        let rows = client.query_typed(include_str!("similar.sql"), &[]).await.map_err(unreadable)?;
        let names: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
        Self::read(client, &names.map_err(unreadable)?).await
    }

    fn collect(rows: &[Row]) -> Result<Self, PgError> {
        let mut tables: Vec<CatalogTable> = Vec::new();
        for row in rows {
            let (schema, name): (String, String) = (row.try_get("schema_name")?, row.try_get("table_name")?);
            if tables.last().is_none_or(|last| last.schema != schema || last.name != name) {
                tables.push(CatalogTable {
                    schema,
                    name,
                    owner: row.try_get("owner")?,
                    rank: row.try_get("rank")?,
                    may_use_schema: row.try_get("may_use_schema")?,
                    hides_rows: row.try_get("hides_rows")?,
                    is_guarded: row.try_get("is_guarded")?,
                    columns: BTreeMap::new(),
                });
            }
            let (base_type, category): (&str, &str) = (row.try_get("base_type")?, row.try_get("category")?);
            let column = CatalogColumn {
                kind: Kind::of(base_type, category),
                base_type: base_type.to_owned(),
                equality: row.try_get("equality")?,
                category: category.chars().next().unwrap_or_default(),
                has_domain_length: row.try_get("has_domain_length")?,
                type_name: row.try_get("type_name")?,
                qualified_type: row.try_get("qualified_type")?,
                may_select: row.try_get("may_select")?,
            };
            if let Some(table) = tables.last_mut() {
                table.columns.insert(row.try_get("column_name")?, column);
            }
        }
        let is_standby = rows.first().map(|row| row.try_get("is_standby")).transpose()?.unwrap_or(false);
        let role = rows.first().map(|row| row.try_get("role")).transpose()?.unwrap_or_default();
        Ok(Self { tables, is_standby, role })
    }
}

impl CatalogColumn {
    /// Its text is what it is, as citext's is.
    pub(super) fn is_text(&self) -> bool {
        self.category == 'S'
    }

    pub(super) fn is_enum(&self) -> bool {
        self.category == 'E'
    }

    /// Its type, or what its domain stands for, is PostgreSQL's own.
    pub(super) fn is_builtin(&self) -> bool {
        !self.base_type.contains('.')
    }
}

impl CatalogTable {
    pub(super) fn quoted_name(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.name))
    }

    /// For callers that do not read it.
    pub(super) fn assume_readable(&mut self) {
        (self.may_use_schema, self.hides_rows) = (true, false);
        self.columns.values_mut().for_each(|column| column.may_select = true);
    }

    /// Whether our role may read anything of it.
    pub(super) fn is_readable(&self) -> bool {
        self.may_use_schema && self.columns.values().any(|column| column.may_select)
    }
}

/// How a column is read.
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

    /// The column as an expression that can fail for no value and is of a built-in type, also where
    /// the column's own is a domain. No cast to a number or a time: were the column's type changed
    /// under us, it would fail for a value, or read a time in the connection's zone.
    pub(super) fn expression(self, column: String, is_builtin: bool) -> String {
        match self {
            Self::Text if !is_builtin => text_of(&column),
            Self::Text | Self::Json => format!("{column}::pg_catalog.text"),
            // `to_jsonb` would cast each element to json, by a cast that the type's owner may have created.
            Self::Array if !is_builtin => format!(
                "CASE WHEN {column} IS NULL THEN NULL ELSE COALESCE((SELECT pg_catalog.jsonb_agg({} ORDER BY item.n) \
                 FROM pg_catalog.unnest({column}) WITH ORDINALITY AS item(e, n)), \
                 '[]'::pg_catalog.jsonb)::pg_catalog.text END",
                text_of("item.e")
            ),
            Self::Array => format!("pg_catalog.to_jsonb({column})::pg_catalog.text"),
            Self::Bool | Self::Int | Self::Float | Self::Time | Self::LocalTime => column,
        }
    }

    /// Whether the expression has this type on the wire.
    pub(super) fn is_sent_as(self, wire: &Type) -> bool {
        match self {
            Self::Text | Self::Json | Self::Array => *wire == Type::TEXT,
            Self::Bool => *wire == Type::BOOL,
            Self::Int => matches!(*wire, Type::INT2 | Type::INT4 | Type::INT8),
            Self::Float => matches!(*wire, Type::FLOAT4 | Type::FLOAT8),
            Self::Time => *wire == Type::TIMESTAMPTZ,
            Self::LocalTime => *wire == Type::TIMESTAMP,
        }
    }
}
