// The tables of 13_better_auth_tables.sql have snake_case columns. Better Auth's own names are camelCase: without this
// mapping every sign-up fails.

const times = { createdAt: "created_at", updatedAt: "updated_at" };

export const columns = {
  user: { emailVerified: "email_verified", ...times },
  session: {
    userId: "user_id",
    expiresAt: "expires_at",
    ipAddress: "ip_address",
    userAgent: "user_agent",
    ...times,
  },
  account: {
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
  verification: { expiresAt: "expires_at", ...times },
  jwks: { publicKey: "public_key", privateKey: "private_key", createdAt: "created_at", expiresAt: "expires_at" },
  rateLimit: { lastRequest: "last_request" },
};
