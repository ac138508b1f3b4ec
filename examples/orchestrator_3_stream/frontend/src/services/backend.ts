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

/** The response to `GET /api/me`, whatever its status. */
export interface MeResponse {
  url: string;
  status: number;
  milliseconds: number;
  body: unknown;
  /** These three with status 200. */
  user?: Me;
  session?: BackendSession;
  credential?: string;
}

/** Anything but 200; `response` is undefined when the backend did not respond at all. */
export class BackendProblem extends Error {
  readonly status: number | undefined;

  constructor(
    readonly response: MeResponse | undefined,
    options?: ErrorOptions,
  ) {
    super(response ? `the backend responded with ${response.status}` : "the backend did not respond", options);
    this.status = response?.status;
  }
}

export async function whoAmI(): Promise<MeResponse> {
  const url = `${settings.apiUrl}/api/me`;
  const sent = performance.now();
  // The cookie was set by another origin of this host: only with `include` does the browser send it.
  const response = await fetchInTime(url, { credentials: "include" }).catch((cause: unknown) => {
    throw new BackendProblem(undefined, { cause });
  });
  const milliseconds = performance.now() - sent;
  const body: unknown = await response.json().catch(() => undefined);
  const received: MeResponse = { url, status: response.status, milliseconds, body };
  if (!response.ok) throw new BackendProblem(received);
  return { ...received, ...(body as Pick<MeResponse, "user" | "session" | "credential">) };
}
