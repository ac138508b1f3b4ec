import { flushPromises, type VueWrapper } from "@vue/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Router } from "vue-router";

import { ADA, FakeServices, refusal, unreachable } from "./fakeServices";
import { openPage } from "./fresh";

let services: FakeServices;
let page: VueWrapper;
let router: Router;

beforeEach(() => {
  services = new FakeServices();
});

afterEach(() => page.unmount());

async function open(path: string): Promise<void> {
  ({ page, router } = await openPage(path));
}

async function send(texts: Record<string, string>): Promise<void> {
  for (const [name, text] of Object.entries(texts)) await page.get(`input[name="${name}"]`).setValue(text);
  await page.get("form").trigger("submit");
  await flushPromises();
}

const alertText = () => page.get("[role=alert]:not([hidden])").text();
const sent = (path: string) => services.asked.filter((asked) => asked.path === path);
const ok = () => Response.json({ status: true });

describe("signing up where addresses are confirmed", () => {
  beforeEach(async () => {
    services.answers.set("/api/auth/sign-up/email", () => Response.json({ token: null, user: { email: ADA.email } }));
    await open("/signup");
    await send(ADA);
    await vi.waitUntil(() => page.get("h1").text() === "Check your mail");
  });

  it("names the address that the link was sent to", () => {
    expect(page.text()).toContain(ADA.email);
    expect(router.currentRoute.value.name).toBe("Signup");
  });

  it("sends another link", async () => {
    services.answers.set("/api/auth/send-verification-email", ok);
    await page.get("button.quiet").trigger("click");
    await flushPromises();
    expect(sent("/api/auth/send-verification-email")).toMatchObject([{ body: { email: ADA.email } }]);
    expect(page.text()).toContain("We have sent another link.");
  });

  it("says when mail cannot be sent", async () => {
    services.answers.set("/api/auth/send-verification-email", () => refusal(503, "MAIL_UNAVAILABLE"));
    await page.get("button.quiet").trigger("click");
    await flushPromises();
    expect(alertText()).toContain("We cannot send mail at the moment.");
  });
});

it("signing in with an address that is not confirmed says what to do", async () => {
  services.answers.set("/api/auth/sign-in/email", () => refusal(403, "EMAIL_NOT_VERIFIED"));
  await open("/login");
  await send({ email: ADA.email, password: ADA.password });
  expect(alertText()).toContain("Confirm your email address");
});

describe("the link of the confirmation", () => {
  it("confirms the address, and leads to signing in", async () => {
    services.answers.set("/api/auth/verify-email", ok);
    await open("/verify-email#token=a.b.c");
    await vi.waitUntil(() => page.text().includes("Your email address is confirmed."));
    expect(sent("/api/auth/verify-email")).toMatchObject([{ query: "?token=a.b.c" }]);
    expect(page.get("a.primary").attributes("href")).toBe("/login");
  });

  // 1.4.6 makes its codes of its messages.
  it.each(["TOKEN_EXPIRED", "INVALID_TOKEN", "USER_NOT_FOUND"])("that has ended (%s) can be replaced", async (code) => {
    services.answers.set("/api/auth/verify-email", () => refusal(401, code));
    services.answers.set("/api/auth/send-verification-email", ok);
    await open("/verify-email#token=a.b.c");
    await vi.waitUntil(() => page.get("h1").text() === "This link has expired");
    await send({ email: ADA.email });
    expect(page.text()).toContain(ADA.email);
  });

  it("that follows another one in the same tab is used too", async () => {
    services.answers.set("/api/auth/verify-email", () => refusal(401, "TOKEN_EXPIRED"));
    await open("/verify-email#token=old");
    await vi.waitUntil(() => page.get("h1").text() === "This link has expired");
    services.answers.set("/api/auth/verify-email", ok);
    await router.push("/verify-email#token=new");
    await vi.waitUntil(() => page.text().includes("Your email address is confirmed."));
    expect(sent("/api/auth/verify-email").map(({ query }) => query)).toEqual(["?token=old", "?token=new"]);
  });

  it("without a token asks nobody", async () => {
    await open("/verify-email");
    expect(page.get("h1").text()).toBe("This link has expired");
    expect(sent("/api/auth/verify-email")).toEqual([]);
  });

  it("can be tried again when the service did not respond", async () => {
    services.answers.set("/api/auth/verify-email", unreachable);
    await open("/verify-email#token=a.b.c");
    await vi.waitUntil(() => page.find("[role=alert]").exists());
    expect(alertText()).toContain("not responding");
    services.answers.set("/api/auth/verify-email", ok);
    await page.get("button.primary").trigger("click");
    await vi.waitUntil(() => page.text().includes("Your email address is confirmed."));
  });
});

