import { betterAuth } from "better-auth";

import { ADDRESS_HEADER } from "./clientAddress.js";
import { pool } from "./db.js";
import { settings } from "./settings.js";

const MINUTE = 60;
const DAY = 24 * 60 * MINUTE;

// The tables (13_better_auth_tables.sql) have snake_case columns; Better Auth's own names are camelCase, and without
// this mapping every sign-up fails.
const times = { createdAt: "created_at", updatedAt: "updated_at" };

export const auth = betterAuth({
  baseURL: settings.baseUrl,
  secret: settings.secret,
  trustedOrigins: settings.frontends,
  database: pool,
  emailAndPassword: { enabled: true },

  user: { fields: { emailVerified: "email_verified", ...times } },
  session: {
    fields: {
      userId: "user_id",
      expiresAt: "expires_at",
      ipAddress: "ip_address",
      userAgent: "user_agent",
      ...times,
    },
    expiresIn: 7 * DAY,
    updateAge: DAY,
    cookieCache: { enabled: true, maxAge: 5 * MINUTE },
  },
  account: {
    fields: {
      userId: "user_id",
      accountId: "account_id",
      providerId: "provider_id",
      accessToken: "access_token",
      refreshToken: "refresh_token",
      idToken: "id_token",
      accessTokenExpiresAt: "access_token_expires_at",
      refreshTokenExpiresAt: "refresh_token_expires_at",
      ...times,
    },
  },
  verification: { fields: { expiresAt: "expires_at", ...times } },

  // In production Better Auth counts attempts: in the memory of each process, or for all of them in a table.
  ...(settings.rateLimitTable
    ? {
        rateLimit: {
          storage: "database" as const,
          modelName: settings.rateLimitTable,
          fields: { lastRequest: "last_request" },
        },
      }
    : {}),

  advanced: {
    ipAddress: { ipAddressHeaders: [ADDRESS_HEADER] },
    // `secure` follows from an https base URL, which production requires (settings.ts).
    defaultCookieAttributes: { httpOnly: true, sameSite: "lax", path: "/" },
    ...(settings.cookieDomain ? { crossSubDomainCookies: { enabled: true, domain: settings.cookieDomain } } : {}),
  },
});
