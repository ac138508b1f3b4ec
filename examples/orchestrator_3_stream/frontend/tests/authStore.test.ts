import { beforeEach, describe, expect, it, vi } from "vitest";
import { watch } from "vue";

import { ADA, FakeServices, refusal, unreachable } from "./fakeServices";
import { freshStore } from "./fresh";

let services: FakeServices;

beforeEach(() => {
  services = new FakeServices();
});

describe("the session at start", () => {
  it("is loading until it is known", async () => {
    const auth = await freshStore();
    expect(auth.isLoading).toBe(true);
    expect(auth.isAuthenticated).toBe(false);
    await auth.whenKnown();
    expect(auth.isLoading).toBe(false);
    expect(services.asked).toMatchObject([{ path: "/api/auth/get-session", credentials: "include" }]);
  });

  it("names who is signed in", async () => {
    services.isSignedIn = true;
    const auth = await freshStore();
    await auth.whenKnown();
    expect(auth.isAuthenticated).toBe(true);
    expect(auth.user?.name).toBe(ADA.name);
    expect(auth.session?.id).toBe("session-1");
  });

  it.each([
    ["does not answer", unreachable],
    ["has trouble", () => refusal(500)],
  ])("is unknown, not absent, when the service %s", async (_, answer) => {
    services.answers.set("/api/auth/get-session", answer);
    const auth = await freshStore();
    await auth.whenKnown();
    expect(auth.isUnknown).toBe(true);
    expect(auth.departure).toBeNull();

    services.answers.clear();
    services.isSignedIn = true;
    await auth.recheck();
    expect(auth.isUnknown).toBe(false);
    expect(auth.isAuthenticated).toBe(true);
  });
});

describe("signing in", () => {
  it("ends with a session", async () => {
    const auth = await freshStore();
    await auth.whenKnown();
    const done = auth.signIn(ADA.email, ADA.password);
    expect(auth.isLoading).toBe(true);
    await done;
    expect(auth.isLoading).toBe(false);
    expect(auth.user?.email).toBe(ADA.email);
    const sent = services.asked.find(({ path }) => path === "/api/auth/sign-in/email");
    expect(sent).toMatchObject({ credentials: "include", body: { email: ADA.email, password: ADA.password } });
  });

  it.each([
    ["wrong-password", () => refusal(401, "INVALID_EMAIL_OR_PASSWORD")],
    ["bad-address", () => refusal(400, "INVALID_EMAIL")],
    ["too-many", () => refusal(429)],
    ["broken", () => refusal(500, "INTERNAL")],
    ["unreachable", () => new Response("<h1>Bad gateway</h1>", { status: 502 })],
    ["unreachable", unreachable],
  ])("has a sentence for %s", async (kind, answer) => {
    services.answers.set("/api/auth/sign-in/email", answer);
    const auth = await freshStore();
    await expect(auth.signIn(ADA.email, "wrong")).rejects.toMatchObject({
      kind,
      message: expect.stringMatching(/\.$/),
    });
    expect(auth.isAuthenticated).toBe(false);
    await auth.whenKnown();
    expect(auth.isLoading).toBe(false);
  });

  it("says so when the browser does not keep the cookie", async () => {
    services.keepsCookies = false;
    const auth = await freshStore();
    await expect(auth.signIn(ADA.email, ADA.password)).rejects.toMatchObject({ kind: "no-cookie" });
  });
});

describe("signing up", () => {
  it("signs in", async () => {
    const auth = await freshStore();
    await auth.signUp(ADA.name, ADA.email, ADA.password);
    expect(auth.isAuthenticated).toBe(true);
    const { body } = services.asked.find(({ path }) => path === "/api/auth/sign-up/email") ?? {};
    expect(body).toEqual(ADA);
  });

  it.each([
    ["address-taken", "USER_ALREADY_EXISTS", 422],
    ["address-taken", "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL", 422],
    ["bad-password", "PASSWORD_TOO_SHORT", 400],
    ["bad-password", "PASSWORD_TOO_LONG", 400],
  ])("has a sentence for %s (%s)", async (kind, code, status) => {
    services.answers.set("/api/auth/sign-up/email", () => refusal(status, code));
    const auth = await freshStore();
    await expect(auth.signUp(ADA.name, ADA.email, ADA.password)).rejects.toMatchObject({ kind });
  });
});

describe("the end of a session", () => {
  beforeEach(() => {
    services.isSignedIn = true;
  });

  it("is a farewell when we sign out, and nothing else in between", async () => {
    const auth = await freshStore();
    await auth.whenKnown();
    const departures: unknown[] = [];
    watch(
      () => auth.departure,
      (departure) => departures.push(departure),
      { flush: "sync" },
    );
    await auth.signOut();
    expect(departures).toEqual(["signed-out"]);
    expect(auth.isAuthenticated).toBe(false);
    expect(auth.departure).toBe("signed-out");
    await auth.signIn(ADA.email, ADA.password);
    expect(auth.departure).toBeNull();
  });

  it("does not happen when the service is down", async () => {
    const auth = await freshStore();
    await auth.whenKnown();
    services.answers.set("/api/auth/sign-out", unreachable);
    await expect(auth.signOut()).rejects.toMatchObject({ kind: "unreachable" });
    expect(auth.isAuthenticated).toBe(true);
    expect(auth.departure).toBeNull();
  });

  it("is not taken for one when the service has trouble", async () => {
    const auth = await freshStore();
    await auth.whenKnown();
    services.answers.set("/api/auth/get-session", () => refusal(500));
    await auth.recheck();
    expect(auth.isAuthenticated).toBe(true);
    services.answers.set("/api/auth/get-session", () => refusal(401));
    await auth.recheck();
    expect([auth.isAuthenticated, auth.isUnknown, auth.departure]).toEqual([false, false, "ended"]);
  });

  it("is noticed when somebody else ended it, past the cookie cache", async () => {
    const auth = await freshStore();
    await auth.whenKnown();
    services.isSignedIn = false;
    await auth.recheck();
    expect(auth.isAuthenticated).toBe(false);
    expect(auth.departure).toBe("ended");
    expect(services.asked.at(-1)?.query).toBe("?disableCookieCache=true");
  });

  it.each(["before", "after"])("is known as a sign-out in another tab, told of %s it is noticed", async (when) => {
    const otherTab = new BroadcastChannel("sign-outs");
    const auth = await freshStore();
    await auth.whenKnown();
    services.isSignedIn = false;
    if (when === "before") otherTab.postMessage("session-1");
    await auth.recheck();
    if (when === "after") otherTab.postMessage("session-1");
    await vi.waitUntil(() => auth.departure === "signed-out-in-another-tab");
    otherTab.close();
  });

  it("is not taken for the sign-out of another session", async () => {
    const otherTab = new BroadcastChannel("sign-outs");
    const auth = await freshStore();
    await auth.whenKnown();
    otherTab.postMessage("session-0");
    services.isSignedIn = false;
    await auth.recheck();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(auth.departure).toBe("ended");
    otherTab.close();
  });

  it("is noticed when the page is looked at again", async () => {
    const auth = await freshStore();
    await auth.whenKnown();
    services.isSignedIn = false;
    document.dispatchEvent(new Event("visibilitychange"));
    await vi.waitUntil(() => !auth.isAuthenticated);
    expect(auth.departure).toBe("ended");
  });
});
