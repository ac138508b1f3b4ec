//! Triggers that notify every change of a session or a user, written for the tables that were found.
//!
//! A payload is `everything`, or items between commas: 64 hexadecimal digits, the SHA-256 of a session's token, or `u`
//! and 64 digits, that of a user's id. A change of a user sends the id, not the tokens of the user's sessions: a sign-in
//! that is committed between this statement and its own commit is visible to neither snapshot, and would stay in the
//! cache with the old user.
//!
//! Inserts notify nothing, so a cache may only hold what was found.
//!
//! PostgreSQL's queue of notifications is shared by all databases, and a commit that finds it full fails. So above
//! [`FULL_QUEUE`] a trigger does not notify; instead it leaves a *trace*, a row in a small table that becomes visible in
//! the same commit as the change, and that every heartbeat reads.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::schema::Schema;
use super::table::{FoundTable, literal, quote};

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

/// The search path of the functions: no other role can put anything there.
const SEARCH_PATH: &str = "pg_catalog, pg_temp";

/// The events, and `pg_trigger.tgtype` of a trigger that runs once, after the statement. TRUNCATE has no transition
/// tables, and several events cannot share one.
const EVENTS: [(&str, i16); 3] = [("update", 16), ("delete", 8), ("truncate", 32)];

/// The channel on which changes of these tables are notified. Functions and triggers have it in their names, so that
/// those of several session tables in one schema differ.
pub(super) fn channel(schema: &Schema) -> String {
    let digest = Sha256::digest(schema.session.quoted_name());
    format!("auth_middleware_{}", hexadecimal(&digest[..8]))
}

/// Creates the triggers, whether or not there are some: to be run in one transaction. Functions are dropped first:
/// `CREATE OR REPLACE` would keep the previous owner.
///
/// They are SECURITY DEFINER, because a writer may not have the rights that they need. They belong to the table's owner:
/// a cast of the owner's runs in them, which must not have the rights of the role that migrates.
pub(super) fn create(schema: &Schema) -> String {
    let mut sql = drop(schema);
    let (trace, trace_owner) = (trace_name(schema), quote(&schema.session.owner));
    _ = write!(
        sql,
        "
CREATE TABLE {trace} (transaction_id pg_catalog.int8 NOT NULL, suppressed_at pg_catalog.timestamptz NOT NULL);
{revoke}
GRANT SELECT ON TABLE {trace} TO PUBLIC;
ALTER TABLE {trace} OWNER TO {trace_owner};
",
        revoke = revoke_all(&trace)
    );
    if schema.user.owner != schema.session.owner {
        // The function of the user table runs as its owner. `FOR UPDATE` needs UPDATE.
        _ = writeln!(
            sql,
            "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE {trace} TO {};",
            quote(&schema.user.owner)
        );
    }
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
        // Last: to create a trigger takes the right to execute its function.
        _ = writeln!(sql, "ALTER FUNCTION {function}() OWNER TO {};", quote(&watch.table.owner));
    }
    sql
}

/// Removes what [`create`] makes. Both tables are locked first, in the order in which a deleted user's sessions are
/// deleted, and not for long: while one transaction waits for such a lock, every sign-in waits behind it.
pub(super) fn drop(schema: &Schema) -> String {
    let (user, session) = (schema.user.quoted_name(), schema.session.quoted_name());
    let mut sql =
        format!("SET LOCAL lock_timeout = '5s';\nLOCK TABLE {user}, {session} IN ACCESS EXCLUSIVE MODE;\n");
    for watch in watches(schema) {
        for (event, _) in EVENTS {
            let (trigger, name) = (quote(&watch.trigger(event)), watch.table.quoted_name());
            _ = writeln!(sql, "DROP TRIGGER IF EXISTS {trigger} ON {name};");
        }
        // Its triggers may be on a table that was renamed.
        _ = writeln!(sql, "DROP FUNCTION IF EXISTS {}() CASCADE;", watch.function);
    }
    _ = writeln!(sql, "DROP TABLE IF EXISTS {} CASCADE;", trace_name(schema));
    sql
}