describe("a forgotten password", () => {
  it("is reset by a link, whoever has an account or not", async () => {
    services.answers.set("/api/auth/request-password-reset", ok);
    await open("/login");
    expect(page.get('a[href="/forgot-password"]').text()).toBe("Forgot your password?");
    await router.push("/forgot-password");
    await flushPromises();
    await send({ email: ` ${ADA.email} ` });
    expect(sent("/api/auth/request-password-reset")).toMatchObject([{ body: { email: ADA.email } }]);
    expect(page.text()).toContain("If there is an account with the address");
  });

  it("is replaced by a strong one", async () => {
    services.answers.set("/api/auth/reset-password", ok);
    await open("/reset-password#token=abc");
    await send({ password: ADA.password });
    await vi.waitUntil(() => page.text().includes("Your password is changed"));
    expect(sent("/api/auth/reset-password")).toMatchObject([{ body: { token: "abc", newPassword: ADA.password } }]);
  });

  it("is not replaced when the link has ended", async () => {
    services.answers.set("/api/auth/reset-password", () => refusal(400, "INVALID_TOKEN"));
    await open("/reset-password#token=abc");
    await send({ password: ADA.password });
    expect(page.get("h1").text()).toBe("This link has expired");
    expect(page.findAll('a[href="/forgot-password"]')).not.toEqual([]);
  });

  it("needs the whole link", async () => {
    await open("/reset-password");
    expect(page.get("h1").text()).toBe("This link has expired");
    expect(page.find("form").exists()).toBe(false);
  });
});

describe("the strength of a password", () => {
  const meter = () => page.find("meter");

  it.each([
    ["password", 0],
    ["P@ssw0rd1", 1],
    ["ada@example.com", 0],
    ["four unrelated random words", 4],
  ])("of %s is %d, and a weak one is not sent", async (password, score) => {
    await open("/signup");
    for (const [name, text] of Object.entries({ ...ADA, password })) await page.get(`[name=${name}]`).setValue(text);
    await vi.waitUntil(() => meter().exists(), 10_000);
    expect(meter().attributes("value")).toBe(String(score));
    const isGood = score >= 3;
    await page.get("form").trigger("submit");
    await flushPromises();
    expect(sent("/api/auth/sign-up/email")).toHaveLength(isGood ? 1 : 0);
    expect(page.find(".field-error").exists()).toBe(!isGood);
  });

  it("is judged by the service too, in its own words", async () => {
    const code = "PASSWORD_TOO_WEAK";
    const answer = () => Response.json({ code, message: "Add more words." }, { status: 400 });
    services.answers.set("/api/auth/sign-up/email", answer);
    await open("/signup");
    await send(ADA);
    expect(alertText()).toBe("Add more words.");
  });
});

describe("changing the password", () => {
  beforeEach(async () => {
    services.isSignedIn = true;
    await open("/account/password");
  });

  it("ends the other sessions", async () => {
    services.answers.set("/api/auth/change-password", ok);
    await send({ current: ADA.password, password: "another good password" });
    await vi.waitUntil(() => page.text().includes("have been signed out"));
    expect(sent("/api/auth/change-password")).toMatchObject([{ body: { revokeOtherSessions: true } }]);
  });

  it("needs the current one", async () => {
    services.answers.set("/api/auth/change-password", () => refusal(400, "INVALID_PASSWORD"));
    await send({ current: "wrong", password: "another good password" });
    expect(alertText()).toContain("current password is not correct");
    expect(document.activeElement).toHaveProperty("name", "current");
  });
});

it.each([
  [7, "in 7 seconds"],
  [1, "in 1 second."],
])("too many attempts say when to try again (%i s)", async (retryAfter, sentence) => {
  const answer = () => Response.json({ code: "TOO_MANY_ATTEMPTS", message: "", retryAfter }, { status: 429 });
  services.answers.set("/api/auth/sign-in/email", answer);
  await open("/login");
  await send({ email: ADA.email, password: ADA.password });
  expect(alertText()).toContain(sentence);
});
