// session_data signed by a key of the jwks table: `jwt({ sessionCookieCache: true })`, from 1.7.
import { config, SECRET, START, without } from "./people.mjs";
import { flipped, written } from "./cookies.mjs";

const bytes = (text) => new TextEncoder().encode(text);
// The private key is not encrypted, so that cookies can be written that a real server never writes.
const jwks = { disablePrivateKeyEncryption: true };
const settings = (more = {}, cache = {}) =>
  config("jwt", { plugins: [{ id: "jwt", options: { sessionCookieCache: true, jwks } }], ...more }, cache);

export { group as jwks };

async function group({ ask, better, somebody, isFrom }) {
  if (!isFrom("1.7.0")) return;
  const { jose } = better;
  const who = await somebody(settings()), other = await somebody(settings());
  const [row] = who.rows.jwks;
  const put = (id, note, how) => ask(`jwks-cache/${id}`, note, who, how);
  const withKeys = (...keys) => ({ ...who.rows, jwks: keys });
  const revoked = without(who.rows, "session");

  put("valid", "both cookies", {});
  put("valid-without-db-row", "revoked, and still accepted", { rows: revoked });
  put("disable-cookie-cache-query", "the store is asked for", { query: { disableCookieCache: true }, rows: revoked });
  put("data-without-token", "data without a token is nothing", { token: null });
  put("token-A-data-B", "another session's data, by a key that is known", { data: other.data, rows: withKeys(row, ...other.rows.jwks) });
  put("middle-flipped", "one character of the claims", { data: flipped(who.data, who.data.length >> 1) });
  put("signature-flipped", "one character of the signature", { data: flipped(who.data, who.data.length - 20) });
  put("no-keys", "the table is empty", { rows: withKeys() });
  put("other-key-only", "the key was taken out of the table", { rows: withKeys(...other.rows.jwks) });
  put("second-key", "the second of two", { rows: withKeys(...other.rows.jwks, row) });
  put("key-ids-swapped", "another key by that id", { rows: withKeys({ ...other.rows.jwks[0], id: row.id }) });
  put("retired-key", "a key that signs no more still verifies", { rows: withKeys({ ...row, expiresAt: new Date(START - 1000) }) });
  put("key-without-alg", "a row from before the column existed", { rows: withKeys({ ...row, alg: null, crv: null }) });
  put("key-of-other-alg", "the row says ES256 of an Ed25519 key", { rows: withKeys({ ...row, alg: "ES256" }) });
  put("key-with-members", "kid, alg and use in the key itself", {
    rows: withKeys({ ...row, publicKey: JSON.stringify({ ...JSON.parse(row.publicKey), kid: "another", alg: "EdDSA", use: "sig" }) }),
  });
  put("key-not-json", "a row that is no key", { rows: withKeys({ ...row, publicKey: "-" }) });
  put("version-2", "the server moved on", { settings: settings({}, { version: "2" }) });
  put("https-issuer", "another base URL", { settings: settings({ base_url: "http://localhost:4000" }) });
  for (const [id, delta] of Object.entries({ "minus-1s": -1000, equal: 0, "plus-14s": 14_000, "plus-15s": 15_000, "plus-16s": 16_000 })) {
    put(`data-expiry/${id}`, "around the end of the cache", { after: 300_000 - (START % 1000) + delta });
  }

  const claims = jose.decodeJwt(who.data), header = jose.decodeProtectedHeader(who.data);
  const sign = async (changed, changedHeader = {}, key = JSON.parse(row.privateKey), alg = row.alg) => {
    const protectedHeader = Object.fromEntries(
      Object.entries({ ...header, alg, ...changedHeader }).filter(([, value]) => value !== undefined),
    );
    const payload = bytes(JSON.stringify({ ...claims, ...changed }));
    return new jose.CompactSign(payload)
      .setProtectedHeader(protectedHeader)
      .sign(key instanceof Uint8Array ? key : await jose.importJWK(key, alg), { crit: { unheardOf: true } });
  };
  const put2 = async (id, note, changed, changedHeader) => put(`signed/${id}`, note, { data: await sign(changed, changedHeader) });
  await put2("nothing-changed", "written again by hand", {});
  await put2("typ-jwt", "another kind of token", {}, { typ: "JWT" });
  await put2("typ-access-token", "an OAuth access token", {}, { typ: "at+jwt" });
  await put2("no-typ", "the jwt plugin's own tokens", {}, { typ: undefined });
  await put2("no-kid", "no key is named", {}, { kid: undefined });
  await put2("kid-number", "a number", {}, { kid: 7 });
  await put2("crit", "an extension that we must understand", {}, { crit: ["unheardOf"], unheardOf: 1 });
  await put2("jwk-in-header", "a key that the token brings along is not looked at", {}, { jwk: JSON.parse(other.rows.jwks[0].publicKey) });
  await put2("aud-other", "another audience", { aud: "http://localhost:3000" });
  await put2("aud-list", "one of several", { aud: ["x", claims.aud] });
  await put2("aud-list-without", "none of several", { aud: ["x"] });
  await put2("no-aud", "no audience", { aud: undefined });
  await put2("iss-other", "another issuer", { iss: "http://evil.io" });
  await put2("iss-with-path", "no origin", { iss: "http://localhost:3000/api/auth" });
  await put2("no-iss", "no issuer", { iss: undefined });
  await put2("sub-other", "another user's id", { sub: other.rows.user[0].id });
  await put2("no-sub", "no subject", { sub: undefined });
  await put2("sid-other", "another session's token", { sid: "x" });
  await put2("no-sid", "no session", { sid: undefined });
  await put2("no-exp", "no end", { exp: undefined });
  await put2("exp-text", "a text for a number", { exp: String(claims.exp) });
  await put2("nbf-within", "not yet, but within the tolerance", { nbf: claims.iat + 10 });
  await put2("nbf-beyond", "not yet", { nbf: claims.iat + 60 });
  await put2("iat-future", "not looked at", { iat: claims.iat + 60 });
  await put2("no-user", "nobody in it", { user: undefined });
  await put2("session-expired", "the session is over", { session: { ...claims.session, expiresAt: new Date(START).toISOString() } });
  await put2("another-token", "another session's", { session: { ...claims.session, token: "x" }, sid: "x" });
  // The public key is not secret, so a signature made with its text must be refused.
  put("signed/hs256-with-public-key", "an HMAC with the public key", { data: await sign({}, {}, bytes(row.publicKey), "HS256") });
  put("signed/hs256-with-secret", "an HMAC with the secret", { data: await sign({}, {}, bytes(SECRET), "HS256") });
  put("signed/hs256-row-says-so", "even where the row says HS256", {
    data: await sign({}, {}, bytes(SECRET), "HS256"),
    rows: withKeys({ ...row, alg: "HS256" }),
  });
  const plain = await written(better, "jwt", { payload: claims }, SECRET);
  put("hs256-cookie", "a cookie of the plain strategy", { data: plain });
  const [, body] = who.data.split(".");
  const none = Buffer.from(JSON.stringify({ ...header, alg: "none" })).toString("base64url");
  put("alg-none", "no signature", { data: `${none}.${body}.` });

  for (const alg of ["ES256", "ES512", "RS256", "PS256"]) {
    const keyPairConfig = { alg };
    const other = settings({ plugins: [{ id: "jwt", options: { sessionCookieCache: true, jwks: { ...jwks, keyPairConfig } } }] });
    ask(`jwks-cache/alg-${alg}`, "another algorithm", await somebody(other));
  }
}
