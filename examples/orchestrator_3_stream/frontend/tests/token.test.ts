import { flushPromises } from "@vue/test-utils";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { FakeServices, unreachable } from "./fakeServices";
import { freshStore } from "./fresh";

let services: FakeServices;
let store: Awaited<ReturnType<typeof freshStore>>;
let backend: typeof import("../src/services/backend");

beforeEach(async () => {
  vi.stubEnv("VITE_CREDENTIAL", "jwt");
  services = new FakeServices();
  services.isSignedIn = true;
  store = await freshStore();
  await store.whenKnown();
  backend = await import("../src/services/backend");
});

afterEach(() => {
  vi.unstubAllEnvs();
  vi.useRealTimers();
});

const asked = (path: string) => services.asked.filter((request) => request.path === path);
const presented = () => asked("/api/me").map(({ authorization }) => authorization);

it("is presented to the backend instead of the cookie", async () => {
  const { user, credential } = await backend.whoAmI();
  expect([user?.name, credential]).toEqual(["Ada Lovelace", "jwt"]);
  expect(presented()).toEqual([`Bearer ${services.issued[0]}`]);
  expect(asked("/api/me")[0]?.credentials).toBe("omit");
  // Past the session's copy in a cookie, which would outlive its revocation.
  expect(asked("/api/auth/token").map(({ query }) => query)).toEqual(["?disableCookieCache=true"]);
  expect(asked("/api/auth/token")[0]?.credentials).toBe("include");
});

it("is fetched once for all who ask at once, and then kept", async () => {
  await Promise.all([backend.whoAmI(), backend.streamProtocols(), backend.whoAmI()]);
  await backend.whoAmI();
  expect(services.issued).toHaveLength(1);
});

it("is the second protocol that the stream offers", async () => {
  const [first, second, ...others] = await backend.streamProtocols();
  expect([first, others]).toEqual(["orchestrator", []]);
  const [kind, encoded] = second?.split(/\.(?=[^.]*$)/) ?? [];
  expect(kind).toBe("base64url.bearer.authorization.better-auth");
  expect(encoded).toMatch(/^[\w-]+$/);
  expect(atob((encoded ?? "").replaceAll("-", "+").replaceAll("_", "/"))).toBe(services.issued[0]);
});

it.each(["2020-01-01", "2026-11-26", "2050-01-01"])("is refreshed a minute before it ends, by a clock of %s", async (now) => {
  vi.useFakeTimers({ toFake: ["Date"], now: new Date(now) });
  await backend.whoAmI();
  vi.setSystemTime(Date.now() + 839_000);
  await backend.whoAmI();
  expect(services.issued).toHaveLength(1);
  vi.setSystemTime(Date.now() + 1_000);
  await backend.whoAmI();
  expect(presented().at(-1)).toBe(`Bearer ${services.issued[1]}`);
});

it("is replaced once when the backend refuses it", async () => {
  await backend.whoAmI();
  services.refused.add(services.issued[0] ?? "");
  expect((await backend.whoAmI()).status).toBe(200);
  expect(presented()).toEqual([0, 0, 1].map((index) => `Bearer ${services.issued[index]}`));
});

it("is not replaced again and again", async () => {
  services.answers.set("/api/me", () => Response.json({ detail: "Invalid or expired session" }, { status: 401 }));
  await expect(backend.whoAmI()).rejects.toMatchObject({ status: 401 });
  expect(asked("/api/me")).toHaveLength(2);
  expect(services.issued).toHaveLength(2);
});

it("is replaced once for two requests that it was refused to", async () => {
  await backend.whoAmI();
  services.refused.add(services.issued[0] ?? "");
  await Promise.all([backend.whoAmI(), backend.whoAmI()]);
  expect(services.issued).toHaveLength(2);
});

it("is not there for a visitor who is signed out, whom the backend refuses", async () => {
  services.isSignedIn = false;
  await expect(backend.whoAmI()).rejects.toMatchObject({ status: 401, lacksToken: false });
  expect(presented()).toEqual([null]);
  expect(await backend.streamProtocols()).toEqual(["orchestrator"]);
});

it.each([unreachable, () => new Response("", { status: 502 }), () => new Response("", { status: 500 })])(
  "cannot be had while the auth service does not respond, which is no refusal",
  async (answer) => {
    services.answers.set("/api/auth/token", answer);
    await expect(backend.whoAmI()).rejects.toMatchObject({ status: undefined, lacksToken: true });
    expect(asked("/api/me")).toHaveLength(0);
    await expect(backend.streamProtocols()).rejects.toThrow();
    services.answers.clear();
    expect((await backend.whoAmI()).status).toBe(200);
  },
);

it("is discarded when its session ends, also one that is on its way", async () => {
  await backend.whoAmI();
  await store.signOut();
  services.isSignedIn = true;
  await store.signIn("ada@example.com", "a good password");
  await backend.whoAmI();
  expect(presented().at(-1)).toBe(`Bearer ${services.issued[1]}`);

  let respond = (_: Response) => {};
  services.answers.set("/api/auth/token", () => new Promise((resolve) => (respond = resolve)));
  await store.signOut();
  services.isSignedIn = true;
  await store.signIn("ada@example.com", "a good password");
  const waiting = backend.whoAmI();
  await flushPromises();
  await store.signOut();
  services.answers.clear();
  respond(Response.json({ token: services.issued[1] }));
  await expect(waiting).rejects.toMatchObject({ status: 401 });
  expect(presented().at(-1)).toBe(null);
});
