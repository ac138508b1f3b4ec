// The address of the client: sign-in attempts are counted by it, and a session records it.
//
// Better Auth would take it from X-Forwarded-For, of which everything but what our own proxies appended is the client's
// own text: with a new address in each request, nobody would ever be limited. So it is decided here, and handed on in a
// header that nobody outside can set.
import { isIPv4, isIPv6 } from "node:net";

/** The header that Better Auth reads. What a client sends under this name is replaced. */
export const ADDRESS_HEADER = "x-resolved-client-address";

export type AddressSource =
  /** So many proxies of ours, each of which appends to X-Forwarded-For whom it was called by. */
  | { proxies: number }
  /** A header that our proxy sets to the client's address, and that it never passes on from a client. */
  | { header: string };

/** `peer` is the other end of the TCP connection. A header that cannot be read counts as nobody's but the peer's. */
export function clientAddress(source: AddressSource, headers: Headers, peer: string): string {
  const claimed = "header" in source ? headers.get(source.header) : hop(source.proxies, headers, peer);
  return normalized(claimed ?? "") ?? normalized(peer) ?? peer;
}

/** The last entry was appended by the proxy in front of us, the one before that by the proxy in front of it. */
function hop(proxies: number, headers: Headers, peer: string): string | undefined {
  const hops = [...(headers.get("x-forwarded-for")?.split(",") ?? []), peer];
  return hops.at(-1 - proxies);
}

/**
 * IPv4 as it is; of IPv6 the /64 network, since that is what one customer gets: one could take a new address for each
 * attempt. A port and a zone are dropped.
 */
function normalized(text: string): string | undefined {
  const address = text
    .trim()
    .replace(/^\[(.*)\](:\d+)?$/, "$1")
    .replace(/^([\d.]+):\d+$/, "$1")
    .replace(/%.*$/, "");
  if (isIPv4(address)) return address;
  if (!isIPv6(address)) return undefined;
  const groups = groupsOf(address);
  const [high, low] = groups.slice(6).map((group) => parseInt(group, 16)) as [number, number];
  const isMapped = groups.slice(0, 6).join(":") === "0:0:0:0:0:ffff";
  if (isMapped) return [high >> 8, high & 255, low >> 8, low & 255].join(".");
  return canonical(`${groups.slice(0, 4).join(":")}::`);
}

function groupsOf(address: string): string[] {
  const [left = "", right] = canonical(address).split("::");
  const [before, after] = [left, right ?? ""].map((side) => side.split(":").filter(Boolean)) as [string[], string[]];
  return [...before, ...Array<string>(8 - before.length - after.length).fill("0"), ...after];
}

function canonical(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}
