// What the page shows in production: confirmed addresses, forgotten and changed passwords, and strangers' pages.
import assert from "node:assert/strict";

import { newPassword, newPerson } from "./visitor.mjs";

export const stories = {
  "A new visitor chooses a better password, confirms the address, and signs in": signUpAndConfirm,
  "A link that has ended is replaced": endedLink,
  "A forgotten password is replaced, and the sessions in other browsers end": forgottenPassword,
  "A changed password signs the other browsers out": changedPassword,
  "Too many attempts: the page says when to try again": tooManyAttempts,
  "Mail cannot be sent": mailDown,
  "A page of a sibling host gets no response to read and no socket": hostilePage,
};

export async function signUpAndConfirm(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  await stage.ask("forget attempts");
  await visitor.open("/signup");
  stage.step("a password that is easy to guess");
  for (const password of ["P@ssw0rd1", ada.email]) {
    for (const [label, text] of Object.entries({ Name: ada.name, "Email address": ada.email, Password: password }))
      await visitor.field(label).fill(text);
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
  await visitor.seesHeading("Check your mail");
  await visitor.sees(ada.email);
  await visitor.picture("check your mail");

  stage.step("signing in without having followed the link");
  visitor.expectErrors(/status of 403.*sign-in\/email/);
  await visitor.open("/login");
  await visitor.signIn(ada);
  await visitor.sees("Confirm your email address before you sign in.");

  stage.step("following the link");
  await visitor.page.goto(await stage.ask(`link ${ada.email}`));
  await visitor.sees("Your email address is confirmed.");
  await visitor.picture("confirmed");
  await visitor.page.getByRole("link", { name: "Sign in", exact: true }).click();
  await stage.ask("forget attempts");
  await visitor.signIn(ada);
  await visitor.isAtHome(ada.name);
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

async function endedLink(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  await stage.ask("forget attempts");
  await visitor.open("/signup");
  await visitor.send({ Name: ada.name, "Email address": ada.email, Password: ada.password }, "Create account");
  await visitor.seesHeading("Check your mail");
  const link = await stage.ask(`link ${ada.email}`);
  visitor.expectErrors(/status of 40[01].*verify-email/);
  await visitor.page.goto(`${link}x`);
  await visitor.sees("it has expired or was used already");
  await visitor.picture("ended link");
  await visitor.send({ "Email address": ada.email }, "Send another link");
  await visitor.sees("Follow the link in it");
  await visitor.page.goto(await stage.ask(`link ${ada.email} 2`));
  await visitor.sees("Your email address is confirmed.");
  await visitor.leave();
}

async function forgottenPassword(stage) {
  const ada = newPerson();
  const other = await signedIn(stage, ada);
  const visitor = await stage.arrive();
  await stage.ask("forget attempts");
  await visitor.open("/login");
  await visitor.page.getByRole("link", { name: "Forgot your password?" }).click();
  await visitor.picture("forgot password");
  await visitor.send({ "Email address": ada.email }, "Send link");
  await visitor.sees("If there is an account with the address");
  await visitor.picture("link sent");
  const link = await stage.ask(`link ${ada.email} 2`);
  await visitor.page.goto(link);
  await visitor.seesHeading("Set a new password");
  const password = newPassword();
  await visitor.send({ "New password": password }, "Set password");
  await visitor.sees("every session has been signed out");

  stage.step("the other browser");
  other.expectErrors(/status of 401/, /WebSocket/);
  await other.sees("Your session has ended.");
  await other.leave();

  stage.step("the link again, and the new password");
  visitor.expectErrors(/status of 400.*reset-password/);
  // A new tab: in this one only the fragment would change.
  const tab = await visitor.openTab();
  await tab.goto(link);
  await tab.getByLabel("New password", { exact: true }).fill(newPassword());
  await visitor.button("Set password", tab).click();
  await visitor.sees("This link has expired or was used already.", tab);
  await visitor.page.getByRole("link", { name: "Sign in", exact: true }).click();
  await visitor.signIn({ ...ada, password });
  await visitor.isAtHome(ada.name);
  await visitor.leave();
}

async function changedPassword(stage) {
  const ada = newPerson();
  const other = await signedIn(stage, ada);
  const visitor = await stage.arrive();
  await stage.ask("forget attempts");
  await visitor.open("/login");
  await visitor.signIn(ada);
  await visitor.isAtHome(ada.name);
  await visitor.page.getByRole("link", { name: "Change password" }).click();
  await visitor.seesHeading("Change your password");
  visitor.expectErrors(/status of 400.*change-password/);
  const password = newPassword();
  await visitor.send({ "Current password": newPassword(), "New password": password }, "Change password");
  await visitor.sees("Your current password is not correct.");
  await visitor.hasFocus(visitor.field("Current password"));
  await visitor.picture("change password");
  await visitor.send({ "Current password": ada.password }, "Change password");
  await visitor.sees("Your sessions in other browsers have been signed out.");
  await visitor.page.getByRole("link", { name: "Back" }).click();
  await visitor.isAtHome(ada.name);

  other.expectErrors(/status of 401/, /WebSocket/);
  await other.sees("Your session has ended.");
  await other.leave();
  await visitor.leave();
}

/** In a browser of their own, at Home. */
async function signedIn(stage, person) {
  const visitor = await stage.arrive();
  await stage.ask("forget attempts");
  await visitor.open("/signup");
  await visitor.send({ Name: person.name, "Email address": person.email, Password: person.password }, "Create account");
  await visitor.seesHeading("Check your mail");
  await visitor.page.goto(await stage.ask(`link ${person.email}`));
  await visitor.page.getByRole("link", { name: "Sign in", exact: true }).click();
  await visitor.signIn(person);
  await visitor.isAtHome(person.name);
  return visitor;
}

async function tooManyAttempts(stage) {
  const ada = newPerson();
  const visitor = await stage.arrive();
  visitor.expectErrors(/status of (401|429).*sign-in\/email/);
  await stage.ask("forget attempts");
  await visitor.open("/login");
  for (let attempt = 1; attempt <= 3; attempt++) {
    const response = visitor.page.waitForResponse(/sign-in\/email/);
    await visitor.signIn(ada);
    assert.equal((await response).status(), 401);
    await visitor.sees("The email address or the password is incorrect.");
  }
  await visitor.signIn(ada);
  await visitor.page.getByText(/Too many attempts\. Try again in \d+ seconds?\./).waitFor();
  await visitor.picture("too many attempts");
  await visitor.leave();
  await stage.ask("forget attempts");
}

async function mailDown(stage) {
  const visitor = await stage.arrive();
  visitor.expectErrors(/status of 503/);
  await stage.ask("forget attempts");
  await stage.ask("stop mail");
  await visitor.open("/forgot-password");
  await visitor.send({ "Email address": newPerson().email }, "Send link");
  await visitor.sees("We cannot send mail at the moment.");
  await visitor.picture("mail down");
  await stage.ask("start mail");
  await visitor.button("Send link").click();
  await visitor.sees("If there is an account with the address");
  await visitor.leave();
}

export async function hostilePage(stage) {
  const ada = newPerson();
  const visitor = await signedIn(stage, ada);
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
