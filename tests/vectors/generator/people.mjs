// The users in the cases, who signed up with the real package, with their cookies and rows.
import { randomBytes } from "node:crypto";
import { header } from "./cookies.mjs";
import { clock, isOlder, server } from "./recorder.mjs";

export const START = Date.UTC(2026, 0, 15, 12, 0, 0, 123);
export const HOUR = 3_600_000, DAY = 24 * HOUR;
export const SECRET = randomBytes(16).toString("hex");
export const STRATEGIES = ["compact", "jwt", "jwe"];

/** A vector's configuration. */
export const config = (strategy, more = {}, cache = {}) => ({
  secret: SECRET,
  base_url: "http://localhost:3000",
  expires_in: (7 * DAY) / 1000,
  update_age: DAY / 1000,
  cookie_cache: { enabled: true, max_age: 300, strategy, ...cache },
  ...more,
});

export const without = (rows, model) => ({ ...rows, [model]: [] });

/** Makes people and questions about them with one package. */
export function town(better) {
  const cases = [];
  let people = 0;

  /** Somebody who signed up and in at START; `change` alters the rows after that. */
  async function somebody(settings, { remember = true, given = {} } = {}) {
    clock.now = START;
    const email = `user${(people += 1)}@example.com`, password = "a password";
    const { ask, db, names } = await server(better, settings);
    const post = async (path, content) => {
      const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(content) };
      const response = await ask(path, init);
      if (response.status !== 200) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return response;
    };
    await post("/sign-up/email", { email, password, name: "Ada Lovelace", ...given });
    db.session.length = 0;
    const response = await post("/sign-in/email", { email, password, rememberMe: remember });
    const pairs = response.headers.getSetCookie().map((line) => /^([^=]*)=([^;]*)/.exec(line).slice(1));
    const ofData = pairs.filter(([name, value]) => value && name.startsWith(names.session_data));
    return {
      settings,
      names,
      token: pairs.find(([name]) => name === names.session_token)[1],
      data: ofData.map(([, value]) => value).join(""),
      // The chunks, if the package split the data.
      chunks: ofData,
      rest: pairs.filter(([name, value]) => value && name === names.dont_remember),
      rows: { user: db.user, session: db.session, ...(settings.plugins ? { jwks: db.jwks } : {}) },
    };
  }

  /** A question; `data` is the session_data cookie. Null leaves a cookie out; `cookie` is the whole header. */
  function ask(id, note, who, how = {}) {
    const { token = who.token, data = who.data, cookie, rows = who.rows, after = 1000, query, settings } = how;
    const shown = (name, value) => (value === null ? [] : [[name, value]]);
    const pairs = [...shown(who.names.session_token, token), ...who.rest, ...shown(who.names.session_data, data)];
    const cookie_header = cookie === undefined ? header(pairs) : cookie;
    cases.push({ id, note, config: settings ?? who.settings, cookie_header, query, rows, now_ms: START + after });
  }

  return { better, cases, somebody, ask, isFrom: (version) => !isOlder(better.version, version) };
}
