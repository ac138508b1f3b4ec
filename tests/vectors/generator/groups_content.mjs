// The contents of the cookies, and their position in the header.
import { randomBytes } from "node:crypto";
import { flipped, header, opened, signed, written } from "./cookies.mjs";
import { config, DAY, HOUR, SECRET, START, STRATEGIES, without } from "./people.mjs";

export async function headers({ ask, somebody }) {
  const who = await somebody(config("compact"));
  const [name, value] = [who.names.session_token, who.token];
  const plain = decodeURIComponent(value);
  const good = header([[name, value]]);
  const put = (id, note, cookie) => ask(`header/${id}`, note, who, { cookie });
  put("none", "no Cookie header", null);
  put("name-case", "names are case-sensitive", good.replace("session_token", "Session_Token"));
  put("secure-name-on-plain-server", "the other spelling", `__Secure-${good}`);
  put("other-cookies-around", "others before and after", `a=1; ${good}; ${name}2=x`);
  put("no-space-after-semicolon", "a separator without space", `a=1;${good};b=2`);
  put("extra-whitespace", "spaces and tabs", `  a=1 ;\t ${name} \t= ${value}  ; b=2 `);
  put("comma-joined", "a comma separates nothing", `a=1, ${good}`);
  put("duplicate-good-first", "the first of two wins", `${good}; ${name}=bad`);
  put("duplicate-bad-first", "even when it is bad", `${name}=bad; ${good}`);
  put("duplicate-empty-first", "or empty", `${name}=; ${good}`);
  put("quoted", "in quotes", `${name}="${value}"`);
  put("opening-quote", "a quote takes the last character with it", `${name}="${value}`);
  put("raw-unencoded-signature", "not percent-encoded", `${name}=${plain}`);
  put("fully-percent-encoded", "every character", `${name}=${[...plain].map((c) => `%${c.charCodeAt(0).toString(16)}`).join("")}`);
  put("lowercase-percent", "small hexadecimal digits", `${name}=${value.replace(/%../g, (escape) => escape.toLowerCase())}`);
  put("double-encoded", "encoded twice", `${name}=${encodeURIComponent(value)}`);
  put("malformed-percent", "a broken escape keeps the value as it stands", `${name}=${value}%`);
  put("signature-only", "no token", `${name}=.${plain.split(".")[1]}`);
  put("token-only", "no signature", `${name}=${plain.split(".")[0]}`);
  put("unpadded-signature", "44 characters or none", `${name}=${encodeURIComponent(plain.replace("=", ""))}`);
  put("unicode-token-signed", "well signed, and unknown", `${name}=${signed("жетон", SECRET)}`);
  put("purpose", "another cookie's signed value", `${name}=${signed("true", SECRET)}`);
  const data = (id, note, changed) => ask(`header/data-${id}`, note, who, { cookie: `${good}; ${changed}` });
  data("duplicate", "the first of two wins", `${who.names.session_data}=bad; ${who.names.session_data}=${who.data}`);
  data("percent-encoded", "encoded", `${who.names.session_data}=${who.data.replaceAll("e", "%65")}`);
  data("padded-base64", "with padding", `${who.names.session_data}=${who.data}${"=".repeat(-who.data.length & 3)}`);
  data("std-base64", "the other alphabet", `${who.names.session_data}=${who.data.replaceAll("-", "+").replaceAll("_", "/")}`);
}

export async function valid({ ask, somebody }, strategy) {
  const who = await somebody(config(strategy));
  const put = (id, note, how) => ask(`${strategy}/valid/${id}`, note, who, how);
  put("cache", "both cookies", {});
  put("token-only", "no data: the store", { data: null });
  put("data-only", "data without a token is nothing", { token: null });
  put("cache-without-db-row", "revoked, and still believed", { rows: without(who.rows, "session") });
  put("disable-cookie-cache-query", "the store is asked for", { query: { disableCookieCache: true } });
  put("disable-cookie-cache-query-revoked", "and knows better", { query: { disableCookieCache: true }, rows: without(who.rows, "session") });
  const disabled = config(strategy, {}, { enabled: false });
  ask(`${strategy}/cache-disabled/valid-data`, "a server without cache", who, { settings: disabled });
  for (const [id, secret] of [["long200", randomBytes(100).toString("hex")], ["unicode", `ключ🔑${SECRET}`], ["spaces", ` ${SECRET} `]]) {
    ask(`${strategy}/valid/secret-${id}`, "secrets are taken as they stand", await somebody(config(strategy, { secret })));
  }
  const forgetful = await somebody(config(strategy), { remember: false });
  for (const [id, after] of [["after-59s", 59_000], ["after-61s", 61_000], ["after-20h", 20 * HOUR], ["after-25h", 25 * HOUR]]) {
    ask(`${strategy}/dont-remember/${id}`, "without remember me", forgetful, { after });
  }
}

