//! Triggers that tell every change of a session or a user to whoever listens, written for the
//! tables found: what a cache needs to be as fresh as the tables.
//!
//! A payload is `everything`, or items between commas: 64 hexadecimal digits, the SHA-256 of a
//! session's token, or `u` and 64 digits, that of a user's id. A user is named by the id, not by the
//! tokens of the sessions: a sign-in that is committed between this statement and its own commit is
//! seen by neither snapshot, and would be left in the cache with the user as it was.
//!
//! Inserts tell nothing, so only what was found may be cached.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::schema::Schema;
use super::table::{FoundTable, literal, quote};

/// More rows than this are `everything`: a payload has less than 8,000 bytes.
const MOST_ITEMS: usize = 100;

/// Types whose text is the same whatever a connection's settings. An id of any other type is not
/// worth the doubt: everything is told.
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

/// A function's own search path: no name in it can be somebody else's.
const SEARCH_PATH: &str = "pg_catalog, pg_temp";

/// What a trigger answers to, and `pg_trigger.tgtype` of one that comes once, after the statement.
/// There are no transition tables for TRUNCATE, and several events cannot share them.
const EVENTS: [(&str, i16); 3] = [("update", 16), ("delete", 8), ("truncate", 32)];

/// Where the changes of these tables are told. All that is made for them carries this name, so that
/// several session tables in one schema do not meet.
pub(super) fn channel(schema: &Schema) -> String {
    let digest = Sha256::digest(schema.session.quoted_name());
    format!("auth_middleware_{}", hexadecimal(&digest[..8]))
}

/// Makes the triggers anew, whether or not there are some: to be run in one transaction. A function
/// is not replaced but dropped first: whose it was, his it would stay.
pub(super) fn create(schema: &Schema) -> String {
    let mut sql = drop(schema);
    for watch in watches(schema) {
        let (name, function, tag) = (watch.table.quoted_name(), &watch.function, tag(&watch.source));
        _ = write!(
            sql,
            "
CREATE FUNCTION {function}() RETURNS pg_catalog.trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {SEARCH_PATH} AS {tag}{}{tag};
REVOKE ALL ON FUNCTION {function}() FROM PUBLIC;
",
            watch.source
        );
        for (event, _) in EVENTS {
            let trigger = quote(&watch.trigger(event));
            let upper = event.to_uppercase();
            let old_rows = if event == "truncate" { "" } else { " REFERENCING OLD TABLE AS gone" };
            _ = write!(
                sql,
                "CREATE TRIGGER {trigger} AFTER {upper} ON {name}{old_rows}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}();
ALTER TABLE {name} ENABLE ALWAYS TRIGGER {trigger};
"
            );
        }
    }
    sql
}

/// Takes away what [`create`] makes. Both tables are locked first, in the order in which a deleted
/// user's sessions go, and not for long: behind one who waits for such a lock every sign-in waits.
pub(super) fn drop(schema: &Schema) -> String {
    let (user, session) = (schema.user.quoted_name(), schema.session.quoted_name());
    let mut sql =
        format!("SET LOCAL lock_timeout = '5s';\nLOCK TABLE {user}, {session} IN ACCESS EXCLUSIVE MODE;\n");
    for watch in watches(schema) {
        for (event, _) in EVENTS {
            let (trigger, name) = (quote(&watch.trigger(event)), watch.table.quoted_name());
            _ = writeln!(sql, "DROP TRIGGER IF EXISTS {trigger} ON {name};");
        }
        // Its triggers may have gone elsewhere, with a table that was renamed.
        _ = writeln!(sql, "DROP FUNCTION IF EXISTS {}() CASCADE;", watch.function);
    }
    sql
}

/// A SELECT that needs no rights: `problem text`, NULL where every change is told, `is_refused
/// boolean` where no trigger could tell them, and `fingerprint text`, which is another one after
/// anything that could have kept a change from being told.
pub(super) fn check(schema: &Schema) -> String {
    let triggers: Vec<String> = watches(schema).iter().flat_map(Watch::expected).collect();
    format!(
        include_str!("triggers.sql"),
        tables = tables(schema),
        triggers = triggers.join(",\n        "),
        search_path = literal(&format!("search_path={SEARCH_PATH}"))
    )
}

