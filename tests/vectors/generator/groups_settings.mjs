// Times, chunks and settings of a Better Auth server.
import { randomBytes } from "node:crypto";
import { header, signed } from "./cookies.mjs";
import { config, DAY, SECRET, START, without } from "./people.mjs";

const CACHE = 300_000, WEEK = 7 * DAY;

export async function times({ ask, somebody }, strategy) {
  const who = await somebody(config(strategy));
  // A JWT expires at a whole second.
  const end = strategy === "compact" ? CACHE : CACHE - (START % 1000);
  for (const [id, delta] of Object.entries({
    "minus-1ms": -1, equal: 0, "plus-1ms": 1, "plus-999ms": 999, "plus-1s": 1000, "plus-14s": 14_000, "plus-15s": 15_000, "plus-16s": 16_000,
  })) {
    ask(`${strategy}/data-expiry/${id}`, "around the end of the cache", who, { after: end + delta });
  }
  ask(`${strategy}/data-expiry/past-no-row`, "over, and revoked", who, { after: end + 20_000, rows: without(who.rows, "session") });
  for (const [id, delta] of Object.entries({ "minus-1ms": -1, equal: 0, "plus-1ms": 1 })) {
    ask(`${strategy}/row-expiry/${id}`, "around the end of the session", who, { after: WEEK + delta });
  }
  const old = await somebody(config(strategy, {}, { version: "1" }));
  const to = (version) => config(strategy, {}, version ? { version } : {});
  ask(`${strategy}/version/server-2-cookie-1`, "the server moved on", old, { settings: to("2") });
  ask(`${strategy}/version/server-2-cookie-1-no-row`, "and it was revoked", old, { settings: to("2"), rows: without(old.rows, "session") });
  ask(`${strategy}/version/server-default-cookie-1`, "1 is the default", old, { settings: to() });
  const two = await somebody(to("2"));
  ask(`${strategy}/version/match-2`, "both 2", two);
  ask(`${strategy}/version/server-default-cookie-2`, "the server moved back", two, { settings: to() });
}

export async function chunks({ ask, somebody }, strategy) {
  const who = await somebody(config(strategy));
  const [token, name] = [[who.names.session_token, who.token], who.names.session_data];
  const put = (id, note, pairs) => ask(`${strategy}/chunks/${id}`, note, who, { cookie: header([token, ...pairs]) });
  const cut = (count) => {
    const size = Math.ceil(who.data.length / count);
    return Array.from({ length: count }, (_, index) => [`${name}.${index}`, who.data.slice(index * size, (index + 1) * size)]);
  };
  put("in-order", "three", cut(3));
  put("out-of-order", "the number counts", cut(3).reverse());
  put("twelve", "10 comes after 9", cut(12).sort());
  put("missing-1", "a gap", cut(3).toSpliced(1, 1));
  put("numbers-with-a-gap", "only their order counts", cut(3).map(([, value], index) => [`${name}.${index * 70}`, value]));
  put("base-cookie-wins", "beside the whole", [[name, who.data], ...cut(3).map(([of]) => [of, "junk"])]);
  put("base-cookie-empty", "beside nothing", [[name, ""], ...cut(3)]);
  put("non-numeric-suffix", "no chunk of ours", [...cut(3), [`${name}.x`, "junk"], [`${name}.01`, "junk"], [`${name}.`, "junk"]]);
  put("beyond-a-hundred", "a chunk all the same", [...cut(3), [`${name}.100`, "junk"]]);
  put("doubled-good-last", "of two chunks the last", [[`${name}.0`, "junk"], ...cut(3)]);
  put("no-cookie-value", "left out", [...cut(3), [`${name}.3`, "\\"]]);
  put("quoted", "in quotes", cut(3).map(([of, value]) => [of, `"${value}"`]));
  const large = await somebody(config(strategy, { user_fields: { bio: { type: "string", required: false } } }), { given: { bio: "Ω".repeat(4096) } });
  if (large.chunks.length < 2) throw new Error("the package did not cut 8 KiB into chunks");
  ask(`${strategy}/chunks/as-written`, "8 KiB of profile", large, { cookie: header([[large.names.session_token, large.token], ...large.chunks]) });
}

