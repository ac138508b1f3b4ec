import { flushPromises, type VueWrapper } from "@vue/test-utils";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Router } from "vue-router";

import { ADA, FakeServices, refusal, unreachable } from "./fakeServices";
import { openPage } from "./fresh";

class FakeSocket {
  static readonly all: FakeSocket[] = [];
  onmessage?: (event: { data: string }) => void;
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

afterEach(() => page.unmount());

async function openHome(): Promise<void> {
  ({ page, router } = await openPage("/"));
}

it("names who the backend says is signed in, asked with credentials", async () => {
  await openHome();
  expect(page.get("h1").text()).toBe(`Hello, ${ADA.name}`);
  expect(page.text()).toContain(ADA.email);
  expect(services.asked.find(({ path }) => path === "/api/me")?.credentials).toBe("include");
});

it("shows the stream", async () => {
  await openHome();
  expect(sockets.map(({ url }) => url)).toEqual(["ws://api.test/ws"]);
  sockets[0]?.onmessage?.({
    data: JSON.stringify({ load_average: [1.5, 0.75, 0.1], uptime_seconds: 3700, pushes: 1234 }),
  });
  await flushPromises();
  expect(page.get(".pill").text()).toBe("Live");
  expect(page.findAll("dd").map((fact) => fact.text())).toEqual(["1.50", "0.75", "0.10", "1 h 1 min", "–", "1,234"]);
});

it("says good-bye when one signs out, and lets the stream go", async () => {
  await openHome();
  await page.get(".bar button").trigger("click");
  await vi.waitUntil(() => router.currentRoute.value.name === "Login");
  await flushPromises();
  expect(page.text()).toContain("You are signed out.");
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
  ["does not answer", unreachable],
  ["cannot reach its database", () => refusal(503)],
  ["does not recognise you", () => refusal(401)],
  ["status 500", () => refusal(500)],
])("has a sentence when the backend %s, and stays", async (sentence, answer) => {
  services.answers.set("/api/me", answer);
  await openHome();
  await vi.waitUntil(() => page.text().includes(sentence));
  expect(router.currentRoute.value.name).toBe("Home");
  services.answers.clear();
  await page.get(".home > .notice button").trigger("click");
  await flushPromises();
  expect(page.get("h1").text()).toContain(ADA.name);
  expect(page.text()).not.toContain(sentence);
});
