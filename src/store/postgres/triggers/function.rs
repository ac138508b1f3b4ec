//! The body of a trigger's function.

use super::super::problem::Model;
use super::super::schema::Schema;
use super::super::table::{FoundTable, literal, quote, text_of};
use super::channel;
use super::ignoring::IgnoredColumns;
use super::trace::trace_name;

/// More rows than this are `everything`: a payload is limited to 8,000 bytes.
const MAX_ITEMS: usize = 100;

/// Above this part of the queue, triggers leave a trace instead of a notification.
const FULL_QUEUE: &str = "0.8";

/// Types whose text does not depend on a connection's settings. A change of a user whose id has another type notifies
/// `everything`.
const PLAIN_TEXT: [&str; 8] = [
    "pg_catalog.text",
    "pg_catalog.\"varchar\"",
    "pg_catalog.bpchar",
    "pg_catalog.uuid",
    "pg_catalog.int2",
    "pg_catalog.int4",
    "pg_catalog.int8",
    "pg_catalog.\"numeric\"",
];

/// How the body of a function that ignores columns begins. A comment with the columns follows.
pub(super) const IGNORING: &str = "\n-- Made by: python -m auth_middleware migrate live --ignoring\n-- ";

/// What differs between the functions of the two tables.
#[derive(Debug)]
pub(super) struct Function {
    channel: String,
    trace: String,
    /// The item of a payload for the row `g`.
    item: String,
    /// A text of the row `g` that differs for each row, of the field by which the row is found.
    key: String,
}

impl Function {
    pub(super) fn new(schema: &Schema, model: Model, table: &FoundTable) -> Self {
        let field = if model == Model::User { "id" } else { "token" };
        let column = table.quoted(field);
        let value = format!("pg_catalog.convert_to(g.{column}::pg_catalog.text, 'UTF8')");
        let hash = format!("pg_catalog.encode(pg_catalog.sha256({value}), 'hex')");
        let item = match (model, table.type_of(field)) {
            (Model::User, plain) if PLAIN_TEXT.contains(&plain) => format!("pg_catalog.concat('u', {hash})"),
            (Model::User, _) => "'everything'".to_owned(),
            _ => hash,
        };
        let key = text_of(&format!("g.{column}"));
        Self { channel: channel(schema), trace: trace_name(schema), item, key }
    }

    /// The body. It reads only the rows that the statement changed, and whatever fails in it, the statement succeeds: at
    /// the latest, the next heartbeat sees the trace.
    ///
    /// A trace deletes the ones before it, so the table stays small, and another differs from it by its transaction. A row
    /// that another transaction has locked is skipped: writers never wait for each other here. Above READ COMMITTED a
    /// deletion could fail the writer's transaction.
    pub(super) fn source(&self, columns: Option<&IgnoredColumns>) -> String {
        let Self { channel, trace, item, .. } = self;
        let limit = MAX_ITEMS + 1;
        let (beginning, declaration, filter, unless_filtered) = match columns {
            None => {
                ("\n-- Made by: python -m auth_middleware migrate live".to_owned(), "", String::new(), "")
            }
            Some(columns) => (
                format!("{IGNORING}{}", columns.header()),
                "\nDECLARE\n    columns pg_catalog.text;\n    is_filtered pg_catalog.bool := false;",
                self.filter(columns),
                " AND NOT is_filtered",
            ),
        };
        format!(
            "{beginning}{declaration}
DECLARE
    payload pg_catalog.text := 'everything';
    is_silent pg_catalog.bool := true;
    failure pg_catalog.text;
BEGIN
    BEGIN
        IF TG_OP OPERATOR(pg_catalog.<>) 'TRUNCATE'::pg_catalog.text THEN
            IF NOT EXISTS (SELECT FROM gone) THEN
                RETURN NULL;
            END IF;
        END IF;
        is_silent := pg_catalog.pg_notification_queue_usage() OPERATOR(pg_catalog.>) {FULL_QUEUE}::pg_catalog.float8;{filter}
        IF TG_OP OPERATOR(pg_catalog.<>) 'TRUNCATE'::pg_catalog.text AND NOT is_silent{unless_filtered} THEN
            SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.>) {MAX_ITEMS}::pg_catalog.int8 THEN 'everything'
                        ELSE pg_catalog.string_agg(DISTINCT o.item, ',') END
            INTO payload
            FROM (SELECT {item} AS item FROM gone AS g LIMIT {limit}) AS o;
            IF payload IS NULL THEN
                RETURN NULL;
            END IF;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        payload := 'everything';
    END;
    BEGIN
        IF NOT is_silent THEN
            PERFORM pg_catalog.pg_notify('{channel}', payload);
            RETURN NULL;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        failure := SQLSTATE;
    END;
    BEGIN
        IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.=) 'read committed'::pg_catalog.text THEN
            DELETE FROM {trace} AS t
            WHERE t.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT s.ctid FROM {trace} AS s FOR UPDATE SKIP LOCKED));
        END IF;
        INSERT INTO {trace} (transaction_id, suppressed_at)
        VALUES (pg_catalog.txid_current(), pg_catalog.clock_timestamp());
    EXCEPTION WHEN OTHERS THEN
        failure := SQLSTATE;
    END;
    IF failure IS NOT NULL THEN
        RAISE WARNING 'auth_middleware was not notified of a change: SQLSTATE %', failure;
    END IF;
    RETURN NULL;
