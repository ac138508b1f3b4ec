// JWTs of the jwt plugin: as it issues them, after its keys were rotated, and edited under its own key.
import { clock } from "./recorder.mjs";

const START = Date.UTC(2026, 0, 15, 12, 0, 0, 123);
const MINUTE = 60_000, DAY = 24 * 60 * MINUTE;
const BASE = "https://auth.example.com";
const TOLERANCE = 15;

/** A server with the jwt plugin, somebody who is signed in, and what they can ask it for. */
async function issuer(better, options = {}, fields = {}) {
  clock.now = START;
  const db = { user: [], session: [], account: [], verification: [], jwks: [] };
  const auth = better.betterAuth({
    baseURL: BASE,
    secret: "a secret of this recording, 32 characters",
    database: better.memoryAdapter(db),
    emailAndPassword: { enabled: true },
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: { disabled: true },
    user: { additionalFields: fields },
    plugins: [better.jwt({ ...options, jwks: { ...options.jwks, disablePrivateKeyEncryption: true } })],
  });
  const ask = (path, init) => auth.handler(new Request(`${BASE}/api/auth${path}`, init));
  const given = Object.fromEntries(Object.keys(fields).map((name) => [name, "given"]));
  const response = await ask("/sign-up/email", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ email: "Ada@Example.com", password: "a password", name: "Ada Lovelace", ...given }),
  });
  if (response.status !== 200) throw new Error(await response.text());
  const cookie = response.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
  return {
    db,
    token: async () => (await (await ask("/token", { headers: { cookie } })).json()).token,
    header: async () => (await ask("/get-session", { headers: { cookie } })).headers.get("set-auth-jwt"),
    keys: async () => (await ask("/jwks")).json(),
  };
}

/** An entry: what is asked, and whether `jose` accepts the token for this issuer and audience. */
async function entry({ jose, version }, id, note, server, token, how = {}) {
  const { after = 1000, issuer: iss = BASE, audience = BASE, stricter = null } = how;
  const now = START + after;
  clock.now = now;
  const keys = how.keys ?? (await server.keys());
  const options = { issuer: iss, audience, clockTolerance: TOLERANCE, currentDate: new Date(now), requiredClaims: ["exp", "sub"] };
  const verified = await jose.jwtVerify(token, jose.createLocalJWKSet(keys), options).catch(() => undefined);
  return {
    id: `${version}/jwt/${id}`,
    better_auth_version: version,
    note,
    now_ms: now,
    issuer: iss,
    audience,
    token,
    keys,
    rows: server.db.jwks.map(({ id, publicKey, alg = null, expiresAt = null }) => ({ id, publicKey, alg, expiresAt })),
    expected: { accepted: verified !== undefined, claims: verified?.payload ?? null },
    stricter,
  };
}

/** As real servers issue them. */
export async function issued(better) {
  const all = [];
  const put = async (id, note, options, fields, how) => {
    const server = await issuer(better, options, fields);
    all.push(await entry(better, id, note, server, await server.token(), how));
    return server;
  };
  const server = await put("default", "EdDSA, 15 minutes");
  clock.now = START;
  const token = await server.token();
  all.push(await entry(better, "set-auth-jwt", "from get-session's header", server, await server.header()));
  for (const [id, after] of [["14-minutes", 14 * MINUTE], ["15-minutes", 15 * MINUTE], ["16-minutes", 16 * MINUTE]]) {
    all.push(await entry(better, `after-${id}`, "around its end", server, token, { after }));
  }
  for (const alg of ["ES256", "RS256", "PS256"]) {
    await put(`alg-${alg}`, "another algorithm", { jwks: { keyPairConfig: { alg } } });
  }
  const noLibrary = { stricter: "jsonwebtoken cannot verify it" };
  await put("alg-ES512", "an algorithm that we cannot verify", { jwks: { keyPairConfig: { alg: "ES512" } } }, {}, noLibrary);
  const custom = { jwt: { issuer: "https://issuer.example", audience: "my-api" } };
  await put("custom-issuer", "issuer and audience are set", custom, {}, { issuer: "https://issuer.example", audience: "my-api" });
  await put("custom-issuer-unknown", "and another is expected", custom);
  await put("audiences", "several audiences", { jwt: { audience: ["my-api", BASE] } });
  await put("one-hour", "another life", { jwt: { expirationTime: "1h" } }, {}, { after: 59 * MINUTE });
  await put("own-fields", "a field of the application", {}, { plan: { type: "string", required: false } });
  await put("payload", "less than the user", { jwt: { definePayload: ({ user }) => ({ email: user.email }) } });
  const organization = ({ user }) => ({ ...user, o: { id: "org", slug: "acme", role: "owner" } });
  await put("organization", "an organization in it", { jwt: { definePayload: organization } });
  const subject = { jwt: { getSubject: ({ user }) => user.email } };
  await put("subject", "sub is no user id", subject, {}, { stricter: "id is not equal to sub" });
  const onlySubject = { jwt: { ...subject.jwt, definePayload: () => ({}) } };
  await put("subject-alone", "sub is all there is", onlySubject);
  return all;
}

/** After the keys changed. */
export async function rotated(better) {
  const server = await issuer(better);
  const old = await server.token();
  const retire = (ago) => (server.db.jwks[0].expiresAt = new Date(START - ago));
  retire(1000);
  const fresh = await server.token();
  const all = [
    await entry(better, "rotated/new-key", "signed by the new key", server, fresh),
    await entry(better, "rotated/old-key", "signed by the key before", server, old),
  ];
  retire(29 * DAY);
  all.push(await entry(better, "rotated/old-key-29-days", "which is still served", server, old));
  retire(31 * DAY);
  all.push(await entry(better, "rotated/old-key-31-days", "and no more", server, old));
  const other = await issuer(better);
  all.push(await entry(better, "rotated/other-server", "another server's keys", other, old));
  return all;
}

