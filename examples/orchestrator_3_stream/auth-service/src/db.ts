import pg from "pg";

import { settings } from "./settings.js";

export const pool = new pg.Pool({ connectionString: settings.databaseUrl });

// An idle connection that the server ends is reported here; with no listener Node would end the process.
pool.on("error", (error) => console.error(`database: ${error.message}`));
