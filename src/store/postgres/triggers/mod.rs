//! Triggers that notify every change of a session or a user, written for the tables that were found.
//!
//! A payload is `everything`, or items between commas: 64 hexadecimal digits, the SHA-256 of a session's token, or `u`
//! and 64 digits, that of a user's id. A change of a user sends the id, not the tokens of the user's sessions: a sign-in
//! that is committed between this statement and its own commit is visible to neither snapshot, and would stay in the
//! cache with the old user.
//!
//! Inserts notify nothing, so a cache may only hold what was found.
//!
//! PostgreSQL's queue of notifications is shared by all databases, and a commit that finds it full fails. So above a
//! limit a trigger does not notify; instead it leaves a *trace*, a row in a small table that becomes visible in the same
//! commit as the change, and that every heartbeat reads.
//!
//! An operator may have changes of some columns alone ignored ([`ignoring`]): those that the application updates with each
//! request.

mod check;
mod function;
pub(super) mod ignoring;
mod trace;

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

pub(super) use self::check::{Check, Finding};
use self::function::Function;
use self::ignoring::Ignoring;
pub(super) use self::trace::trace;
use self::trace::trace_name;
use super::problem::Model;
use super::schema::Schema;
use super::table::{FoundTable, quote};

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
pub(super) fn create(schema: &Schema, ignoring: &Ignoring) -> String {
    let mut sql = drop(schema);
    sql += &trace::create(schema);
    for watch in watches(schema) {
        let (name, function) = (watch.table.quoted_name(), watch.quoted_function());
        let columns = ignoring.of(watch.model);
        let source = watch.function.source(columns);
        let tag = tag(&source);
        _ = write!(
            sql,
            "
CREATE FUNCTION {function}() RETURNS pg_catalog.trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {SEARCH_PATH} AS {tag}{source}{tag};
REVOKE ALL ON FUNCTION {function}() FROM PUBLIC;
"
        );
        for (event, _) in EVENTS {
            let trigger = quote(&watch.trigger(event));
            let upper = event.to_uppercase();
            let rows = match event {
                "truncate" => "",
                "update" if columns.is_some() => " REFERENCING OLD TABLE AS gone NEW TABLE AS came",
                _ => " REFERENCING OLD TABLE AS gone",
            };
            _ = write!(
                sql,
                "CREATE TRIGGER {trigger} AFTER {upper} ON {name}{rows}
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
        _ = writeln!(sql, "DROP FUNCTION IF EXISTS {}() CASCADE;", watch.quoted_function());
    }
    _ = writeln!(sql, "DROP TABLE IF EXISTS {} CASCADE;", trace_name(schema));
    sql
}

/// One of the two tables, and the function that notifies its changes.
struct Watch<'a> {
    model: Model,
    table: &'a FoundTable,
    /// The schema in which the function is.
    schema: &'a str,
    channel: String,
    function: Function,
}

fn watches(schema: &Schema) -> [Watch<'_>; 2] {
    [(Model::User, &schema.user), (Model::Session, &schema.session)].map(|(model, table)| Watch {
        model,
        table,
        schema: &schema.session.schema,
        channel: channel(schema),
        function: Function::new(schema, model, table),
    })
}

impl Watch<'_> {
    fn trigger(&self, event: &str) -> String {
        format!("{}_{event}", self.channel)
    }

    /// The function's qualified name.
    fn quoted_function(&self) -> String {
        let name = format!("{}_{}", self.channel, self.model.as_str());
        format!("{}.{}", quote(self.schema), quote(&name))
    }
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