END
"
        )
    }

    /// Leaves out the rows of an UPDATE in which nothing changed but ignored columns.
    ///
    /// Row images are compared, so no code of a column's type runs, and a type needs no equality. What is compared are
    /// all columns that the table had: with another set of columns, every change is notified, until `migrate live` runs
    /// again. Rows are paired by their key, since an operator on images cannot be hashed.
    fn filter(&self, columns: &IgnoredColumns) -> String {
        let Self { item, key, .. } = self;
        let limit = MAX_ITEMS + 1;
        let image: Vec<String> =
            columns.compared.iter().map(|column| format!("g.{}", quote(column))).collect();
        let image = image.join(", ");
        let (ignored, compared) = (literals(&columns.ignored), literal(&quoted_list(&columns.compared)));
        format!(
            "
        IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE'::pg_catalog.text THEN
            SELECT pg_catalog.string_agg(
                pg_catalog.concat('\"', pg_catalog.replace(a.attname::pg_catalog.text, '\"', '\"\"'), '\"'), ', ' ORDER BY a.attnum)
            INTO columns
            FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid OPERATOR(pg_catalog.=) TG_RELID AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2
              AND NOT a.attisdropped
              AND a.attname::pg_catalog.text OPERATOR(pg_catalog.<>) ALL (ARRAY[{ignored}]::pg_catalog.text[]);
            is_filtered := COALESCE(columns OPERATOR(pg_catalog.=) {compared}::pg_catalog.text, false);
        END IF;
        IF is_filtered THEN
            SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.>) {MAX_ITEMS}::pg_catalog.int8 THEN 'everything'
                        ELSE pg_catalog.string_agg(DISTINCT o.item, ',') END
            INTO payload
            FROM (SELECT b.item
                  FROM (SELECT {item} AS item, {key} AS key, ROW({image}) AS image FROM gone AS g) AS b
                  WHERE NOT EXISTS (
                      SELECT FROM (SELECT {key} AS key, ROW({image}) AS image FROM came AS g) AS n
                      WHERE n.key OPERATOR(pg_catalog.=) b.key AND n.image OPERATOR(pg_catalog.*=) b.image)
                  LIMIT {limit}) AS o;
            IF payload IS NULL THEN
                RETURN NULL;
            END IF;
        END IF;"
        )
    }
}

fn literals(names: &[String]) -> String {
    names.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", ")
}

fn quoted_list(names: &[String]) -> String {
    names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")
}
