// Checked when the page is built (vite.config.ts).
export const settings = {
  apiUrl: withoutSlash(import.meta.env.VITE_API_BASE_URL),
  streamUrl: import.meta.env.VITE_WEBSOCKET_URL,
  authUrl: withoutSlash(import.meta.env.VITE_AUTH_URL),
};

function withoutSlash(url: string): string {
  return url.replace(/\/+$/, "");
}
