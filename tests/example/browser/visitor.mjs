// One person with a browser of their own: a context with its own cookies, and what they look for on a page.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
// Long enough for a machine that has much else to do.
const WAIT_MS = 60_000;

export const LOOKS = {
  light: { colorScheme: "light", viewport: { width: 1200, height: 860 } },
  dark: { colorScheme: "dark", viewport: { width: 1200, height: 860 } },
  phone: { colorScheme: "light", viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true },
  "small dark phone": {
    colorScheme: "dark",
    viewport: { width: 320, height: 640 },
    deviceScaleFactor: 2,
    hasTouch: true,
  },
};

export class Visitor {
  /** Console errors that nobody expected, from every tab. */
  #surprises = [];
  #expected = [];

  /** `stage` has the browser and the addresses; `options` are Playwright's for a context. */
  static async arrive(stage, options = {}) {
    const visitor = new Visitor();
    visitor.stage = stage;
    visitor.context = await stage.browser.newContext({ ...LOOKS.light, ...options });
    visitor.context.setDefaultTimeout(WAIT_MS);
    visitor.page = await visitor.openTab();
    return visitor;
  }

  async openTab() {
    const page = await this.context.newPage();
    page.on("pageerror", (error) => this.#surprises.push(`uncaught: ${error.stack}`));
    page.on("console", (message) => {
      const text = `${message.type()}: ${message.text()} (${message.location().url})`;
      if (!["error", "warning"].includes(message.type())) return;
      if (!this.#expected.some((pattern) => pattern.test(text))) this.#surprises.push(text);
    });
    return page;
  }

  /** Chromium logs each response from 400 on, and each lost connection, as an error. */
  expectErrors(...patterns) {
    this.#expected.push(...patterns);
  }

  async leave() {
    await this.context.close();
    assert.deepEqual(this.#surprises, [], "the browser's console");
  }

  // --- what a person does

  async open(path, page = this.page) {
    await page.goto(this.stage.frontend + path);
  }

  /** Fills in a form and sends it. */
  async send(texts, button) {
    for (const [label, text] of Object.entries(texts)) await this.field(label).fill(text);
    await this.button(button).click();
  }

  /** Until Home shows the new user. */
  async signUp(person) {
    await this.open("/signup");
    await this.sendSignUp(person);
    await this.arrivesAtHome(person);
  }

  async sendSignUp({ name, email, password }) {
    await this.forgetAttempts();
    await this.send({ Name: name, "Email address": email, Password: password }, "Create account");
  }

  /** After a sign-up, by the link in the mail where the stack confirms addresses. */
  async arrivesAtHome(person) {
    if (this.stage.confirmsAddresses) {
      await this.seesHeading("Check your mail");
      await this.page.goto(await this.stage.ask(`link ${person.email}`));
      await this.seesHeading("Email address confirmed");
      await this.page.getByRole("link", { name: "Sign in", exact: true }).click();
      await this.signIn(person);
    }
    await this.isAtHome(person.name);
  }

  /** The stories are about other things than rate limits. */
  async forgetAttempts() {
    if (this.stage.limitsRates) await this.stage.ask("forget attempts");
  }

  async signIn({ email, password }) {
    await this.forgetAttempts();
    await this.send({ "Email address": email, Password: password }, "Sign in");
  }

  field(label) {
    return this.page.getByLabel(label, { exact: true });
  }

  async signOut() {
    await this.button("Sign out").click();
    await this.sees("You have signed out.");
  }

  button(name, page = this.page) {
    return page.getByRole("button", { name, exact: true });
  }

  /** The next control of that kind, as somebody without a mouse reaches it. */
  async tabTo(selector) {
    for (let presses = 0; presses < 40; presses++) {
      await this.page.keyboard.press("Tab");
      if (await this.page.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return;
    }
    assert.fail(`the Tab key does not reach ${selector}`);
  }

  // --- what a person sees

  async seesHeading(name, page = this.page) {
    await page.getByRole("heading", { level: 1, name, exact: true }).waitFor();
  }

  async sees(text, page = this.page) {
    await page.getByText(text, { exact: false }).filter({ visible: true }).first().waitFor();
  }

  async isAt(path, page = this.page) {
    const shown = () => decodeURIComponent(page.url().slice(this.stage.frontend.length));
    await until(
      () => shown() === path,
      () => `${path}, not ${shown()}`,
    );
  }

  async isAtHome(name) {
    await this.seesHeading(`Hello, ${name}`);
    await this.seesLive();
  }

  async seesLive(page = this.page) {
    await page.locator(".pill", { hasText: "Live" }).waitFor();
  }

  async hasFocus(locator) {
    await until(
      () => locator.evaluate((element) => element === document.activeElement),
      () => `the focus on ${locator}`,
    );
  }

  /** The value of a term in a list of facts, such as "Session age". */
  async fact(term, page = this.page) {
    return await page.locator("dl > div", { has: page.locator("dt", { hasText: term }) }).locator("dd").textContent();
  }

  /** In every look: axe finds nothing, nothing scrolls sideways, and with SCREENSHOTS there is a picture. */
  async picture(name) {
    for (const [look, { viewport, colorScheme }] of Object.entries(LOOKS)) {
      await this.page.setViewportSize(viewport);
      await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const overflow = await this.page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      assert.equal(overflow, 0, `${name} (${look}) is ${overflow} px too wide`);
      const { folder } = this.stage;
      if (folder) await this.page.screenshot({ path: join(folder, `${name} ${look}.png`), fullPage: true });
      assert.deepEqual(await this.#accessibilityProblems(), [], `${name} (${look})`);
    }
    await this.page.setViewportSize(LOOKS.light.viewport);
    await this.page.emulateMedia({ colorScheme: null, reducedMotion: null });
  }

  async #accessibilityProblems() {
    // Evaluated, not added as a <script>: a Content-Security-Policy would refuse that.
    if (!(await this.page.evaluate(() => "axe" in window))) await this.page.evaluate(await readFile(AXE, "utf8"));
    const { violations } = await this.page.evaluate(() => globalThis.axe.run());
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
  }
}

export function newPerson(name = "Ada Lovelace") {
  return { name, email: `ada-${randomBytes(6).toString("hex")}@example.com`, password: newPassword() };
}

export function newPassword() {
  return randomBytes(12).toString("base64url");
}

export async function until(holds, what) {
  for (const deadline = Date.now() + WAIT_MS; !(await holds()); await new Promise((resolve) => setTimeout(resolve, 50)))
    assert(Date.now() < deadline, `expected ${typeof what === "function" ? what() : what}`);
}
