// What can be done to an account without being signed in to it, and the change of its password. Every function throws
// an AuthProblem.
import { accepted } from "./accepted";
import { authClient } from "./authClient";

export async function sendConfirmation(email: string): Promise<void> {
  await accepted(() => authClient.sendVerificationEmail({ email }));
}

export async function confirmAddress(token: string): Promise<void> {
  await accepted(() => authClient.verifyEmail({ query: { token } }));
}

/** Resolves whether or not there is an account: nobody learns here who has one. */
export async function sendResetLink(email: string): Promise<void> {
  await accepted(() => authClient.requestPasswordReset({ email }));
}

export async function resetPassword(token: string, newPassword: string): Promise<void> {
  await accepted(() => authClient.resetPassword({ token, newPassword }));
}

/** Ends the account's other sessions. */
export async function changePassword(currentPassword: string, newPassword: string): Promise<void> {
  await accepted(() => authClient.changePassword({ currentPassword, newPassword, revokeOtherSessions: true }));
}

/** The token of a link in a mail. It stands in the fragment, which browsers send to no server. */
export function tokenOf(hash: string): string {
  return new URLSearchParams(hash.replace(/^#/, "")).get("token") ?? "";
}
