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

/** The backend's refusal; `status` is undefined when it did not answer at all. */
export class BackendProblem extends Error {
  constructor(
    readonly status: number | undefined,
    options?: ErrorOptions,
  ) {
    super(status ? `the backend answered ${status}` : "the backend did not answer", options);
  }
}

export async function whoAmI(): Promise<Me> {
  const response = await askBackend("/api/me");
  return ((await response.json()) as { user: Me }).user;
}

async function askBackend(path: string): Promise<Response> {
  // The cookie was set by another origin of this host: only with `include` does it go along.
  const response = await fetchInTime(settings.apiUrl + path, { credentials: "include" }).catch((cause: unknown) => {
    throw new BackendProblem(undefined, { cause });
  });
  if (!response.ok) throw new BackendProblem(response.status);
  return response;
}
