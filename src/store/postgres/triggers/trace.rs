//! The table in which a trigger records that it could not notify a change.

use std::fmt::Write as _;

use super::super::schema::Schema;
use super::super::table::{literal, quote};
use super::{channel, tag};

/// A SELECT of one text, which differs after each commit whose notification was suppressed. To be sent only after the
/// check found no problem: what stands there otherwise may be a view of anybody's.
pub(in super::super) fn trace(schema: &Schema) -> String {
    format!(
        "SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(COALESCE(pg_catalog.string_agg(\
         pg_catalog.concat_ws(':', transaction_id, ctid), ',' ORDER BY transaction_id, ctid), 'none'), 'UTF8')), 'hex') \
         FROM {}",
        trace_name(schema)
    )
}

/// Creates the table, which is not there.
pub(super) fn create(schema: &Schema) -> String {
    let (trace, trace_owner) = (trace_name(schema), quote(&schema.session.owner));
    let mut sql = format!(
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
    sql
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

pub(super) fn trace_table(schema: &Schema) -> String {
    format!("{}_suppressed", channel(schema))
}

pub(super) fn trace_name(schema: &Schema) -> String {
    format!("{}.{}", quote(&schema.session.schema), quote(&trace_table(schema)))
}
