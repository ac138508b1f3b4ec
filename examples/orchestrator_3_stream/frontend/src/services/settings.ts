// Checked when the page is built (vite.config.ts).
export const settings = {
  apiUrl: withoutSlash(import.meta.env.VITE_API_BASE_URL),
  streamUrl: import.meta.env.VITE_WEBSOCKET_URL,
  authUrl: withoutSlash(import.meta.env.VITE_AUTH_URL),
  /** The credential that is sent to the backend. Browsers send a cookie only if it is on the auth service's site. */
  credential: import.meta.env.VITE_CREDENTIAL === "jwt" ? ("jwt" as const) : ("cookie" as const),
};

function withoutSlash(url: string): string {
  return url.replace(/\/+$/, "");
}
