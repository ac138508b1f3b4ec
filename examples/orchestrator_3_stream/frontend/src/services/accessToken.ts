// The JWT that the page sends to the backend if VITE_CREDENTIAL is jwt. It is kept in memory: in localStorage it would
// remain after the page is closed, and after a sign-out in another tab.
import { authClient } from "./authClient";

interface AccessToken {
  text: string;
  /** After this time a new one is fetched. */
  staleAt: number;
}

// How long before it expires a token is replaced, so that it does not expire in transit.
const MARGIN_MS = 60_000;
// Without it, a session that was revoked elsewhere would get tokens until its copy in a cookie expires.
const PAST_THE_CACHE = { query: { disableCookieCache: true } };

let current: AccessToken | undefined;
let pending: Promise<string | undefined> | undefined;

/** The auth service did not respond, so it is unknown whether the user is signed in. */
export class NoAccessToken extends Error {}

/**
 * A token that is valid for at least a minute; undefined when nobody is signed in. Concurrent callers share one request.
 *
 * Throws NoAccessToken.
 */
export async function accessToken(): Promise<string | undefined> {
  if (current && Date.now() < current.staleAt) return current.text;
  pending ??= fetchToken();
  return pending;
}

/** A token other than the one that the backend refused. */
export async function replacedAccessToken(refused: string): Promise<string | undefined> {
  if (current?.text === refused) current = undefined;
  return accessToken();
}

/** Discards the token when the session ends; otherwise it would remain valid until it expires. */
export function discardAccessToken(): void {
  current = undefined;
  // The response to a request that is under way belongs to the previous session.
  pending = undefined;
}

function fetchToken(): Promise<string | undefined> {
  const request = requestToken().then(
    (token) => {
      if (request !== pending) return accessToken();
      pending = undefined;
      current = token;
      return token?.text;
    },
    (problem: unknown) => {
      if (request === pending) pending = undefined;
      throw problem;
    },
  );
  return request;
}

async function requestToken(): Promise<AccessToken | undefined> {
  const { data, error } = await authClient
    .$fetch<{ token: string }>("/token", PAST_THE_CACHE)
    .catch((cause: unknown) => Promise.reject(new NoAccessToken("the auth service did not respond", { cause })));
  if (data) return { text: data.token, staleAt: Date.now() + lifetimeMs(data.token) - MARGIN_MS };
  if (error.status === 401) return undefined;
  throw new NoAccessToken(`the auth service responded with ${error.status}`);
}

/** Computed from the token's own times, so that it does not depend on this machine's clock. */
function lifetimeMs(token: string): number {
  const payload = token.split(".")[1] ?? "";
  const { exp, iat } = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
  return (exp - iat) * 1_000;
}