export async function fields({ ask, somebody }, strategy) {
  const settings = config(strategy, {
    user_fields: {
      plan: { type: "string", required: false },
      age: { type: "number", required: false },
      isActive: { type: "boolean", required: false },
      tags: { type: "string[]", required: false },
      joinedAt: { type: "date", required: false },
      secretNote: { type: "string", required: false, returned: false },
    },
  });
  const given = { plan: "Жизнь 🙂", age: 41.5, isActive: false, tags: ["α", "b"], joinedAt: "2020-02-29T01:02:03.004Z", secretNote: "kept" };
  const who = await somebody(settings, { given });
  ask(`${strategy}/fields/additional-from-cache`, "own fields", who);
  ask(`${strategy}/fields/additional-from-db`, "own fields", who, { data: null });
  const nobody = await somebody(settings);
  ask(`${strategy}/fields/null-from-cache`, "none of them given", nobody);
  ask(`${strategy}/fields/null-from-db`, "none of them given", nobody, { data: null });
}

export async function names({ ask, somebody }, strategy) {
  const cookies = { session_token: { name: "sid" }, session_data: { name: "sdata" } };
  for (const [id, more] of Object.entries({
    "cookie-prefix": { cookie_prefix: "my.app" },
    secure: { use_secure_cookies: true },
    "not-secure-on-https": { use_secure_cookies: false, base_url: "https://app.example.com" },
    "https-base-url": { base_url: "https://app.example.com" },
    override: { cookies },
    "override-secure": { cookies, use_secure_cookies: true },
    "override-prefix": { cookies, cookie_prefix: "unused" },
  })) {
    const who = await somebody(config(strategy, more));
    ask(`${strategy}/names/${id}`, "both cookies by that name", who);
    ask(`${strategy}/names/${id}-default-names`, "both by the default names", who, {
      cookie: header([["better-auth.session_token", who.token], ["better-auth.session_data", who.data]]),
    });
  }
}

export async function rotation({ ask, somebody, isFrom }, strategy) {
  if (!isFrom("1.5.0")) return;
  const next = randomBytes(16).toString("hex");
  const who = await somebody(config(strategy));
  const put = (id, note, settings, how) => ask(`rotation/${strategy}/${id}`, note, who, { settings, ...how });
  const rotated = (...secrets) => config(strategy, { secrets, secret: undefined });
  const legacy = config(strategy, { secrets: [{ version: 2, value: next }] });
  const list = rotated({ version: 2, value: next }, { version: 1, value: SECRET });
  const token = signed(decodeURIComponent(who.token).split(".")[0], next);
  put("old-cookies-old-in-list", "both by the old secret", list);
  put("old-cookies-legacy-secret", "both by the plain secret", legacy);
  put("token-new-data-old-list", "data by the old secret", list, { token });
  put("token-new-data-old-legacy", "data by the plain secret", legacy, { token });
  put("token-new-data-old-retired", "data by a secret that is gone", rotated({ version: 2, value: next }), { token });
  ask(`rotation/${strategy}/new-cookies`, "both by the current one", await somebody(list));
}

export async function ids({ ask, somebody }) {
  const who = await somebody(config("compact", { generate_id: "uuid" }));
  ask("ids/uuid-db", "from the database", who, { data: null });
  ask("ids/uuid-cache", "from the cache", who);
}

export async function refresh({ ask, somebody, isFrom }) {
  const who = await somebody(config("compact"));
  for (const [id, after] of Object.entries({ "updateAge-minus-1ms": DAY - 1, "updateAge-equal": DAY, "updateAge-plus-1ms": DAY + 1 })) {
    ask(`refresh/${id}`, "around the time of a refresh", who, { after });
  }
  ask("refresh/query-disableRefresh", "not to be refreshed", who, { after: 2 * DAY, query: { disableRefresh: true } });
  ask("refresh/user-row-missing", "a session of nobody", who, { data: null, rows: without(who.rows, "user") });
  if (!isFrom("1.6.0")) return;
  const deferred = await somebody(config("compact", { defer_session_refresh: true }));
  ask("refresh/defer-get", "nothing is written", deferred, { after: 2 * DAY });
  ask("refresh/defer-get-expired", "nothing is deleted", deferred, { after: WEEK + 1 });
}
