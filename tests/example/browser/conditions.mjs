// The same page for somebody without a mouse, on a phone, at night, on a slow network, or who gets sick of motion.
import assert from "node:assert/strict";

import { LOOKS, newPerson, until } from "./visitor.mjs";

export const stories = {
  "By keyboard alone": keyboardOnly,
  "On a phone": phone,
  "In dark mode": darkMode,
  "On a slow network": slowNetwork,
  "With reduced motion, and without": reducedMotion,
};

async function keyboardOnly(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  const { keyboard } = visitor.page;
  await visitor.open("/");
  await visitor.seesHeading("Sign in");
  await visitor.tabTo("a[href^='/signup']");
  await keyboard.press("Enter");
  await visitor.seesHeading("Create an account");
  await visitor.hasFocus(visitor.page.getByRole("heading", { name: "Create an account" }));
  for (const name of ["name", "email", "password"]) {
    await visitor.tabTo(`input[name=${name}]`);
    await keyboard.type(ada[name]);
  }
  await visitor.forgetAttempts();
  await keyboard.press("Enter");
  await visitor.arrivesAtHome(ada);

  stage.step("Tab reaches every control, in the order on the page, and each shows that it has the focus");
  await visitor.page.reload();
  await visitor.isAtHome(ada.name);
  const controls = await visitor.page.locator("button:visible, a:visible, input:visible").allTextContents();
  assert(controls.length >= 3);
  const reached = [];
  for (let presses = 0; presses < controls.length; presses++) {
    await keyboard.press("Tab");
    reached.push(await visitor.page.evaluate(() => document.activeElement.textContent));
    const outline = await visitor.page.evaluate(() => {
      const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
      return outlineStyle === "none" ? 0 : Number.parseFloat(outlineWidth);
    });
    assert(outline >= 2, `the focus on ${reached.at(-1)} shows`);
  }
  assert.deepEqual(reached, controls);

  stage.step("and ends the session");
  visitor.expectErrors(/status of 401.*\/api\/me/);
  await visitor.tabTo(".danger");
  await keyboard.press("Space");
  await visitor.sees("401 Unauthorized");
  await visitor.tabTo(".answer .notice button");
  await keyboard.press("Enter");
  await visitor.seesHeading("Sign in");
  await visitor.leave();
}

async function phone(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive({ ...LOOKS.phone, isMobile: true });
  const { page } = visitor;
  await visitor.open("/signup");
  await isTouchable(page);
  await visitor.field("Name").fill(ada.name);
  await visitor.field("Email address").fill(ada.email);
  await visitor.field("Password").fill(ada.password);
  await visitor.forgetAttempts();
  await visitor.button("Create account").tap();
  await visitor.arrivesAtHome(ada);
  await isTouchable(page);

  stage.step("one panel below the other");
  const [answer, stream] = await Promise.all([".answer", ".stream"].map((name) => page.locator(name).boundingBox()));
  assert(stream.y >= answer.y + answer.height);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), LOOKS.phone.viewport.width);
  await visitor.button("Sign out").tap();
  await visitor.sees("You have signed out.");
  await visitor.leave();
}

/** Targets of 24 px (WCAG 2.2, 2.5.8), and text fields that a phone does not zoom into. */
async function isTouchable(page) {
  const small = await page.evaluate(() =>
    [...document.querySelectorAll("button, input")]
      .filter((element) => element.checkVisibility())
      .filter((element) => {
        const { width, height } = element.getBoundingClientRect();
        const text = Number.parseFloat(getComputedStyle(element).fontSize);
        return Math.min(width, height) < 24 || (element instanceof HTMLInputElement && text < 16);
      })
      .map((element) => element.outerHTML),
  );
  assert.deepEqual(small, []);
}

async function darkMode(stage) {
  const visitor = await stage.arrive(LOOKS.dark);
  await visitor.open("/login");
  await visitor.seesHeading("Sign in");
  const lightness = () =>
    visitor.page.evaluate(() => {
      const [paper, ink] = ["backgroundColor", "color"].map((name) =>
        getComputedStyle(document.body)[name].match(/\d+/g).slice(0, 3).map(Number),
      );
      const sum = (colour) => colour.reduce((total, part) => total + part, 0);
      return { paper: sum(paper), ink: sum(ink) };
    });
  const dark = await lightness();
  assert(dark.paper < 200 && dark.ink > 500, JSON.stringify(dark));
  await visitor.page.emulateMedia({ colorScheme: "light" });
  const light = await lightness();
  assert(light.paper > 500 && light.ink < 200, JSON.stringify(light));
  await visitor.leave();
}

async function slowNetwork(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  const { page } = visitor;
  await visitor.open("/signup");
  // The dictionaries of the password's strength are still on their way when the page changes; without them the auth
  // service decides alone.
  visitor.expectErrors(/ERR_NETWORK_CHANGED.*assets/);
  const network = await visitor.context.newCDPSession(page);
  const slow = { offline: false, latency: 800, downloadThroughput: 50_000, uploadThroughput: 50_000 };
  await network.send("Network.emulateNetworkConditions", slow);
  const sent = [];
  page.on("request", (request) => request.method() === "POST" && sent.push(new URL(request.url()).pathname));
  await visitor.sendSignUp(ada);
  await visitor.button("Creating your account …").waitFor();
  await until(async () => {
    await page.keyboard.press("Enter");
    return (await visitor.field("Password").count()) === 0;
  }, "the next page");
  assert.deepEqual(sent, ["/api/auth/sign-up/email"], "one request, however often Enter is pressed");
  await visitor.arrivesAtHome(ada);

  stage.step("opening the page: it says what it waits for");
  const shown = [];
  await page.exposeFunction("report", (text) => shown.push(text));
  await page.addInitScript(() => {
    const report = () => globalThis.report(document.body?.innerText ?? "");
    new MutationObserver(report).observe(document, { childList: true, subtree: true, characterData: true });
  });
  await page.reload();
  await visitor.isAtHome(ada.name);
  for (const text of ["Checking whether you are signed in …", "Asking the backend who you are …", "No data yet."])
    assert(
      shown.some((screen) => screen.includes(text)),
      text,
    );
  await visitor.leave();
}

async function reducedMotion(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive({ reducedMotion: "reduce" });
  await visitor.signUp(ada);
  const endless = () =>
    visitor.page.evaluate(
      () =>
        document.getAnimations().filter((animation) => animation.effect.getComputedTiming().iterations === Infinity)
          .length,
    );
  assert.equal(await endless(), 0);
  await visitor.page.emulateMedia({ reducedMotion: "no-preference" });
  await until(async () => (await endless()) > 0, "the live mark to pulse");
  await visitor.leave();
}
