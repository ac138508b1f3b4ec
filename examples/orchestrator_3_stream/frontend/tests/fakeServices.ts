// The auth-service and the backend, as far as a page sees them. What they answer is what better-auth 1.7 and the
// backend answered; the real ones are met in tests/example.
import { vi } from "vitest";

export const ADA = { name: "Ada Lovelace", email: "ada@example.com", password: "a good password" };

type Answer = () => Response | Promise<Response>;

interface Asked {
  path: string;
  query: string;
  credentials: RequestCredentials | undefined;
  authorization: string | null;
  body: unknown;
}

export class FakeServices {
  readonly asked: Asked[] = [];
  isSignedIn = false;
  keepsCookies = true;
  /** Better Auth's signed copy of the session: it answers until somebody asks past it. */
  hasCookieCache = false;
  /** The tokens that were issued, of which the backend accepts all but these. */
  readonly issued: string[] = [];
  readonly refused = new Set<string>();
  tokenLifetimeSeconds = 900;
  /** Instead of the usual answer, by path: `() => refusal(429)`, or `unreachable`. */
  readonly answers = new Map<string, Answer>();

  constructor() {
    vi.stubGlobal("fetch", (input: string | URL, init?: RequestInit) => this.answer(new URL(input), init));
  }

  private issue(): string {
    const iat = 1_790_000_000 + this.issued.length;
    const claims = { sub: USER.id, iat, exp: iat + this.tokenLifetimeSeconds };
    const token = `${encoded({ alg: "EdDSA", kid: "key" })}.${encoded(claims)}.${"A".repeat(86)}`;
    this.issued.push(token);
    return token;
  }

  private byToken(token: string): Response {
    if (this.refused.has(token) || !this.issued.includes(token))
      return Response.json({ detail: "Invalid or expired session" }, { status: 401 });
    return Response.json({ user: ME, jwt: { issued_at: NOW, expires_at: NOW }, credential: "jwt" });
  }

  paths(): string[] {
    return this.asked.map(({ path }) => path);
  }

  private async answer({ pathname: path, search: query }: URL, init?: RequestInit): Promise<Response> {
    const body: unknown = typeof init?.body === "string" ? JSON.parse(init.body) : undefined;
    const authorization = new Headers(init?.headers).get("authorization");
    this.asked.push({ path, query, credentials: init?.credentials, authorization, body });
    return (this.answers.get(path) ?? (() => this.usual(path, query, body, authorization)))();
  }

  private usual(path: string, query: string, body: unknown, authorization: string | null): Response {
    switch (path) {
      case "/api/auth/get-session":
        this.hasCookieCache &&= !query.includes("disableCookieCache=true");
        return Response.json(this.isSignedIn || this.hasCookieCache ? { session: SESSION, user: USER } : null);
      case "/api/auth/sign-in/email":
        if (!isRecord(body) || body.password !== ADA.password) return refusal(401, "INVALID_EMAIL_OR_PASSWORD");
        this.isSignedIn = this.keepsCookies;
        return Response.json({ redirect: false, token: SESSION.token, user: USER });
      case "/api/auth/sign-up/email":
        if (this.isSignedIn) return refusal(422, "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL");
        this.isSignedIn = this.keepsCookies;
        return Response.json({ token: SESSION.token, user: USER });
      case "/api/auth/sign-out":
        this.isSignedIn = false;
        return Response.json({ success: true });
      case "/api/auth/token":
        return this.isSignedIn ? Response.json({ token: this.issue() }) : refusal(401);
      case "/api/me":
        if (authorization) return this.byToken(authorization.replace(/^Bearer /, ""));
        return this.isSignedIn
          ? Response.json({ user: ME, session: { created_at: NOW, expires_at: SESSION.expiresAt }, credential: "cookie" })
          : Response.json({ detail: "Invalid or expired session" }, { status: 401 });
      case "/api/auth/revoke-session":
        // 1.4.6 keeps the cookies, and with them its copy of the session; 1.7 deletes them.
        if (!isRecord(body) || body.token !== SESSION.token) return refusal(400, "INVALID_TOKEN");
        this.isSignedIn = false;
        this.hasCookieCache = true;
        return Response.json({ status: true });
      default:
        throw new Error(`unexpected request for ${path}`);
    }
  }
}

function encoded(part: object): string {
  return btoa(JSON.stringify(part)).replaceAll("=", "");
}

export function refusal(status: number, code = ""): Response {
  return Response.json({ code, message: code.toLowerCase() }, { status });
}

export const unreachable: Answer = () => Promise.reject(new TypeError("Failed to fetch"));

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

const NOW = "2026-01-02T03:04:05.000Z";
const USER = {
  id: "user-1",
  name: ADA.name,
  email: ADA.email,
  emailVerified: false,
  image: null,
  createdAt: NOW,
  updatedAt: NOW,
};
const SESSION = {
  id: "session-1",
  userId: USER.id,
  token: "a".repeat(32),
  expiresAt: "2126-01-02T03:04:05.000Z",
  createdAt: NOW,
  updatedAt: NOW,
  ipAddress: "",
  userAgent: "",
};
const ME = {
  id: USER.id,
  name: USER.name,
  email: USER.email,
  email_verified: false,
  image: null,
  created_at: NOW,
  updated_at: NOW,
};
