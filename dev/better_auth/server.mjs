// A real Better Auth server, in the version that is installed in the working directory:
//   cd packages/1.7.25 && DATABASE_URL=… BETTER_AUTH_SECRET=… node ../../server.mjs [--migrate] [--port 9404]
// --migrate creates Better Auth's own (camelCase) tables. Without --port, the program exits after that.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const inWorkingDirectory = createRequire(join(process.cwd(), "package.json"));
const load = async (name) => import(pathToFileURL(inWorkingDirectory.resolve(name)).href);
const version = JSON.parse(readFileSync("node_modules/better-auth/package.json", "utf8")).version;

const { betterAuth } = await load("better-auth");
const { toNodeHandler } = await load("better-auth/node");
const { default: pg } = await load("pg");

const { values: flags } = parseArgs({ options: { port: { type: "string" }, migrate: { type: "boolean" } } });
const { env } = process;

const toSnake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const snakeFields = (...names) =>
  env.SCHEMA === "snake" ? { fields: Object.fromEntries(names.map((name) => [name, toSnake(name)])) } : {};

// COOKIE_CACHE is the strategy of the cookie cache. "off", the default, disables it.
const cookieCache =
  (env.COOKIE_CACHE ?? "off") === "off"
    ? { enabled: false }
    : { enabled: true, strategy: env.COOKIE_CACHE, maxAge: Number(env.COOKIE_CACHE_MAX_AGE ?? 300) };

// JWT holds options of the jwt plugin, as JSON; PAYLOAD names what its tokens claim instead of the whole user.
const payloads = {
  email: ({ user }) => ({ email: user.email }),
  // As Neon has it: a snapshot of the moment of issue.
  organization: ({ user }) => ({ ...user, role: "authenticated", o: { id: "org-1", slug: "acme", role: "owner" } }),
  nothing: () => ({}),
};
const plugin = async (name, ...options) => (await load(`better-auth/plugins/${name}`))[name](...options);
const jwtOptions = JSON.parse(env.JWT ?? "null");
const definePayload = payloads[env.PAYLOAD];
const plugins = [
  ...(jwtOptions
    ? [await plugin("jwt", { ...jwtOptions, jwt: { ...jwtOptions.jwt, ...(definePayload ? { definePayload } : {}) } })]
    : []),
  ...(env.BEARER ? [await plugin("bearer")] : []),
  ...(env.ADMIN ? [await plugin("admin")] : []),
];

const options = {
  plugins,
  ...(env.BASE_PATH ? { basePath: env.BASE_PATH } : {}),
  ...(env.GENERATE_ID ? { advanced: { database: { generateId: env.GENERATE_ID } } } : {}),
  // An https:// base URL may be served over plain http here. It makes Better Auth use `__Secure-` cookies.
  baseURL: env.BETTER_AUTH_URL ?? `http://localhost:${flags.port}`,
  secret: env.BETTER_AUTH_SECRET,
  trustedOrigins: (env.TRUSTED_ORIGINS ?? "").split(",").filter(Boolean),
  database: new pg.Pool({ connectionString: env.DATABASE_URL, max: 5 }),
  emailAndPassword: { enabled: true },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  user: {
    ...snakeFields("emailVerified", "createdAt", "updatedAt"),
    additionalFields: JSON.parse(env.USER_FIELDS ?? "{}"),
  },
  session: {
    ...snakeFields("userId", "expiresAt", "ipAddress", "userAgent", "createdAt", "updatedAt"),
    ...(env.EXPIRES_IN ? { expiresIn: Number(env.EXPIRES_IN) } : {}),
    cookieCache,
  },
  account: snakeFields(
    "userId", "accountId", "providerId", "accessToken", "refreshToken", "idToken",
    "accessTokenExpiresAt", "refreshTokenExpiresAt", "createdAt", "updatedAt",
  ),
  verification: snakeFields("expiresAt", "createdAt", "updatedAt"),
};

// Stopping the database breaks idle connections. Without a listener, that error would end this process.
options.database.on("error", (error) => console.error(`database: ${error.message}`));

if (flags.migrate) {
  // 1.4.6 exports it from better-auth/db, later versions from better-auth/db/migration.
  const { getMigrations } = await load("better-auth/db/migration").catch(() => load("better-auth/db"));
  await (await getMigrations(options)).runMigrations();
}

if (flags.port) {
  const handle = toNodeHandler(betterAuth(options));
  createServer((request, response) => {
    if (request.url === "/health") {
      response.setHeader("content-type", "application/json").end(JSON.stringify({ status: "ok", version }));
    } else {
      handle(request, response);
    }
  }).listen(Number(flags.port), "127.0.0.1");
} else {
  await options.database.end();
}
