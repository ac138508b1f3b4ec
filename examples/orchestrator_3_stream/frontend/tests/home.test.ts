import { flushPromises, type VueWrapper } from "@vue/test-utils";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Router } from "vue-router";

import { ADA, FakeServices, refusal, unreachable } from "./fakeServices";
import { openPage } from "./fresh";

class FakeSocket {
  static readonly all: FakeSocket[] = [];
  onmessage?: (event: { data: string }) => void;
  onclose?: (event: { code: number; reason: string }) => void;
  isClosed = false;

  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }

  close(): void {
    this.isClosed = true;
  }
}

const sockets = FakeSocket.all;
let services: FakeServices;
let page: VueWrapper;
let router: Router;

beforeEach(() => {
  sockets.length = 0;
  vi.stubGlobal("WebSocket", FakeSocket);
  services = new FakeServices();
  services.isSignedIn = true;
});

afterEach(() => {
  page.unmount();
  vi.useRealTimers();
});

async function openHome(): Promise<void> {
  ({ page, router } = await openPage("/"));
}

it("names the user that the backend reports, asked with credentials", async () => {
  await openHome();
  expect(page.get("h1").text()).toBe(`Hello, ${ADA.name}`);
  expect(page.text()).toContain(ADA.email);
  expect(services.asked.find(({ path }) => path === "/api/me")?.credentials).toBe("include");
});

it("shows the backend's response, the credential and the age of the session", async () => {
  vi.setSystemTime("2026-01-02T04:05:06.000Z");
  await openHome();
  const answer = page.get(".answer");
  expect(answer.text()).toContain("GET http://api.test/api/me");
  expect(answer.get("[role=status]").text()).toBe("200 OK");
  expect(answer.text()).toMatch(/\d ms/);
  expect(JSON.parse(answer.get("pre").text())).toMatchObject({ user: { email: ADA.email }, credential: "cookie" });
  const facts = Object.fromEntries(answer.findAll("dl > div").map((fact) => [fact.get("dt").text(), fact.get("dd").text()]));
  expect(facts).toMatchObject({ Credential: "Session cookie", "Session age": "1 h 1 min" });
  expect(facts["Expires in"]).toMatch(/^36\d{3} d/);
});

it("revokes the session and stays to show what follows, until the visitor leaves", async () => {
  await openHome();
  await page.get(".danger").trigger("click");
  await vi.waitUntil(() => page.get(".answer [role=status]").text() === "401 Unauthorized");
  sockets[0]?.onclose?.({ code: 4001, reason: "session ended" });
  await flushPromises();
  expect(JSON.parse(page.get(".answer pre").text())).toEqual({ detail: "Invalid or expired session" });
  expect(page.get(".stream").text()).toContain("code 4001, “session ended”");
  expect(router.currentRoute.value.name).toBe("Home");
  await page.get(".answer .notice .link").trigger("click");
  await vi.waitUntil(() => router.currentRoute.value.name === "Login");
});

it("says so when the session cannot be revoked", async () => {
  await openHome();
  services.answers.set("/api/auth/revoke-session", unreachable);
  await page.get(".danger").trigger("click");
  await flushPromises();
  expect(page.get(".answer [role=alert]").text()).toContain("The session was not revoked.");
  expect(page.get(".answer [role=status]").text()).toBe("200 OK");
});

it("shows the stream, and says so while there is no data yet", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: 0 });
  await openHome();
  expect(sockets.map(({ url }) => url)).toEqual(["ws://api.test/ws"]);
  expect(page.get(".plot").text()).toContain("No data yet.");
  for (const pushes of [1233, 1234]) {
    sockets[0]?.onmessage?.({
      data: JSON.stringify({ load_average: [1.5, 0.75, 0.1], uptime_seconds: 3700, pushes }),
    });
    vi.setSystemTime(Date.now() + 2_000);
  }
  await flushPromises();
  expect(page.get(".pill").text()).toBe("Live");
  expect(page.findAll(".stream dd").map((fact) => fact.text())).toEqual(["1.50", "0.75", "0.10", "1 h 1 min", "–", "1,234"]);
  expect(page.get(".plot").text()).toBe("");
  expect(page.findAll(".chart-line").map((line) => line.attributes("d"))).toEqual(["M0.0,50.0 L600.0,50.0"]);
  expect(page.findAll(".chart-y span").map((tick) => tick.text())).toEqual(["2", "1", "0"]);
  expect(page.get(".chart-x").text()).toContain("2 s ago");
});

it("confirms a sign-out, and closes the stream", async () => {
  await openHome();
  await page.get(".bar button").trigger("click");
  await vi.waitUntil(() => router.currentRoute.value.name === "Login");
  await flushPromises();
  expect(page.text()).toContain("You have signed out.");
  expect(sockets.every(({ isClosed }) => isClosed)).toBe(true);
});

it("stays when signing out fails, and says so", async () => {
  await openHome();
  services.answers.set("/api/auth/sign-out", unreachable);
  await page.get(".bar button").trigger("click");
  await flushPromises();
  expect(page.get("[role=alert]").text()).toContain("You are still signed in.");
  expect(router.currentRoute.value.name).toBe("Home");
});

it("leads to the sign-in page when the session was ended somewhere else, though its copy would still do", async () => {
  await openHome();
  services.isSignedIn = false;
  services.hasCookieCache = true;
  document.dispatchEvent(new Event("visibilitychange"));
  await vi.waitUntil(() => router.currentRoute.value.name === "Login");
  await flushPromises();
  expect(page.text()).toContain("Your session has ended");
});

it.each([
  ["is not responding", unreachable],
  ["is not responding", () => new Response("<h1>Bad gateway</h1>", { status: 502 })],
  ["cannot reach its database", () => refusal(503)],
  ["does not recognise your session", () => refusal(401)],
  ["refused the request", () => refusal(500)],
])("is an error page when the backend %s, and continues when it is back", async (sentence, answer) => {
  services.answers.set("/api/me", answer);
  await openHome();
  await vi.waitUntil(() => page.get("h1").text().includes(sentence));
  expect(router.currentRoute.value.name).toBe("Home");
  expect(sockets.every(({ isClosed }) => isClosed)).toBe(true);
  services.answers.clear();
  await page.get(".problem button").trigger("click");
  await flushPromises();
  expect(page.get("h1").text()).toContain(ADA.name);
});

it.each([
  ["is not responding", unreachable],
  ["cannot reach its database", () => refusal(503)],
])("keeps what it shows when the backend %s later", async (sentence, answer) => {
  await openHome();
  services.answers.set("/api/me", answer);
  document.dispatchEvent(new Event("visibilitychange"));
  await vi.waitUntil(() => page.get(".answer").text().includes(sentence));
  expect(page.get("h1").text()).toContain(ADA.name);
});

it("is an error page while the auth service does not respond, and continues when it is back", async () => {
  services.answers.set("/api/auth/get-session", unreachable);
  await openHome();
  expect(page.get("h1").text()).toBe("The sign-in service is unavailable");
  expect(sockets).toHaveLength(0);
  services.answers.clear();
  await page.get(".problem button").trigger("click");
  await vi.waitUntil(() => page.get("h1").text().includes(ADA.name));
});

it("leads a stranger to the sign-in page when the auth service is back", async () => {
  services.isSignedIn = false;
  services.answers.set("/api/auth/get-session", unreachable);
  await openHome();
  services.answers.clear();
  await page.get(".problem button").trigger("click");
  await vi.waitUntil(() => router.currentRoute.value.name === "Login");
});
