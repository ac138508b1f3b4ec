-- The names of tables that have columns as Better Auth's `session` or `user`.
SELECT DISTINCT c.relname::pg_catalog.text
FROM pg_catalog.pg_class AS c
CROSS JOIN LATERAL (
    SELECT pg_catalog.array_agg(a.attname::pg_catalog.text) AS names
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid
      AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2
      AND NOT a.attisdropped
) AS a
WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}'::pg_catalog."char"[])
  AND (
      (a.names OPERATOR(pg_catalog.@>) '{token}'::pg_catalog.text[]
       AND a.names OPERATOR(pg_catalog.&&) '{userId,user_id}'::pg_catalog.text[])
      OR (a.names OPERATOR(pg_catalog.@>) '{email}'::pg_catalog.text[]
          AND a.names OPERATOR(pg_catalog.&&) '{emailVerified,email_verified}'::pg_catalog.text[])
  )
ORDER BY 1
LIMIT 50
