// Real Better Auth servers, one for each strategy of the cookie cache, on one port and one database, in the version that
// is installed in the working directory:
//   cd packages/1.7.25 && DATABASE_URL=… BETTER_AUTH_SECRET=… STRATEGIES=compact,jwks node ../../strategy_server.mjs --port 9404
// Each strategy is served below /STRATEGY/api/auth. POST /clock moves the clock of this process, so that a test can
// create a session of any age.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

const { values: flags } = parseArgs({ options: { port: { type: "string" } } });
const { env } = process;

let offsetMs = 0;
const RealDate = Date;
const now = () => RealDate.now() + offsetMs;
globalThis.Date = new Proxy(RealDate, {
  construct: (target, given) => (given.length ? new target(...given) : new target(now())),
  apply: () => new RealDate(now()).toString(),
  get: (target, name) => (name === "now" ? now : Reflect.get(target, name)),
});

const inWorkingDirectory = createRequire(join(process.cwd(), "package.json"));
const load = async (name) => import(pathToFileURL(inWorkingDirectory.resolve(name)).href);
const { betterAuth } = await load("better-auth");
const { toNodeHandler } = await load("better-auth/node");
const { default: pg } = await load("pg");

const database = new pg.Pool({ connectionString: env.DATABASE_URL, max: 5 });
database.on("error", (error) => console.error(`database: ${error.message}`));

const options = async (strategy) => ({
  baseURL: `http://localhost:${flags.port}`,
  basePath: `/${strategy}/api/auth`,
  secret: env.BETTER_AUTH_SECRET,
  database,
  emailAndPassword: {
    enabled: true,
    // scrypt is slow, and passwords are not compared here.
    password: { hash: async (password) => password, verify: async ({ hash, password }) => hash === password },
  },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
  // It would log every bad cookie.
  logger: { disabled: true },
  user: { additionalFields: JSON.parse(env.USER_FIELDS ?? "{}") },
  session: {
    additionalFields: JSON.parse(env.SESSION_FIELDS ?? "{}"),
    cookieCache: {
      enabled: true,
      strategy: strategy === "jwks" ? "jwt" : strategy,
      maxAge: Number(env.COOKIE_CACHE_MAX_AGE),
    },
  },
  plugins: [
    ...(strategy === "jwks" ? [(await load("better-auth/plugins/jwt")).jwt({ sessionCookieCache: true })] : []),
    ...(env.ADMIN ? [(await load("better-auth/plugins/admin")).admin()] : []),
  ],
});

const strategies = env.STRATEGIES.split(",");
for (const strategy of strategies) {
  // 1.4.6 exports it from better-auth/db, later versions from better-auth/db/migration.
  const { getMigrations } = await load("better-auth/db/migration").catch(() => load("better-auth/db"));
  await (await getMigrations(await options(strategy))).runMigrations();
}
const handlers = new Map();
for (const strategy of strategies) {
  handlers.set(strategy, toNodeHandler(betterAuth(await options(strategy))));
}

// Clients may pause for a long time between two requests.
createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  const [, first] = request.url.split("/");
  if (handlers.has(first)) {
    handlers.get(first)(request, response);
  } else if (first === "clock") {
    request.on("data", (milliseconds) => (offsetMs = Number(milliseconds))).on("end", () => response.end());
  } else {
    response.end();
  }
}).listen(Number(flags.port), "127.0.0.1");
