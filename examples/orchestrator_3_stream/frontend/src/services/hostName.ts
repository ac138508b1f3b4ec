const THIS_MACHINE = ["localhost", "127.0.0.1", "[::1]"];

/**
 * Where the page at `href` should be instead, if the sign-in cookie could not work there.
 *
 * Cookies belong to a host, not to a port: one that is set for `localhost` is never sent by a page at `127.0.0.1`,
 * although both are this machine.
 */
export function betterAddress(href: string, authUrl: string): string | undefined {
  const page = new URL(href);
  const { hostname } = new URL(authUrl);
  const isOtherName =
    page.hostname !== hostname && [page.hostname, hostname].every((name) => THIS_MACHINE.includes(name));
  if (!isOtherName) return undefined;
  page.hostname = hostname;
  return page.href;
}