/// One of the two tables, and what tells of it.
struct Watch<'a> {
    table: &'a FoundTable,
    channel: String,
    /// Its qualified name.
    function: String,
    source: String,
}

fn watches(schema: &Schema) -> [Watch<'_>; 2] {
    let channel = channel(schema);
    let watch = |table, kind, item: &str| Watch {
        table,
        function: format!("{}.{}", quote(&schema.session.schema), quote(&format!("{channel}_{kind}"))),
        source: source(&channel, item),
        channel: channel.clone(),
    };
    let hash = |table: &FoundTable, field| {
        let value = format!(
            "pg_catalog.convert_to(g.{}::pg_catalog.text, 'UTF8'::pg_catalog.name)",
            table.quoted(field)
        );
        format!("pg_catalog.encode(pg_catalog.sha256({value}), 'hex'::pg_catalog.text)")
    };
    let user = match schema.user.type_of("id") {
        plain if PLAIN_TEXT.contains(&plain) => {
            format!("'u'::pg_catalog.text OPERATOR(pg_catalog.||) {}", hash(&schema.user, "id"))
        }
        _ => "'everything'::pg_catalog.text".to_owned(),
    };
    [watch(&schema.user, "user", &user), watch(&schema.session, "session", &hash(&schema.session, "token"))]
}

impl Watch<'_> {
    fn trigger(&self, event: &str) -> String {
        format!("{}_{event}", self.channel)
    }

    /// Rows for the check: what each trigger has to be.
    fn expected(&self) -> impl Iterator<Item = String> {
        let digest = hexadecimal(&Sha256::digest(&self.source));
        EVENTS.into_iter().map(move |(event, kind)| {
            format!(
                "({}, {}, {}, {}, {kind}, {}, '{digest}')",
                literal(&self.table.schema),
                literal(&self.table.name),
                literal(&self.table.quoted_name()),
                literal(&self.trigger(event)),
                if event == "truncate" { "''" } else { "'gone'" },
            )
        })
    }
}

/// What a trigger runs. It reads nothing but the rows that the statement changed, and whatever goes
/// wrong in it, the statement goes on. A NOTIFY that finds the queue full would fail the commit: long
/// before that, whoever listens has stopped trusting what it heard.
fn source(channel: &str, item: &str) -> String {
    let limit = MOST_ITEMS + 1;
    format!(
        "
-- Made by: python -m auth_middleware migrate live
DECLARE
    told pg_catalog.text := 'everything'::pg_catalog.text;
BEGIN
    BEGIN
        IF pg_catalog.pg_notification_queue_usage() OPERATOR(pg_catalog.>) 0.8::pg_catalog.float8 THEN
            RETURN NULL;
        END IF;
        IF TG_OP OPERATOR(pg_catalog.<>) 'TRUNCATE'::pg_catalog.text THEN
            SELECT CASE WHEN pg_catalog.count(*) OPERATOR(pg_catalog.>) {MOST_ITEMS} THEN 'everything'::pg_catalog.text
                        ELSE pg_catalog.string_agg(DISTINCT o.item, ','::pg_catalog.text) END
            INTO told
            FROM (SELECT {item} AS item FROM gone AS g LIMIT {limit}) AS o;
        END IF;
        IF told IS NOT NULL THEN
            PERFORM pg_catalog.pg_notify('{channel}'::pg_catalog.text, told);
        END IF;
    EXCEPTION WHEN OTHERS THEN
        BEGIN
            PERFORM pg_catalog.pg_notify('{channel}'::pg_catalog.text, 'everything'::pg_catalog.text);
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'auth_middleware was not told of a change: SQLSTATE %', SQLSTATE;
        END;
    END;
    RETURN NULL;
END
"
    )
}

/// Rows for the check: the two tables, and the setting that names each.
fn tables(schema: &Schema) -> String {
    let row = |table: &FoundTable, model: &str| {
        let (schema, name) = (literal(&table.schema), literal(&table.name));
        format!("({schema}, {name}, {}, '{model}')", literal(&table.quoted_name()))
    };
    format!("{}, {}", row(&schema.session, "SESSION"), row(&schema.user, "USER"))
}

/// A dollar quote that does not stand in the text: it holds names that anybody chose.
fn tag(text: &str) -> String {
    let mut tag = "$tell$".to_owned();
    while text.contains(&tag) {
        tag.insert(1, '_');
    }
    tag
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
