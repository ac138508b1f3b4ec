import { accessToken, NoAccessToken, replacedAccessToken } from "./accessToken";
import { fetchInTime } from "./fetchInTime";
import { settings } from "./settings";

/** The user as the backend sees them: a row of Better Auth's table, in snake_case. */
export interface Me {
  id: string;
  name: string;
  email: string;
  email_verified: boolean;
  image: string | null;
  created_at: string | null;
}

/** The session that the backend found in the database. */
export interface BackendSession {
  created_at: string | null;
  expires_at: string;
}

/** The JWT that the page sent. */
export interface BackendJwt {
  issued_at: string;
  expires_at: string;
}

/** The response to `GET /api/me`, whatever its status. */
export interface MeResponse {
  url: string;
  status: number;
  milliseconds: number;
  body: unknown;
  /** With status 200. */
  user?: Me;
  /** One of these, depending on the credential. */
  session?: BackendSession;
  jwt?: BackendJwt;
  credential?: string;
}

/** Anything but 200; `response` is undefined when the backend did not respond at all, or the page had no token to send. */
export class BackendProblem extends Error {
  readonly status: number | undefined;

  constructor(
    readonly response: MeResponse | undefined,
    options?: ErrorOptions,
  ) {
    super(response ? `the backend responded with ${response.status}` : "the backend did not respond", options);
    this.status = response?.status;
  }

  /** The auth service did not respond when the page needed a new token for the backend. */
  get lacksToken(): boolean {
    return this.cause instanceof NoAccessToken;
  }
}

export async function whoAmI(): Promise<MeResponse> {
  const url = `${settings.apiUrl}/api/me`;
  const sent = performance.now();
  const response = await SEND[settings.credential](url).catch((cause: unknown) => {
    throw new BackendProblem(undefined, { cause });
  });
  const milliseconds = performance.now() - sent;
  const body: unknown = await response.json().catch(() => undefined);
  const received: MeResponse = { url, status: response.status, milliseconds, body };
  if (!response.ok) throw new BackendProblem(received);
  return { ...received, ...(body as Pick<MeResponse, "user" | "session" | "jwt" | "credential">) };
}

/**
 * The protocols that the page offers when it opens the backend's WebSocket, on which a browser cannot set headers. The
 * backend selects the first; the second carries the token.
 */
export async function streamProtocols(): Promise<string[]> {
  if (settings.credential === "cookie") return [];
  const token = await accessToken();
  return token === undefined ? [STREAM_PROTOCOL] : [STREAM_PROTOCOL, `${TOKEN_PROTOCOL}.${base64url(token)}`];
}

const STREAM_PROTOCOL = "orchestrator";
const TOKEN_PROTOCOL = "base64url.bearer.authorization.better-auth";

const SEND = {
  // The cookie was set by another origin of this host: only with `include` does the browser send it.
  cookie: (url: string) => fetchInTime(url, { credentials: "include" }),
  jwt: async (url: string) => {
    const token = await accessToken();
    const response = await sendWithToken(url, token);
    if (response.status !== 401 || token === undefined) return response;
    // It has expired by the backend's clock, or its key was removed. If a new one is refused too, the user is signed out.
    return sendWithToken(url, await replacedAccessToken(token));
  },
};

function sendWithToken(url: string, token: string | undefined): Promise<Response> {
  return fetchInTime(url, { credentials: "omit", headers: token === undefined ? {} : { Authorization: `Bearer ${token}` } });
}

function base64url(token: string): string {
  return btoa(token).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
