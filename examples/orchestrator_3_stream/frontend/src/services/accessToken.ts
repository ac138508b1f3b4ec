// The JWT that the page presents to the backend where VITE_CREDENTIAL is jwt. It is kept in memory: what is in
// localStorage outlives the page and a sign-out in another tab.
import { authClient } from "./authClient";

interface AccessToken {
  text: string;
  /** From here on a new one is fetched. */
  staleAt: number;
}

// Refreshed so long before it expires, so that it does not expire on its way.
const MARGIN_MS = 60_000;
// Without it, a session that was revoked elsewhere would get tokens until its copy in a cookie expires.
const PAST_THE_CACHE = { query: { disableCookieCache: true } };

let current: AccessToken | undefined;
let pending: Promise<string | undefined> | undefined;

/** The auth service did not respond, so nobody knows whether there is a token to be had. */
export class NoAccessToken extends Error {}

/**
 * A token that is valid for a minute at least; undefined when nobody is signed in. All who ask at once share one request.
 *
 * Throws NoAccessToken.
 */
export async function accessToken(): Promise<string | undefined> {
  if (current && Date.now() < current.staleAt) return current.text;
  pending ??= fetchToken();
  return pending;
}

/** Another token than the one that the backend refused. */
export async function replacedAccessToken(refused: string): Promise<string | undefined> {
  if (current?.text === refused) current = undefined;
  return accessToken();
}

/** Whose session ended discards its token, which by itself would be valid until it expires. */
export function discardAccessToken(): void {
  current = undefined;
  // The response to a request that is under way belongs to the session before.
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

/** By its own two times, so that it does not matter whether this machine's clock is right. */
function lifetimeMs(token: string): number {
  const payload = token.split(".")[1] ?? "";
  const { exp, iat } = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
  return (exp - iat) * 1_000;
}
