// A visitor's story in a real browser: node browser.mjs FRONTEND_URL AUTH_URL API_URL [FOLDER]
//
// The first thing that is not as it should be ends it with exit status 1. With FOLDER, a screenshot of every page goes
// there: light, dark, and on a phone.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";

import { chromium } from "playwright-core";

const [frontend, auth, api, folder] = process.argv.slice(2);
assert(frontend && auth && api, "usage: node browser.mjs FRONTEND_URL AUTH_URL API_URL [FOLDER]");

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const LOOKS = {
  light: { colorScheme: "light", viewport: { width: 1100, height: 800 } },
  dark: { colorScheme: "dark", viewport: { width: 1100, height: 800 } },
  phone: { colorScheme: "light", viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true },
  "phone dark": { colorScheme: "dark", viewport: { width: 320, height: 640 }, deviceScaleFactor: 2, hasTouch: true },
};
const ADA = { name: "Ada Lovelace", email: `ada-${randomBytes(6).toString("hex")}@example.com`, password: secret() };

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
    ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
  ],
});
try {
  await story();
} finally {
  await browser.close();
}
console.log("the story went as it should");

async function story() {
  let page = await visitor();

  step("A stranger asks for Home, and is asked to sign in");
  await page.goto(`${frontend}/?from=mail`);
  await at(page, "/login?redirect=/?from=mail");
  await seen(page.getByRole("heading", { name: "Sign in" }));
  await picture(page, "login");

  step("She creates an account by keyboard, and is where she wanted to be");
  await page.getByRole("link", { name: "Create an account" }).press("Enter");
  await at(page, "/signup?redirect=/?from=mail");
  await focused(page, page.getByRole("heading", { name: "Create an account" }));
  for (const text of [ADA.name, ADA.email]) await typeInNext(page, text);
  await typeInNext(page, "short");
  await page.keyboard.press("Enter");
  await seen(page.getByText("A password has 8 to 128 characters."));
  await focused(page, page.getByLabel("Password", { exact: true }));
  await picture(page, "signup");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type(ADA.password);
  await page.keyboard.press("Enter");
  await at(page, "/?from=mail");

  step("Home names her, as the backend does, and streams");
  await seen(page.getByRole("heading", { name: `Hello, ${ADA.name}` }));
  await seen(page.getByText(ADA.email));
  await seen(page.getByText("Live", { exact: true }));
  const pushed = page.locator("dt", { hasText: "Events" }).locator("+ dd");
  const before = await pushed.textContent();
  await until(async () => (await pushed.textContent()) !== before, "another event");
  if (folder) await page.waitForTimeout(12_000);
  await picture(page, "home");

  step("Signed in, she has no business on the sign-in page");
  await page.goto(`${frontend}/login`);
  await at(page, "/");

  step("She signs out, and a second tab hears of it");
  const other = await page.context().newPage();
  await other.goto(frontend);
  await seen(other.getByText("Live", { exact: true }));
  await page.getByRole("button", { name: "Sign out" }).click();
  await at(page, "/login?redirect=/");
  await seen(page.getByText("You are signed out."));
  await at(other, "/login?redirect=/");
  await other.close();
  await page.goto(frontend);
  await at(page, "/login?redirect=/");

  step("Her address is taken now");
  await page.goto(`${frontend}/signup`);
  await fill(page, { Name: "Somebody", "Email address": ADA.email, Password: secret() }, "Create account");
  await seen(page.getByText("There is already an account with this email address."));
  await focused(page, page.getByLabel("Email address"));
  await picture(page, "taken");

  step("A wrong password has a sentence, and the focus is where it can be mended");
  await page.goto(`${frontend}/login?redirect=//evil.example/`);
  await fill(page, { "Email address": ADA.email, Password: secret() }, "Sign in");
  await seen(page.getByText("This email address and password do not belong together."));
  await focused(page, page.getByLabel("Password", { exact: true }));
  await picture(page, "wrong password");

  step("Somebody made her link lead elsewhere after signing in: it does not");
  await fill(page, { Password: ADA.password }, "Sign in");
  await at(page, "/");
  await seen(page.getByText("Live", { exact: true }));

  step("Her sessions are ended somewhere else: the page notices, although its own copy would still do");
  const ended = await page.evaluate(async (url) => {
    const request = { method: "POST", credentials: "include", headers: { "Content-Type": "application/json" } };
    return (await fetch(`${url}/api/auth/revoke-sessions`, { ...request, body: "{}" })).status;
  }, auth);
  assert.equal(ended, 200);
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await at(page, "/login?redirect=/");
  await seen(page.getByText("Your session has ended"));
  await picture(page, "ended");

  step("The backend is down, and comes back");
  await page.route(`${api}/**`, (route) => route.abort());
  await page.routeWebSocket(/\/ws$/, (socket) => socket.close());
  await fill(page, { "Email address": ADA.email, Password: ADA.password }, "Sign in");
  await seen(page.getByText("The backend does not answer."));
  await seen(page.getByText("There is no connection."));
  await picture(page, "backend down");
  // In vain, but the waits between its own attempts are short again. Once the backend is back, the page may be faster
  // than a click.
  await page.getByRole("button", { name: "Try now" }).click();
  await page.unrouteAll();
  await page.routeWebSocket(/\/ws$/, (socket) => void socket.connectToServer());
  await page.getByRole("button", { name: "Ask now" }).click();
  await seen(page.getByRole("heading", { name: `Hello, ${ADA.name}` }));
  await seen(page.getByText("Live", { exact: true }));

  step("The auth-service is down");
  page = await visitor();
  await page.route(`${auth}/**`, (route) => route.abort());
  await page.goto(frontend);
  await seen(page.getByText("nobody can tell whether you are signed in"));
  await fill(page, { "Email address": ADA.email, Password: ADA.password }, "Sign in");
  await seen(page.getByText("Check your connection, or try again in a moment."));
  await picture(page, "down");
  await page.unroute(`${auth}/**`);
  await page.getByRole("button", { name: "Ask again" }).click();
  await seen(page.getByText("nobody can tell"), { state: "hidden" });
}