/// A SELECT that needs no rights: `problem text`, NULL where every change is notified; `is_refused boolean`, whether no
/// trigger could notify them; and `fingerprint text`, which differs after anything that could have prevented a change from
/// being notified. It reads the catalog alone.
pub(super) fn check(schema: &Schema) -> String {
    let triggers: Vec<String> = watches(schema).iter().flat_map(Watch::expected).collect();
    format!(
        include_str!("triggers.sql"),
        tables = tables(schema),
        triggers = triggers.join(",\n        "),
        trace = format!(
            "{}, {}, {}",
            literal(&schema.session.schema),
            literal(&trace_table(schema)),
            literal(&trace_name(schema))
        ),
        search_path = literal(&format!("search_path={SEARCH_PATH}"))
    )
}

/// A SELECT of one text, which differs after each commit whose notification was suppressed. To be sent only after the
/// check found no problem: what stands there otherwise may be a view of anybody's.
pub(super) fn trace(schema: &Schema) -> String {
    format!(
        "SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(COALESCE(pg_catalog.string_agg(\
         pg_catalog.concat_ws(':', transaction_id, ctid), ',' ORDER BY transaction_id, ctid), 'none'), 'UTF8')), 'hex') \
         FROM {}",
        trace_name(schema)
    )
}

/// Takes every right to a new table from everybody but its owner: default privileges may have granted some to any role.
fn revoke_all(table: &str) -> String {
    let name = literal(table);
    let body = format!(
        "
DECLARE
    grantee pg_catalog.text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT CASE WHEN a.grantee OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN 'PUBLIC'
                             ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
        FROM pg_catalog.pg_class AS c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
        WHERE c.oid OPERATOR(pg_catalog.=) {name}::pg_catalog.regclass
          AND a.grantee OPERATOR(pg_catalog.<>) c.relowner
    LOOP
        EXECUTE pg_catalog.concat('REVOKE ALL ON TABLE ', {name}, ' FROM ', grantee, ' CASCADE');
    END LOOP;
END
"
    );
    let tag = tag(&body);
    format!("DO {tag}{body}{tag};")
}

fn trace_table(schema: &Schema) -> String {
    format!("{}_suppressed", channel(schema))
}

fn trace_name(schema: &Schema) -> String {
    format!("{}.{}", quote(&schema.session.schema), quote(&trace_table(schema)))
}

/// One of the two tables, and the function that notifies its changes.
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
        source: source(&channel, &trace_name(schema), item),
        channel: channel.clone(),
    };
    let hash = |table: &FoundTable, field| {
        let value = format!("pg_catalog.convert_to(g.{}::pg_catalog.text, 'UTF8')", table.quoted(field));
        format!("pg_catalog.encode(pg_catalog.sha256({value}), 'hex')")
    };
    let user = match schema.user.type_of("id") {
        plain if PLAIN_TEXT.contains(&plain) => {
            format!("pg_catalog.concat('u', {})", hash(&schema.user, "id"))
        }
        _ => "'everything'".to_owned(),
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

/// The body of a function. It reads only the rows that the statement changed, and whatever fails in it, the statement
/// succeeds: at the latest, the next heartbeat sees the trace.
///
/// A trace deletes the ones before it, so the table stays small, and another differs from it by its transaction. A row
/// that another transaction has locked is skipped: writers never wait for each other here. Above READ COMMITTED a
/// deletion could fail the writer's transaction.
fn source(channel: &str, trace: &str, item: &str) -> String {
    let limit = MAX_ITEMS + 1;
    format!(
        "
-- Made by: python -m auth_middleware migrate live
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
        is_silent := pg_catalog.pg_notification_queue_usage() OPERATOR(pg_catalog.>) {FULL_QUEUE}::pg_catalog.float8;
        IF TG_OP OPERATOR(pg_catalog.<>) 'TRUNCATE'::pg_catalog.text AND NOT is_silent THEN
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

/// Rows for the check: the two tables, and the setting that names each.
fn tables(schema: &Schema) -> String {
    let row = |table: &FoundTable, model: &str| {
        let (schema, name) = (literal(&table.schema), literal(&table.name));
        format!("({schema}, {name}, {}, '{model}')", literal(&table.quoted_name()))
    };
    format!("{}, {}", row(&schema.session, "SESSION"), row(&schema.user, "USER"))
}

/// A dollar quote that does not occur in the text, which contains names that anybody chose.
fn tag(text: &str) -> String {
    let mut tag = "$body$".to_owned();
    while text.contains(&tag) {
        tag.insert(1, '_');
    }
    tag
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
