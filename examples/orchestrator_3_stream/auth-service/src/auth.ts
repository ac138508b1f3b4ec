import { betterAuth } from "better-auth";
import { jwt } from "better-auth/plugins";

import { ADDRESS_HEADER } from "./clientAddress.js";
import { pool } from "./db.js";
import { after, before } from "./hooks.js";
import * as mail from "./mail.js";
import * as messages from "./messages.js";
import { PASSWORD_LENGTH } from "./passwords.js";
import { rateLimit } from "./rateLimits.js";
import { settings } from "./settings.js";
import { columns } from "./tables.js";

const MINUTE = 60;
const DAY = 24 * 60 * MINUTE;

// An option of 1.7; in 1.4 the hook `after` does the same.
const since17 = {
  onExistingUserSignUp: async ({ user }: { user: { email: string } }) =>
    mail.send(messages.alreadyRegistered(user.email)),
};

export const auth = betterAuth({
  baseURL: settings.baseUrl,
  secret: settings.secret,
  trustedOrigins: settings.frontends,
  database: pool,

  emailAndPassword: {
    enabled: true,
    minPasswordLength: PASSWORD_LENGTH.min,
    maxPasswordLength: PASSWORD_LENGTH.max,
    requireEmailVerification: settings.requireEmailVerification,
    revokeSessionsOnPasswordReset: true,
    sendResetPassword: async ({ user, token }) => mail.send(messages.resetPassword(user.email, token)),
    onPasswordReset: async ({ user }) => mail.send(messages.passwordChanged(user.email)),
    ...since17,
  },
  emailVerification: {
    sendOnSignUp: true,
    sendOnSignIn: true,
    // Following a link signs nobody in: somebody could have sent the link to their own account.
    autoSignInAfterVerification: false,
    sendVerificationEmail: async ({ user, token }) => {
      // 1.4 also sends to addresses that are verified already.
      if (!user.emailVerified) mail.send(messages.confirmAddress(user.email, token));
    },
  },

  user: { fields: columns.user },
  session: {
    fields: columns.session,
    expiresIn: 7 * DAY,
    updateAge: DAY,
    cookieCache: { enabled: true, maxAge: 5 * MINUTE },
  },
  account: { fields: columns.account },
  verification: { fields: columns.verification },

  // The page asks for a token when it needs one, so get-session does not sign one each time.
  plugins: settings.issueJwt
    ? [jwt({ disableSettingJwtHeader: true, schema: { jwks: { fields: columns.jwks } } })]
    : [],

  rateLimit,
  hooks: { before, after },

  advanced: {
    ipAddress: { ipAddressHeaders: [ADDRESS_HEADER] },
    // `secure` follows from an https base URL, which production requires (settings.ts).
    defaultCookieAttributes: { httpOnly: true, sameSite: "lax", path: "/" },
    ...(settings.cookieDomain ? { crossSubDomainCookies: { enabled: true, domain: settings.cookieDomain } } : {}),
  },
});
