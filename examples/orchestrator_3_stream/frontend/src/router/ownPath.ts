export const HOME = "/";

/**
 * `wanted` if it is a path of this site, else Home.
 *
 * Whoever makes a link to our sign-in page chooses this text, and after signing in people believe what they see. So it
 * is read by the URL parser, as a browser would: to that, `//evil.example`, `/\evil.example` and `/<tab>/evil.example`
 * are all another host, and `/.//evil.example` becomes one.
 */
export function ownPath(wanted: unknown): string {
  const here = window.location.origin;
  if (typeof wanted !== "string" || !wanted.startsWith("/") || !URL.canParse(wanted, here)) return HOME;
  const url = new URL(wanted, here);
  if (url.origin !== here || url.pathname.startsWith("//")) return HOME;
  return url.pathname + url.search + url.hash;
}
