// What is so in production alone: secure cookies, rate limits, and a page of a sibling host.
import assert from "node:assert/strict";

import { newPerson } from "./visitor.mjs";

export const stories = {
  "A new visitor chooses a better password, confirms the address, and signs in": signUpAndConfirm,
  "Too many attempts: the page says when to try again": tooManyAttempts,
  "A page of a sibling host gets no response to read and no socket": hostilePage,
};

export async function signUpAndConfirm(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  await visitor.forgetAttempts();
  await visitor.open("/signup");
  stage.step("a password that is easy to guess");
  await visitor.field("Name").fill(ada.name);
  await visitor.field("Email address").fill(ada.email);
  for (const password of ["P@ssw0rd1", ada.email]) {
    await visitor.field("Password").fill(password);
    await visitor.page.locator(".strength:not(.good)").waitFor();
    await visitor.button("Create account").click();
    await visitor.hasFocus(visitor.field("Password"));
    assert.equal(await visitor.field("Password").getAttribute("aria-invalid"), "true");
    assert.match(await visitor.page.locator(".field-error").textContent(), /\.$/);
  }
  await visitor.picture("weak password");
  await visitor.field("Password").fill(ada.password);
  await visitor.page.locator(".strength.good").waitFor();
  await visitor.button("Create account").click();
  await visitor.arrivesAtHome(ada);
  await visitor.picture("home in production");
  await hasSecureCookies(visitor);
  await visitor.button("Sign out").click();
  await visitor.sees("You have signed out.");
  await visitor.leave();
}

async function hasSecureCookies(visitor) {
  const cookies = await visitor.context.cookies();
  const [session] = cookies.filter(({ name }) => name.endsWith("session_token"));
  const { name, secure, httpOnly, sameSite, domain } = session;
  assert.deepEqual({ name, secure, httpOnly, sameSite }, {
    name: "__Secure-better-auth.session_token",
    secure: true,
    httpOnly: true,
    sameSite: "Lax",
  });
  const isShared = new URL(visitor.stage.auth).origin !== new URL(visitor.stage.frontend).origin;
  assert.equal(domain, isShared ? ".orchestrator.localhost" : "orchestrator.localhost");
  assert(cookies.every((cookie) => cookie.secure && cookie.httpOnly));
  assert.equal(await visitor.page.evaluate(() => document.cookie), "");
}

async function tooManyAttempts(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  visitor.expectErrors(/status of (401|429).*sign-in\/email/);
  await visitor.forgetAttempts();
  await visitor.open("/login");
  for (let attempt = 1; attempt <= 3; attempt++) {
    const response = visitor.page.waitForResponse(/sign-in\/email/);
    await visitor.send({ "Email address": ada.email, Password: ada.password }, "Sign in");
    assert.equal((await response).status(), 401);
    await visitor.sees("The email address or the password is incorrect.");
  }
  await visitor.button("Sign in").click();
  await visitor.page.getByText(/Too many attempts\. Try again in \d+ seconds?\./).waitFor();
  await visitor.picture("too many attempts");
  await visitor.leave();
  await visitor.forgetAttempts();
}

export async function hostilePage(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  await visitor.signUp(ada);
  // Of the same site, so that the browser sends the SameSite=Lax cookie with its requests.
  const { port } = new URL(stage.frontend);
  const hostile = `https://evil.orchestrator.localhost:${port}`;
  await visitor.context.route(`${hostile}/`, (route) =>
    route.fulfill({ contentType: "text/html", body: "<!doctype html><title>Win a prize</title>" }),
  );
  const tab = await visitor.openTab();
  visitor.expectErrors(/CORS policy/, /net::ERR_FAILED/, /WebSocket/, /status of 403/);
  await tab.goto(`${hostile}/`);
  const sent = [];
  tab.on("request", async (request) => sent.push(await request.allHeaders()));
  const got = await tab.evaluate(
    async ({ api, auth }) => {
      const read = (url, init) =>
        fetch(url, { credentials: "include", ...init }).then(
          (response) => response.status,
          () => "nothing",
        );
      const socket = new WebSocket(`${api.replace("http", "ws")}/ws`);
      const opened = new Promise((resolve) => {
        socket.onopen = () => resolve("opened");
        socket.onclose = () => resolve("nothing");
      });
      const json = { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" };
      return {
        me: await read(`${api}/api/me`),
        session: await read(`${auth}/api/auth/get-session`),
        signOut: await read(`${auth}/api/auth/sign-out`, json),
        blind: await read(`${auth}/api/auth/sign-out`, { method: "POST", mode: "no-cors", body: "{}" }),
        socket: await opened,
      };
    },
    { api: stage.api, auth: stage.auth },
  );
  assert.deepEqual(new Set(Object.values(got)), new Set(["nothing"]));
  const isShared = new URL(stage.auth).origin !== new URL(stage.frontend).origin;
  if (isShared) assert(sent.some((headers) => headers.cookie?.includes("session_token")), "the cookie was sent");

  stage.step("nothing has happened to the session");
  await visitor.page.reload();
  await visitor.isAtHome(ada.name);
  await visitor.leave();
}