async function visitor() {
  const context = await browser.newContext({ ...LOOKS.light, reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => {
    console.error(`an error in the page: ${error.stack}`);
    process.exitCode = 1;
  });
  return page;
}

/** At every look: nothing that a screen reader or a weak eye would stumble over, and nothing to scroll sideways for. */
async function picture(page, name) {
  for (const [look, { viewport, colorScheme }] of Object.entries(LOOKS)) {
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    assert.equal(overflow, 0, `${name} (${look}) is ${overflow} px too wide`);
    if (folder) await page.screenshot({ path: join(folder, `${name} ${look}.png`), fullPage: true });
    if (!(await page.evaluate(() => "axe" in window))) await page.addScriptTag({ path: AXE });
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
    assert.deepEqual(found, [], `${name} (${look})`);
  }
  await page.setViewportSize(LOOKS.light.viewport);
}

async function at(page, path) {
  const shown = () => decodeURIComponent(page.url().slice(frontend.length));
  await until(
    () => shown() === path,
    () => `${path}, not ${shown()}`,
  );
}

async function seen(locator, options) {
  await locator.waitFor(options);
}

async function focused(page, locator) {
  const isFocused = () => locator.evaluate((element) => element === document.activeElement);
  await until(isFocused, `the focus on ${locator}`);
}

/** The next text field, as somebody without a mouse reaches it. */
async function typeInNext(page, text) {
  do await page.keyboard.press("Tab");
  while (!(await page.evaluate(() => document.activeElement instanceof HTMLInputElement)));
  await page.keyboard.type(text);
}

async function fill(page, texts, button) {
  for (const [label, text] of Object.entries(texts)) await page.getByLabel(label, { exact: true }).fill(text);
  await page.getByRole("button", { name: button, exact: true }).click();
}

async function until(holds, what) {
  for (const deadline = Date.now() + 15_000; !(await holds()); await new Promise((resolve) => setTimeout(resolve, 50)))
    assert(Date.now() < deadline, `expected ${typeof what === "function" ? what() : what}`);
}

function secret() {
  return randomBytes(12).toString("base64url");
}

function step(text) {
  console.log(text);
}
