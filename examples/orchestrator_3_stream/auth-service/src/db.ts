import pg from "pg";

import { settings } from "./settings.js";

// pg hands out bigint as text, and Better Auth 1.4 adds to it: the time to wait after too many attempts was a concatenation.
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export const pool = new pg.Pool({ connectionString: settings.databaseUrl });

// An idle connection that the server ends is reported here; with no listener Node would end the process.
pool.on("error", (error) => console.error(`database: ${error.message}`));

/**
 * Ends the process if the table for sign-in attempts is missing, without which Better Auth would respond to every
 * request with 500, or the table for the keys, without which it would issue no token.
 */
export async function checkTables(): Promise<void> {
  if (settings.rateLimitTable) await checkTable(settings.rateLimitTable, "rate_limit");
  if (settings.issueJwt) await checkTable("jwks", "jwks");
}

async function checkTable(name: string, migration: string): Promise<void> {
  const undefinedTable = "42P01";
  try {
    await pool.query(`SELECT FROM ${pg.escapeIdentifier(name)} LIMIT 0`);
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    // A database that is down now may be up when it is needed.
    if (code !== undefinedTable) return console.error(`database: ${message}`);
    console.error(`Cannot start: ${message}. Apply the migration: python -m auth_middleware migrate ${migration}`);
    process.exit(1);
  }
}