export async function tampered({ ask, better, somebody }, strategy) {
  const who = await somebody(config(strategy)), other = await somebody(config(strategy));
  const both = { user: [...who.rows.user, ...other.rows.user], session: [...who.rows.session, ...other.rows.session] };
  const put = (id, note, how) => ask(`${strategy}/tamper/${id}`, note, who, how);
  put("token-value-flipped", "one character", { token: flipped(who.token, 3) });
  put("token-sig-flipped", "one character", { token: flipped(who.token, 40) });
  put("data-middle-flipped", "one character", { data: flipped(who.data, who.data.length >> 1) });
  put("data-truncated", "cut", { data: who.data.slice(0, -20) });
  put("data-empty", "nothing", { data: "" });
  put("data-garbage-alnum", "letters", { data: "garbage" });
  put("data-illegal-base64", "no base64", { data: `${who.data}!` });
  put("data-sign-in-the-middle", "no base64", { data: `${who.data.slice(0, 50)}*${who.data.slice(51)}` });
  const elsewhere = await opened(better, strategy, who.data, SECRET);
  put("data-wrong-secret", "another secret's", { data: await written(better, strategy, elsewhere, randomBytes(16).toString("hex")) });
  ask(`${strategy}/mismatch/token-A-data-B`, "another session's data", who, { data: other.data, rows: both });
  for (const form of STRATEGIES.filter((form) => form !== strategy)) {
    const data = await written(better, form, { ...elsewhere, payload: { ...elsewhere.payload, exp: elsewhere.expiresAt / 1000 } }, SECRET);
    ask(`${strategy}/mismatch/cookie-made-by-${form}`, "another form's", who, { data });
  }
}

export async function edited({ ask, better, somebody }, strategy) {
  const who = await somebody(config(strategy));
  const content = await opened(better, strategy, who.data, SECRET);
  const put = async (group, id, note, change, headerOf = {}) => {
    const copy = structuredClone(content);
    change(copy.payload, copy);
    ask(`${strategy}/${group}/${id}`, note, who, { data: await written(better, strategy, copy, SECRET, headerOf) });
  };
  await put("edit", "nothing-changed", "written again by hand", () => {});
  await put("payload", "extra-keys", "more than is known", ({ user }) => Object.assign(user, { admin: true, x: [1, { y: null }] }));
  await put("payload", "no-updated-at", "a member less", (payload) => delete payload.updatedAt);
  await put("payload", "updated-at-text", "a text for a number", (payload) => (payload.updatedAt = String(payload.updatedAt)));
  await put("payload", "no-user", "nobody in it", (payload) => delete payload.user);
  await put("payload", "no-session-id", "a field less", ({ session }) => delete session.id);
  await put("payload", "null-name", "NULL where text must be", ({ user }) => (user.name = null));
  await put("payload", "numeric-user-id", "a number for a text", ({ user }) => (user.id = 7));
  await put("payload", "email-verified-text", "a text for a boolean", ({ user }) => (user.emailVerified = "true"));
  await put("payload", "upper-email", "capitals", ({ user }) => (user.email = user.email.toUpperCase()));
  await put("payload", "iso-like-name-ms", "a name like a date", ({ user }) => (user.name = "2026-01-15T12:00:00.123Z"));
  await put("payload", "another-token", "another session's", ({ session }) => (session.token = `x${session.token}`));
  await put("inner-expiry", "session-expired-data-fresh", "the session is over", ({ session }) => (session.expiresAt = new Date(START).toISOString()));
  await put("inner-expiry", "equal", "to the millisecond", ({ session }) => (session.expiresAt = new Date(START + 1000).toISOString()));
  await put("version", "absent-in-cookie", "none counts as 1", (payload) => delete payload.version);
  await put("version", "empty-in-cookie", "empty counts as 1", (payload) => (payload.version = ""));
  await put("version", "number-in-cookie", "a number", (payload) => (payload.version = 1));
  if (strategy === "compact") {
    await put("edit", "inner-key-order", "signed in that order", (payload, copy) => (copy.payload = { user: payload.user, ...payload }));
    const raw = JSON.parse(Buffer.from(who.data, "base64url"));
    const members = { "members-reordered": JSON.stringify({ signature: raw.signature, expiresAt: raw.expiresAt, session: raw.session }) };
    members.whitespace = JSON.stringify(raw, null, 2);
    members["signature-missing"] = JSON.stringify({ ...raw, signature: undefined });
    members["expiry-extended"] = JSON.stringify({ ...raw, expiresAt: raw.expiresAt + DAY });
    members["not-an-object"] = "[1]";
    for (const [id, text] of Object.entries(members)) {
      ask(`compact/edit/${id}`, "not signed again", who, { data: Buffer.from(text).toString("base64url") });
    }
    return;
  }
  await put("edit", "crit-header", "an extension that we must understand", () => {}, { crit: ["unheardOf"], unheardOf: 1 });
  await put("edit", "exp-text", "a text for a number", (payload) => (payload.exp = String(payload.exp)));
  await put("edit", "nbf-future", "not yet", (payload) => (payload.nbf = payload.iat + 60));
  await put("edit", "iat-future", "not looked at", (payload) => (payload.iat += 60));
  if (strategy === "jwt") {
    await put("edit", "hs384-right-secret", "another HMAC", () => {}, { alg: "HS384" });
    const [, body, signature] = who.data.split(".");
    const none = Buffer.from('{"alg":"none"}').toString("base64url");
    ask("jwt/edit/alg-none", "no signature", who, { data: `${none}.${body}.` });
    ask("jwt/edit/alg-none-sig-kept", "an old signature", who, { data: `${none}.${body}.${signature}` });
  } else {
    await put("edit", "no-kid", "each key is tried", () => {}, { kid: undefined });
    await put("edit", "wrong-kid", "a key that nobody has", () => {}, { kid: "x" });
    await put("edit", "a128cbc-hs256", "another cipher", () => {}, { enc: "A128CBC-HS256" });
    who.data.split(".").forEach((part, index, parts) => {
      const data = parts.with(index, part && flipped(part, part.length >> 1)).join(".");
      if (part) ask(`jwe/edit/part-${index}-flipped`, "one character", who, { data });
    });
  }
}
