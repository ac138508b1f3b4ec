import { createAuthClient } from "better-auth/vue";

import { fetchInTime } from "./fetchInTime";
import { settings } from "./settings";

// It sends credentials by itself.
export const authClient = createAuthClient({
  baseURL: settings.authUrl,
  fetchOptions: { customFetchImpl: fetchInTime },
});

export const { signIn, signUp, signOut, revokeSession, useSession, getSession } = authClient;
