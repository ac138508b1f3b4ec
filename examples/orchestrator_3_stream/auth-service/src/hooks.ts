// What is decided before and after Better Auth's own routes.
import { APIError, createAuthMiddleware, getSessionFromCtx } from "better-auth/api";

import * as mail from "./mail.js";
import * as messages from "./messages.js";
import { PASSWORD_LENGTH, weakness } from "./passwords.js";
import { settings } from "./settings.js";

const SENDS_MAIL = ["/request-password-reset", "/send-verification-email"];
const NEW_PASSWORD: Record<string, string> = {
  "/sign-up/email": "password",
  "/reset-password": "newPassword",
  "/change-password": "newPassword",
};

export const before = createAuthMiddleware(async (ctx) => {
  const sendsMail = SENDS_MAIL.includes(ctx.path) || (ctx.path === "/sign-up/email" && settings.requireEmailVerification);
  if (sendsMail && !(await mail.isAvailable())) {
    throw new APIError("SERVICE_UNAVAILABLE", {
      code: "MAIL_UNAVAILABLE",
      message: "Mail cannot be sent at the moment. Try again in a few minutes.",
    });
  }

  const password: unknown = ctx.body?.[NEW_PASSWORD[ctx.path] ?? ""];
  // Of the right length: of the others Better Auth says what is wrong with them.
  if (typeof password === "string" && password.length >= PASSWORD_LENGTH.min && password.length <= PASSWORD_LENGTH.max) {
    const problem = weakness(password, await personalWords(ctx));
    if (problem) throw new APIError("BAD_REQUEST", { code: "PASSWORD_TOO_WEAK", message: problem });
  }

  // Whoever changes a password may do it because somebody else knows it: no client decides that the others stay.
  if (ctx.path === "/change-password") return { context: { body: { ...ctx.body, revokeOtherSessions: true } } };
  return undefined;
});

export const after = createAuthMiddleware(async (ctx) => {
  const { returned } = ctx.context;
  const refusal = returned instanceof APIError ? String(returned.body?.code ?? "") : undefined;
  if (ctx.path === "/change-password" && refusal === undefined) {
    const email = ctx.context.session?.user.email;
    if (email) mail.send(messages.passwordChanged(email));
  }
  // Better Auth 1.4 answers 422 here, and 1.7 as below: a sign-up must not reveal who has an account. The hash takes as
  // long as the one of a new account.
  if (ctx.path === "/sign-up/email" && refusal?.startsWith("USER_ALREADY_EXISTS") && settings.requireEmailVerification) {
    await ctx.context.password.hash(ctx.body.password);
    mail.send(messages.alreadyRegistered(ctx.body.email.toLowerCase()));
    // A whole response: with ctx.json the status would stay 422.
    return Response.json({ token: null, user: asIfNew(ctx.body) });
  }
  return undefined;
});

type Context = Parameters<Parameters<typeof createAuthMiddleware>[0]>[0];

async function personalWords(ctx: Context): Promise<string[]> {
  if (ctx.path === "/sign-up/email") return [ctx.body.email, ctx.body.name].filter((text) => typeof text === "string");
  const user = ctx.path === "/change-password" ? (await getSessionFromCtx(ctx))?.user : await userOfResetToken(ctx);
  return user ? [user.email, user.name] : [];
}

async function userOfResetToken(ctx: Context) {
  const found = await ctx.context.internalAdapter.findVerificationValue(`reset-password:${ctx.body.token}`);
  return found && (await ctx.context.internalAdapter.findUserById(found.value));
}

function asIfNew(body: { name: string; email: string; image?: string }) {
  const now = new Date();
  return {
    name: body.name,
    email: body.email.toLowerCase(),
    emailVerified: false,
    image: body.image ?? null,
    createdAt: now,
    updatedAt: now,
    id: Array.from(crypto.getRandomValues(new Uint8Array(32)), (byte) => ALPHABET[byte % ALPHABET.length]).join(""),
  };
}

const ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
