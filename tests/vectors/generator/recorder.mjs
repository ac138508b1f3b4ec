// Runs the real better-auth package of a directory with a fake clock and tables in memory, and records the responses of
// get-session. It replaces this process's Date, so import it before any module that reads the time.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/** What `new Date()` and `Date.now()` say. */
export const clock = { now: 0 };
const RealDate = Date;
globalThis.Date = new Proxy(RealDate, {
  construct: (target, given) => (given.length ? new target(...given) : new target(clock.now)),
  get: (target, name) => (name === "now" ? () => clock.now : Reflect.get(target, name)),
});

// Older releases write each bad cookie to the console, whatever their logger's settings.
console.error = console.warn = () => {};

/** The package that is installed in a folder, and the `jose` that it works with. */
export async function packageAt(folder) {
  const home = join(resolve(folder), "node_modules", "better-auth", "package.json");
  const load = async (name) => import(pathToFileURL(createRequire(home).resolve(name)).href);
  const { betterAuth } = await load("better-auth");
  const { memoryAdapter } = await load("better-auth/adapters/memory");
  const { jwt } = await load("better-auth/plugins/jwt");
  return { version: JSON.parse(readFileSync(home, "utf8")).version, betterAuth, memoryAdapter, jwt, jose: await load("jose") };
}

/** Is release `one` older than release `other`? */
export function isOlder(one, other) {
  const [a, b] = [one, other].map((version) => version.split("-")[0].split(".").map(Number));
  const at = a.findIndex((number, index) => number !== b[index]);
  return at >= 0 && a[at] < b[at];
}

const MODELS = ["user", "session", "account", "verification", "jwks"];

/** A Better Auth server by a vector's `config`, with the given rows. `calls` are those of its database. */
export async function server(better, config, rows = {}) {
  const db = Object.fromEntries(MODELS.map((model) => [model, structuredClone(rows[model] ?? [])]));
  const calls = [];
  const counting = (options) =>
    new Proxy(better.memoryAdapter(db)(options), {
      get(adapter, name) {
        const found = adapter[name];
        if (!/^(find|count|create|update|delete)/.test(String(name))) return found;
        return (query) => {
          calls.push(`${name}:${query.model}`);
          return found.call(adapter, query);
        };
      },
    });
  const auth = better.betterAuth({
    baseURL: config.base_url,
    secret: config.secret,
    ...(config.secrets ? { secrets: config.secrets } : {}),
    database: counting,
    emailAndPassword: {
      enabled: true,
      password: { hash: async (password) => password, verify: async ({ hash, password }) => hash === password },
    },
    plugins: (config.plugins ?? []).map(({ id, options }) => better[id](options)),
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: { disabled: true },
    user: { additionalFields: options(config.user_fields) },
    session: {
      expiresIn: config.expires_in,
      updateAge: config.update_age,
      additionalFields: options(config.session_fields),
      ...(config.defer_session_refresh ? { deferSessionRefresh: true } : {}),
      cookieCache: {
        enabled: config.cookie_cache.enabled,
        strategy: config.cookie_cache.strategy,
        maxAge: config.cookie_cache.max_age,
        ...(config.cookie_cache.version ? { version: config.cookie_cache.version } : {}),
      },
    },
    advanced: {
      ...(config.cookie_prefix ? { cookiePrefix: config.cookie_prefix } : {}),
      ...(config.cookies ? { cookies: config.cookies } : {}),
      ...(config.use_secure_cookies === undefined ? {} : { useSecureCookies: config.use_secure_cookies }),
      ...(config.generate_id ? { database: { generateId: config.generate_id } } : {}),
    },
  });
  const { authCookies } = await auth.$context;
  return {
    db,
    calls,
    names: {
      session_token: authCookies.sessionToken.name,
      session_data: authCookies.sessionData.name,
      dont_remember: authCookies.dontRememberToken.name,
    },
    ask: (path, init) => auth.handler(new Request(`${config.base_url}/api/auth${path}`, init)),
  };
}

/** A case as it stands in the file, with what this package makes of it. */
export async function record(better, { id, note, config, cookie_header, query = null, rows, now_ms }) {
  clock.now = now_ms;
  const { db, calls, names, ask } = await server(better, config, rows);
  calls.length = 0;
  const search = query ? `?${new URLSearchParams(query)}` : "";
  const response = await ask(`/get-session${search}`, { headers: cookie_header === null ? {} : { cookie: cookie_header } });
  const data = response.status === 200 ? await response.json() : null;
  if (response.status !== 200 && response.status < 500) throw new Error(`${id}: unforeseen status ${response.status}`);
  const before = (row) => rows.session.find((other) => other.id === row.id);
  const moved = db.session.filter((row) => Number(before(row).expiresAt) !== Number(row.expiresAt));
  return {
    id: `${better.version}/${id}`,
    better_auth_version: better.version,
    note,
    config,
    cookie_names: names,
    now_ms,
    cookie_header,
    authorization_header: null,
    query,
    db: { user: rows.user, session: rows.session, ...(rows.jwks ? { jwks: rows.jwks.map(withoutPrivateKey) } : {}) },
    expected: {
      outcome: response.status >= 500 ? "error" : data ? "session" : "null",
      data: data && { session: data.session, user: data.user },
      // Better Auth reads the keys for each request. We read them in the background.
      db_needed: calls.some((call) => call.startsWith("find") && !call.endsWith(":jwks")),
      db_calls: calls,
      db_sessions_updated: moved.map(({ token, expiresAt, updatedAt }) => ({ token, expiresAt, updatedAt })),
      db_sessions_deleted: rows.session.filter((row) => !db.session.some((other) => other.id === row.id)).map((row) => row.token),
    },
  };
}

const withoutPrivateKey = ({ privateKey, ...row }) => row;

/** Whether two packages have the same result. A 500 only means that the store decides. */
export function areAlike({ expected: one }, { expected: other }) {
  if (one.outcome === "error") return other.outcome === "error" || other.db_needed;
  return one.outcome === other.outcome && one.db_needed === other.db_needed && sorted(one.data) === sorted(other.data);
}

const sorted = (data) =>
  JSON.stringify(data, (_, value) =>
    value && typeof value === "object" && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).sort()) : value,
  );

const options = (fields = {}) =>
  Object.fromEntries(
    Object.entries(fields).map(([name, { type, required = false, returned = true }]) => [name, { type, required, returned }]),
  );
