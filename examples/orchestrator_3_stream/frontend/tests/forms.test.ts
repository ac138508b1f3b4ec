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
}

const alertText = () => page.get("[role=alert]:not([hidden])").text();
const focusedName = () => (document.activeElement as HTMLInputElement | null)?.name;

describe.each([
  ["/login", { email: ["email", "username"], password: ["password", "current-password"] }],
  ["/signup", { name: ["text", "name"], email: ["email", "email"], password: ["password", "new-password"] }],
])("the form at %s", (path, fields) => {
  const texts = Object.fromEntries(Object.entries(ADA).filter(([name]) => name in fields));

  it("says to password managers and screen readers what each field is", async () => {
    await open(path);
    const inputs = page.findAll("input");
    const shown = inputs.map(({ element }) => [element.name, [element.type, element.autocomplete]]);
    expect(Object.fromEntries(shown)).toEqual(fields);
    for (const input of inputs) expect(page.find(`label[for="${input.attributes("id")}"]`).exists()).toBe(true);
  });

  it("takes the focus to the first field that is not filled in, and asks nobody", async () => {
    await open(path);
    const before = services.asked.length;
    await send({});
    expect(focusedName()).toBe(Object.keys(fields)[0]);
    const invalid = page.findAll("[aria-invalid=true]");
    expect(invalid).toHaveLength(Object.keys(fields).length);
    for (const input of invalid) expect(page.get(`#${input.attributes("aria-describedby")}`).text()).toMatch(/\.$/);
    expect(services.asked).toHaveLength(before);
  });

  it("shows the password to who asks for it", async () => {
    await open(path);
    await page.get("button[aria-pressed=false]").trigger("click");
    expect(page.get("input[name=password]").attributes("type")).toBe("text");
    await page.get("button[aria-pressed=true]").trigger("click");
    expect(page.get("input[name=password]").attributes("type")).toBe("password");
  });

  it("says that the service is down, and can be sent again", async () => {
    await open(path);
    for (const action of ["sign-in", "sign-up"]) services.answers.set(`/api/auth/${action}/email`, unreachable);
    await send(texts);
    await flushPromises();
    expect(alertText()).toContain("is not responding");
    expect(page.get("input[name=password]").element).toHaveProperty("value", ADA.password);
    services.answers.clear();
    await page.get("form").trigger("submit");
    await vi.waitUntil(() => router.currentRoute.value.name === "Home");
  });

  it("is sent once, and says that it works", async () => {
    await open(path);
    let answer = (_: Response): void => undefined;
    const slow = () => new Promise<Response>((resolve) => (answer = resolve));
    for (const action of ["sign-in", "sign-up"]) services.answers.set(`/api/auth/${action}/email`, slow);
    await send(texts);
    await page.get("form").trigger("submit");
    await flushPromises();
    expect(page.get("form").attributes("aria-busy")).toBe("true");
    expect(page.get("button[type=submit]").text()).toContain("…");
    expect(services.paths().filter((asked) => asked.endsWith("/email"))).toHaveLength(1);
    answer(refusal(500));
    await flushPromises();
    expect(page.get("form").attributes("aria-busy")).toBe("false");
  });
});

it("signing in goes on to where the visitor wanted to be", async () => {
  await open("/?from=mail");
  await send({ email: ` ${ADA.email} `, password: ADA.password });
  await vi.waitUntil(() => router.currentRoute.value.fullPath === "/?from=mail");
  const sent = services.asked.find(({ path }) => path === "/api/auth/sign-in/email");
  expect(sent?.body).toEqual({ email: ADA.email, password: ADA.password });
});

it("signing in with a wrong password says so at the password", async () => {
  await open("/login");
  await send({ email: ADA.email, password: "wrong" });
  await flushPromises();
  expect(alertText()).toContain("is incorrect");
  expect(focusedName()).toBe("password");
  expect(page.get("input[name=password]").attributes("aria-invalid")).toBe("true");
});

it("signing up with a taken address says so at the address, and leads to signing in", async () => {
  await open("/signup?redirect=/?from=mail");
  services.answers.set("/api/auth/sign-up/email", () => refusal(422, "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL"));
  await send(ADA);
  await flushPromises();
  expect(alertText()).toContain("already exists");
  expect(focusedName()).toBe("email");
  expect(page.get("[role=alert] a").attributes("href")).toBe("/login?redirect=/?from=mail");
});

it.each(["short", "x".repeat(129)])("signing up with a password of the wrong length says so", async (password) => {
  await open("/signup");
  await send({ ...ADA, password });
  expect(page.text()).toContain("8 to 128 characters");
  expect(focusedName()).toBe("password");
});

it("the sign-in page says that it cannot tell whether the visitor is signed in, and tries again when told to", async () => {
  services.answers.set("/api/auth/get-session", unreachable);
  await open("/login");
  expect(page.get("[role=status]").text()).toContain("cannot tell whether you are signed in");
  services.answers.clear();
  services.isSignedIn = true;
  await page.get("[role=status] button").trigger("click");
  await vi.waitUntil(() => router.currentRoute.value.name === "Home");
});
