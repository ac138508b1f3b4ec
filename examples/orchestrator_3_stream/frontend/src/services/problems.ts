// What can go wrong at the auth-service, each with the sentence that a person reads.

export const PASSWORD_LENGTH = { min: 8, max: 128 };

const SENTENCES = {
  "wrong-password": "The email address or the password is incorrect.",
  "address-taken": "An account with this email address already exists.",
  "bad-address": "Enter a valid email address.",
  "bad-password": `Use ${PASSWORD_LENGTH.min} to ${PASSWORD_LENGTH.max} characters.`,
  "weak-password": "This password is easy to guess. Add more words that are less common.",
  "wrong-current": "Your current password is not correct.",
  "not-verified": "Confirm your email address before you sign in. We have sent a new link to it.",
  "link-expired": "This link has expired or was used already. Request another one.",
  "mail-down": "We cannot send mail at the moment. Try again in a few minutes.",
  "too-many": "Too many attempts. Wait a minute, then try again.",
  "no-cookie":
    "You signed in, but your browser did not store the session cookie. Allow cookies for this site and try again.",
  unreachable: "The sign-in service is not responding. Check your connection, or try again in a moment.",
  broken: "Something went wrong at the sign-in service. Try again in a moment.",
};

export type ProblemKind = keyof typeof SENTENCES;

export class AuthProblem extends Error {
  constructor(
    readonly kind: ProblemKind,
    { sentence, ...options }: ErrorOptions & { sentence?: string | undefined } = {},
  ) {
    super(sentence ?? SENTENCES[kind], options);
  }
}

/** What Better Auth's client gives as `error`. */
export interface Refusal {
  status: number;
  code?: string | undefined;
  message?: string | undefined;
  /** Seconds; with a 429. */
  retryAfter?: number | undefined;
}

// From 1.4.6 to today; 1.4.6 makes its codes of its messages.
const KINDS: Record<string, ProblemKind> = {
  INVALID_EMAIL_OR_PASSWORD: "wrong-password",
  USER_ALREADY_EXISTS: "address-taken",
  USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL: "address-taken",
  INVALID_EMAIL: "bad-address",
  PASSWORD_TOO_SHORT: "bad-password",
  PASSWORD_TOO_LONG: "bad-password",
  PASSWORD_TOO_WEAK: "weak-password",
  INVALID_PASSWORD: "wrong-current",
  EMAIL_NOT_VERIFIED: "not-verified",
  INVALID_TOKEN: "link-expired",
  TOKEN_EXPIRED: "link-expired",
  USER_NOT_FOUND: "link-expired",
  MAIL_UNAVAILABLE: "mail-down",
};

// 502 and 504 come from a proxy in front of a service that does not respond.
const KINDS_BY_STATUS: Record<number, ProblemKind> = { 429: "too-many", 502: "unreachable", 504: "unreachable" };

export function problemOf(refusal: Refusal): AuthProblem {
  const kind = KINDS[refusal.code ?? ""] ?? KINDS_BY_STATUS[refusal.status] ?? "broken";
  return new AuthProblem(kind, { cause: refusal, sentence: sentenceOf(kind, refusal) });
}

/** Where the auth service knows more than the kind: what makes the password weak, and when to try again. */
function sentenceOf(kind: ProblemKind, { message, retryAfter }: Refusal): string | undefined {
  if (kind === "weak-password") return message;
  if (kind !== "too-many" || !retryAfter) return undefined;
  return `Too many attempts. Try again in ${retryAfter} ${retryAfter === 1 ? "second" : "seconds"}.`;
}
