// Decodes cookies of the real package and encodes changed ones, for cases that a real server never writes.
import { createHmac, hkdfSync } from "node:crypto";

const ENCRYPTION = ["better-auth-session", "BetterAuth.js Generated Encryption Key", 64];
const encryptionKey = (secret) => new Uint8Array(hkdfSync("sha256", secret, ...ENCRYPTION));
const base64url = (text) => Buffer.from(text).toString("base64url");
// An extension that no reader supports.
const understood = { crit: { unheardOf: true } };
const bytes = (text) => new TextEncoder().encode(text);

/** The value of a session_token cookie. */
export const signed = (token, secret) =>
  encodeURIComponent(`${token}.${createHmac("sha256", secret).update(token).digest("base64")}`);

/** The content of a session_data cookie: `payload`, and its expiry in ms. */
export async function opened({ jose }, strategy, data, secret) {
  if (strategy === "compact") {
    const { session, expiresAt } = JSON.parse(Buffer.from(data, "base64url"));
    return { payload: session, expiresAt };
  }
  const payload =
    strategy === "jwt"
      ? JSON.parse(Buffer.from(data.split(".")[1], "base64url"))
      : (await jose.compactDecrypt(data, encryptionKey(secret)).then(({ plaintext }) => JSON.parse(Buffer.from(plaintext))));
  return { payload, expiresAt: payload.exp * 1000 };
}

/** A session_data cookie with this content, signed with the right secret. `header` overrides a JWT's. */
export async function written({ jose }, strategy, { payload, expiresAt }, secret, header = {}) {
  if (strategy === "compact") {
    const signature = createHmac("sha256", secret).update(JSON.stringify({ ...payload, expiresAt })).digest("base64url");
    return base64url(JSON.stringify({ session: payload, expiresAt, signature }));
  }
  if (strategy === "jwt") {
    const protectedHeader = { alg: "HS256", ...header };
    return new jose.CompactSign(bytes(JSON.stringify(payload))).setProtectedHeader(protectedHeader).sign(bytes(secret), understood);
  }
  const key = encryptionKey(secret);
  const kid = await jose.calculateJwkThumbprint({ kty: "oct", k: base64url(key) }, "sha256");
  const protectedHeader = { alg: "dir", enc: "A256CBC-HS512", kid, ...header };
  for (const name of Object.keys(protectedHeader)) if (protectedHeader[name] === undefined) delete protectedHeader[name];
  const length = protectedHeader.enc === "A256CBC-HS512" ? 64 : 32;
  return new jose.CompactEncrypt(bytes(JSON.stringify(payload))).setProtectedHeader(protectedHeader).encrypt(key.slice(0, length), understood);
}

/** The text with one character replaced by another base64 character. */
export const flipped = (text, at) => text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);

/** The value of a Cookie header. */
export const header = (pairs) => pairs.map(([name, value]) => `${name}=${value}`).join("; ");