/** Under the server's own key, but not as it writes them. */
export async function edited(better) {
  const { jose } = better;
  const server = await issuer(better);
  const other = await issuer(better);
  const token = await server.token();
  await other.token();
  const [row] = server.db.jwks;
  const claims = jose.decodeJwt(token), header = jose.decodeProtectedHeader(token);
  const clean = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
  const bytes = (text) => new TextEncoder().encode(text);
  const sign = async (changed, changedHeader = {}) =>
    new jose.CompactSign(bytes(JSON.stringify(clean({ ...claims, ...changed }))))
      .setProtectedHeader(clean({ ...header, ...changedHeader }))
      .sign(await jose.importJWK(JSON.parse(row.privateKey), "EdDSA"), { crit: { unheardOf: true } });
  const all = [];
  const put = async (id, note, changed, changedHeader, stricter) => {
    const written = await sign(changed, changedHeader);
    all.push(await entry(better, `edited/${id}`, note, server, written, { stricter }));
  };
  await put("nothing", "written again by hand", {});
  await put("typ-jwt", "the usual type", {}, { typ: "JWT" });
  await put("typ-at-jwt", "an OAuth access token", {}, { typ: "at+jwt" }, "another kind of token");
  await put("typ-cookie-cache", "the cookie cache's", {}, { typ: "better-auth.session-cache+jwt" }, "another kind of token");
  await put("typ-lower", "in small letters", {}, { typ: "jwt" }, "typ is compared exactly");
  await put("no-kid", "no key is named", {}, { kid: undefined }, "kid is required");
  await put("kid-unknown", "another key is named", {}, { kid: "unknown" });
  await put("kid-number", "a number", {}, { kid: 7 });
  await put("jwk", "a key in the header", {}, { jwk: JSON.parse(other.db.jwks[0].publicKey) }, "keys in the token are refused");
  await put("jku", "a URL of keys in the header", {}, { jku: "https://evil.example" }, "keys in the token are refused");
  await put("x5u", "a URL of a certificate", {}, { x5u: "https://evil.example" }, "keys in the token are refused");
  await put("crit", "an extension that must be understood", {}, { crit: ["unheardOf"], unheardOf: 1 });
  await put("b64", "an extension without crit", {}, { b64: true }, "b64 is refused");
  await put("no-exp", "no end", { exp: undefined });
  await put("exp-text", "a text for a number", { exp: String(claims.exp) });
  await put("exp-fraction", "a fraction of a second", { exp: claims.exp + 0.5 });
  await put("exp-huge", "the end of time", { exp: 2 ** 60 }, {}, "no calendar goes so far");
  for (const [id, delta] of [["minus-14s", -14], ["minus-15s", -15], ["minus-16s", -16]]) {
    await put(`exp-${id}`, "around the tolerance", { exp: Math.floor((START + 1000) / 1000) + delta });
  }
  for (const [id, delta] of [["15s", 15], ["16s", 16]]) {
    const soon = Math.floor((START + 1000) / 1000) + delta;
    await put(`nbf-${id}`, "around the tolerance", { nbf: soon });
    await put(`iat-${id}`, "issued later than now", { iat: soon }, {}, delta > TOLERANCE ? "iat is checked" : null);
  }
  await put("no-iat", "no time of issue", { iat: undefined });
  await put("nbf-text", "a text for a number", { nbf: "0" });
  await put("no-iss", "no issuer", { iss: undefined });
  await put("iss-other", "another issuer", { iss: "https://evil.example" });
  await put("iss-slash", "nearly the same", { iss: `${BASE}/` });
  await put("no-aud", "no audience", { aud: undefined });
  await put("aud-other", "another audience", { aud: "https://evil.example" });
  await put("aud-cookie-cache", "the cookie cache's audience", { aud: "better-auth:session-cache" });
  await put("aud-list", "one of several", { aud: ["x", BASE] });
  await put("aud-list-without", "none of several", { aud: ["x", "y"] });
  await put("no-sub", "no subject", { sub: undefined });
  await put("sub-empty", "an empty subject", { sub: "", id: "" }, {}, "no user has an empty id");
  await put("sub-other", "somebody else's id", { sub: "another" }, {}, "id is not equal to sub");
  await put("no-id", "no id", { id: undefined });
  const [head, body, signature] = token.split(".");
  const write = (object) => Buffer.from(JSON.stringify(object)).toString("base64url");
  const raw = async (id, note, text) => all.push(await entry(better, `edited/${id}`, note, server, text));
  await raw("none", "no signature", `${write({ ...header, alg: "none" })}.${body}.`);
  await raw("flipped", "one character of the claims", `${head}.${body.slice(0, 40)}${body[40] === "A" ? "B" : "A"}${body.slice(41)}.${signature}`);
  await raw("other-claims", "another's claims under this signature", `${head}.${write({ ...claims, sub: "bob", id: "bob" })}.${signature}`);
  await raw("four-parts", "one part more", `${token}.${signature}`);
  const hmac = (secret) =>
    new jose.CompactSign(bytes(JSON.stringify(claims))).setProtectedHeader({ alg: "HS256", kid: header.kid }).sign(bytes(secret));
  await raw("hs256-public-key", "an HMAC with the public key's text", await hmac(row.publicKey));
  await raw("hs256-x", "an HMAC with the key's x", await hmac(JSON.parse(row.publicKey).x));
  return all;
}
