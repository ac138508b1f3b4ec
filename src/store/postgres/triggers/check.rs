//! Whether every change is notified, except those that are ignored.

use sha2::{Digest as _, Sha256};
use tokio_postgres::{Error as PgError, Row};

use super::super::problem::Model;
use super::super::schema::Schema;
use super::super::table::{FoundTable, literal};
use super::function::{Function, IGNORING};
use super::ignoring::{IgnoredColumns, Ignoring, Protected};
use super::trace::{trace_name, trace_table};
use super::{EVENTS, SEARCH_PATH, Watch, hexadecimal, watches};

const FIXES: &str = " (python -m auth_middleware migrate live fixes it)";

/// A SELECT that needs no rights, and how to read its row. It reads the catalog alone.
///
/// Its columns: `problem text`, NULL where every change is notified as far as SQL can say; `is_refused boolean`, whether
/// no trigger could notify them; `fingerprint text`, which differs after anything that could have prevented a change from
/// being notified; and, of each table, the names of its columns and the functions that ignore some.
#[derive(Debug)]
pub(in super::super) struct Check {
    pub(in super::super) sql: String,
    tables: [Checked; 2],
}

/// What is checked outside of SQL, for one table.
#[derive(Debug)]
struct Checked {
    model: Model,
    name: String,
    function: Function,
    protected: Protected,
}

/// What the check found.
#[derive(Debug)]
pub(in super::super) struct Finding {
    pub(in super::super) problem: Option<String>,
    /// No trigger could notify every change.
    pub(in super::super) is_refused: bool,
    /// Columns are ignored whose value or meaning would become stale. It is the problem, too.
    pub(in super::super) stale: Option<String>,
    pub(in super::super) fingerprint: String,
    pub(in super::super) ignoring: Ignoring,
    /// Tables whose columns are no longer those that the function compares: nothing is ignored there.
    pub(in super::super) outdated: Vec<String>,
    columns: [Vec<String>; 2],
}

impl Check {
    pub(in super::super) fn new(schema: &Schema) -> Self {
        let triggers: Vec<String> = watches(schema).iter().flat_map(Watch::expected).collect();
        let sql = format!(
            include_str!("check.sql"),
            tables = tables(schema),
            triggers = triggers.join(",\n        "),
            trace = format!(
                "{}, {}, {}",
                literal(&schema.session.schema),
                literal(&trace_table(schema)),
                literal(&trace_name(schema))
            ),
            search_path = literal(&format!("search_path={SEARCH_PATH}")),
            ignoring = literal(IGNORING),
        );
        let tables = watches(schema).map(|watch| Checked {
            model: watch.model,
            name: watch.table.quoted_name(),
            function: watch.function,
            protected: Protected::of(watch.model, watch.table),
        });
        Self { sql, tables }
    }

    /// The same for a migration, which knows no application's models: any field that is not essential may be ignored.
    pub(in super::super) fn of_any_application(schema: &Schema) -> Self {
        let mut check = Self::new(schema);
        check.tables.iter_mut().for_each(|table| table.protected.forget_fields());
        check
    }

    /// Reads the row that the SELECT returned.
    pub(in super::super) fn read(&self, row: &Row) -> Result<Finding, PgError> {
        let mut finding = Finding {
            problem: row.try_get("problem")?,
            is_refused: row.try_get("is_refused")?,
            stale: None,
            fingerprint: row.try_get("fingerprint")?,
            ignoring: Ignoring::default(),
            outdated: Vec::new(),
            columns: [names(row, "user_columns")?, names(row, "session_columns")?],
        };
        let sources = [names(row, "user_sources")?, names(row, "session_sources")?];
        for ((table, sources), columns) in self.tables.iter().zip(&sources).zip(finding.columns.clone()) {
            let [source] = &sources[..] else {
                if !sources.is_empty() {
                    finding.add(format!("the triggers on {} ignore different columns{FIXES}", table.name));
                }
                continue;
            };
            finding.judge(table, source, &columns);
        }
        Ok(finding)
    }

    /// What protects the table's columns from being ignored.
    pub(in super::super) fn protected(&self, model: Model) -> Option<&Protected> {
        self.tables.iter().find(|table| table.model == model).map(|table| &table.protected)
    }
}

impl Finding {
    /// The columns of a table, in their order.
    pub(in super::super) fn columns(&self, model: Model) -> &[String] {
        &self.columns[usize::from(model != Model::User)]
    }

    /// Judges a function that ignores columns: it may be edited.
    fn judge(&mut self, table: &Checked, source: &str, columns: &[String]) {
        let header = source.strip_prefix(IGNORING).and_then(IgnoredColumns::read);
        let stale = header.as_ref().and_then(|ignored| table.protected.refusal_at_start(&ignored.ignored));
        if let Some(stale) = stale {
            self.add(stale.clone());
            self.stale = Some(stale);
            return;
        }
        let Some(ignored) = header.filter(|ignored| table.function.source(Some(ignored)) == source) else {
            self.add(format!(
                "the function of the triggers on {} is not the one that this version makes for the table as it is{FIXES}",
                table.name
            ));
            return;
        };
        if !ignored.compares_all_but_ignored(columns) {
            self.outdated.push(table.name.clone());
        }
        self.ignoring.set(table.model, ignored);
    }

    fn add(&mut self, problem: String) {
        self.problem = Some(match self.problem.take() {
            Some(first) => format!("{first}; {problem}"),
            None => problem,
        });
    }
}

impl Watch<'_> {
    /// Rows for the check: what each trigger has to be.
    fn expected(&self) -> impl Iterator<Item = String> {
        let digest = hexadecimal(&Sha256::digest(self.function.source(None)));
        let model = self.model.as_str().to_uppercase();
        EVENTS.into_iter().map(move |(event, kind)| {
            format!(
                "({}, {}, {}, '{model}', {}, {kind}, {}, {}, '{digest}')",
                literal(&self.table.schema),
                literal(&self.table.name),
                literal(&self.table.quoted_name()),
                literal(&self.trigger(event)),
                if event == "truncate" { "''" } else { "'gone'" },
                if event == "update" { "'came'" } else { "''" },
            )
        })
    }
}

/// Rows for the check: the two tables, and the setting that names each.
fn tables(schema: &Schema) -> String {
    let row = |table: &FoundTable, model: &str| {
        let (schema, name) = (literal(&table.schema), literal(&table.name));
        format!("({schema}, {name}, {}, '{model}')", literal(&table.quoted_name()))
    };
    format!("{}, {}", row(&schema.session, "SESSION"), row(&schema.user, "USER"))
}

fn names(row: &Row, column: &str) -> Result<Vec<String>, PgError> {
    row.try_get::<_, Option<_>>(column).map(Option::unwrap_or_default)
}
