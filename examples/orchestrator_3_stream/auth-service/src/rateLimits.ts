// How often one address may try. Better Auth 1.4.6 has defaults for fewer paths than 1.7, so all are stated.
import { columns } from "./tables.js";
import { settings } from "./settings.js";

const SIGN_IN = { window: 10, max: 3 };
const MAIL = { window: 60, max: 3 };
const TOKEN = { window: 60, max: 10 };

export const rateLimit = {
  // Off in development, where all requests come from one address.
  enabled: settings.inProduction,
  customRules: {
    "/sign-in/*": SIGN_IN,
    "/sign-up/*": SIGN_IN,
    "/change-password": SIGN_IN,
    "/request-password-reset": MAIL,
    "/forget-password": MAIL,
    "/send-verification-email": MAIL,
    "/reset-password": TOKEN,
    "/verify-email": TOKEN,
  },
  ...(settings.rateLimitTable
    ? { storage: "database" as const, modelName: settings.rateLimitTable, fields: columns.rateLimit }
    : {}),
};

/** Better Auth's 429, with when to try again where a page of another origin can read it too. */
export function withRetryTime(response: Response): Response {
  if (response.status !== 429) return response;
  const seconds = Math.max(1, Number(response.headers.get("x-retry-after")) || MAIL.window);
  const headers = new Headers(response.headers);
  headers.set("retry-after", String(seconds));
  const message = `Too many attempts. Try again in ${seconds} ${seconds === 1 ? "second" : "seconds"}.`;
  return Response.json({ code: "TOO_MANY_ATTEMPTS", message, retryAfter: seconds }, { status: 429, headers });
}
